"""Token estimates: four bytes of UTF-8 each.

No tokenizer covers the models of every provider, and loading one costs more than building the graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

_IMAGE_TOKENS = 800
_UNCOUNTED = frozenset({"file", "input_file", "document", "media", "audio", "input_audio", "video"})
"""Types of content blocks whose tokens depend on what the provider makes of them."""


def tokens(text: str) -> int:
    """Return the estimated number of tokens of `text`."""
    return (len(text.encode("utf-8", "replace")) + 3) // 4


def prompt_tokens(messages: Sequence[BaseMessage]) -> int:
    """Return the estimated number of tokens of a conversation, without those of files and audio."""
    images = sum(map(_is_image, _blocks(messages)))
    return sum(tokens(str(message.text)) + _call_tokens(message) + 4 for message in messages) + _IMAGE_TOKENS * images


def has_uncounted(messages: Sequence[BaseMessage]) -> bool:
    """Return whether a conversation has files or audio, whose tokens `prompt_tokens` does not count."""
    return any(block.get("type") in _UNCOUNTED and not _is_image(block) for block in _blocks(messages))


def _call_tokens(message: BaseMessage) -> int:
    if not isinstance(message, AIMessage):
        return 0
    return sum(tokens(f"{call['name']} {call['args']}") for call in message.tool_calls)


def _blocks(messages: Sequence[BaseMessage]) -> Iterator[dict[str, Any]]:
    for message in messages:
        if isinstance(message.content, list):
            yield from (block for block in message.content if isinstance(block, dict))


def _is_image(block: dict[str, Any]) -> bool:
    return "image" in f"{block.get('type')} {block.get('mime_type')}"
