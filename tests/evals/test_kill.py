"""The soak of `make eval-soak`, small: killed twice, nothing lost, nothing recorded paid twice, the same bytes."""

from pathlib import Path

import pytest

from benchmarks.eval_soak import CALLS_EACH, soak


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANGSMITH_API_KEY", raising=False)
    found = soak(tmp_path, prompts=20, kills=2, concurrency=3)
    assert found["calls"] == 20 * CALLS_EACH == 260
    assert (found["lost_calls"], found["lost_answers"], found["recorded_calls_paid_twice"]) == (0, 0, 0)
    assert found["files_byte_equal"]
    assert found["files"] == ["model_outputs.json", "run.json", "scores.json"]
    # Killed when a quarter and a half was recorded, or a little later: a busy machine looks less often.
    first, second = found["recorded_at_kills"]
    assert 65 <= first <= second < 260 and second >= 130
    # What was under way at a kill is asked again: at most every call of the items then open.
    assert 0 <= found["asked_again_unrecorded"] <= 2 * 3 * 6
