"""Back-off in exact figures: it doubles, has a maximum, and is drawn from the upper half."""

import random

import pytest

from moa_graph.models.faults.faults import Fault
from moa_graph.models.faults.retries import MIN_WAIT, backoff


class Draw(random.Random):
    """A random generator that always returns the same value."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


BUSY = Fault("server", True, None, 503, "busy")


def test_it_doubles_from_half_a_second_to_eight() -> None:
    longest = [backoff(attempt, BUSY, rng=Draw(1.0)) for attempt in range(1, 8)]
    assert longest == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert backoff(10_000, BUSY, rng=Draw(1.0)) == 8.0


def test_it_is_drawn_from_the_upper_half() -> None:
    assert backoff(3, BUSY, rng=Draw(0.0)) == 1.0
    waits = {backoff(3, BUSY) for _ in range(50)}
    assert len(waits) > 1 and all(1.0 <= wait <= 2.0 for wait in waits)


def test_a_retry_never_comes_before_the_providers_wait() -> None:
    asked = Fault("rate_limit", True, 3.0, 429, "slow down")
    assert backoff(1, asked, rng=Draw(0.0)) == 3.0
    assert backoff(1, asked, rng=Draw(1.0)) == pytest.approx(3.75)


@pytest.mark.parametrize("asked", [0.0, 0.001])
def test_a_wait_of_zero_has_a_floor(asked: float) -> None:
    """A provider that sends "Retry-After: 0", or a date in the past, does not get three requests within 20 ms."""
    fault = Fault("rate_limit", True, asked, 429, "slow down")
    assert min(backoff(attempt, fault, rng=Draw(0.0)) for attempt in range(1, 5)) == MIN_WAIT >= 0.2
