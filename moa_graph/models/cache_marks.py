"""Marks that tell a provider's prompt cache where the repeated part of a request ends.

Most providers find repeated prefixes by themselves. Anthropic caches up to a mark, `cache_control`; OpenAI sends
requests with one `prompt_cache_key` to one cache. Both are set only for the hosts that document them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from moa_graph.mixture.proposer import Proposer
from moa_graph.models.secrets.keys import host

__all__ = ["cache_key", "marked", "wants_marks"]

_ANTHROPIC, _OPENAI = "api.anthropic.com", "api.openai.com"
_MARK = {"type": "ephemeral"}


def cache_key(spec: Proposer, beginning: Sequence[BaseMessage]) -> dict[str, Any]:
    """Return the options that name the cache of a conversation; empty for hosts that have no such option.

    Args:
        spec: The model.
        beginning: The first messages of the conversation, which are the same in all its turns.
    """
    if host(spec) != _OPENAI or "prompt_cache_key" in spec.params:
        return {}
    texts = [f"{message.type}\0{message.content}" for message in beginning]
    return {"prompt_cache_key": hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:32]}


def wants_marks(spec: Proposer) -> bool:
    """Return whether the model's host caches up to a mark."""
    return host(spec) == _ANTHROPIC


def marked(messages: Sequence[BaseMessage], *, tail: str | None) -> list[BaseMessage]:
    """Return `messages` with a mark at the end of what later requests repeat.

    The text that the model reads does not change. Messages in which the caller has set marks are left alone.

    Args:
        messages: The whole request.
        tail: The line with which the last message's part begins that no other request repeats (the drafts); None where
            the whole request is repeated.
    """
    found = list(messages)
    if any(_has_mark(message) for message in found):
        return found
    place, blocks = len(found) - 1, None
    if tail is not None:
        place = next((n for n in reversed(range(len(found))) if tail in _last_text(found[n])), -1)
        blocks = _before(found[place], tail) if place >= 0 else None
        if blocks is None:
            # The drafts are a message of their own: the repeated part ends with the one before it.
            place -= 1
    if place < 0:
        return found
    message = found[place]
    if blocks is None:
        blocks = [*_blocks(message)]
        at = len(blocks) - 1
    else:
        at = len(blocks) - 2
    if at < 0 or isinstance(message, AIMessage) or not isinstance(blocks[at], dict):
        return found
    blocks[at] = {**blocks[at], "cache_control": _MARK}
    found[place] = message.model_copy(update={"content": blocks})
    return found


def _blocks(message: BaseMessage) -> list[Any]:
    if isinstance(message.content, str):
        return [{"type": "text", "text": message.content}] if message.content else []
    return [{"type": "text", "text": block} if isinstance(block, str) else block for block in message.content]


def _last_text(message: BaseMessage) -> str:
    blocks = _blocks(message)
    last = blocks[-1] if blocks else None
    return str(last.get("text", "")) if isinstance(last, Mapping) else ""


def _before(message: BaseMessage, tail: str) -> list[Any] | None:
    """Return a message's blocks with its tail in the last one; None when the message is nothing but the tail."""
    *head, last = _blocks(message)
    text = str(last["text"])
    # A request without drafts ends before the blank line.
    kept = text[: text.index(tail)].removesuffix("\n\n")
    if not kept.strip():
        return [*head, last] if head else None
    return [*head, {**last, "text": kept}, {**last, "text": text[len(kept) :]}]


def _has_mark(message: BaseMessage) -> bool:
    return any(isinstance(block, Mapping) and "cache_control" in block for block in message.content)
