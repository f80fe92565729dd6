"""A request's messages checked before its run, and the answer of the run in pieces."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

from langchain_core.messages import AnyMessage

from moa_graph.errors import AggregationError, ConfigError, InputError
from moa_graph.graph.build import MoAGraph
from moa_graph.graph.checks.messages import check
from moa_graph.graph.follow import RunResult, follow
from moa_graph.graph.turns import off_loop
from moa_graph.mixture.context import MoAContext, Settings, settings
from moa_graph.mixture.mixture import Mixture
from moa_graph.models.registry import chat_model, import_packages
from moa_graph.models.tools import bound_model, bound_to
from moa_graph.serve.fields import of_moa
from moa_graph.serve.problems import Problem
from moa_graph.state import Draft, add_checked


async def checked(mixture: Mixture, messages: Any, context: MoAContext, *, field: str = "messages") -> list[AnyMessage]:
    """Check the messages and the context before a 200 is sent, and return the messages.

    Args:
        mixture: The mixture.
        messages: The request's messages.
        context: The run's settings.
        field: The request's field that holds the conversation.

    Raises:
        Problem: 400; the messages are wrong, the context does not fit the mixture, or it binds tools that the
            mixture's aggregator does not support.
        ConfigError: The aggregator's model cannot be made, which is not the client's fault.
    """
    try:
        whole = await off_loop(messages, partial(_read, messages))
    except InputError as exc:
        text = f"{field}{str(exc).removeprefix('messages')}"
        raise Problem(400, text, code="invalid_messages", param=field) from exc
    try:
        asked = settings(mixture, context)
    except ConfigError as exc:
        raise of_moa(exc) from exc
    if bound_to(asked).bound.get("tools"):
        await _check_tools(asked)
    return whole


def _read(messages: Any) -> list[AnyMessage]:
    whole: list[AnyMessage] = add_checked([], messages)
    check(whole)
    return whole


async def _check_tools(asked: Settings) -> None:
    await import_packages([asked.aggregator])
    chat_model(asked.aggregator)
    try:
        bound_model(asked, asked.aggregator)
    except ConfigError as exc:
        raise Problem(400, str(exc), param="tools") from exc


async def answer_parts(
    graph: MoAGraph, messages: list[AnyMessage], context: MoAContext
) -> AsyncGenerator[str | RunResult]:
    """Yield the pieces of the answer's text as they arrive (when the context streams), and last the run's `RunResult`.

    Raises:
        MoAError: The run failed.
        AggregationError: The answer broke off after a piece was yielded. A client cannot discard a piece, and must not
            combine it with another answer.
    """
    said = False
    async with aclosing(follow(graph, {"messages": messages}, context=context)) as parts:
        async for part in parts:
            if isinstance(part, RunResult):
                if said and part.record["status"] == "best_draft":
                    raise _broken(part.drafts)
                yield part
            elif part["moa"] == "aggregating":
                # A restart means that reasoning was streamed. The client keeps it, and the answer follows.
                if said and "restart" not in part:
                    raise _broken([])
            elif part["moa"] == "answer_token" and part["text"]:
                said = True
                yield part["text"]


def truncated(result: RunResult) -> bool:
    """Return whether the answer was cut, also one that is a draft."""
    status = result.record["status"]
    draft_ended = result.message.response_metadata.get("finish_reason") if status == "best_draft" else None
    return status == "truncated" or draft_ended == "length"


def _broken(drafts: list[Draft]) -> AggregationError:
    return AggregationError("the stream of the answer broke off. Ask again, or do not stream.", drafts=drafts)
