"""Own prompts on the embedded model, killed again and again, and compared with baselines."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

CALLS_EACH = 4
"""The calls of the preset `local` for one prompt: three proposers and the aggregator."""
MOA = "import sys; from moa_graph.cli import main; sys.exit(main())"
_WITHOUT = ("OPENAI_API_KEY", "TOGETHER_API_KEY", "LANGSMITH_API_KEY", "MOA_PRESET")


def own_prompts(folder: Path, *, prompts: int, kills: int, seed: int = 17) -> dict[str, Any]:
    """Run sums through the preset `local` with `kill -9` at drawn counts of recorded calls, then against baselines.

    A recorded call that is made again would be recorded with other times, so no row of the ledger may change.
    """
    dice = random.Random(seed)
    numbers = [(dice.randrange(2, 50), dice.randrange(2, 50)) for _ in range(prompts)]
    rows: list[dict[str, Any]] = [
        {"id": f"q{n}", "prompt": f"What is {a} + {b}?", "gold": a + b} for n, (a, b) in enumerate(numbers)
    ]
    # No model says this word, so that the run is worse than a baseline that has it.
    rows[-1] |= {"prompt": "Say a word.", "gold": "qzxvk"}
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = ["run", str(path), "--preset", "local", "--max-tokens", "8", "--out", str(folder / "run")]
    began = time.monotonic()
    total = prompts * CALLS_EACH
    kept, recorded_at, changed = set[tuple[Any, ...]](), list[int](), 0
    for number in range(kills):
        _kill_at(run, folder, total * (number + 1) // (kills + 1))
        now = _calls(folder / "run")
        changed += len(kept - now)
        kept = now
        recorded_at.append(len(now))
    code = _moa(run, folder)
    calls = _calls(folder / "run")
    changed += len(kept - calls)
    found = {
        "prompts": prompts,
        "calls": total,
        "kills": len(recorded_at),
        "recorded_at_kills": recorded_at,
        "exit_code": code,
        "lost_calls": total - len(calls),
        "lost_answers": prompts - len((folder / "run/results.jsonl").read_text().splitlines()),
        "recorded_calls_paid_twice": changed,
        "score": json.loads((folder / "run/scores.json").read_text())["score"],
        **_baselines(folder, rows, run),
        "calls_after_baselines": len(_calls(folder / "run")),
        "seconds": round(time.monotonic() - began, 1),
    }
    found["passed"] = (
        not (found["lost_calls"] or found["lost_answers"] or changed or code)
        and (found["exit_code_worse"], found["exit_code_equal"]) == (1, 0)
        and found["calls_after_baselines"] == total
        and len(recorded_at) == kills
    )
    return found


def _baselines(folder: Path, rows: list[dict[str, Any]], run: list[str]) -> dict[str, int]:
    """Return the exit codes against a run that answered everything right, and against the run itself."""
    right = folder / "right.json"
    right.write_text(json.dumps([{"id": row["id"], "output": str(row["gold"])} for row in rows]))
    prompts = str(folder / "prompts.jsonl")
    if _moa(["run", prompts, "--drafts", str(right), "--out", str(folder / "right")], folder):
        raise SystemExit(f"the baseline failed: see {folder / 'embedded.log'}")
    return {
        "exit_code_worse": _moa([*run, "--baseline", str(folder / "right")], folder),
        "exit_code_equal": _moa([*run, "--baseline", str(folder / "run")], folder),
    }


def _start(arguments: list[str], folder: Path) -> subprocess.Popen[bytes]:
    env = {name: value for name, value in os.environ.items() if name not in _WITHOUT}
    env |= {"PYTHONPATH": str(Path(__file__).parents[2]), "LANGSMITH_TRACING": "false"}
    with (folder / "embedded.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", MOA, "eval", *arguments], cwd=folder, env=env, stdout=log, stderr=log
        )


def _moa(arguments: list[str], folder: Path) -> int:
    return _start(arguments, folder).wait()


def _kill_at(run: list[str], folder: Path, target: int) -> None:
    """Run until so many calls are recorded, and kill the process."""
    process = _start(run, folder)
    while process.poll() is None and len(_calls(folder / "run")) < target:
        time.sleep(0.05)
    if process.poll() is not None:
        raise SystemExit(f"a run ended before it was killed: see {folder / 'embedded.log'}")
    process.send_signal(signal.SIGKILL)
    process.wait()


def _calls(folder: Path) -> set[tuple[Any, ...]]:
    """Return every recorded call with all its columns; none before there is a table."""
    path = folder / "ledger.db"
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path, timeout=30)) as db:
        try:
            return set(db.execute("SELECT * FROM calls WHERE role != 'answer'"))
        except sqlite3.OperationalError:
            return set()
