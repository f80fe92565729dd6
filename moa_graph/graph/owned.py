"""Close an asynchronous generator within another one, also when the event loop ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any

__all__ = ["owned"]


def owned(stream: Any) -> aclosing[Any]:
    """Return a context that closes a generator at its end, as `aclosing` does.

    asyncio closes all generators that it knows at the same time when a loop ends. A generator that another one is
    closing is then closed twice, and asyncio reports that this fails. So the loop does not know this generator, but
    one that waits until it is closed.

    Args:
        stream: The generator, before its first item is asked for.
    """
    return aclosing(_Owned(stream))


class _Owned:
    """A generator that may be closed several times at once."""

    def __init__(self, stream: AsyncGenerator[Any]) -> None:
        self._stream = stream
        self._known: AsyncGenerator[None] | None = None
        self._closed: asyncio.Future[None] | None = None

    def __aiter__(self) -> _Owned:
        return self

    def __anext__(self) -> Awaitable[Any]:
        return self._first() if self._known is None else anext(self._stream)

    async def _first(self) -> Any:
        self._known = self._until_closed()
        await anext(self._known)
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)  # with them a generator makes itself known when it is first used
        try:
            following = anext(self._stream)
        finally:
            sys.set_asyncgen_hooks(*hooks)
        return await following

    async def _until_closed(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self._known = None
            await self.aclose()

    async def aclose(self) -> None:
        """Close the generator, or wait until it is closed."""
        if self._closed is not None:
            await asyncio.wait([self._closed])
            return
        self._closed = asyncio.get_running_loop().create_future()
        try:
            await self._stream.aclose()
        finally:
            self._closed.set_result(None)
            if self._known is not None:
                await self._known.aclose()
