"""What a batch or a benchmark may cost: a question begins only when the dearest one seen so far would still fit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from moa_graph.errors import BudgetError

_DUST = 1e-9
"""Dollars by which sums of cents are off."""


class Purse:
    """Dollars spent and set aside. `limit=None` spends without end and only counts.

    `expected` is what a question is taken to cost until one has shown it. Without it the first question runs alone,
    so that what one costs is known before many run.
    """

    def __init__(self, limit: float | None = None, *, expected: float | None = None) -> None:
        self.limit = limit
        self.expected = expected
        self.spent = 0.0
        self.unknown = 0
        self._dearest: float | None = None
        self._open = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def room(self) -> AsyncIterator[float | None]:
        """Waits for room for one more question and gives what that one may cost, in dollars.

        Raises:
            BudgetError: there is none, and none will come: nothing more runs.
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
        """Counts a question's cost; one that is unknown (a call was broken off) as the dearest so far, or as what is
        known of it (`least`) where that is more.

        What a question cost that came to no end (`whole=False`) does not tell what one costs.
        """
        if cost is None:
            self.unknown += 1
            self.spent += max(self._each or 0.0, least)
            return
        self.spent += cost
        if whole or self._dearest is not None:
            self._dearest = max(cost, self._dearest or 0.0)

    @property
    def _each(self) -> float | None:
        """What one question is taken to cost; None when nothing tells."""
        return self.expected if self._dearest is None else self._dearest

    async def _reserve(self, limit: float) -> float:
        async with self._changed:
            while not self._fits(limit):
                if not self._open:
                    raise BudgetError(f"max-cost: ${self.spent:.4f} of ${limit:g} are spent; another might pass it.")
                await self._changed.wait()
            left = limit - self.spent - self._open * (self._each or 0.0)
            self._open += 1
            return left

    def _fits(self, limit: float) -> bool:
        if self._each is None:
            return not self._open and self.spent < limit
        return self.spent + (self._open + 1) * self._each <= limit + _DUST
