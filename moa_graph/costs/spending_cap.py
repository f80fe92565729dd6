"""The spending cap of a batch or a benchmark.

A question starts only if the cap can still pay for one as expensive as the most expensive so far.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from moa_graph.costs.amounts import in_dollars
from moa_graph.errors import BudgetError

_DUST = 1e-9
"""Rounding error, in dollars, allowed when sums of costs are compared."""


class SpendingCap:
    """Dollars spent, and dollars reserved for questions that run.

    Args:
        limit: The most to spend, in dollars. None counts without a limit.
        expected: Cost of one question, in dollars, assumed until one has finished.
        at_once: Whether many questions may start on `expected` alone. By default the first question runs alone, so
            that the cost of one is known before many run.
    """

    def __init__(self, limit: float | None = None, *, expected: float | None = None, at_once: bool = False) -> None:
        self.limit = limit
        self.expected = expected
        self.spent = 0.0
        self.unknown = 0
        self._at_once = at_once
        self._highest: float | None = None
        self._unfinished = 0.0
        self._open = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def reserve(self) -> AsyncIterator[float | None]:
        """Wait until one more question can be paid for, and yield the dollars it may cost (None without a limit).

        Raises:
            BudgetError: The rest of the limit is too small and no running question can free any of it.
        """
        allowed = None if self.limit is None else await self._reserve(self.limit)
        try:
            yield allowed
        finally:
            if self.limit is not None:
                async with self._changed:
                    self._open -= 1
                    self._changed.notify_all()

    def pay(self, cost: float | None, *, least: float = 0.0, whole: bool = True) -> None:
        """Count the cost of a question.

        Args:
            cost: In dollars. None if unknown (a call was cancelled): counts as the most expensive question so far, or
                as `least` if that is more.
            least: The known part of an unknown cost, in dollars.
            whole: False for a question that did not finish: its cost may raise the estimate for the next ones, but does
                not lower it.
        """
        self._at_once = True
        if cost is None:
            self.unknown += 1
            self.spent += max(self._each or 0.0, least)
            return
        self.spent += cost
        if whole or self._highest is not None:
            self._highest = max(cost, self._highest or 0.0)
        else:
            self._unfinished = max(cost, self._unfinished)

    def recall(self, costs: Sequence[float]) -> None:
        """Count what earlier runs paid for questions that are asked again."""
        self.spent += math.fsum(costs)
        self._unfinished = max([self._unfinished, *costs])

    def expect(self, cost: float | None) -> None:
        """Begin questions of another kind: `cost` dollars are assumed for the first, which runs alone."""
        self.expected = cost
        self._highest = None
        self._unfinished = 0.0
        self._at_once = False

    @property
    def _each(self) -> float | None:
        """Assumed cost of the next question, in dollars; None if unknown."""
        if self._highest is not None or self.expected is None:
            return self._highest
        return max(self.expected, self._unfinished)

    async def _reserve(self, limit: float) -> float:
        async with self._changed:
            while not self._fits(limit):
                if not self._open:
                    spent = f"{in_dollars(self.spent)} of ${limit:g} spent"
                    raise BudgetError(f"max-cost: {spent}; the next question could exceed the limit.")
                await self._changed.wait()
            left = limit - self.spent - self._open * (self._each or 0.0)
            self._open += 1
            return left

    def _fits(self, limit: float) -> bool:
        if self._open and not (self._at_once and self._each is not None):
            return False
        if self._each is None:
            return self.spent < limit and self.spent + self._unfinished <= limit + _DUST
        return self.spent + (self._open + 1) * self._each <= limit + _DUST
