"""Several replies to one request (`n` of OpenAI's API): the prompt is sent and billed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel

from moa_graph.models.faults.faults import Fault
from moa_graph.models.reply.fields import usage_metadata
from moa_graph.models.reply.reply import Reply
from moa_graph.state import Usage, new_usage

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig

__all__ = ["choices_of", "refuses_choices", "shared_usage"]

_RETRYABLE_ELSEWHERE = frozenset({"auth", "quota", "rate_limit", "not_found", "context_overflow", "timeout"})
"""Kinds of fault that have nothing to do with the number of replies."""


async def choices_of(
    model: Any, messages: list[BaseMessage], config: RunnableConfig, *, samples: int, options: dict[str, Any]
) -> list[object]:
    """Return the messages of one request for `samples` replies. There may be fewer.

    LangChain's `ainvoke` returns the first reply only, so the request is made with `agenerate`.

    Raises:
        TypeError: The model is not a chat model, so that it takes one request for one reply only.
    """
    if not isinstance(model, BaseChatModel):
        raise TypeError("the model takes no number of replies")
    result = await model.agenerate(
        [messages],
        callbacks=config.get("callbacks"),
        tags=config.get("tags"),
        metadata=config.get("metadata"),
        run_name=config.get("run_name"),
        n=samples,
        **options,
    )
    return [getattr(each, "message", None) for each in result.generations[0]]


def refuses_choices(fault: Fault) -> bool:
    """Return whether a request may have failed because it asked for several replies."""
    if fault.status is not None:
        return fault.status in (400, 422, 501) and fault.kind not in _RETRYABLE_ELSEWHERE
    return not fault.retryable and fault.kind not in _RETRYABLE_ELSEWHERE


def shared_usage(replies: Sequence[Reply]) -> list[Reply]:
    """Return the replies to one request, each with its part of the request's usage, which is counted once.

    The input belongs to the first reply. The output, of which providers state the sum only, is divided in proportion to
    the lengths of the texts.
    """
    total = next((reply.usage for reply in replies if reply.usage), None)
    cost = next((reply.cost for reply in replies if reply.cost is not None), None)
    if total is None:
        return list(replies)
    outputs = _divided(total["output_tokens"], [len(reply.text) + 1 for reply in replies])
    thoughts = _divided(total["reasoning_tokens"], outputs)
    found = []
    for place, reply in enumerate(replies):
        usage = _part(total, outputs[place], thoughts[place], first=place == 0)
        message = reply.message.model_copy(update={"usage_metadata": usage_metadata(usage)})
        stated = None if cost is None else cost if place == 0 else 0.0
        found.append(replace(reply, usage=usage, cost=stated, message=message))
    return found


def _part(total: Usage, output: int, thoughts: int, *, first: bool) -> Usage:
    if not first:
        return new_usage(0, output, reasoning_tokens=min(thoughts, output))
    return new_usage(
        total["input_tokens"],
        output,
        reasoning_tokens=min(thoughts, output),
        cache_read_tokens=total["cache_read_tokens"],
        cache_write_tokens=total["cache_write_tokens"],
        cache_write_1h_tokens=total.get("cache_write_1h_tokens", 0),
    )


def _divided(total: int, weights: Sequence[int]) -> list[int]:
    """Return whole numbers in proportion to `weights` whose sum is `total`."""
    whole, found, before = max(sum(weights), 1), [], 0
    running = 0
    for weight in weights:
        running += weight
        after = total * running // whole
        found.append(after - before)
        before = after
    return found
