"""Things that belong to one event loop: made with their first use in it, closed when it shuts down.

An asynchronous generator holds each of them open; `asyncio.run` and its like finalize the loop's generators before
they close it. A loop that is just closed leaves its thing behind; the next one that is made tidies it away.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class _Held(NamedTuple, Generic[T]):
    thing: T
    holder: AsyncGenerator[None, None]


class PerLoop(Generic[T]):
    """One `T` per running event loop. `make` runs inside the loop; `close` must not fail on a loop that is closed."""

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[object]]) -> None:
        self._make, self._close = make, close
        self._held: dict[asyncio.AbstractEventLoop, _Held[T]] = {}
        self._lock = threading.Lock()
        atexit.register(self._close_all)

    async def get(self) -> T:
        """The running loop's own."""
        held = self._held.get(asyncio.get_running_loop())
        return held.thing if held is not None else await self._add()

    async def _add(self) -> T:
        await self._tidy()
        loop = asyncio.get_running_loop()
        if loop in self._held:  # made by another task while this one tidied
            return self._held[loop].thing
        thing = self._make()
        holder = self._hold(loop, thing)
        with self._lock:
            self._held[loop] = _Held(thing, holder)
        await anext(holder)
        return thing

    async def _hold(self, loop: asyncio.AbstractEventLoop, thing: T) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(loop, None)
            await self._close(thing)
            # A transport tells its protocol of its end in the loop's next turn, which must still come.
            await asyncio.sleep(0)

    async def _tidy(self) -> None:
        with self._lock:
            left = [self._held.pop(loop) for loop in list(self._held) if loop.is_closed()]
        for held in left:
            await self._close(held.thing)

    def _close_all(self) -> None:
        """At exit: loops that still run in other threads, such as the one behind sync calls."""
        for loop, held in list(self._held.items()):
            if loop.is_running():
                # The interpreter goes down: whatever this loop answers, or that it does not, nothing can be done.
                with contextlib.suppress(Exception):
                    asyncio.run_coroutine_threadsafe(held.holder.aclose(), loop).result(1.0)
