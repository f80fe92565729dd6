"""The page's routes: the page, its mixtures, and a run as a stream of events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.messages import AnyMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from moa_graph.costs.receipt import receipt
from moa_graph.errors import ConfigError
from moa_graph.graph.build import MoAGraph
from moa_graph.graph.follow import RunResult, follow
from moa_graph.graph.turns import off_loop
from moa_graph.mixture.context import MoAContext, Settings, answering_models, settings
from moa_graph.mixture.mixture import MAX_LAYERS, Mixture
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models.reply.reply import read
from moa_graph.serve.bodies import json_body
from moa_graph.serve.catalogue import Catalogue
from moa_graph.serve.openai.response import data_event
from moa_graph.serve.page.again import before_one_draft, before_the_answer, given_drafts, given_place
from moa_graph.serve.page.document import Kind, further_scripts, policy, report_page, whole_page, zipped
from moa_graph.serve.problems import Problem, problem
from moa_graph.serve.runs import checked
from moa_graph.serve.sse import HEARTBEAT, EventStream
from moa_graph.state import Event

CHOICES = ("layers", "aggregator", "system")
"""The fields of MoAContext that the page offers."""


@dataclass(frozen=True)
class PageRoutes:
    """The handlers over one catalogue.

    Attributes:
        catalogue: The mixtures that are served.
        max_bytes: The largest request body.
        heartbeat: Seconds of silence after which a stream sends a comment.
        editor: Whether the page leads to the mixture editor.
    """

    catalogue: Catalogue
    max_bytes: int
    heartbeat: float = HEARTBEAT
    editor: bool = False

    async def page(self, request: Request) -> Response:
        """Answer GET /moa with one document, its style and its script, which may load and run nothing else."""
        return document_response(Kind.PAGE, request)

    async def script(self, request: Request) -> Response:
        """Answer GET /moa/more.js and /moa/reader.js with what the page loads when it first needs it."""
        script = further_scripts().get(request.path_params["name"])
        if script is None:
            raise HTTPException(404)
        # The page asks for it by its hash, so that it never changes under one address.
        headers = {"cache-control": "private, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
        return _compressed(script, "text/javascript", headers, request)

    async def report(self, request: Request) -> Response:
        """Answer GET /moa/report with an empty report, which the page fills in to save runs."""
        return Response(report_page(None), media_type="text/plain", headers={"x-content-type-options": "nosniff"})

    async def mixtures(self, request: Request) -> Response:
        """Answer GET /moa/mixtures with the available mixtures, and the missing key variables of the other presets."""
        served = [_described(name, mixture) for name, mixture in self.catalogue.mixtures.items()]
        missing = [{"name": name, "keys": keys} for name, keys in self.catalogue.missing.items()]
        answer = {"mixtures": served, "missing": missing, "editor": self.editor}
        return JSONResponse(answer, headers={"cache-control": "no-store"})

    async def run(self, request: Request) -> ASGIApp:
        """Answer POST /moa/run with the run's events as server-sent events.

        The body has mixture and messages, and may have layers, aggregator and system. With drafts (and notes) the
        aggregator alone is asked, and reads these drafts. With drafts and retry, a layer and a slot, one proposer is
        asked again before it.
        """
        try:
            body = await json_body(request, self.max_bytes)
            name, context = str(body.get("mixture") or ""), _context(body)
            mixture, graph = self.catalogue.mixture(name), self.catalogue.graph(name)
            messages = await checked(mixture, body.get("messages"), context)
            if body.get("drafts") is None:
                parts = follow(graph, {"messages": messages}, context=context)
            else:
                thread = await _begun(graph, mixture, messages, context, body)
                parts = follow(thread[0], None, thread[1], context=context)
        except Exception as exc:
            # The page shows a message for every error; `problem` logs unexpected ones.
            return problem(exc).response()
        return EventStream(_events(parts, settings(mixture, context), messages), heartbeat=self.heartbeat)


async def _begun(
    graph: MoAGraph, mixture: Mixture, messages: list[AnyMessage], context: MoAContext, body: dict[str, Any]
) -> tuple[MoAGraph, RunnableConfig]:
    """Return the graph and a thread that goes on from the drafts of a request."""
    drafts, notes = given_drafts(body)
    if (place := given_place(body)) is not None:
        return await before_one_draft(graph, mixture, messages, context, drafts, place)
    return await before_the_answer(graph, mixture, messages, context, drafts, notes)


def document_response(kind: Kind, request: Request) -> Response:
    """Return one document with its style and script, which may load and run nothing else."""
    headers = {
        "content-security-policy": policy(kind),
        "cache-control": "no-cache",
        "cross-origin-opener-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    return _compressed(whole_page(kind), "text/html", headers, request)


def _compressed(text: str, media_type: str, headers: dict[str, str], request: Request) -> Response:
    headers["vary"] = "accept-encoding"
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(zipped(text), media_type=media_type, headers=headers)
    return Response(text, media_type=media_type, headers=headers)


def _context(body: dict[str, Any]) -> MoAContext:
    chosen = {name: body[name] for name in CHOICES if body.get(name) not in (None, "")}
    try:
        return MoAContext(**chosen, stream_drafts=True, stream_answer=True)
    except ConfigError as exc:
        raise Problem(400, str(exc)) from exc


async def _events(
    parts: AsyncGenerator[Event | RunResult], run: Settings, messages: Sequence[BaseMessage]
) -> AsyncGenerator[str]:
    """Yield the run's events, then `answer` with the whole text and the receipt; or a last one, `failed`."""
    failed = False
    try:
        async with contextlib.aclosing(parts):
            async for part in parts:
                if isinstance(part, RunResult):
                    # The price list is read at its first use, which takes about a second.
                    yield await asyncio.to_thread(_answer, part, run, messages)
                else:
                    failed = failed or part["moa"] == "failed"
                    yield await off_loop(part, partial(data_event, part))
    except Exception as exc:
        # The page shows the error below the drafts so far; `problem` logs unexpected errors.
        told = problem(exc)
        if not failed:
            yield data_event({"moa": "failed", "error": type(exc).__name__, "message": str(told)})


def _answer(result: RunResult, run: Settings, messages: Sequence[BaseMessage]) -> str:
    """Return the event of the answer."""
    usage, text = read(result.message).usage, str(result.message.text)
    bill = receipt(run, messages, result.drafts, result.notes, usage, result.record, text)
    rest = {"drafts": result.drafts, "record": result.record, "receipt": bill._asdict()}
    return data_event({"moa": "answer", "text": text, **rest})


def _member(spec: Proposer) -> dict[str, str]:
    return {"name": spec.name or spec.label, "model": spec.label}


def _described(name: str, mixture: Mixture) -> dict[str, Any]:
    specs = mixture.plan.specs
    most = mixture.total_layers if mixture.rounds else MAX_LAYERS
    return {
        "name": name,
        "description": mixture.description or "",
        "layers": mixture.total_layers,
        "max_layers": most,
        "calls": [mixture.calls(layers) for layers in range(1, most + 1)],
        "rounds": [[_member(specs[node]) for node in names] for names in mixture.plan.rounds],
        "combine": mixture.combine.name,
        "embedded": all(map(is_embedded, mixture.specs)),
        "aggregator": mixture.aggregator.label,
        "aggregators": list(dict.fromkeys(spec.label for spec in answering_models(mixture))),
        "system": mixture.system or "",
    }
