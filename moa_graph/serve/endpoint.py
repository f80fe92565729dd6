"""One run behind every API format: read a request, run the mixture, encode the answer.

An API format is a class with the two members of `ApiRequest`: the run that is requested, and the encoder that writes
the answer in the shape of the format.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

from langchain_core.messages import AnyMessage
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from moa_graph.graph.follow import RunResult
from moa_graph.graph.turns import off_loop
from moa_graph.mixture.context import BoundContext
from moa_graph.mixture.mixture import Mixture
from moa_graph.serve.bodies import json_body, json_bytes
from moa_graph.serve.catalogue import Catalogue
from moa_graph.serve.fields import context_of
from moa_graph.serve.problems import Problem, problem, server_stopping
from moa_graph.serve.retries import Attempt, FailedRuns
from moa_graph.serve.runs import answer_parts, checked
from moa_graph.serve.sse import HEARTBEAT, EventStream, OnFailure, unless_gone

Recording = Callable[[], AbstractContextManager[None]]
"""Records the calls of one run for the request's retry."""

__all__ = ["ApiRequest", "Encoder", "Endpoint", "RunRequest", "request_id"]


class RunRequest(NamedTuple):
    """The run that a request asks for, independent of its format.

    Attributes:
        model: The name of a mixture that is served.
        messages: Messages as `create_moa` takes them.
        context: The run's settings and the options bound to the aggregator's call.
        stream: Whether to send the answer as server-sent events.
        drafts: Whether to send the drafts with the answer.
        field: The request's field that holds the conversation.
    """

    model: str
    messages: list[Any]
    context: BoundContext
    stream: bool
    drafts: bool = False
    field: str = "messages"

    @classmethod
    def of(
        cls, fields: Mapping[str, Any], messages: list[Any], bound: dict[str, Any], *, field: str = "messages"
    ) -> RunRequest:
        """Return the run that the fields of a request ask for.

        Args:
            fields: The request's fields without nulls, of which `model`, `stream` and `moa` are read.
            messages: Its conversation.
            bound: Options of the aggregator's call.
            field: The field that holds the conversation.

        Raises:
            Problem: 400; a field of `moa` is unknown or wrong.
        """
        extras, stream = fields.get("moa", {}), fields.get("stream", False)
        context = context_of(extras, stream=stream, bound=bound)
        return cls(fields["model"], messages, context, stream, bool(extras.get("drafts")), field)


class Encoder(Protocol):
    """Writes one answer in the shape of an API format."""

    def whole(self, result: RunResult) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""

    def first(self) -> str:
        """Return the events that begin a stream."""

    def waiting(self) -> str:
        """Return an event for clients that take a stream of comments alone for a broken one; empty for none."""

    def text(self, piece: str) -> str:
        """Return the events for a piece of the answer's text."""

    def last(self, result: RunResult, *, said: bool) -> str:
        """Return the events that end a stream. `said` is whether its text has been sent."""

    def failed(self, error: Problem) -> str:
        """Return the events that end a stream whose run failed."""


class ApiRequest(Protocol):
    """A request of one API format, validated."""

    @property
    def run(self) -> RunRequest:
        """The requested run."""

    def encoder(self, mixture: Mixture) -> Encoder:
        """Return the encoder of the answer."""


@dataclass(frozen=True)
class Endpoint:
    """Answers requests of any format over one catalogue.

    Attributes:
        catalogue: The mixtures that are served.
        max_bytes: The largest request body.
        heartbeat: Seconds of silence after which a stream sends a comment.
        failed: What runs that failed have paid for, until their clients ask again.
    """

    catalogue: Catalogue
    max_bytes: int
    heartbeat: float = HEARTBEAT
    failed: FailedRuns = field(default_factory=FailedRuns)

    async def answer(self, request: Request, parse: Callable[[dict[str, Any]], ApiRequest]) -> ASGIApp:
        """Run the mixture that the request names, and return the response.

        Args:
            request: The HTTP request.
            parse: Reads its JSON body; raises Problem for a wrong field.
        """
        # OpenAI's name of the header, and Anthropic's.
        headers = dict.fromkeys(("x-request-id", "request-id"), request_id(request))

        def refused(error: Exception) -> Response:
            # The client gets an error in its format; `problem` logs unexpected errors.
            response: Response = problem(error).response(request.url.path)
            response.headers.update(headers)
            if request.headers.get("originator", "").lower().startswith("codex"):
                # Codex repeats a request five times after every other status, and each pays for calls.
                response.status_code = 400
            return response

        try:
            body = await json_body(request, self.max_bytes)
            api = await off_loop(body, partial(parse, body))
            mixture = self.catalogue.mixture(api.run.model)
            messages = await checked(mixture, api.run.messages, api.run.context, field=api.run.field)
            encoder = api.encoder(mixture)
            attempt = self.failed.attempt(request, body)
            run = _of_attempt(api.run, attempt)
            recording = partial(self.failed.recording, attempt, request, body)
            if run.stream:
                return await self._stream(run, messages, encoder, refused, headers, recording)
            result = await unless_gone(request.receive, self._result(run, messages, recording))
            if result is None:
                return Response(status_code=499)
            whole = await off_loop((messages, result), lambda: json_bytes(encoder.whole(result)))
            return Response(whole, media_type="application/json", headers=headers)
        except Exception as exc:
            return refused(exc)
        except asyncio.CancelledError:
            # The server stops. Whatever else cancels this task cancels the sending as well.
            return refused(server_stopping())

    async def _result(self, run: RunRequest, messages: list[AnyMessage], recording: Recording) -> RunResult:
        with recording():
            parts = answer_parts(self.catalogue.graph(run.model), messages, run.context)
            async with contextlib.aclosing(parts):
                async for part in parts:
                    if isinstance(part, RunResult):
                        return part
        raise RuntimeError("the run ended without a result")

    async def _stream(
        self,
        run: RunRequest,
        messages: list[AnyMessage],
        encoder: Encoder,
        refused: Callable[[Exception], Response],
        headers: dict[str, str],
        recording: Recording,
    ) -> EventStream:
        encoding = asyncio.Lock()
        return EventStream(
            self._events(run, messages, encoder, recording, encoding),
            heartbeat=self.heartbeat,
            # An event that is being encoded has a number already, and is sent later.
            waiting=lambda: "" if encoding.locked() else encoder.waiting(),
            headers=headers,
            opening=await off_loop(messages, encoder.first),
            failure=OnFailure(before=refused, after=lambda error: encoder.failed(problem(error))),
        )

    async def _events(
        self,
        run: RunRequest,
        messages: list[AnyMessage],
        encoder: Encoder,
        recording: Recording,
        encoding: asyncio.Lock,
    ) -> AsyncGenerator[str]:
        said = False
        parts = answer_parts(self.catalogue.graph(run.model), messages, run.context)
        with recording():
            async with contextlib.aclosing(parts):
                async for part in parts:
                    async with encoding:
                        if isinstance(part, RunResult):
                            text = await off_loop((messages, part), partial(encoder.last, part, said=said))
                        else:
                            said = True
                            text = await off_loop(part, partial(encoder.text, part))
                    yield text


def _of_attempt(run: RunRequest, attempt: Attempt) -> RunRequest:
    """Return the run with the id of its request, which keeps the codes of its boundaries its own."""
    return run._replace(context=run.context.model_copy(update={"item": run.context.item or attempt.id}))


def request_id(request: Request) -> str:
    """Return the id of the request: the client's own `x-request-id` if it is plain, or a new one."""
    given = request.headers.get("x-request-id", "")
    return given if given.isascii() and given.isprintable() and 0 < len(given) <= 128 else f"req_{uuid.uuid4().hex}"
