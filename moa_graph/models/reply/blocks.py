"""The content blocks of a reply: their text, their reasoning, and those that the provider wants back unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from moa_graph.models.limits import MAX_TEXT_CHARS
from moa_graph.models.reply.fields import plain

__all__ = ["BLOCKS", "content_text", "has_thoughts", "must_return", "native", "refusals_in"]

BLOCKS: Final = "moa_blocks"
"""The key in a message's `additional_kwargs` for content blocks that the provider wants back unchanged, where the
content is text: an answer whose text was streamed before its blocks were complete."""

_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_content"})
_TEXTS: Final = frozenset({"text", "output_text", "input_text"})
_SIGNATURES: Final = frozenset({"signature", "encrypted_content", "thought_signature", "extras"})


def content_text(content: object) -> str:
    """Return the text in a message's content without reasoning blocks."""
    if isinstance(content, str):
        return content
    parts: list[str] = []
    for block in content if isinstance(content, list) else []:
        if isinstance(block, str):
            parts.append(block)
        elif isinstance(block, Mapping) and str(block.get("type") or "text").lower() in _TEXTS:
            words = block.get("text")
            words = words.get("value") if isinstance(words, Mapping) else words
            parts.append(words if isinstance(words, str) else "")
    return "".join(parts)


def must_return(content: object) -> bool:
    """Return whether content has blocks that the provider wants back unchanged in a tool loop."""
    return any(str(block.get("type")) in _THOUGHTS or _SIGNATURES & block.keys() for block in _blocks(content))


def has_thoughts(content: object) -> bool:
    """Return whether content has blocks of reasoning."""
    return any(str(block.get("type")) in _THOUGHTS for block in _blocks(content))


def refusals_in(content: object) -> list[Any]:
    """Return what the blocks of a refusal hold."""
    return [block.get("refusal") for block in _blocks(content) if block.get("type") == "refusal"]


def native(content: Any) -> Any:
    """Return content as plain values."""
    return plain(content, text=MAX_TEXT_CHARS, values=20_000)


def _blocks(content: object) -> list[Mapping[str, Any]]:
    return [block for block in content if isinstance(block, Mapping)] if isinstance(content, list) else []
