"""The app: routes and their access rules."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from moa_graph.serve.access import Guard, Policy
from moa_graph.serve.anthropic.routes import AnthropicRoutes
from moa_graph.serve.catalogue import Catalogue
from moa_graph.serve.endpoint import Endpoint
from moa_graph.serve.openai.routes import OpenAIRoutes
from moa_graph.serve.page.routes import PageRoutes
from moa_graph.serve.problems import Problem
from moa_graph.serve.sse import HEARTBEAT
from moa_graph.serve.tracing import ClientTrace

if TYPE_CHECKING:
    from moa_graph.serve.mcp.endpoint import McpEndpoint

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_app(
    catalogue: Catalogue,
    policy: Policy | None = None,
    *,
    home: bool = True,
    heartbeat: float = HEARTBEAT,
    editor: bool = False,
    tune: Sequence[Path] = (),
) -> Starlette:
    """Return the app: the OpenAI and Anthropic endpoints, the MCP tool and the page over the mixtures of `catalogue`.

    Args:
        catalogue: The mixtures.
        policy: What the owner allows.
        home: Redirect `/` to the page. Under the Agent Server `/` is in use.
        heartbeat: Seconds of silence after which a stream sends a comment.
        editor: Serve the mixture editor and the runs of `moa tune`. For the owner at this machine only.
        tune: Folders with runs of `moa tune`.
    """
    policy = policy or Policy()
    endpoint = Endpoint(catalogue, policy.max_bytes, heartbeat)
    v1, anthropic = OpenAIRoutes(endpoint), AnthropicRoutes(endpoint)
    mcp = _mcp(catalogue, policy.max_bytes)
    page = PageRoutes(catalogue, policy.max_bytes, heartbeat, editor)
    program, browser = [Middleware(Guard, policy), Middleware(ClientTrace)], [Middleware(Guard, policy, basic=True)]
    routes = [
        *([Route("/health", _health, methods=["GET"]), Route("/healthz", _health, methods=["GET"])] if home else []),
        Route("/v1/models", v1.models, methods=["GET", "OPTIONS"], middleware=program),
        Route("/v1/models/{name:path}", v1.model, methods=["GET", "OPTIONS"], middleware=program),
        *(
            Route(f"{path}{slash}", handler, methods=["POST", "OPTIONS"], middleware=program)
            for path, handler in {
                "/v1/chat/completions": v1.chat,
                "/v1/responses": v1.responses,
                "/v1/completions": v1.completions,
                "/v1/messages": anthropic.messages,
                "/v1/messages/count_tokens": anthropic.count_tokens,
            }.items()
            for slash in ("", "/")
        ),
        # It must be last, because it also matches other methods of the routes above.
        Route("/v1/{rest:path}", v1.unknown, methods=_METHODS, middleware=program),
        # Not redirected: MCP clients do not follow redirects of a POST, and behind TLS its address would be wrong.
        *(
            Route(path, mcp, methods=["GET", "POST", "DELETE", "OPTIONS"], middleware=program)
            for path in ("/mcp", "/mcp/")
            if mcp
        ),
        Route("/moa", page.page, methods=["GET"], middleware=browser),
        Route("/moa/{name}.js", page.script, methods=["GET"], middleware=browser),
        Route("/moa/report", page.report, methods=["GET"], middleware=browser),
        Route("/moa/mixtures", page.mixtures, methods=["GET"], middleware=browser),
        Route("/moa/run", page.run, methods=["POST"], middleware=browser),
        *(_for_the_owner(catalogue, browser, tune) if editor else []),
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with mcp.running() if mcp else nullcontext():
            yield

    if not home:
        return Starlette(routes=routes, lifespan=lifespan)
    return Starlette(routes=[*routes, Route("/", _to_page)], lifespan=lifespan, exception_handlers={404: _unknown})


def _for_the_owner(catalogue: Catalogue, middleware: list[Middleware], tune: Sequence[Path]) -> list[Route]:
    from moa_graph.serve.page.editor import EditorRoutes
    from moa_graph.serve.page.tune_runs import TuneRoutes

    editor, runs = EditorRoutes(catalogue), TuneRoutes(tune)
    return [
        Route("/moa/editor", editor.page, methods=["GET"], middleware=middleware),
        Route("/moa/editor/choices", editor.choices, methods=["GET"], middleware=middleware),
        Route("/moa/editor/check", editor.check, methods=["POST"], middleware=middleware),
        Route("/moa/editor/add", editor.add, methods=["POST"], middleware=middleware),
        Route("/moa/tune", runs.runs, methods=["GET"], middleware=middleware),
        Route("/moa/tune/{name}", runs.report, methods=["GET"], middleware=middleware),
    ]


def _mcp(catalogue: Catalogue, max_bytes: int) -> McpEndpoint | None:
    """Return the MCP endpoint, or None without the `mcp` package, which the Agent Server may lack."""
    if find_spec("mcp") is None:
        logging.getLogger("moa_graph").warning(
            "/mcp is not available: it needs the extra `serve` (pip install 'moa_graph[serve]')"
        )
        return None
    from moa_graph.serve.mcp.endpoint import McpEndpoint

    return McpEndpoint(catalogue, max_bytes)


async def _health(request: Request) -> Response:
    """Report that the server runs. The answer has nothing else, so neither key nor host name is checked."""
    return JSONResponse({"status": "ok"})


async def _unknown(request: Request, error: Exception) -> Response:
    """Answer a path outside the APIs, which is often that of a base URL without `/v1`."""
    path = request.url.path
    message = f"Unknown path: {path}. The base URL of OpenAI's clients ends in /v1, MCP is at /mcp, the page at /moa."
    return Problem(404, message, code="unknown_url").response(path, request.headers)


async def _to_page(request: Request) -> Response:
    return RedirectResponse("moa")  # relative: a proxy may serve the page below a path of its own
