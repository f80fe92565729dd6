"""Regular expressions of mixture files and of lists of questions, searched within a time limit.

The search of the standard library can take exponential time, and no other thread runs meanwhile: 40 characters of a
model's answer would stop the process for ever.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

__all__ = ["check_pattern", "last_match", "occurs"]

_READING = 0.05
"""Seconds of processor time for reading an answer. The event loop waits for it."""

_GRADING = 0.5
"""Seconds of processor time for the search in a whole text."""

_MOST_REPEATED = 100_000
"""The most copies of a part that fixed repetitions, such as `(a{9}){9}`, make when a pattern is compiled."""


def check_pattern(pattern: str) -> None:
    """Check that a pattern can be compiled.

    Raises:
        ValueError: It is not a regular expression, or its repetitions are too many.
    """
    import regex

    if math.prod(max(1, int(count)) for count in re.findall(r"\{(\d{1,9})", pattern)) > _MOST_REPEATED:
        raise ValueError(f"its repetitions make more than {_MOST_REPEATED:,} copies")
    try:
        re.compile(pattern)
        regex.compile(pattern)
    except (re.error, regex.error, OverflowError, RecursionError) as exc:
        raise ValueError(str(exc)) from None


@lru_cache(maxsize=256)
def last_match(pattern: str, text: str) -> str | None:
    """Return the first group of the last match, or the whole match; None without one, or when the time is over.

    Args:
        pattern: A pattern that `check_pattern` accepts.
        text: What is searched.
    """
    import regex

    last = None
    try:
        for match in regex.finditer(pattern, text, timeout=_READING):
            last = match[1] if match.re.groups else match[0]
    except TimeoutError:
        return None
    return last


def occurs(pattern: str, text: str) -> bool:
    """Return whether a pattern that `check_pattern` accepts is found in a text before the time is over."""
    import regex

    try:
        return regex.search(pattern, text, timeout=_GRADING) is not None
    except TimeoutError:
        return False
