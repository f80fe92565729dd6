"""Apply a coroutine function to many items, with bounded concurrency and results in the order of the items."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 10_000
"""The most results that wait in memory for a slow earlier item."""


def in_order(
    items: Iterable[Item],
    work: Callable[[Item], Coroutine[Any, Any, Result]],
    *,
    concurrency: int,
    ahead: int = AHEAD,
) -> aclosing[AsyncGenerator[Result, None]]:
    """Return the results of `work` in the order of `items`.

        async with in_order(items, work, concurrency=8) as results:
            async for result in results: ...

    Items are read as they are needed. Leaving the block (by an exception of any `work`, a break or a cancellation)
    cancels the running tasks and waits until they have ended.

    Args:
        items: The items; any iterable, also one without an end.
        work: Called once per item.
        concurrency: The most tasks that run at once.
        ahead: The most tasks that have started and whose results have not been returned. Results wait in memory, so
            they should be small.
    """
    return aclosing(_Queue(iter(items), work, concurrency, ahead).results())


class _Queue(Generic[Item, Result]):
    """The tasks of one `in_order`.

    Attributes:
        waiting: Tasks whose results have not been returned, in the order of their items.
        running: Tasks that are not done.
        failed: The first task that failed.
        moved: Set when a task ends.
    """

    def __init__(
        self,
        items: Iterator[Item],
        work: Callable[[Item], Coroutine[Any, Any, Result]],
        concurrency: int,
        ahead: int,
    ) -> None:
        self.items, self.work, self.concurrency, self.ahead = items, work, concurrency, ahead
        self.waiting: deque[asyncio.Task[Result]] = deque()
        self.running: set[asyncio.Task[Result]] = set()
        self.failed: asyncio.Task[Result] | None = None
        self.moved = asyncio.Event()

    async def results(self) -> AsyncGenerator[Result, None]:
        """Yield the results in order; raise the first task's exception as soon as it fails."""
        try:
            while self._fill() or self.waiting:
                self.moved.clear()
                if not self.waiting[0].done():
                    await self.moved.wait()
                if self.failed:
                    self.failed.result()
                while self.waiting and self.waiting[0].done():
                    yield self.waiting.popleft().result()
        finally:
            for task in self.running:
                task.cancel()
            await asyncio.gather(*self.waiting, return_exceptions=True)

    def _fill(self) -> bool:
        """Start tasks up to both limits. Return whether there may be more items."""
        while len(self.running) < self.concurrency and len(self.waiting) < self.ahead:
            try:
                item = next(self.items)
            except StopIteration:
                return False
            task = asyncio.create_task(self.work(item))
            self.running.add(task)
            self.waiting.append(task)
            task.add_done_callback(self._ended)
        return True

    def _ended(self, task: asyncio.Task[Result]) -> None:
        self.running.discard(task)
        if self.failed is None and (task.cancelled() or task.exception()):
            self.failed = task
        self.moved.set()
