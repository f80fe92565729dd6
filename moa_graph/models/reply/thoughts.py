"""Remove a model's reasoning from a whole text; `thought_cleaner.py` has the algorithm, which also takes pieces."""

from __future__ import annotations

import re
from typing import Final

from moa_graph.models.reply.fields import encodable
from moa_graph.models.reply.thought_cleaner import SPACE, Cleaner
from moa_graph.models.reply.thought_marks import GLUED_START, HARMONY, LONGEST, MARK

__all__ = ["clean"]

_SLICE: Final = 2**15
"""Characters that are searched at once. Other threads wait as long as a search takes."""

_VISIBLE: Final = re.compile(r"[^\s\ufeff\u200b]")


def clean(text: str) -> str:
    """Return `text` without reasoning, lone surrogates, NUL characters, and white space at its ends.

    Reasoning is what stands between reasoning marks at the very beginning, in any channel but the final one of the
    harmony format, or before a closing mark whose opening mark is missing (servers that pre-fill the opening mark
    return the closing one alone). Marks further on, or in quotes, belong to an answer that writes about them.
    """
    if "\0" in text:
        text = text.replace("\0", "")
    # Most texts hold no mark. The first three tests are the fastest.
    brackets = "<" in text or "[" in text or "◁" in text
    if not (brackets and _marked(text)) and not _begins_glued(text):
        shown = encodable(text).strip()
        return SPACE.sub("", shown, count=1) if shown[:1] in "\ufeff\u200b" else shown
    cleaner, restarts = Cleaner(), 0
    parts: list[str] = []
    for piece in (*(text[start : start + _SLICE] for start in range(0, len(text), _SLICE)), None):
        part = cleaner.rest() if piece is None else cleaner.feed(piece)
        if cleaner.restarts > restarts:
            restarts = cleaner.restarts
            parts.clear()
        parts.append(part)
    return "".join(parts)


def _begins_glued(text: str) -> bool:
    """Return whether the first word is that of a harmony channel without its marks."""
    for start in range(0, len(text), _SLICE):
        if first := _VISIBLE.search(text, start, start + _SLICE):
            return bool(GLUED_START.match(text, first.start()))
    return False


def _marked(text: str) -> bool:
    """Return whether `text` holds a mark."""
    slices = [(start, start + _SLICE + LONGEST) for start in range(0, len(text), _SLICE)]
    return any(MARK.search(text, *each) or HARMONY.search(text, *each) for each in slices)
