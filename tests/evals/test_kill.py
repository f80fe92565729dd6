"""Runs that are killed and resumed: nothing lost, no recorded call paid twice, the same bytes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.eval_soak.alpaca import CALLS_EACH, soak
from tests.evals.bench import final_bytes, mixture, moa, recorded
from tests.provider import Provider

COMMAND = """
import sys, pathlib, pytest
from tests.evals import bench
bench.small_assets(pathlib.Path("assets"), pytest.MonkeyPatch())
sys.exit(bench.moa(*sys.argv[1:]))
"""
"""The command in a process of its own, on the small benchmarks."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small form of `make eval-soak`."""
    monkeypatch.delenv("LANGSMITH_API_KEY", raising=False)
    found = soak(tmp_path, prompts=20, kills=2, concurrency=3)
    assert found["calls"] == 20 * CALLS_EACH == 260
    assert (found["lost_calls"], found["lost_answers"], found["recorded_calls_paid_twice"]) == (0, 0, 0)
    assert found["files_byte_equal"]
    assert found["files"] == ["drafts.jsonl", "model_outputs.json", "run.json", "scores.json"]
    # Killed when a quarter and a half was recorded, or a little later: a busy machine looks less often.
    first, second = found["recorded_at_kills"]
    assert 65 <= first <= second < 260 and second >= 130
    # Calls that were active at a kill are made again: at most every call of the open items.
    assert 0 <= found["asked_again_unrecorded"] <= 2 * 3 * 6


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("kind", "judge", "calls", "judged"),
    [
        ("alpaca", "judge=0.7-hangx1-p=0.5-m", 6 * 3, 6),
        ("mt-bench", "say=[[7]]-hangx1-p=0.5-m", 2 * 2 * 3, 4),
        ("flask", "say={'readability':2}-hangx1-p=0.5-m", 2 * 3, 2),
    ],
)
def test_a_run_killed_while_it_judges_goes_on(
    tmp_path: Path, provider: Provider, kind: str, judge: str, calls: int, judged: int
) -> None:
    """Some verdicts are recorded, others hang (each the first time it is asked for), so the kill lands among them.

    Which ones is drawn by the judge's name and the question: the "m" stands for a draw that has both kinds. The kill
    waits until all are asked for: a verdict that is first asked for by the second run would hang there.
    """
    args = [kind, "-f", mixture(tmp_path, provider), "--judge", f"openai:{judge}", "--judge-url", provider.url]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", COMMAND, *map(str, args), "--out", "killed"]
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (len(provider.requests(judge)) == judged and verdicts(tmp_path / "killed")):
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before, since = recorded(tmp_path / "killed"), len(provider.requests())
    assert verdicts(tmp_path / "killed") < judged, "no verdict hung"
    assert moa(*args, "--out", tmp_path / "killed") == 0
    assert recorded(tmp_path / "killed") == calls + judged
    assert len(provider.requests()) - since == calls + judged - before, "a recorded call was asked again"
    assert moa(*args, "--out", tmp_path / "whole") == 0
    assert final_bytes(tmp_path / "killed") == final_bytes(tmp_path / "whole")


def verdicts(folder: Path) -> int:
    """Recorded verdicts."""
    return recorded(folder, "role LIKE 'judge%'") if (folder / "ledger.db").exists() else 0
