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

_NAME: Final = (
    r"(?:[a-z][\w-]{0,19}:|(?:longcat|redacted|internal|inner|deep|chain_of)_|ant)?"
    r"(?:think|thinking|thoughts?|reasoning|reflection|scratchpad)(?:_process|:\w{1,19})?"
)
"""Names of reasoning tags, with an optional namespace or version (``<seed:think>``, ``<think:v2>``)."""

_TOKEN: Final = rf"\|(?P<how>/|(?:begin|start|end)_(?:of_)?)?(?P<token>{_NAME})(?P<place>_(?:begin|start|end))?\|>"
"""Special tokens with such a name, without their first character: ``<|START_THINKING|>``, ``<|end_of_thought|>``."""

_ATTRIBUTES: Final = r"(?:\s[^<>]{0,99})?(?<!/)"

_SPECIAL: Final = {
    "[think]": "[/think]",  # Mistral
    "◁think▷": "◁/think▷",  # Kimi
    "<|inner_prefix|>": "<|inner_suffix|>",  # Apertus
    "<|channel>thought": "<channel|>",  # Gemma
    "<unused94>thought": "<unused95>",  # MedGemma
}
"""Further opening and closing marks, in lower case."""

_CLOSING: Final = (*_SPECIAL.values(), "[begin final response]")
"""Closing marks; of the last one, of Apriel, the opening is a sentence."""

_WRAPPERS: Final = (
    "<|start_response|>", "<|end_response|>", "<|begin_of_solution|>", "<|end_of_solution|>",
    "<|begin_of_box|>", "<|end_of_box|>", "[end final response]",
)  # fmt: skip
"""Marks around the answer of models that also mark their thoughts."""


_FINAL: Final = "<|channel|>final"
"""The beginning of harmony's final channel. All text before it is reasoning, also where a server dropped its tokens."""


def _any(marks: Iterable[str]) -> str:
    """Return a pattern for any of `marks` without their first character, which `[<[◁]` has matched already."""
    return "|".join(re.escape(mark[1:]) for mark in marks)


_FLAGS: Final = re.ASCII | re.IGNORECASE
MARK: Final = re.compile(
    rf"[<\[◁](?=[a-z/|])(?:(?P<tag>{_NAME}){_ATTRIBUTES}>|/(?P<end>{_NAME})\s*>|{_TOKEN}"
    rf"|(?P<open>{_any(_SPECIAL)})|(?P<close>{_any(_CLOSING)})|(?P<wrapper>{_any(_WRAPPERS)})"
    rf"|(?P<final>{_any([_FINAL])}))",
    _FLAGS,
)
"""Every mark. The character class and the look-ahead let the regular expression engine skip other text quickly."""

RUN: Final = re.compile(rf"(?:\s*<({_NAME})>[^<\[◁]*(?<![`\"'“”‘’«»])</\1>)*+\s*", _FLAGS)
"""Any number of complete simple tags in a row, matched at once because a hostile reply may hold 100,000 of them."""

_UNFINISHED: Final = re.compile(
    rf"</?(?:[a-z][\w:-]{{0,60}})?|<\|[\w/:-]{{0,60}}\|?|<{_NAME}\s[^<>]{{0,99}}|</{_NAME}\s{{0,99}}", _FLAGS
)
"""The beginning of a tag that more text may complete."""

_HARMONY_NAMES: Final = ("start", "channel", "message", "constrain", "end", "return", "call")
HARMONY: Final = re.compile(rf"<\|({'|'.join(_HARMONY_NAMES)})\|>")
"""The tokens of OpenAI's harmony format."""

_LITERALS: Final = (*_SPECIAL, *_CLOSING, *_WRAPPERS, _FINAL, *(f"<|{name}|>" for name in _HARMONY_NAMES))
GLUED: Final = re.compile(r"(?:assistant)?analysis(?=[^\W_]|[\"“])")
"""Harmony's analysis channel after a server dropped its special tokens; the answer follows `GLUED_END`."""
GLUED_END: Final = "assistantfinal"

GLUED_START: Final = re.compile(r"(?:assistant)?analysis")

LONGEST: Final = 180
"""Characters of the longest mark."""

_SENTENCE_ENDS: Final = ".!?:;…。！？；：)]}*"


def opened(mark: re.Match[str]) -> str:
    """Return the name of an opening mark, which its closing mark shares; empty for other marks."""
    if mark["open"]:
        return _SPECIAL[mark[0].lower()]
    return (mark["tag"] or ("" if _ends(mark) else mark["token"]) or "").lower()


def closed(mark: re.Match[str]) -> str:
    """Return the name of a closing mark; empty for other marks."""
    if mark["close"]:
        return mark[0].lower()
    return (mark["end"] or (mark["token"] if _ends(mark) else "") or "").lower()


def _ends(mark: re.Match[str]) -> bool:
    """Return whether a special token is a closing one."""
    return (mark["how"] or "").lower().startswith(("/", "end")) or (mark["place"] or "").lower() == "_end"


def may_be_mark(text: str) -> bool:
    """Return whether `text` is the beginning of a mark."""
    low = text.lower()
    return bool(_UNFINISHED.fullmatch(text)) or any(mark.startswith(low) for mark in _LITERALS)


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
