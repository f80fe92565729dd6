"""From nothing to a report with no key and no network: the embedded model answers and judges."""

import json
from pathlib import Path

import pytest

from benchmarks.eval_soak.embedded import own_prompts
from moa_graph.errors import ConfigError
from moa_graph.models.local import locate
from tests.evals.bench import moa


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
    assert moa("alpaca", "--limit", 2, "--max-tokens", 12) == 0
    folder = tmp_path / "moa-evals/alpaca-local"
    scores = json.loads((folder / "scores.json").read_text())
    assert (scores["items"], scores["answered"], scores["items_with_failures"]) == (2, 2, 0)
    assert (scores["n"], scores["parse_failures"]) == (2, 0)
    assert (scores["generation"]["calls"], scores["generation"]["cost"]) == (8, 0)
    assert (scores["judging"]["calls"], scores["judging"]["cost"]) == (2, 0)
    assert len(scores["warnings"]) == 1  # one model judges itself
    assert (folder / "report.html").read_text().count("<svg") >= 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_own_prompts_on_the_embedded_model_are_killed_twice(tmp_path: Path) -> None:
    """A short form of `make eval-soak`: no recorded call is lost or made again; a regression ends with 1.

    (Requests are counted where there is a server, in `test_kill.py`.)
    """
    try:
        locate("smollm2")
    except ConfigError as missing:
        pytest.skip(str(missing))
    found = own_prompts(tmp_path, prompts=5, kills=2)
    assert found["passed"], found
    assert (found["calls"], found["lost_calls"], found["lost_answers"], found["recorded_calls_paid_twice"]) == (
        20,
        0,
        0,
        0,
    )
    assert (found["exit_code_worse"], found["exit_code_equal"]) == (1, 0)
