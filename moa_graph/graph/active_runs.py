"""What a run has in this process while it runs: its clock, its retry budget, the latch of its round.

None of it is in the state: after a resume, perhaps elsewhere and days later, all begin anew.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from moa_graph.graph.round_end import Latch, Rule, latch_for
from moa_graph.mixture.context import Settings
from moa_graph.models.retries import RetryBudget

__all__ = ["Live", "in_run", "live_runs"]

_MOST = 10_000
"""Runs that were interrupted and never taken up again are forgotten, the oldest first."""

_lock = threading.Lock()
_runs: OrderedDict[str, Live] = OrderedDict()


class Live:
    """One run's clock, which stands still while no node works, its retry budget, and its round's latch."""

    def __init__(self, calls: int) -> None:
        # At most as many retries and hedges as calls were planned, so a run sends at most twice its plan.
        self.budget = RetryBudget(calls)
        self.settings: tuple[object, Settings] | None = None
        """The run's context and the settings computed from it."""
        self._working = 0
        self._since = 0.0
        self._spent = 0.0
        self._latch: Latch | None = None

    def latch(self, step: str, rule: Rule) -> Latch:
        """The latch of the super-step, held until the run's next one: a proposer that has ended before another of its
        round begins (sync callers' do, on a busy machine) still counts."""
        self._latch = latch_for(step, rule)
        return self._latch

    def start(self) -> None:
        if self._working == 0:
            self._since = time.monotonic()
        self._working += 1

    def stop(self) -> None:
        self._working -= 1
        if self._working == 0:
            self._spent += time.monotonic() - self._since

    @property
    def seconds(self) -> float:
        """How long nodes of the run have worked in this process."""
        return self._spent + (time.monotonic() - self._since if self._working else 0.0)

    def left(self, run_deadline: float | None) -> float:
        """Seconds until the run's deadline; infinite without one."""
        return math.inf if run_deadline is None else run_deadline - self.seconds


@contextmanager
def in_run(run_id: str, calls: int, *, last: bool = False) -> Iterator[Live]:
    """Work of one node of the run. It is forgotten after its `last` node, and when a node raises or is
    cancelled."""
    with _lock:
        live = _runs.get(run_id)
        if live is None:
            live = _runs[run_id] = Live(calls)
            if len(_runs) > _MOST:
                _runs.popitem(last=False)
    live.start()
    try:
        yield live
    except BaseException:
        last = True
        raise
    finally:
        live.stop()
        if last:
            with _lock:
                _runs.pop(run_id, None)


def live_runs() -> int:
    """How many runs are under way in this process."""
    return len(_runs)
