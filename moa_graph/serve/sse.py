"""Server-sent events with heartbeats; the producer is cancelled when the client disconnects."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any, TypeVar

from starlette.types import Receive, Scope, Send

T = TypeVar("T")

HEARTBEAT = 10.0
"""Seconds of silence after which a comment is sent. Clients and proxies give up after 30 to 60 seconds."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """Return the result of `work`, or None if it was cancelled. Cancels it when the client disconnects first."""
    doing = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({doing, gone}, return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() and not doing.cancelled() else None
    finally:
        await _end(doing, gone)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class EventStream:
    """An ASGI response made of `parts`, each the text of one or more events.

    `parts` runs in its own task from beginning to end, because context variables belong to one task. Cancelling that
    task ends the response at that point.
    """

    def __init__(
        self, parts: AsyncGenerator[str], *, heartbeat: float = HEARTBEAT, headers: Mapping[str, str] | None = None
    ) -> None:
        self._parts, self._heartbeat = parts, heartbeat
        self._headers = [*_HEADERS, *((k.encode(), v.encode()) for k, v in (headers or {}).items())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A disconnect appears in one of two places, with the same meaning.
        with contextlib.suppress(OSError):
            await unless_gone(receive, self._write(send))

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=256)
        making = asyncio.ensure_future(self._make(queue))
        try:
            while (part := await self._next(queue)) is not None:
                await send({"type": "http.response.body", "body": part.encode(), "more_body": True})
            await asyncio.wait({making})
            if not making.cancelled():
                making.result()
            await send({"type": "http.response.body", "body": b""})
        finally:
            await _end(making)

    async def _make(self, queue: asyncio.Queue[str | None]) -> None:
        try:
            async with contextlib.aclosing(self._parts) as parts:
                async for part in parts:
                    await queue.put(part)
        except asyncio.CancelledError:
            # The client may no longer read: empty the queue, so that the end mark fits without waiting.
            while not queue.empty():
                queue.get_nowait()
            raise
        finally:
            await queue.put(None)

    async def _next(self, queue: asyncio.Queue[str | None]) -> str | None:
        try:
            async with asyncio.timeout(self._heartbeat):
                first = await queue.get()
        except TimeoutError:
            return ": still working\n\n"
        # What has piled up goes out in one write.
        parts = [first]
        while not queue.empty() and parts[-1] is not None:
            parts.append(queue.get_nowait())
        if parts[-1] is None and len(parts) > 1:
            queue.put_nowait(None)
            parts.pop()
        return None if parts[0] is None else "".join(part for part in parts if part is not None)
