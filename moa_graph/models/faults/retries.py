"""Back-off between attempts, and the retry budget of a run."""

from __future__ import annotations

import random
import threading

from moa_graph.models.faults.faults import Fault

MIN_WAIT = 0.25
"""Seconds between two attempts at least: a provider that sends "Retry-After: 0" may be overloaded."""


def backoff(attempt: int, fault: Fault, *, rng: random.Random | None = None) -> float:
    """Return the seconds to wait after failed attempt number `attempt` (1-based).

    The wait is drawn from the upper half of 0.5 s, doubled after each attempt up to 8 s. A wait that the provider asks
    for is used instead: at least `MIN_WAIT`, and up to a quarter longer, so that clients that were given the same
    second do not all return in it.

    Args:
        attempt: The number of the failed attempt, from 1.
        fault: Its fault.
        rng: The source of random numbers; the module `random` by default.
    """
    draw = (rng or random).random()
    if fault.retry_after is not None:
        return max(fault.retry_after, MIN_WAIT) * (1.0 + 0.25 * draw)
    return min(8.0, 0.5 * 2.0 ** min(attempt - 1, 10)) * (0.5 + 0.5 * draw)


class RetryBudget:
    """The retries and the hedges that may still be sent. Safe from many tasks and threads.

    Args:
        limit: Retries at most, and hedges at most. They are counted separately: a hedge is sent before anything has
            failed, and must not use the retry of a call that fails later.
    """

    def __init__(self, limit: int) -> None:
        self._left = self._hedges = limit
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Use one retry. Return False when none is left."""
        with self._lock:
            if self._left <= 0:
                return False
            self._left -= 1
            return True

    def take_hedge(self) -> bool:
        """Use one hedge. Return False when none is left."""
        with self._lock:
            if self._hedges <= 0:
                return False
            self._hedges -= 1
            return True
