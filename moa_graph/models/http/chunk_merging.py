"""Merge the chunks of a stream that came in one read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["MERGED", "merged"]

MERGED = 16
"""The most chunks that are merged into one: an answer that comes all at once still streams."""
_TEXTS = ("content", "reasoning_content", "reasoning")


def merged(chunks: Iterable[Any]) -> Iterator[Any]:
    """Merge up to `MERGED` chunks of plain text, or of reasoning, into one.

    Only chunks that came in one read are given here, so no text waits for other text. What came before a broken event
    is handed out before the error, as it would be event by event.
    """
    held, place, count = None, None, 0
    try:
        for chunk in chunks:
            found = _text_in(chunk)
            if found and place and found[1] == place[1] and count < MERGED:
                place[0][place[1]] += found[0][found[1]]
                count += 1
                continue
            if held is not None:
                yield held
            held, place, count = chunk, found, 1
    except Exception:
        if held is not None:
            yield held
        raise
    if held is not None:
        yield held


def _text_in(chunk: Any) -> tuple[dict[str, Any], str] | None:
    """Return the delta and the field of a chunk's text, or None for a chunk in which anything else counts."""
    try:
        (choice,) = chunk["choices"]
        delta = choice["delta"]
        if choice.get("finish_reason") or choice.get("logprobs") or chunk.get("usage") or choice.get("usage"):
            return None
        field = ""
        for key, value in delta.items():
            if value is None or value == "" or key == "role":
                continue
            if field or key not in _TEXTS or not isinstance(value, str):
                return None
            field = key
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return (delta, field) if field else None
