"""Remove reasoning text from answers, whole or in pieces."""

from __future__ import annotations

import re

OPENING = re.compile(r"<(think|thinking|reasoning)>", re.ASCII | re.IGNORECASE)
"""Where a thought begins."""


_LONE = re.compile(
    r"\A\s*</think>"
    r"|^[ \t]*</think>[ \t]*$"
    r"|</think>[ \t]*(?=\n[ \t]*\n)"
    r"|(?<=[\n.!?\u2026\u3002\uff01\uff1f])</think>(?=[\w*#])",
    re.IGNORECASE | re.MULTILINE,
)
"""How a thought ends whose opening tag a server pre-filled: on a line of its own, at the end of a paragraph, or glued
between a sentence and the answer. Who writes about the tag sets it between spaces, quotes or backticks."""


def clean(text: str) -> str:
    """`text` without the thoughts it begins with, lone surrogates and NUL, stripped of outer white space.

    A thought is what stands in `<think>`, `<thinking>` or `<reasoning>` at the very beginning (several in a row are),
    or before a lone `</think>` (servers that pre-fill the opening tag return only the closing one). Tags further on
    belong to an answer that writes about them.
    """
    text = encodable(text).strip()
    text = text[_unopened(text) :].lstrip()
    while opening := OPENING.match(text):
        text = _after_thought(text, opening[1]).lstrip()
    return text


def _unopened(text: str) -> int:
    """How far a thought goes whose opening tag is missing; 0 when there is none."""
    end = _LONE.search(text)
    return end.end() if end and not OPENING.search(text, 0, end.start()) else 0


def _after_thought(text: str, tag: str) -> str:
    """What follows the first closing tag; nothing when the thought is never closed."""
    end = re.search(f"</{tag}>", text, re.ASCII | re.IGNORECASE)
    return text[end.end() :] if end else ""


def encodable(text: str) -> str:
    """`text` as it can be sent and stored: lone surrogates become U+FFFD, NUL goes."""
    text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_OPENINGS = ("<think>", "<thinking>", "<reasoning>")


class Cleaner:
    """`conversation.clean` for a text that comes in pieces."""

    def __init__(self) -> None:
        self._held = ""
        self._closing = ""
        self._space = ""
        self._begun = False

    def feed(self, piece: str) -> str:
        """What can be shown by now."""
        self._held += piece.replace("\0", "")
        if not self._begun and not self._past_thoughts():
            return ""
        # Half a character waits for its other half.
        cut = len(self._held) - ("\ud800" <= self._held[-1:] <= "\udbff")
        sure, self._held = self._held[:cut], self._held[cut:]
        return self._trimmed(sure)

    def rest(self) -> str:
        """What was held back, once nothing more comes."""
        held, self._held = "" if self._closing else self._held, ""
        return self._trimmed(held)

    def _past_thoughts(self) -> bool:
        """Whether the answer itself has begun; the thoughts before it are let go."""
        while True:
            if self._closing:
                end = re.search(self._closing, self._held, re.ASCII | re.IGNORECASE)
                if end is None:
                    self._held = self._held[-len(self._closing) :]
                    return False
                self._held, self._closing = self._held[end.end() :], ""
            self._held = self._held.lstrip()
            if opening := OPENING.match(self._held):
                self._held, self._closing = self._held[opening.end() :], f"</{opening[1]}>"
                continue
            self._begun = not any(tag.startswith(self._held.lower()) for tag in _OPENINGS)
            return self._begun

    def _trimmed(self, text: str) -> str:
        """`text` with the white space at its end kept for what follows."""
        text = encodable(text)
        bare = text.rstrip()
        if not bare:
            self._space += text
            return ""
        shown, self._space = self._space + bare, text[len(bare) :]
        return shown
