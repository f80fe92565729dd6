"""Types and data of images, files and audio, as providers read them."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["data_url", "is_textual", "media_type", "one_line"]

_TYPES: Final = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "audio/mpeg": "audio/mp3",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
}
"""Types that OpenAI, Anthropic or Google know by another name only. LangChain sends what is behind the slash."""

_TEXTUAL: Final = re.compile(
    r"text/.*|.*\+(?:json|xml|yaml)|application/(?:x-)?(?:json|ndjson|jsonl|xml|yaml|toml|javascript|sql|sh)"
)
"""Types of files that are text. Providers take no files of most of them."""

_BEGINNINGS: Final = {"/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}
"""How the base64 data of an image begins. All others count as PNG."""

_LONGEST_HEAD: Final = 200
_LINE: Final = 100
"""Encoders that break lines do so after at most 76 characters."""


def media_type(name: object, data: object = None) -> str:
    """Return a type by the name that providers know.

    Args:
        name: The type; empty or None for that of an image.
        data: The image's base64 data.
    """
    if not name:
        return next((kind for begun, kind in _BEGINNINGS.items() if str(data)[:6].startswith(begun)), "image/png")
    return _TYPES.get(str(name).lower(), str(name))


def is_textual(name: str) -> bool:
    """Return whether a file of this type is text."""
    return _TEXTUAL.fullmatch(name.lower()) is not None


def one_line(data: str) -> str:
    """Return base64 data without the line breaks that encoders write."""
    return "".join(data.split()) if _is_broken(data, 0) else data


def _is_broken(data: str, start: int) -> bool:
    return len(data[start : start + _LINE].split()) > 1 or data[-1:].isspace()


def data_url(url: str) -> str:
    """Return an address; a `data:` address of base64 data with the name of its type and in one line."""
    # Without a copy of the data, which may be megabytes.
    end = url.find(",", 0, _LONGEST_HEAD) if url.startswith("data:") else -1
    head, start = url[: max(end, 0)], end + 1
    if not head.endswith(";base64"):
        return url
    made = f"data:{media_type(head[5:].partition(';')[0], url[start : start + _LINE])};base64"
    return url if made == head and not _is_broken(url, start) else f"{made},{one_line(url[start:])}"
