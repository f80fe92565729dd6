"""The end of a round: its calls race against a quorum, a combiner's decision and a share of the time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from moa_graph.state import Note

__all__ = ["Latch", "Rule"]


class Rule(NamedTuple):
    """When a round ends before all its calls have ended.

    Attributes:
        quorum: Counted drafts that end the round; None for no such number.
        grace: Seconds from the quorum to the end.
        enough: Counted drafts that must be there before `share` ends the round.
        share: Seconds from the round's beginning to its end; None for no such limit.
        before: Drafts of the round that were counted in an earlier step.
    """

    quorum: int | None
    grace: float = 0.0
    enough: int = 1
    share: float | None = None
    before: int = 0


class Latch:
    """The end of a round. It closes by its rule and then cancels the calls that still run.

    A super-step of LangGraph waits for all its tasks. So the proposer nodes of one super-step race their calls against
    one latch.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.counted = rule.before
        self.notes: list[Note] = []
        """What a combiner has read in the drafts of this step so far."""
        self.closed = False
        self.why = ""
        self._ends = None if rule.share is None else time.monotonic() + rule.share
        self._alarm: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def open(self) -> bool:
        """Whether calls race against this latch now."""
        return bool(self._running)

    async def race(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Run `work` unless the round ends first.

        Returns:
            Whether `work` ran to its end. Cancelled work has ended, with its connection closed, when this returns.
        """
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
                # The timer would keep this latch and its event loop in memory.
                self._alarm.cancel()
                self._alarm = None
        if task.cancelled():
            return False
        task.result()
        return True

    def count(self) -> bool:
        """Count one more draft. Return whether it completes the quorum."""
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
        """End the round now. Late drafts state `why` as their error."""
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
            task.cancel(self.why)
