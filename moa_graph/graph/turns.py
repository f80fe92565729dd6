"""Long work and the event loop: in a thread where it can be, otherwise in a turn of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from moa_graph.models.reply.reply import is_long

__all__ = ["off_loop", "own_turn"]

T = TypeVar("T")

_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def off_loop(about: object, work: Callable[[], T]) -> T:
    """Return the result of work on the texts in `about`. It runs in a thread where these are long or many."""
    return await asyncio.to_thread(work) if is_long(about) else work()


async def own_turn() -> None:
    """Return in a turn of the event loop in which no other caller returns.

    LangChain converts the messages of a call on the event loop: 20 ms for 4,000 of them. The calls of a round begin in
    the same turn, which would take as many times as long.
    """
    loop = asyncio.get_running_loop()
    async with _locks.setdefault(loop, asyncio.Lock()):
        await asyncio.sleep(0)
