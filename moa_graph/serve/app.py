"""The app: routes and who may use them."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from moa_graph.serve.catalogue import Catalogue
from moa_graph.serve.guard import Guard, Policy
from moa_graph.serve.openai_routes import OpenAIRoutes
from moa_graph.serve.sse import HEARTBEAT


def create_app(
    catalogue: Catalogue, policy: Policy | None = None, *, home: bool = True, heartbeat: float = HEARTBEAT
) -> Starlette:
    """The OpenAI-compatible endpoint over the mixtures of `catalogue`.

    `home` leads `/` to the list of models; under the Agent Server that place is taken.
    """
    policy = policy or Policy()
    v1 = OpenAIRoutes(catalogue, policy.max_bytes, heartbeat)
    program = [Middleware(Guard, policy)]
    routes = [
        Route("/v1/models", v1.models, methods=["GET", "OPTIONS"], middleware=program),
        Route("/v1/models/{name:path}", v1.model, methods=["GET", "OPTIONS"], middleware=program),
        Route("/v1/chat/completions", v1.chat, methods=["POST", "OPTIONS"], middleware=program),
    ]
    return Starlette(routes=[*routes, *([Route("/", _home)] if home else [])])


async def _home(request: Request) -> Response:
    return RedirectResponse("/v1/models")
