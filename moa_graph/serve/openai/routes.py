"""The OpenAI-compatible endpoint: `/v1/models` and `/v1/chat/completions`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from langchain_core.messages import AnyMessage
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from moa_graph.errors import AggregationError
from moa_graph.mixture.mixture import Mixture
from moa_graph.serve.access import json_body
from moa_graph.serve.catalogue import Catalogue
from moa_graph.serve.openai.response import Asked, Shape, asked, event
from moa_graph.serve.problems import Problem, problem
from moa_graph.serve.runs import Result, checked, run
from moa_graph.serve.sse import HEARTBEAT, EventStream, unless_gone


@dataclass(frozen=True)
class OpenAIRoutes:
    """The endpoint's handlers over one catalogue."""

    catalogue: Catalogue
    max_bytes: int
    heartbeat: float = HEARTBEAT

    async def models(self, request: Request) -> Response:
        """GET /v1/models: every mixture served, as a model."""
        data = [_model(name, mixture) for name, mixture in self.catalogue.mixtures.items()]
        return JSONResponse({"object": "list", "data": data})

    async def model(self, request: Request) -> Response:
        """GET /v1/models/{name}."""
        name = request.path_params["name"]
        try:
            return JSONResponse(_model(name, self.catalogue.mixture(name)))
        except Problem as refusal:
            return refusal.response()

    async def chat(self, request: Request) -> ASGIApp:
        """POST /v1/chat/completions."""
        try:
            wanted = asked(await json_body(request, self.max_bytes))
            mixture = self.catalogue.mixture(wanted.model)
            messages = checked(mixture, wanted.messages, wanted.context)
            shape = Shape(wanted, mixture.hash)
            if wanted.stream:
                return EventStream(self._chunks(wanted, messages, shape), heartbeat=self.heartbeat)
            result = await unless_gone(request.receive, self._result(wanted, messages))
        except Exception as exc:
            # Whatever it is, the client gets OpenAI's shape; `problem` logs what nobody foresaw.
            return problem(exc).response()
        return JSONResponse(shape.whole(result)) if result else Response(status_code=499)

    async def unknown(self, request: Request) -> Response:
        """Whatever else is asked for under /v1: the SDKs read errors in OpenAI's shape alone."""
        known = "GET /v1/models, POST /v1/chat/completions"
        message = f"Unknown request: {request.method} {request.url.path}. There are {known}."
        return Problem(404, message, code="unknown_url").response()

    async def _result(self, wanted: Asked, messages: list[AnyMessage]) -> Result:
        async with contextlib.aclosing(run(self.catalogue.graph(wanted.model), messages, wanted.context)) as parts:
            async for part in parts:
                if isinstance(part, Result):
                    return part
        raise RuntimeError("the run ended without a result")

    async def _chunks(self, wanted: Asked, messages: list[AnyMessage], shape: Shape) -> AsyncGenerator[str]:
        yield shape.chunk({"role": "assistant", "content": ""})
        said = False
        try:
            async with contextlib.aclosing(run(self.catalogue.graph(wanted.model), messages, wanted.context)) as parts:
                async for part in parts:
                    # A restart says that reasoning was streamed: the client keeps it, and the answer follows.
                    begun_anew = not isinstance(part, Result) and part["moa"] == "aggregating" and "restart" not in part
                    if said and (begun_anew or (isinstance(part, Result) and part.record["status"] == "best_draft")):
                        # What the client has cannot be taken back, and must not be passed off as whole.
                        raise AggregationError("the answer broke off in mid-stream. Ask again, or do not stream.")
                    if isinstance(part, Result):
                        yield shape.last(part, said=said)
                    elif part["moa"] == "answer_token" and part["text"]:
                        said = True
                        yield shape.chunk({"content": part["text"]})
        except Exception as exc:
            # The status is out; an error object in the stream is what the SDKs raise from.
            yield event(problem(exc).body)


def _model(name: str, mixture: Mixture) -> dict[str, Any]:
    about = mixture.description or f"{mixture.total_layers} layers, {mixture.calls()} calls"
    return {
        "id": name,
        "object": "model",
        "created": _seconds(mixture.date),
        "owned_by": "moa_graph",
        "description": about,
    }


def _seconds(date: str | None) -> int:
    """A mixture's date, which is free text, as OpenAI's clients want it."""
    try:
        return int(datetime.fromisoformat(date or "").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return 0
