"""The simulation of a batch against what can be computed: bound by latency, by a limit, by the processor."""

import random
import time

import pytest

from benchmarks.scale.simulation import Plan, Result, simulate
from moa_graph.models import call, rate_limit
from tests.provider.limits import Limits


def batch(words: str, **others: object) -> Result:
    given: dict[str, object] = {"prompts": 960, "proposers": (f"a-{words}", f"b-{words}"), "aggregator": f"z-{words}"}
    return simulate(Plan(**{**given, **others}))  # type: ignore[arg-type]  # fields of Plan


def test_bound_by_latency() -> None:
    """960 questions, 16 at once, two steps of 100 ms each."""
    assert batch("100ms").seconds == pytest.approx(960 / 16 * 0.2)
    assert batch("100ms", rounds=2).seconds == pytest.approx(960 / 16 * 0.3)


def test_bound_by_the_processor() -> None:
    """Nothing else runs while a question computes; the last answers still wait for their models."""
    found = batch("100ms", cpu=0.05)
    assert 960 * 0.05 <= found.seconds <= 960 * 0.05 + 0.2


def test_bound_by_requests_a_minute() -> None:
    """Each model gets a request a question: 600 a minute are ten questions a second, and refusals cost little."""
    found = batch("50ms-rpm=600", concurrency=8)
    assert 96 - 2 <= found.seconds <= 96 * 1.15
    # A call that is refused three times is given up; its question has other drafts.
    assert not found.failed and 0 <= 960 * 3 + found.refused - found.requests <= 3 and found.refused


def test_bound_by_requests_at_once() -> None:
    """No more than four requests of 2 s at once are two a second; the limiter finds that out by itself."""
    found = batch("2000ms-most=4", concurrency=32)
    assert 480 * 0.97 <= found.seconds <= 480 * 1.1 and found.failed < 20


@pytest.mark.parametrize("most", [4, 16])
def test_short_calls_use_what_a_provider_allows_at_once(most: int) -> None:
    """A refusal stops all calls for the second of its Retry-After, which is as long as twenty calls take."""
    found = batch(f"50ms-most={most}", prompts=4000, concurrency=64, max_attempts=10)
    possible = 4000 / (most / 0.05)
    assert found.seconds < possible / 0.4, "the limit was tried too often"
    assert found.refused < 0.05 * found.requests and found.failed < 5


def test_refusals_by_chance_do_not_lower_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """One request in twenty is refused with a Retry-After, whatever the load: fewer at once would not help."""
    dice = random.Random(5)
    words = "p50=2000-p99=15000"
    whole = batch(words, prompts=2000, concurrency=128, deadline=600.0, max_attempts=10)
    monkeypatch.setattr(Limits, "refused", lambda *_: 1.0 if dice.random() < 0.05 else None)
    found = batch(words, prompts=2000, concurrency=128, deadline=600.0, max_attempts=10)
    assert found.refused > 200 and not found.failed
    assert found.seconds < 1.4 * whole.seconds


def test_equal_plans_have_equal_results() -> None:
    """Latencies and waits between attempts come from the seed."""
    words = "p50=200-p99=1000-rpm=1200"
    assert batch(words, concurrency=32) == batch(words, concurrency=32) != batch(words, concurrency=32, seed=1)


def test_an_hour_takes_no_hour() -> None:
    """The clock is virtual, and the modules have the real one again afterwards."""
    began = time.monotonic()
    assert batch("300000ms", prompts=16, deadline=1000.0).seconds == pytest.approx(600)
    assert time.monotonic() - began < 60
    assert call.time is time and rate_limit.time is time  # type: ignore[attr-defined]  # not exported


def test_a_slow_model_fails_at_the_deadline() -> None:
    """A call that takes longer than the deadline gives no draft, and its question fails."""
    found = batch("5000ms", prompts=16, deadline=2.0)
    assert found.failed == 16 and found.seconds == pytest.approx(2)


def test_a_bucket_fills_in_time() -> None:
    """A second's requests may come together; then each waits for its own."""
    limits = Limits(per_minute=120)
    assert [limits.refused(100.0, 0) for _ in range(3)] == [None, None, 1.0]
    assert [limits.refused(100.5, 0) for _ in range(2)] == [None, 1.0]
    assert Limits(per_minute=6).refused(5.0, 0) is None


def test_a_count_of_requests_at_once() -> None:
    """As many as allowed, and no more."""
    limits = Limits(at_once=2)
    assert [limits.refused(0.0, n) for n in range(3)] == [None, None, 1.0]
