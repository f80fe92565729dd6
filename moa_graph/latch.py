"""The quorum: the first k counted drafts of a round close it, and the calls still running are cancelled.

A super-step of LangGraph waits for all its tasks, so the race is run inside the layer: the proposer nodes
of one super-step share a latch, found by that step's checkpoint id, and it lives as long as one of them
holds it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

__all__ = ["Latch", "latch_for", "open_latches"]

_lock = threading.Lock()
_latches: WeakValueDictionary[str, Latch] = WeakValueDictionary()


class Latch:
    """Closes when `quorum` calls counted, `grace` seconds later."""

    def __init__(self, quorum: int, grace: float) -> None:
        self.quorum = quorum
        self.grace = grace
        self.counted = 0
        self.closed = False
        self._running: set[asyncio.Task[Any]] = set()

    async def race(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Run `work` unless the round is closed first; whether it ran to its end. Cancelled work has ended,
        its connection closed, when this returns."""
        if self.closed:
            return False
        task = asyncio.ensure_future(work())
        self._running.add(task)
        try:
            await asyncio.wait({task})
        except BaseException:
            task.cancel()
            await asyncio.wait({task})
            raise
        finally:
            self._running.discard(task)
        if task.cancelled():
            return False
        task.result()
        return True

    def count(self) -> bool:
        """One more counted draft; whether it is the one that makes the quorum."""
        self.counted += 1
        if self.counted != self.quorum:
            return False
        if self.grace > 0:
            asyncio.get_running_loop().call_later(self.grace, self._close)
        else:
            self._close()
        return True

    def _close(self) -> None:
        self.closed = True
        for task in self._running:
            task.cancel()


def latch_for(step: str, quorum: int, grace: float) -> Latch:
    """The latch of the super-step with checkpoint id `step`; made by the first who asks."""
    with _lock:
        latch = _latches.get(step)
        if latch is None:
            latch = _latches[step] = Latch(quorum, grace)
        return latch


def open_latches() -> int:
    """How many are held just now: 0 when nothing runs."""
    return len(_latches)
