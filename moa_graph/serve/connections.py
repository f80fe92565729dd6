"""Connections of `moa serve`: slow and idle clients are disconnected, so that they cannot lock others out."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

__all__ = ["HEADER_SECONDS", "MAX_IDLE", "limited_protocol"]

HEADER_SECONDS = 10.0
"""Seconds that a client may take from connecting to the end of its request's headers."""

MAX_IDLE = 200
"""Maximum number of connections without an active request. The oldest one is closed if there are more."""


def limited_protocol(*, header_seconds: float = HEADER_SECONDS, max_idle: int = MAX_IDLE) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol with limits for connections that send no whole request.

    Args:
        header_seconds: Seconds for a request's headers.
        max_idle: Connections that may be without a request at one time.
    """
    idle: dict[Any, asyncio.TimerHandle] = {}

    class Limited(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # the class depends on what is installed
        """Closes itself when no request has begun in time, or when it is the oldest of too many idle ones."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._busy():
                self._stop_waiting()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self._busy() and not self.transport.is_closing():
                self._wait()

        def _busy(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _wait(self) -> None:
            self._stop_waiting()
            idle[self] = self.loop.call_later(header_seconds, self._expire)
            if len(idle) > max_idle:
                next(iter(idle))._expire()

        def _stop_waiting(self) -> None:
            if timer := idle.pop(self, None):
                timer.cancel()

        def _expire(self) -> None:
            self._stop_waiting()
            # After an upgrade, another protocol has the connection.
            if self in self.connections and not self._busy():
                self.transport.abort()

    return Limited
