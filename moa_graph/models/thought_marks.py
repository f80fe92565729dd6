"""Marks around a model's reasoning: tags, special tokens and channels, and what a mark at a place means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = [
    "GLUED",
    "GLUED_END",
    "GLUED_START",
    "HARMONY",
    "LONGEST",
    "MARK",
    "RUN",
    "closed",
    "ends_thought",
    "may_be_mark",
    "opened",
]

_NAME: Final = r"(?:[a-z][\w-]{0,19}:)?(?:longcat_)?(?:think|thinking|thoughts?|reasoning|reflection|scratchpad)"
"""Names of reasoning tags, with an optional namespace (``<seed:think>``)."""

_ATTRIBUTES: Final = r"(?:\s[^<>]{0,99})?"

_SPECIAL: Final = {
    "[think]": "[/think]",  # Mistral
    "◁think▷": "◁/think▷",  # Kimi
    "<|start_thinking|>": "<|end_thinking|>",  # Cohere
    "<|begin_of_thought|>": "<|end_of_thought|>",  # Sky-T1, OpenThinker
    "<|think|>": "<|/think|>",
    "<|thinking|>": "<|/thinking|>",
    "<|inner_prefix|>": "<|inner_suffix|>",  # Apertus
    "<|channel>thought": "<channel|>",  # Gemma
    "<unused94>thought": "<unused95>",  # MedGemma
}
"""Opening and closing marks that are not tags, in lower case."""

_WRAPPERS: Final = ("<|start_response|>", "<|end_response|>", "<|begin_of_solution|>", "<|end_of_solution|>")
"""Marks around the answer of models that also mark their thoughts."""


def _any(marks: Iterable[str]) -> str:
    """Return a pattern for any of `marks` without their first character, which `[<[◁]` has matched already."""
    return "|".join(re.escape(mark[1:]) for mark in marks)


_FLAGS: Final = re.ASCII | re.IGNORECASE
MARK: Final = re.compile(
    rf"[<\[◁](?:(?P<tag>{_NAME}){_ATTRIBUTES}>|/(?P<end>{_NAME})\s*>"
    rf"|(?P<open>{_any(_SPECIAL)})|(?P<close>{_any(_SPECIAL.values())})|(?P<wrapper>{_any(_WRAPPERS)}))",
    _FLAGS,
)
"""Every mark. The leading character class lets the regular expression engine skip other text quickly."""

RUN: Final = re.compile(rf"(?:\s*<({_NAME})>[^<]*(?<![`\"'“”‘’«»])</\1>)*+\s*", _FLAGS)
"""Any number of complete simple tags in a row, matched at once because a hostile reply may hold 100,000 of them."""

_UNFINISHED: Final = re.compile(rf"</?(?:[a-z][\w:-]{{0,40}})?|<{_NAME}\s[^<>]{{0,99}}|</{_NAME}\s{{0,99}}", _FLAGS)
"""The beginning of a tag that more text may complete."""

HARMONY: Final = re.compile(r"<\|(start|channel|message|constrain|end|return|call)\|>")
"""The tokens of OpenAI's harmony format."""

_LITERALS: Final = (*_SPECIAL, *_SPECIAL.values(), *_WRAPPERS)
_HARMONY_TOKENS: Final = tuple(
    f"<|{name}|>" for name in ("start", "channel", "message", "constrain", "end", "return", "call")
)
GLUED: Final = re.compile(r"analysis(?=[A-Z])")
"""Harmony's analysis channel after a server dropped its special tokens; the answer follows `GLUED_END`."""
GLUED_END: Final = "assistantfinal"

GLUED_START: Final = re.compile(r"[\s\0]*analysis")

LONGEST: Final = 150
"""Characters of the longest mark."""

_SENTENCE_ENDS: Final = ".!?:;…。！？；：)]}*"


def opened(mark: re.Match[str]) -> str:
    """Return the closing mark that belongs to an opening mark; empty for other marks."""
    if mark["tag"]:
        return mark["tag"].lower()
    return _SPECIAL[mark[0].lower()] if mark["open"] else ""


def closed(mark: re.Match[str]) -> str:
    """Return a closing mark in lower case; empty for other marks."""
    return (mark["end"] or "").lower() or (mark[0].lower() if mark["close"] else "")


def may_be_mark(text: str) -> bool:
    """Return whether `text` is the beginning of a mark."""
    low = text.lower()
    return bool(_UNFINISHED.fullmatch(text)) or any(mark.startswith(low) for mark in (*_LITERALS, *_HARMONY_TOKENS))


def ends_thought(before: str, after: str, end: bool) -> bool | None:
    """Return whether a closing mark between `before` and `after` ends reasoning whose opening mark is missing.

    A text about the mark has it between spaces or quotes; a model that ends its reasoning sets it at the end
    of a line or directly after its last word. None: `after` is too short to decide.
    """
    rest = after.lstrip(" \t\r")
    if not rest:
        return not before.isspace() if end else None
    if rest[0] == "\n":
        if not before.isspace():
            return True
        following = rest[1:].lstrip(" \t\r")
        return end if not following and (end or len(after) >= LONGEST) else following[0] == "\n" if following else None
    if before in _SENTENCE_ENDS:
        return True
    glued = before.isascii() and before.isalnum() and after[0].isascii()
    return glued and (after[0].isalnum() or after[0] in "*#{[<$\\|-")
