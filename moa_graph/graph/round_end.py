"""The end of a round: the first k counted drafts close it, or its share of the time, and running calls are cancelled.

A super-step of LangGraph waits for all its tasks, so the race is run inside the layer: the proposer nodes
of one super-step share a latch, found by that step's checkpoint id, and it lives as long as one of them
holds it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from moa_graph.state import Note

__all__ = ["Latch", "Rule", "latch_for", "open_latches"]

_lock = threading.Lock()
_latches: WeakValueDictionary[str, Latch] = WeakValueDictionary()


class Rule(NamedTuple):
    """When a round is closed: `grace` seconds after `quorum` counted drafts, or `share` seconds after its beginning,
    once it has `enough` counted drafts; None never closes it."""

    quorum: int | None
    grace: float = 0.0
    enough: int = 1
    share: float | None = None


class Latch:
    """Closes by its rule, and then cancels what still runs."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.counted = 0
        self.notes: list[Note] = []
        """What a combiner read in the drafts of this step so far."""
        self.closed = False
        self.why = ""
        self._ends = None if rule.share is None else time.monotonic() + rule.share
        self._alarm: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task[Any]] = set()

    async def race(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Run `work` unless the round is closed first; whether it ran to its end. Cancelled work has ended,
        its connection closed, when this returns."""
        if self.closed:
            return False
        task = asyncio.ensure_future(work())
        self._running.add(task)
        if self._alarm is None and self._ends is not None:
            wait = max(self._ends - time.monotonic(), 0.0)
            self._alarm = asyncio.get_running_loop().call_later(wait, self._share_is_over)
        try:
            await asyncio.wait({task})
        except BaseException:
            task.cancel()
            await asyncio.wait({task})
            raise
        finally:
            self._running.discard(task)
            if self._alarm is not None and not self._running:
                # It would hold this latch, and the loop, for nothing.
                self._alarm.cancel()
                self._alarm = None
        if task.cancelled():
            return False
        task.result()
        return True

    def count(self) -> bool:
        """One more counted draft; whether it is the one that makes the quorum."""
        self.counted += 1
        if self.counted == self.rule.quorum:
            self.why = f"{self.counted} other drafts were enough"
            if self.rule.grace > 0:
                asyncio.get_running_loop().call_later(self.rule.grace, self._close)
            else:
                self._close()
            return True
        if self._ends is not None and time.monotonic() >= self._ends:
            self._share_is_over()
        return False

    def close(self, why: str) -> None:
        """Close the round now, for a reason that late drafts give as theirs."""
        if not self.closed:
            self.why = why
            self._close()

    def _share_is_over(self) -> None:
        if self.counted >= self.rule.enough and not self.closed:
            self.why = "the layers after it needed the rest of the run's time"
            self._close()

    def _close(self) -> None:
        self.closed = True
        for task in self._running:
            task.cancel()


def latch_for(step: str, rule: Rule) -> Latch:
    """The latch of the super-step with checkpoint id `step`; made by the first who asks."""
    with _lock:
        latch = _latches.get(step)
        if latch is None:
            latch = _latches[step] = Latch(rule)
        return latch


def open_latches() -> int:
    """How many are held just now: 0 when nothing runs."""
    return len(_latches)
