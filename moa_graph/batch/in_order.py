"""Many items through one coroutine function: bounded, in order, cleanly stopped."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 10_000
"""Results that may wait for a slow item before them; it bounds the memory they take."""


def in_order(
    items: Iterable[Item],
    work: Callable[[Item], Coroutine[Any, Any, Result]],
    *,
    concurrency: int,
    ahead: int = AHEAD,
) -> aclosing[AsyncGenerator[Result, None]]:
    """The results of `work` in the order of `items`.

        async with in_order(items, work, concurrency=8) as results:
            async for result in results: ...

    `items` is read only as fast as `work` gets on: at most `concurrency` run at once, and at most `ahead`
    have begun and not been handed out. Results should be small (a key into a store), for they wait in
    memory. Whatever ends the block (an exception of any `work`, a break, a cancellation) cancels what is
    running and waits for its end.
    """
    return aclosing(_Line(iter(items), work, concurrency, ahead).results())


class _Line(Generic[Item, Result]):
    """The tasks of one `in_order`: `waiting` in the order of their items, `running` those that are not
    done."""

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
        """Begins what there is room for; whether there may be more items."""
        while len(self.running) < self.concurrency and len(self.waiting) < self.ahead:
            try:
                item = next(self.items)
            except StopIteration:
                return False
            task = asyncio.create_task(self.work(item))
            self.running.add(task)
            self.waiting.append(task)
            task.add_done_callback(self._over)
        return True

    def _over(self, task: asyncio.Task[Result]) -> None:
        self.running.discard(task)
        if self.failed is None and (task.cancelled() or task.exception()):
            self.failed = task
        self.moved.set()
