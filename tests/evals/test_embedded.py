"""From nothing to a report with no key and no network: the embedded model answers and judges."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from moa_graph.errors import ConfigError
from moa_graph.models.local import locate
from tests.evals.bench import lines, moa, recorded


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_alpaca_on_the_embedded_model(asset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its verdicts are meaningless, but the whole pipeline runs. Answers are short to save time."""
    try:
        locate("smollm2")
    except ConfigError as missing:
        pytest.skip(str(missing))
    for name in ("OPENAI_API_KEY", "TOGETHER_API_KEY", "LANGSMITH_API_KEY", "MOA_PRESET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert moa("alpaca", "--limit", 5, "--max-tokens", 12) == 0
    folder = tmp_path / "moa-evals/alpaca-local"
    scores = json.loads((folder / "scores.json").read_text())
    assert (scores["items"], scores["answered"], scores["items_with_failures"]) == (5, 5, 0)
    assert (scores["n"], scores["parse_failures"]) == (5, 0)
    assert (scores["generation"]["calls"], scores["generation"]["cost"]) == (20, 0)
    assert (scores["judging"]["calls"], scores["judging"]["cost"]) == (5, 0)
    assert len(scores["warnings"]) == 1  # one model judges itself
    assert (folder / "report.html").read_text().count("<svg") >= 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_own_prompts_on_the_embedded_model_are_killed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five prompts through the preset `local`: no recorded call is lost or made again; then a regression ends with 1.

    A call that is made again would be recorded with other times. (Requests are counted where there is a server, in
    `test_prompts.py`.)
    """
    try:
        locate("smollm2")
    except ConfigError as missing:
        pytest.skip(str(missing))
    for name in ("OPENAI_API_KEY", "TOGETHER_API_KEY", "LANGSMITH_API_KEY", "MOA_PRESET"):
        monkeypatch.delenv(name, raising=False)
    prompts, folder = tmp_path / "prompts.jsonl", tmp_path / "run"
    prompts.write_text(lines([{"id": n, "prompt": f"What is {n} + 1?", "gold": n + 1} for n in range(5)]))
    command = [sys.executable, "-m", "moa_graph", "eval", "run", str(prompts), "--preset", "local"]
    command += ["--max-tokens", "8", "--out", str(folder)]
    kept: set[tuple[Any, ...]] = set()
    for least in (3, 9):
        killed_when_recorded(command, folder, least)
        assert kept <= calls(folder)
        kept = calls(folder)
        assert least <= len(kept) < 20
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert kept <= calls(folder)
    assert len(calls(folder)) == 20
    assert len((folder / "results.jsonl").read_text().splitlines()) == 5
    # A baseline that answered everything right.
    better = tmp_path / "better.json"
    better.write_text(
        json.dumps([{"id": str(n), "instruction": f"What is {n} + 1?", "output": str(n + 1)} for n in range(5)])
    )
    assert moa("run", prompts, "--drafts", better, "--out", tmp_path / "better") == 0
    score = json.loads((folder / "scores.json").read_text())["score"]
    code = subprocess.run([*command, "--baseline", str(tmp_path / "better")], capture_output=True).returncode
    assert code == (1 if score < 100 else 0)
    assert len(calls(folder)) == 20


def killed_when_recorded(command: list[str], folder: Path, least: int) -> None:
    """Run the command and kill it when at least so many calls are recorded."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 600
        while not (folder / "ledger.db").exists() or recorded(folder) < least:
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def calls(folder: Path) -> set[tuple[Any, ...]]:
    """Every recorded call with all its columns."""
    with closing(sqlite3.connect(folder / "ledger.db")) as db:
        return set(db.execute("SELECT * FROM calls WHERE role != 'answer'"))
