"""OpenAI's routes: models, chat completions, responses and text completions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from moa_graph.costs.amounts import number_of
from moa_graph.mixture.mixture import Mixture
from moa_graph.serve.endpoint import Endpoint
from moa_graph.serve.openai.completions import CompletionRequest
from moa_graph.serve.openai.request import ChatRequest
from moa_graph.serve.openai.responses.request import ResponsesRequest
from moa_graph.serve.problems import Problem

__all__ = ["OpenAIRoutes"]


@dataclass(frozen=True)
class OpenAIRoutes:
    """The handlers of `/v1` over one endpoint."""

    endpoint: Endpoint

    async def models(self, request: Request) -> Response:
        """Answer GET /v1/models with every served mixture, as a model in the shape of OpenAI and of Anthropic."""
        data = [_model(name, mixture) for name, mixture in self.endpoint.catalogue.mixtures.items()]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"], "has_more": False}
        return JSONResponse({"object": "list", "data": data, **ends})

    async def model(self, request: Request) -> Response:
        """GET /v1/models/{name}."""
        name = request.path_params["name"].rstrip("/")
        if not name:
            return await self.models(request)
        try:
            return JSONResponse(_model(name, self.endpoint.catalogue.mixture(name)))
        except Problem as refusal:
            return refusal.response(headers=request.headers)

    async def chat(self, request: Request) -> ASGIApp:
        """POST /v1/chat/completions."""
        return await self.endpoint.answer(request, ChatRequest.parse)

    async def responses(self, request: Request) -> ASGIApp:
        """POST /v1/responses."""
        return await self.endpoint.answer(request, ResponsesRequest.parse)

    async def completions(self, request: Request) -> ASGIApp:
        """POST /v1/completions."""
        return await self.endpoint.answer(request, CompletionRequest.parse)

    async def unknown(self, request: Request) -> Response:
        """Answer every other path under /v1 in the shape that the SDKs read."""
        path = request.url.path
        known = "GET /v1/models, POST /v1/chat/completions, /v1/responses, /v1/completions, /v1/messages"
        stored = " Responses are not stored here." if path.startswith("/v1/responses/") else ""
        twice = " The base URL of OpenAI's clients has one /v1, that of Anthropic's none." if "/v1/v1" in path else ""
        message = f"Unknown request: {request.method} {path}.{stored}{twice} This server has {known}."
        return Problem(404, message, code="unknown_url").response(path, request.headers)


def _model(name: str, mixture: Mixture) -> dict[str, Any]:
    about = mixture.description or f"{number_of(mixture.total_layers, 'layer')}, {number_of(mixture.calls(), 'call')}"
    created = _time(mixture.date)
    openai = {"object": "model", "created": int(created.timestamp()), "owned_by": "moa_graph"}
    anthropic = {"type": "model", "created_at": created.isoformat(), "display_name": name}
    return {"id": name, **openai, **anthropic, "description": about}


def _time(date: str | None) -> datetime:
    """Return the time of a mixture's date, which is free text; the beginning of 1970 when it is not a date."""
    try:
        return datetime.fromisoformat(date or "").replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
