"""A benchmark of 10,465 calls, killed repeatedly, without lost or repeated paid calls.

805 prompts go through six proposers in three layers (13 calls each) against the loopback provider, 20 ms a call: once
undisturbed, while its memory is watched, and once with `kill -9` at chosen counts of recorded calls. Then

* every call is in the ledger (lost: 0);
* no request repeats a call that an earlier, killed process had recorded (paid twice: 0);
* the final files of both runs are the same bytes;
* the process grew by less than 50 MB between its first twentieth and its end.

Calls under way at a kill are asked again: they were never recorded.
"""

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.provider import Provider

PROPOSERS, LAYERS = 6, 3
CALLS_EACH = PROPOSERS * (LAYERS - 1) + 1
GROWTH_MB = 50.0
MOA = "import sys; from moa_graph.cli import main; sys.exit(main())"
TIMED = {"timing.json", "report.md", "report.html"}
Call = tuple[str, int, int]
"""(item, layer, slot): one call of the benchmark."""


@dataclass
class Soak:
    """One soak test: its folder, its provider, and its findings."""

    folder: Path
    provider: Provider
    prompts: int
    concurrency: int
    repeats: int = 0
    paid_twice: int = 0
    kills: list[int] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return self.prompts * CALLS_EACH

    def prepare(self) -> None:
        """Prompts in AlpacaEval's format and the mixture."""
        rows = [
            {"instruction": f"[{n}] {prompt(n)}", "dataset": "made", "output": "Reference.", "generator": "reference"}
            for n in range(self.prompts)
        ]
        (self.folder / "reference.json").write_text(json.dumps(rows))
        models = [f"openai:soak{slot}-20ms-tok=60" for slot in range(PROPOSERS)]
        data = {
            "name": "soak",
            "proposers": [{"model": name, "base_url": self.provider.url} for name in models],
            "aggregator": {"model": "openai:soakagg-20ms-tok=120", "base_url": self.provider.url},
            "layers": LAYERS,
        }
        (self.folder / "soak.yaml").write_text(yaml.safe_dump(data))

    def start(self, run: str) -> subprocess.Popen[bytes]:
        """Return the command of this run's folder."""
        args = ["eval", "alpaca", "-f", "soak.yaml", "--reference", "reference.json", "--judge", "none"]
        args += ["--out", run, "--concurrency", str(self.concurrency)]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "LANGSMITH_TRACING": "false"}
        with (self.folder / f"{run}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", MOA, *args], cwd=self.folder, env=env, stdout=log, stderr=log
            )

    def recorded(self, run: str) -> set[Call]:
        """Calls in the ledger."""
        rows = self._query(run, "SELECT item, layer, slot FROM calls WHERE role != 'answer'")
        return {(str(item), int(layer), int(slot)) for item, layer, slot in rows}

    def count(self, run: str) -> int:
        """How many calls are recorded; fast, because it is called during the run."""
        rows = self._query(run, "SELECT count(*) FROM calls WHERE role != 'answer'")
        return int(rows[0][0]) if rows else 0

    def _query(self, run: str, sql: str) -> list[Any]:
        """Rows of the ledger, while its writer is alive or after it was killed; none before there is a table."""
        path = self.folder / run / "ledger.db"
        if not path.exists():
            return []
        with closing(sqlite3.connect(path, timeout=30)) as db:
            try:
                return db.execute(sql).fetchall()
            except sqlite3.OperationalError:
                return []

    def asked(self, since: int) -> list[Call]:
        """What was asked of the provider since its request number `since`."""
        return [identify(request.json) for request in self.provider.requests()[since:]]


def prompt(number: int) -> str:
    """Return a different question for every number, 20 to 400 characters long."""
    words = random.Random(number).choices(
        ["why", "how", "river", "engine", "poem", "tax", "proof", "list", "map"], k=60
    )
    return " ".join(words[: 4 + number % 56]) + "?"


def identify(body: dict[str, Any]) -> Call:
    """Which call a request is: the model names the slot, the question the item, the drafts shown the layer."""
    messages = body["messages"]
    item = messages[-1]["content"].partition("]")[0].removeprefix("[")
    drafts = "\n\n[drafts begin" in messages[-1]["content"]
    name = body["model"].partition("-")[0]
    return (item, LAYERS, 0) if name == "soakagg" else (item, 2 if drafts else 1, int(name.removeprefix("soak")))


def undisturbed(soak: Soak) -> dict[str, float]:
    """One run to its end; seconds, and megabytes of resident memory early and at its highest."""
    began = time.monotonic()
    process = soak.start("whole")
    memory = psutil.Process(process.pid)
    early, highest = 0.0, 0.0
    while process.poll() is None:
        time.sleep(0.5)
        try:
            size = memory.memory_info().rss / 1e6
        except psutil.NoSuchProcess:
            break
        answered = soak.provider.stats()["answered"]
        if not early and answered >= soak.calls / 20:
            early = size
        # The answers are all there after the last call; writing files and plots comes after and loads its libraries.
        if early and answered < soak.calls:
            highest = max(highest, size)
    if process.wait() != 0:
        raise SystemExit(f"the undisturbed run failed: see {soak.folder / 'whole.log'}")
    return {"seconds": time.monotonic() - began, "early_mb": early, "highest_mb": max(highest, early)}


def killed(soak: Soak, kills: int) -> float:
    """The same run with `kill -9` each time a further share of the calls is recorded; seconds."""
    began = time.monotonic()
    since = len(soak.provider.requests())
    before: set[Call] = set()
    for number in range(kills):
        process = soak.start("killed")
        target = soak.calls * (number + 1) // (kills + 2)
        while process.poll() is None and soak.count("killed") < target:
            time.sleep(0.2)
        if process.poll() is not None:
            raise SystemExit(f"a run ended before it was killed: see {soak.folder / 'killed.log'}")
        process.send_signal(signal.SIGKILL)
        process.wait()
        since, before = tally(soak, since, before), soak.recorded("killed")
        soak.kills.append(len(before))
    if soak.start("killed").wait() != 0:
        raise SystemExit(f"the last run failed: see {soak.folder / 'killed.log'}")
    tally(soak, since, before)
    return time.monotonic() - began


def tally(soak: Soak, since: int, before: set[Call]) -> int:
    """Count what a process asked although an earlier one had recorded it; the number of requests so far."""
    asked = soak.asked(since)
    soak.paid_twice += sum(call in before for call in asked)
    soak.repeats += len(asked)
    return since + len(asked)


def final_bytes(folder: Path) -> dict[str, bytes]:
    """The files that must not depend on how often a run was killed."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.name not in TIMED and not p.name.startswith("ledger")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(files)}


def soak(folder: Path, *, prompts: int, kills: int, concurrency: int) -> dict[str, Any]:
    """Both runs and the verdict."""
    with Provider() as provider:
        run = Soak(folder, provider, prompts, concurrency)
        run.prepare()
        whole = undisturbed(run)
        seconds = killed(run, kills)
        wanted = {(str(n), layer, slot) for n in range(prompts) for layer in (1, 2) for slot in range(PROPOSERS)}
        wanted |= {(str(n), LAYERS, 0) for n in range(prompts)}
        whole_files, killed_files = final_bytes(folder / "whole"), final_bytes(folder / "killed")
        outputs = json.loads(killed_files["model_outputs.json"])
        found = {
            "prompts": prompts,
            "calls": run.calls,
            "concurrency": concurrency,
            "kills": len(run.kills),
            "recorded_at_kills": run.kills,
            "lost_calls": len(wanted - run.recorded("killed")),
            "lost_answers": prompts - len(outputs),
            "recorded_calls_paid_twice": run.paid_twice,
            "asked_again_unrecorded": run.repeats - run.calls,
            "files_byte_equal": whole_files == killed_files,
            "files": sorted(whole_files),
            "memory_growth_mb": round(whole["highest_mb"] - whole["early_mb"], 1),
            "memory_highest_mb": round(whole["highest_mb"], 1),
            "seconds_undisturbed": round(whole["seconds"], 1),
            "seconds_killed": round(seconds, 1),
        }
    nothing_lost = not (found["lost_calls"] or found["lost_answers"] or found["recorded_calls_paid_twice"])
    found["passed"] = nothing_lost and found["files_byte_equal"] and found["memory_growth_mb"] < GROWTH_MB
    return found
