"""The hostile provider in short: one scenario of each kind. `make faults` runs all of them."""

import pytest

from tests.clocks import steady_time
from tests.faults import hostile

pytestmark = pytest.mark.skipif(bool(hostile.missing()), reason=hostile.missing())


@pytest.mark.timeout(500)
@steady_time
async def test_every_reply_ends_typed_and_keeps_the_siblings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    names = [name for name in hostile.scenarios() if name.partition("@")[0] in hostile.SHORT]
    assert len(names) == len(hostile.SHORT)
    done = await hostile.trials(names)
    assert hostile.wrong(done) == []
    found = hostile.figures(done)
    assert found["scenarios"] == len(names) and found["runs"] == 4 * len(names)
    # One reply of 1 GB took 3 GB before there were limits; removing reasoning took 10.9 s.
    assert found["max_growth_mb"] <= hostile.MAX_GROWTH_MB
    assert found["max_freeze_ms"] <= hostile.MAX_FREEZE_MS


def test_the_kit_has_all_its_scenarios() -> None:
    assert len(hostile.scenarios()) >= 120
