"""HTTP/1.1 on httptools: one object per connection and no framework, so that the server is never the slow part."""

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, cast

import httptools
import orjson

from tests.provider.chat import Chat
from tests.provider.record import Log, Request
from tests.provider.render import error, response
from tests.provider.responses import answered

INFO = {
    "version": "0.15",
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
        "size_limit": 100,
        "size_limit_bytes": 20971520,
    },
}
"""The answer that LangSmith's client needs before it sends traces."""


class Connection(asyncio.Protocol):
    """Reads requests, hands chat completions to `Chat`, answers the few other routes itself."""

    def __init__(self, log: Callable[[], Log], reset: Callable[[], None], alive: set["Connection"]) -> None:
        self.loop = asyncio.get_running_loop()
        self.log, self.reset_log, self.alive = log, reset, alive
        self.transport: asyncio.Transport | None = None
        self.chat: Chat | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's class is not a subclass
        self.parser = httptools.HttpRequestParser(self)
        self.alive.add(self)
        self.log().connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.alive.discard(self)
        if self.chat:
            self.chat.gone()

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:  # for example TLS spoken to the plain port
            self.close()

    # Callbacks of httptools

    def on_message_begin(self) -> None:
        self.target, self.body = b"", []
        self.headers: dict[str, str] = {}

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        method = self.parser.get_method().decode()
        path = self.target.split(b"?")[0].decode("latin-1")
        request = Request(method, path, self.headers, b"".join(self.body), time.perf_counter())
        if path.endswith("/chat/completions"):
            self._chat(request)
        elif path.endswith("/responses"):
            self._responses(request)
        else:
            self._other(request)

    def _chat(self, request: Request) -> None:
        log = self.log()
        try:
            asked = orjson.loads(request.body)
            request.model = asked["model"]
            log.arrive(request)
            self.chat = Chat(self, log, request, asked)
            self.chat.start()
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as broken:
            # A request that no provider would understand gets a 400.
            message = f"{type(broken).__name__}: {broken}"
            self.write(response(400, error(400, message, "invalid_request_error", None)))
            log.leave(request, "error")

    def _responses(self, request: Request) -> None:
        asked = orjson.loads(request.body)
        request.model = asked["model"]
        self.log().arrive(request)
        self.write(answered(asked))
        self.log().leave(request, "answered")

    def _other(self, request: Request) -> None:
        path = request.path
        if path == "/stats":
            return self.write(response(200, orjson.dumps(self.log().stats())))
        if path == "/log":
            kept = [_row(each) for each in self.log().requests]
            return self.write(response(200, orjson.dumps(kept)))
        if path == "/reset":
            self.reset_log()
            return self.write(response(200, b"{}"))
        self.log().note(request)
        if path.endswith("/models"):
            models = [
                {"id": name, "object": "model", "created": 1, "owned_by": "loopback"} for name in ("echo", "fast")
            ]
            return self.write(response(200, orjson.dumps({"object": "list", "data": models})))
        if path.endswith("/info"):
            return self.write(response(200, orjson.dumps(INFO)))
        return self.write(response(202, b"{}"))

    # What a chat needs

    def write(self, data: bytes) -> None:
        if self.transport and not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        if self.transport:
            self.transport.close()

    def reset(self) -> None:
        """End the connection with RST, not FIN."""
        if self.transport:
            peer: Any = self.transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()


def _row(request: Request) -> dict[str, Any]:
    names = ("method", "path", "headers", "model", "arrived", "first", "done", "outcome")
    return {name: getattr(request, name) for name in names} | {"body": request.body.decode("utf-8", "replace")}
