"""What a role of a run calls: the model, and the conversation in the form that the model takes.

A target is made once per run, model and role, when the graph begins or at the first call after a resume.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import Runnable

from moa_graph.graph.prompts.conversation import passed_on
from moa_graph.graph.prompts.fence_code import Sent
from moa_graph.graph.prompts.local_files import refused_images
from moa_graph.graph.prompts.media import (
    Abilities,
    abilities,
    completes_chats,
    has_file_address,
    kinds_in,
    package_of,
    takes_addresses,
)
from moa_graph.graph.prompts.own_turns import OwnTurns, own_turns
from moa_graph.graph.prompts.prompts import bound_text, wants_strict_turns, with_system
from moa_graph.graph.recording import as_json
from moa_graph.graph.runs import Run
from moa_graph.graph.turns import off_loop
from moa_graph.mixture.context import BoundContext
from moa_graph.mixture.proposer import Proposer
from moa_graph.models import rate_limit, registry
from moa_graph.models.batching import batched
from moa_graph.models.cache_marks import cache_key, wants_marks
from moa_graph.models.rate_limit import RateLimiter
from moa_graph.models.reply.reply import is_long
from moa_graph.models.tools import bound_model, bound_to

__all__ = ["AGGREGATOR", "PROPOSER", "Target", "target_of"]

PROPOSER, AGGREGATOR = "proposer", "aggregator"
"""The roles whose reply may be the answer. All other roles are a combiner's own."""

_PLURALS = {"image": "images", "file": "files", "audio": "audio"}


@dataclass(frozen=True, slots=True)
class Target:
    """A model as one role of a run calls it.

    Attributes:
        spec: The model's description.
        source: The state's messages, for which the target was made.
        model: The chat model.
        options: Further arguments of the model's call.
        limiter: The model's rate limiter; None for a model in this process.
        conversation: The messages in the form that the model takes.
        sent: The bytes of `conversation`.
        long: Whether the conversation takes too long to work on in an event loop.
        messages: The whole request when it shows no drafts: the conversation with the system texts.
        after: System texts after the caller's own system message.
        also: What the request contains beside messages, as JSON.
        tools: Whether the caller's tools are offered.
        strict_turns: Whether the model's template refuses a user message after a tool result.
        refusal: Why the model cannot read the conversation; None when it can.
        marks: Whether the model's host wants marks for its prompt cache.
    """

    spec: Proposer
    source: Sequence[BaseMessage]
    model: Runnable[LanguageModelInput, AIMessage]
    options: dict[str, Any]
    limiter: RateLimiter | None
    conversation: list[BaseMessage]
    sent: Sent
    long: bool
    messages: list[BaseMessage]
    after: list[str]
    also: str
    tools: bool
    strict_turns: bool
    refusal: str | None
    marks: bool


async def target_of(run: Run, spec: Proposer, role: str, *, quiet: bool) -> Target:
    """Return the target of a role's calls, made at the first call.

    Args:
        run: The run.
        spec: The model.
        role: The role of the call.
        quiet: Whether the model never streams. An aggregator's model may always stream.

    Raises:
        ConfigError: The model cannot be made, or it does not take the caller's tools.
    """
    key = id(spec), role if role in (PROPOSER, AGGREGATOR) else "", quiet
    found: Target | None = run.live.targets.get(key)
    if found is None or found.source is not run.state["messages"]:
        found = run.live.targets[key] = await _made(run, spec, role, quiet=quiet)
    return found


async def _made(run: Run, spec: Proposer, role: str, *, quiet: bool) -> Target:
    settings, given, acts = run.settings, bound_to(run.settings), role == AGGREGATOR
    if acts:
        model, options = bound_model(settings, spec)
    else:
        sampling: dict[str, Any] = {"temperature": settings.temperature, "max_tokens": settings.max_tokens}
        model, options = registry.chat_model(spec, quiet=quiet, **sampling), {}
    tools, takes, strict = acts and bool(given.bound.get("tools")), abilities(model), wants_strict_turns(spec.label)
    if tools and takes.tool_results and completes_chats(model):
        # LangChain's profiles of OpenAI's models say what the Responses API takes.
        takes = takes._replace(tool_results=False)
    # A fallback of another maker cannot read the first aggregator's reasoning blocks.
    own = own_turns(model, spec.label.partition(":")[0]) if tools and spec is settings.aggregator else None
    conversation, sent, long = await _conversation(run, tools=tools, own=own, takes=takes, strict=strict)
    duty, also = await off_loop(given.bound, partial(_bound_texts, given, role))
    after = [spec.system or "", duty]
    refused = _refused([each for each in conversation if not isinstance(each, ToolMessage)], model, takes)
    messages = with_system(conversation, before=settings.system, after=after)
    return Target(
        spec=spec,
        source=run.state["messages"],
        model=model,
        options={**cache_key(spec, messages[:2]), **options},
        limiter=None if batched(spec) else rate_limit.limiter_for(spec),
        conversation=conversation,
        sent=sent,
        long=long,
        messages=messages,
        after=after,
        also=also,
        tools=tools,
        strict_turns=strict,
        refusal=f"the model takes no {' and no '.join(refused)}" if refused else None,
        marks=wants_marks(spec),
    )


def _bound_texts(given: BoundContext, role: str) -> tuple[str, str]:
    """Return what the role's system text says of the caller's tools or format, and what its request has of them."""
    acts = role == AGGREGATOR
    duty = bound_text(given.bound, form=given.form, acts=acts) if role in (PROPOSER, AGGREGATOR) else ""
    return duty, json.dumps(as_json(given.bound), ensure_ascii=False) if acts else ""


def _refused(messages: Sequence[BaseMessage], model: object, takes: Abilities) -> list[str]:
    """Return the content of the messages that the model does not take."""
    kinds = kinds_in(messages)
    refused = [_PLURALS[kind] for kind in kinds if not getattr(takes, kind)]
    if "audio" in kinds and takes.audio and package_of(model) == "langchain_openai" and not completes_chats(model):
        refused.append(_PLURALS["audio"])  # LangChain leaves it out of requests to the Responses API
    if "file" in kinds and takes.file and has_file_address(messages) and not takes_addresses(model):
        refused.append("files by their address, only their data")
    if "image" in kinds and takes.image:
        refused += refused_images(messages, model)
    return refused


async def _conversation(
    run: Run, *, tools: bool, own: OwnTurns | None, takes: Abilities, strict: bool
) -> tuple[list[BaseMessage], Sent, bool]:
    """Return the repaired conversation, its bytes, and whether it is long: one for all models that take the same.

    A long one is repaired in a thread, so that other tasks run meanwhile.
    """
    messages, key = run.state["messages"], (tools, own, takes, strict)
    found: tuple[Sequence[BaseMessage], list[BaseMessage], Sent, bool] | None = run.live.conversations.get(key)
    if found is None or found[0] is not messages:
        options: dict[str, Any] = {"keep_tools": tools, "own": own, "takes": takes, "strict_turns": strict}
        long = is_long(messages)
        made = await asyncio.to_thread(passed_on, messages, **options) if long else passed_on(messages, **options)
        found = run.live.conversations[key] = messages, made, Sent(made), long
    return found[1:]
