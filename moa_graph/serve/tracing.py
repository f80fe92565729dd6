"""The ASGI middleware that traces a request's run below the client's span."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from moa_graph.graph.client_trace import HEADER, client_trace

__all__ = ["ClientTrace"]


class ClientTrace:
    """Reads the header `langsmith-trace` of each request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with client_trace(Headers(scope=scope).get(HEADER)):
            await self._app(scope, receive, send)
