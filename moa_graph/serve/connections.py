"""Connections of `moa serve`: a client that is slow, idle or does not read is disconnected, so that it does not lock
others out."""

from __future__ import annotations

import asyncio
import re
from typing import Any, ClassVar, Literal

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from moa_graph.serve.bodies import BODY_SECONDS

__all__ = ["HEADER_SECONDS", "MAX_HEADER_BYTES", "MAX_IDLE", "READ_SECONDS", "limited_protocol"]

HEADER_SECONDS = 10.0
"""Seconds that a client may take from connecting to the end of its request's headers."""

READ_SECONDS = 60.0
"""Seconds in which a client must read some of an answer, once its buffers are full."""

MAX_HEADER_BYTES = 64 * 2**10
"""Bytes of one request's headers. uvicorn's faster parser has no limit, and keeps ten times as much for short ones."""

MAX_IDLE = 200
"""Maximum number of connections that wait for their client. The one that waits the longest is closed if there are
more."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

_UPGRADE = re.compile(rb"\r\nupgrade:(?![ \t]*websocket[ \t]*\r\n)", re.IGNORECASE)
"""An offer of another protocol, such as HTTP/2 in the first request of Java's HTTP client. A server may ignore it;
uvicorn's faster parser drops the body."""

_OPEN = re.compile(
    rb"\r\n\r?\Z|\r\Z|\r\n(?:u|up|upg|upgr|upgra|upgrad|upgrade|upgrade:[^\r\n]{0,200}\r?)\Z", re.IGNORECASE
)
"""What the rest of an `Upgrade` may follow, at the end of a part of a request's head."""

Awaited = Literal["headers", "body", "reading"]
"""What the client has to do next. The server waits for nothing else of it."""


class _Limited(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # the class depends on what is installed
    """Closes itself when its client took too long, or has taken the longest of too many."""

    _limits: ClassVar[dict[Awaited, float]]
    """Seconds that the client may take for each."""
    _max_idle: ClassVar[int]
    _idle: ClassVar[dict[Any, asyncio.TimerHandle]]
    """The connections that wait for their client, the one that waits the longest first."""

    _awaited: Awaited | None = None
    _unread = False
    # The other parser, h11, has a limit of its own, and none of these methods.
    _in_head = hasattr(AutoHTTPProtocol, "on_headers_complete")
    _in_trailers = False
    _head_bytes = 0
    _held = b""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._update()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_for(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            data = self._without_upgrade(self._held + data)
        before = self._in_trailers
        super().data_received(data)
        if before and self._in_trailers:
            self._head_bytes += len(data)
        if (self._in_head or self._in_trailers) and self._head_bytes > MAX_HEADER_BYTES:
            self._refuse()
        self._update()
        if self._awaited == "body":
            self._idle[self] = self._idle.pop(self)  # a body that arrives is not the first to be given up

    def _without_upgrade(self, data: bytes) -> bytes:
        """Return a part of a request with `Upgrade` renamed. A last line that may be that header waits for more."""
        head, end, rest = data.partition(b"\r\n\r\n")
        held = len(head)
        if not end and (found := _OPEN.search(head)):
            held = found.start()
        self._held = head[held:]
        return _UPGRADE.sub(b"\r\nx-upgrade:", head[:held] + end) + rest

    def on_header(self, name: bytes, value: bytes) -> None:
        # uvicorn would add what follows a body in chunks, without a limit, to the headers.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._in_trailers = True  # unless a body follows, which is the case for every chunk but the last

    def on_body(self, body: bytes) -> None:
        self._in_trailers, self._head_bytes = False, 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head, self._in_trailers, self._head_bytes = True, False, 0
        super().on_message_complete()

    def _refuse(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        else:  # an answer to an earlier request is being sent
            self.transport.abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._update()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = True
        self._update()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread = False
        self._update()

    def _update(self) -> None:
        # After an upgrade, another protocol has the connection.
        self._wait_for(self._needed() if self in self.connections else None)

    def _needed(self) -> Awaited | None:
        # A connection is closed when its client has read the rest of the answer.
        if self._unread or self.transport.is_closing():
            return "reading"
        if self.cycle is None or self.cycle.response_complete:
            return "headers"
        return "body" if self.cycle.more_body else None

    def _wait_for(self, awaited: Awaited | None) -> None:
        if awaited == self._awaited:
            return
        self._awaited = awaited
        if timer := self._idle.pop(self, None):
            timer.cancel()
        if awaited is not None:
            self._idle[self] = self.loop.call_later(self._limits[awaited], self._expire)
            if len(self._idle) > self._max_idle:
                next(iter(self._idle))._expire()

    def _expire(self) -> None:
        self._wait_for(None)
        if self in self.connections:
            self.transport.abort()


def limited_protocol(
    *,
    header_seconds: float = HEADER_SECONDS,
    body_seconds: float = BODY_SECONDS + 5,
    read_seconds: float = READ_SECONDS,
    max_idle: int = MAX_IDLE,
) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol with limits for connections that wait for their client.

    Args:
        header_seconds: Seconds for a request's headers.
        body_seconds: Seconds for a request's body. Longer than the endpoint's own limit, whose answer says why.
        read_seconds: Seconds for reading a part of the answer.
        max_idle: Connections that may wait for their client at one time.
    """

    class Limited(_Limited):
        _limits: ClassVar = {"headers": header_seconds, "body": body_seconds, "reading": read_seconds}
        _max_idle = max_idle
        _idle: ClassVar = {}

    return Limited
