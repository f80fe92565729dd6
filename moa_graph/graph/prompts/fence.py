"""Boundary lines around drafts that nothing else in a request can forge, and their removal from answers.

A boundary holds the code that `fence_code.py` makes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from langchain_core.messages.tool import ToolCallChunk

from moa_graph.models.streaming import Sink

__all__ = [
    "BoundaryFilter",
    "FilteredSink",
    "Part",
    "draft_parts",
    "fenced_block",
    "opening",
    "without_boundaries",
]

_LONGEST_LINE = 120
"""Characters. A boundary line is shorter; a longer text in brackets is not one."""

_BRACKET = re.compile(rf"\[(?:[^\[\]\n]{{9,{_LONGEST_LINE - 1}}}[\]\n]|[^\[\]\n]{{0,{_LONGEST_LINE - 1}}}\Z)")
"""A bracket that may be a boundary, whole, cut off by a line end, or not yet complete. Models choose the text that it
searches: brackets of any number take linear time."""
_SHOWN = re.compile(r"[^ \t]")


class Part(NamedTuple):
    """A text between two boundaries.

    Attributes:
        begins: The words of the opening boundary, such as "draft 1 of 3".
        ends: The words of the closing boundary, such as "draft 1".
        text: The text.
    """

    begins: str
    ends: str
    text: str


def draft_parts(drafts: Sequence[str]) -> list[Part]:
    """Return the drafts as parts: anonymous, numbered from 1."""
    return [Part(f"draft {n} of {len(drafts)}", f"draft {n}", draft) for n, draft in enumerate(drafts, start=1)]


def fenced_block(instruction: str, parts: Sequence[Part], code: str) -> str:
    """Return the instruction and the parts, each between two boundary lines with `code`, the whole between two more."""
    fenced = [f"[{part.begins} begins: {code}]\n{part.text}\n[{part.ends} ends: {code}]" for part in parts]
    return "\n\n".join([opening(code) + "\n" + instruction, *fenced, _closing(code)])


def opening(code: str) -> str:
    """Return the line with which the fenced part of a prompt begins."""
    return f"[drafts begin: {code}]"


def _closing(code: str) -> str:
    return f"[drafts end: {code}]"


class BoundaryFilter:
    """Removes the boundaries of one request from the answer to it, which may come in pieces.

    Of an answer that repeats the whole block, the block is removed; of one that repeats boundary lines, those lines.

    Args:
        code: The code of the boundaries.
    """

    def __init__(self, code: str) -> None:
        self.removed = False
        """Whether a boundary was removed."""
        self._code = code
        self._held = ""
        self._block = True
        """Whether an opening line begins a repeated block: until the answer ends without its closing line."""
        self._searched = 0
        """How far an open block holds no closing line."""

    def feed(self, piece: str) -> str:
        """Add a piece and return what can be shown now. The beginning of a possible boundary is held back."""
        self._held += piece
        shown, at = [], 0
        while found := _BRACKET.search(self._held, at):
            shown.append(self._held[at : found.start()])
            at = found.start()
            if (end := self._end_of(found)) is None:
                self._held = self._held[at:]
                return "".join(shown)
            if end == at:
                end = found.end()
                shown.append(found[0])
            at = end
        shown.append(self._held[at:])
        self._held = ""
        return "".join(shown)

    def rest(self) -> str:
        """Return what was held back. Call it once, after the last piece."""
        shown = self.feed("\n")
        if self._held:
            self._block = False
            shown += self.feed("")
        return shown.removesuffix("\n")

    def _end_of(self, bracket: re.Match[str]) -> int | None:
        """Return where what is removed from the start of `bracket` ends; its start to show it; None if undecided."""
        start, end, text = bracket.start(), bracket.end(), bracket[0]
        if text.endswith("\n"):
            return end - 1 if self._is_cut_off(text[:-1]) else start
        if not text.endswith("]"):
            return None
        if self._code not in text.lower():
            return start
        if self._block and text == opening(self._code):
            closing = self._held.find(_closing(self._code), start + self._searched)
            if closing < 0:
                self._searched = max(len(self._held) - start - _LONGEST_LINE, 0)
                return None
            end = closing + len(_closing(self._code))
        after = _SHOWN.search(self._held, end)
        if after is None:
            return None
        end = after.start()
        self._searched, self.removed = 0, True
        return end + self._held.startswith("\n", end)

    def _is_cut_off(self, line: str) -> bool:
        """Return whether `line` is a boundary whose end was cut off by the model's token limit."""
        found = re.search(r" (?:begins?|ends?): ([0-9a-f]{4,15})$", line, re.IGNORECASE)
        return found is not None and self._code.startswith(found[1].lower())


class FilteredSink:
    """A consumer of a streamed answer that gets the answer without the boundaries of its request.

    Args:
        sink: Receives the filtered text.
        code: The code of the boundaries.
    """

    def __init__(self, sink: Sink, code: str) -> None:
        self._sink, self._filter = sink, BoundaryFilter(code)

    @classmethod
    def of(cls, sink: Callable[[], Sink], code: str) -> Callable[[], Sink]:
        """Return a maker of filtered consumers, one for each attempt."""
        return lambda: cls(sink(), code)

    def __call__(self, text: str, calls: list[ToolCallChunk]) -> None:
        shown = self._filter.feed(text)
        if shown or calls:
            self._sink(shown, calls)

    def close(self) -> None:
        """Pass on what was held back."""
        if rest := self._filter.rest():
            self._sink(rest, [])
        self._sink.close()


def without_boundaries(text: str, code: str) -> str:
    """Return `text`, stripped of outer white space, without the boundaries of the request that it answers."""
    if code not in text.lower() and code[:4] not in text[-_LONGEST_LINE:].lower():
        return text
    each = BoundaryFilter(code)
    return (each.feed(text) + each.rest()).strip()
