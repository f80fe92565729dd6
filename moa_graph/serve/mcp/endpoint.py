"""MCP over Streamable HTTP at `/mcp`: the `mcp` package's transport around the tool.

Under the Agent Server this replaces its own `/mcp`, whose answer is the Python repr of a state.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Receive, Scope, Send

from moa_graph.serve.catalogue import Catalogue
from moa_graph.serve.mcp.tool import mcp_server


class McpEndpoint:
    """The ASGI app of `/mcp`. The web app's lifespan must enter `running`.

    Host and Origin headers and keys are checked by the middleware around this app.
    """

    def __init__(self, catalogue: Catalogue, max_bytes: int) -> None:
        self._catalogue, self._max_bytes = catalogue, max_bytes
        self._manager: StreamableHTTPSessionManager | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Serve while inside. A session manager runs once, so each start of the web app gets a new one."""
        self._manager = StreamableHTTPSessionManager(mcp_server(self._catalogue), max_request_body_size=self._max_bytes)
        try:
            async with self._manager.run():
                yield
        finally:
            self._manager = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._manager is None:
            raise RuntimeError("/mcp: the web app's lifespan has not started. Run it with a server that supports it.")
        await self._manager.handle_request(scope, receive, send)
