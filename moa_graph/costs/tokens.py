"""Token estimates: four bytes of UTF-8 each.

No tokenizer covers the models of every provider, and loading one costs more than building the graph.
"""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import BaseMessage

_IMAGE_TOKENS = 800


def tokens(text: str) -> int:
    """Return the estimated number of tokens of `text`."""
    return (len(text.encode("utf-8", "replace")) + 3) // 4


def prompt_tokens(messages: Sequence[BaseMessage]) -> int:
    """Return the estimated number of tokens of a conversation."""
    images = sum(
        isinstance(block, dict) and "image" in f"{block.get('type')} {block.get('mime_type')}"
        for message in messages
        if isinstance(message.content, list)
        for block in message.content
    )
    return sum(tokens(str(message.text)) + 4 for message in messages) + _IMAGE_TOKENS * images
