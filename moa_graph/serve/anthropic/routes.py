"""Anthropic's routes: messages and their token count."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from moa_graph.costs.tokens import prompt_tokens, tokens
from moa_graph.mixture.context import MoAContext
from moa_graph.serve.anthropic.request import MessagesRequest
from moa_graph.serve.bodies import json_body
from moa_graph.serve.endpoint import Endpoint
from moa_graph.serve.problems import problem
from moa_graph.serve.runs import checked

__all__ = ["AnthropicRoutes"]


@dataclass(frozen=True)
class AnthropicRoutes:
    """The handlers of `/v1/messages` over one endpoint."""

    endpoint: Endpoint

    async def messages(self, request: Request) -> ASGIApp:
        """POST /v1/messages."""
        return await self.endpoint.answer(request, MessagesRequest.parse)

    async def count_tokens(self, request: Request) -> Response:
        """Answer POST /v1/messages/count_tokens with an estimate of a prompt's tokens; a run sends it several times."""
        try:
            model, messages, tools = MessagesRequest.prompt(await json_body(request, self.endpoint.max_bytes))
            mixture = self.endpoint.catalogue.mixture(model)
            count = prompt_tokens(await checked(mixture, messages, MoAContext())) + tokens(tools)
        except Exception as exc:
            return problem(exc).response(request.url.path)
        return JSONResponse({"input_tokens": count})
