"""MCP over Streamable HTTP at `/mcp`: the `mcp` package's transport around the tool.

Under the Agent Server this replaces its own `/mcp`, whose answer is the Python repr of a state.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import INVALID_REQUEST
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from moa_graph.serve.bodies import body_bytes
from moa_graph.serve.catalogue import Catalogue
from moa_graph.serve.mcp.sessions import Sessions
from moa_graph.serve.mcp.tool import mcp_server
from moa_graph.serve.problems import Problem

_MAX_LISTS = 1_000
_MAX_VALUES = 10_000
"""Lists and objects, and other values, in one message. The `mcp` package validates them on the event loop."""
_JSON: TypeAdapter[Any] = TypeAdapter(Any)


class McpEndpoint:
    """The ASGI app of `/mcp`. The web app's lifespan must enter `running`.

    Host and Origin headers and keys are checked by the middleware around this app.
    """

    def __init__(self, catalogue: Catalogue, max_bytes: int) -> None:
        self._catalogue, self._max_bytes = catalogue, max_bytes
        self._manager: StreamableHTTPSessionManager | None = None
        self._sessions = Sessions()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Serve while inside. A session manager runs once, so each start of the web app gets a new one."""
        self._sessions = Sessions()
        self._manager = StreamableHTTPSessionManager(mcp_server(self._catalogue), max_request_body_size=self._max_bytes)
        try:
            async with self._manager.run():
                yield
        finally:
            self._manager = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._manager is None:
            raise RuntimeError("/mcp: the web app's lifespan has not started. Run it with a server that supports it.")
        request_id = None
        try:
            if scope["method"] in ("GET", "HEAD"):
                # Such a stream would carry what belongs to no request, which is nothing here, and hold its connection.
                text = "This server sends nothing but answers. Send messages with POST."
                raise Problem(405, text, headers={"allow": "POST, DELETE"})
            if scope["method"] == "POST":
                body = await body_bytes(Request(scope, receive), self._max_bytes, lists=_MAX_LISTS, plain=_MAX_VALUES)
                if body.lstrip()[:1] == b"[":
                    raise Problem(400, "A batch of messages is not accepted. Send them one by one.")
                request_id, receive = _request_id(body), _again(body, receive)
            await self._sessions.forward(self._manager.handle_request, scope, receive, send, request_id)
        except Problem as problem:
            await _refusal(problem)(scope, receive, send)


def _refusal(problem: Problem) -> JSONResponse:
    error = {"code": INVALID_REQUEST, "message": str(problem)}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, problem.status, headers=problem.headers)


def _request_id(body: bytes) -> str | None:
    """Return the id of a request, in the form in which the package tells requests apart; None for other messages."""
    try:
        # The package's own parser: another one would read some messages differently.
        message = _JSON.validate_json(body)
    except ValueError:
        return None
    found = message.get("id") if isinstance(message, dict) and "method" in message else None
    return None if found is None else str(found)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a channel that gives `body` once more, and then what `receive` gives."""
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_part() -> Message:
        return parts.pop() if parts else await receive()

    return next_part
