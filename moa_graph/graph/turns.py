"""Turns of the event loop, for work on long conversations that cannot leave it."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

__all__ = ["own_turn"]

_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def own_turn() -> None:
    """Return in a turn of the event loop in which no other caller returns.

    LangChain converts the messages of a call on the event loop: 20 ms for 4,000 of them. The calls of a round begin in
    the same turn, which would take as many times as long.
    """
    loop = asyncio.get_running_loop()
    async with _locks.setdefault(loop, asyncio.Lock()):
        await asyncio.sleep(0)
