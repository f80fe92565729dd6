"""Server-sent events with heartbeats; the producer is cancelled when the client disconnects."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from typing import Any, NamedTuple, TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moa_graph.serve.problems import server_stopping

T = TypeVar("T")

HEARTBEAT = 10.0
"""Seconds of silence after which a comment is sent. Clients and proxies give up after 30 to 60 seconds."""

_PIECE = 1_000_000
"""Characters that are sent at once."""

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


async def _error_of(task: asyncio.Future[Any]) -> Exception | None:
    """Wait for a task that ends by itself; return the exception that ended it."""
    await asyncio.wait({task})
    error = None if task.cancelled() else task.exception()
    if error is None or isinstance(error, Exception):
        return error
    raise error


async def _end(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _send_text(text: str, send: Send) -> None:
    """Send a part of the body, in pieces between which the server has its turn."""
    for start in range(0, len(text), _PIECE):
        body = text[start : start + _PIECE].encode()
        await send({"type": "http.response.body", "body": body, "more_body": True})


class OnFailure(NamedTuple):
    """What a client gets when the producer of a stream raises.

    Attributes:
        before: Returns the response that takes the stream's place, while nothing has been sent.
        after: Returns the events that end a stream that has begun.
    """

    before: Callable[[Exception], ASGIApp]
    after: Callable[[Exception], str]


class EventStream:
    """An ASGI response made of `parts`, each the text of one or more events.

    The status is sent with the first part, or after `heartbeat` seconds without one. A producer that fails before that
    becomes a response with the status of its failure.

    `parts` runs in its own task from beginning to end, because context variables belong to one task. Cancelling that
    task ends the response at that point.

    Args:
        parts: The producer.
        heartbeat: Seconds of silence after which a comment is sent.
        waiting: Returns events that are sent with the comment.
        headers: Further response headers.
        opening: Events that are sent before all parts.
        failure: What a client gets when `parts` raises. Without it the exception ends the connection.
    """

    def __init__(
        self,
        parts: AsyncGenerator[str],
        *,
        heartbeat: float = HEARTBEAT,
        waiting: Callable[[], str] = str,
        headers: Mapping[str, str] | None = None,
        opening: str = "",
        failure: OnFailure | None = None,
    ) -> None:
        self._parts, self._heartbeat, self._opening, self._failure = parts, heartbeat, opening, failure
        self._waiting = waiting
        self._headers = [*_HEADERS, *((k.encode(), v.encode()) for k, v in (headers or {}).items())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        # A disconnect appears in one of two places, with the same meaning.
        with contextlib.suppress(OSError):
            try:
                await unless_gone(receive, self._write(scope, receive, noted))
            except asyncio.CancelledError:
                # The server stops. Without a last event, it closes the connection within the answer.
                if self._failure and begun:
                    await send({"type": "http.response.body", "body": self._failure.after(server_stopping()).encode()})
                elif self._failure:
                    await self._failure.before(server_stopping())(scope, receive, send)

    async def _write(self, scope: Scope, receive: Receive, send: Send) -> None:
        queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=256)
        making = asyncio.ensure_future(self._make(queue))
        try:
            part = await self._next(queue)
            if part is None and self._failure and (error := await _error_of(making)):
                await self._failure.before(error)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            await _send_text(self._opening, send)
            while part is not None:
                await _send_text(part, send)
                part = await self._next(queue)
            error = await _error_of(making)
            if error is not None and self._failure is None:
                raise error
            last = self._failure.after(error) if error and self._failure else ""
            await send({"type": "http.response.body", "body": last.encode()})
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
            return f": still working\n\n{self._waiting()}"
        # All waiting parts are sent in one write.
        parts = [first]
        while not queue.empty() and parts[-1] is not None:
            parts.append(queue.get_nowait())
        if parts[-1] is None and len(parts) > 1:
            queue.put_nowait(None)
            parts.pop()
        return None if parts[0] is None else "".join(part for part in parts if part is not None)
