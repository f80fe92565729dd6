"""One model call: its deadline, its retries, and what its answer amounts to."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import ToolCallChunk
from langchain_core.runnables import RunnableConfig

from moa_graph.conversation import clean
from moa_graph.state import Status, Usage

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.runnables import Runnable

OnToken = Callable[[str, list[ToolCallChunk]], None]
"""Told of every piece of an answer: its text, and the pieces of tool calls in it."""

_FINISH: dict[str, Status] = {"length": "truncated", "max_tokens": "truncated", "content_filter": "filtered"}


@dataclass
class Outcome:
    """What became of one call. `message` is there when a model answered, whatever it said."""

    status: Status = "failed"
    text: str = ""
    error: str | None = None
    message: AIMessage | None = None
    usage: Usage | None = None
    seconds: float = 0.0
    first_token_seconds: float | None = None
    attempts: int = 0
    started: float = field(default_factory=time.perf_counter)


async def ask(
    model: Runnable[LanguageModelInput, AIMessage],
    messages: list[BaseMessage],
    *,
    config: RunnableConfig,
    deadline: float,
    max_attempts: int = 3,
    on_token: OnToken | None = None,
    options: dict[str, Any] | None = None,
) -> Outcome:
    """Asks `model` once, with retries, for at most `deadline` seconds; never raises for a provider's fault.

    `on_token` gets the answer piece by piece. `options` are further arguments of the call.
    """
    outcome = Outcome()
    try:
        async with asyncio.timeout(deadline):
            await _attempts(outcome, model, messages, config, max_attempts, on_token, options or {})
    except TimeoutError:
        outcome.status, outcome.error = "failed", f"no answer within {deadline:g} s"
    outcome.seconds = time.perf_counter() - outcome.started
    return outcome


async def _attempts(
    outcome: Outcome,
    model: Runnable[LanguageModelInput, AIMessage],
    messages: list[BaseMessage],
    config: RunnableConfig,
    max_attempts: int,
    on_token: OnToken | None,
    options: dict[str, Any],
) -> None:
    while True:
        outcome.attempts += 1
        try:
            message = await _answer(outcome, model, messages, config, on_token, options)
        except Exception as exc:
            # Any exception of any provider's class is that provider's fault, and ends as data.
            outcome.error = f"{type(exc).__name__}: {exc}"
            again = getattr(exc, "is_retryable", False) and outcome.first_token_seconds is None
            if not again or outcome.attempts >= max_attempts:
                return
            await asyncio.sleep(random.uniform(0.25, 0.75) * 2 ** (outcome.attempts - 1))
        else:
            _judge(outcome, message)
            return


async def _answer(
    outcome: Outcome,
    model: Runnable[LanguageModelInput, AIMessage],
    messages: list[BaseMessage],
    config: RunnableConfig,
    on_token: OnToken | None,
    options: dict[str, Any],
) -> AIMessage:
    if on_token is None:
        return await model.ainvoke(messages, config, **options)
    whole: AIMessageChunk | None = None
    async for chunk in model.astream(messages, config, **options):
        text, calls = str(chunk.text), getattr(chunk, "tool_call_chunks", [])
        if text or calls:
            if outcome.first_token_seconds is None:
                outcome.first_token_seconds = time.perf_counter() - outcome.started
            on_token(text, calls)
        if isinstance(chunk, AIMessageChunk):
            whole = chunk if whole is None else whole + chunk
    return whole or AIMessage(content="")


def _judge(outcome: Outcome, message: AIMessage) -> None:
    """Fills in what the answer amounts to."""
    outcome.message = message
    outcome.usage = usage_of(message)
    outcome.text = clean(str(message.text))
    finish = str(message.response_metadata.get("finish_reason") or message.response_metadata.get("stop_reason") or "")
    refusal = message.additional_kwargs.get("refusal")
    outcome.status, outcome.error = _FINISH.get(finish, "ok"), None
    if refusal or finish == "refusal":
        outcome.status, outcome.error = "refused", str(refusal or "the model refused")
    elif outcome.status == "filtered":
        outcome.error = "the provider's content filter stopped the answer"
    elif not outcome.text and not message.tool_calls:
        outcome.status, outcome.error = "empty", _why_empty(message, finish)


def _why_empty(message: AIMessage, finish: str) -> str:
    if str(message.text).strip() or message.additional_kwargs.get("reasoning_content"):
        return "the answer held only the model's thoughts"
    return f"the answer was empty (finish_reason {finish or 'not given'})"


def usage_of(message: AIMessage) -> Usage | None:
    """Tokens as the provider counted them; `None` when it did not say."""
    given = message.usage_metadata
    if given is None:
        return None
    details = given.get("output_token_details") or {}
    return Usage(
        input_tokens=given["input_tokens"],
        output_tokens=given["output_tokens"],
        reasoning_tokens=details.get("reasoning") or 0,
    )
