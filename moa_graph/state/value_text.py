"""Wrong values as they are repeated in error messages."""

from __future__ import annotations

import json
import math
from itertools import islice
from typing import Any

__all__ = ["given"]

_LONGEST = 60
"""Characters of a wrong value that an error repeats."""


def given(value: Any) -> str:
    """Return a wrong value for a message: as JSON, cut to one short line. Never raises.

    Args:
        value: Any value, also one that JSON cannot hold, that contains itself, or that is very large.
    """
    text = "nothing" if value is None else json.dumps(_beginning(value), ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _beginning(value: Any) -> Any:
    """Return a value that JSON can hold. Its JSON begins with the same characters, as many as a message repeats."""
    # Each value is at least one character of the JSON, so those after the first `_LONGEST` are not repeated.
    left = _LONGEST + 1

    def of(part: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            return None
        if isinstance(part, dict):
            return {_scalar(key): of(each) for key, each in islice(part.items(), left)}
        if isinstance(part, list | tuple):
            return [of(each) for each in islice(part, left)]
        return _scalar(part)

    return of(value)


def _scalar(value: Any) -> str | float | None:
    if isinstance(value, str):
        return value[: _LONGEST + 1]
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        # Python refuses to write numbers of thousands of digits.
        digits = int(value.bit_length() * math.log10(2))
        return value if digits <= _LONGEST else f"a number of about {digits:,} digits"
    try:
        return str(value)[: _LONGEST + 1]
    except Exception:  # a foreign object's own method may raise anything
        return type(value).__name__
