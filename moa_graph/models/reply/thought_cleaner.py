"""Remove a model's reasoning from a text that arrives in pieces.

Servers that do not parse reasoning return it inside the text, in tags or channels at the beginning of the answer.
`Cleaner` removes it. Its time is linear in the length of the text, whatever the text holds.
"""

from __future__ import annotations

import re
from typing import Final

from moa_graph.models.reply.fields import encodable
from moa_graph.models.reply.thought_marks import (
    GLUED,
    GLUED_END,
    HARMONY,
    LONGEST,
    MARK,
    RUN,
    closed,
    ends_thought,
    may_be_mark,
    opened,
)

__all__ = ["SPACE", "Cleaner"]

SPACE: Final = re.compile(r"[\s\ufeff\u200b]*")
"""White space, and the invisible characters that some servers send before the first word."""
_QUOTES: Final = "`\"'“”‘’«»"


class _Context:
    """What precedes the current position in the answer, as far as it decides whether a mark is quoted."""

    def __init__(self) -> None:
        self.last = ""
        self.blank_line = True
        self._ticks = 0
        self._fences = 0

    def add(self, text: str) -> None:
        if not text:
            return
        self._fences += text.count("```")
        start = text.rfind("\n") + 1
        line = text[start:]
        if start:
            self.blank_line, self._ticks = True, 0
        self.blank_line = self.blank_line and not line.strip()
        self._ticks += line.count("`") - 3 * line.count("```")
        self.last = text[-1]

    @property
    def code(self) -> bool:
        """Whether the position is inside a code span or a code block."""
        return bool(self._fences % 2 or self._ticks % 2)


class Cleaner:
    """`clean` for a text that arrives in pieces.

    The results of `feed` and `rest`, joined, are `clean` of the joined pieces, with one exception: a closing mark
    without an opening mark shows only late that all text before it was reasoning. Then `restarts` grows by one, and
    the caller discards what it has shown.
    """

    def __init__(self) -> None:
        self.restarts = 0
        self._held = ""
        self._at = 0
        self._state = self._start
        self._out: list[str] = []
        self._space = ""
        self._shown = False
        self._begin_answer()

    def feed(self, piece: str) -> str:
        """Add a piece and return the text that can be shown now."""
        self._held += piece.replace("\0", "")
        return self._run(end=False)

    def rest(self) -> str:
        """Return what was held back. Call it once, after the last piece."""
        return self._run(end=True)

    def _run(self, *, end: bool) -> str:
        while self._state(end):
            pass
        self._held, self._at = self._held[self._at :], 0
        shown = "".join(self._out)
        self._out.clear()
        return shown

    # Each state consumes what it can and returns whether there is more to do with the text at hand.

    def _start(self, end: bool) -> bool:
        """Skip white space and find out whether reasoning or the answer begins."""
        run = RUN.match(self._held, self._at)
        self._at = _end_of(run)
        if run and run[1]:  # as after any other thought
            self._surplus = 0
        self._at = _end_of(SPACE.match(self._held, self._at))
        if self._at >= len(self._held):
            return False
        mark = MARK.match(self._held, self._at)
        if mark and (key := opened(mark)):
            self._at, self._key, self._surplus, self._inner = mark.end(), key, 0, 0
            self._state = self._thought
        elif mark and mark["wrapper"]:
            self._at = mark.end()
        elif glued := GLUED.match(self._held, self._at):
            self._at = glued.end()
            self._state = self._glued
        elif self._held.startswith(("<|start|>", "<|channel|>"), self._at):
            self._channel, self._body, self._between = None, False, False
            self._state = self._channels
        elif not end and not mark and self._undecided():
            return False
        else:
            self._begin_answer()
            self._state = self._answer
        return True

    def _undecided(self) -> bool:
        head = self._held[self._at : self._at + LONGEST]
        glued = "analysis".startswith(head) or "assistantanalysis".startswith(head)
        return len(head) < LONGEST and (glued or may_be_mark(head))

    def _begin_answer(self) -> None:
        self._context = _Context()
        self._open = 0

    def _thought(self, end: bool) -> bool:
        """Look for the closing mark of the current reasoning."""
        mark = MARK.search(self._held, self._at)
        if mark is None or (mark.end() == len(self._held) and not end):
            # Keep one character before the mark: it may be a quotation mark.
            kept = mark.start() if mark else self._tail(end)
            self._at = max(self._at, kept - 1)
            return False
        before, after = self._held[max(mark.start() - 1, 0)], self._held[mark.end() : mark.end() + 1]
        self._at = mark.end()
        if before in _QUOTES and after in _QUOTES and after:
            return True
        if opened(mark) == self._key:
            self._surplus += 1 + self._repeats(mark[0])
        elif closed(mark) == self._key:
            self._state = self._start
        elif opened(mark):
            self._inner += 1
        elif closed(mark) and self._inner:
            self._inner -= 1
        elif closed(mark):
            # Some models close a tag by another name. If the tag's own name follows after all, that is the end.
            self._surplus = max(self._surplus, 1)
            self._state = self._start
        return True

    def _repeats(self, mark: str) -> int:
        """Skip the repetitions of a mark that follow it directly, and return their number. There may be millions."""
        begin = self._at
        while self._held.startswith(mark, self._at):
            self._at += len(mark)
        return (self._at - begin) // len(mark)

    def _glued(self, end: bool) -> bool:
        """Look for the end of an analysis channel whose special tokens were dropped."""
        found = self._held.find(GLUED_END, self._at)
        if found < 0:
            self._at = max(self._at, len(self._held) - len(GLUED_END))
            return False
        self._at = found + len(GLUED_END)
        self._surplus = 0
        self._state = self._start
        return True

    def _channels(self, end: bool) -> bool:
        """Read messages in the harmony format and show the bodies of the final channel."""
        token = HARMONY.search(self._held, self._at)
        stop = token.start() if token else self._tail(end)
        text = self._held[self._at : stop]
        if self._between and text.strip():
            # The format ended, and plain text follows.
            self._at += len(text) - len(text.lstrip())
            self._begin_answer()
            self._state = self._answer
            return True
        self._at = stop
        if self._body:
            if self._final:
                self._emit(text)
        elif self._channel is not None:
            self._channel = (self._channel + text)[:LONGEST]
        if token is None:
            return False
        self._at = token.end()
        self._on_token(token[1])
        return True

    def _on_token(self, name: str) -> None:
        self._between = name in ("end", "return", "call")
        if name == "message":
            self._final = self._channel is None or self._channel.strip().lower().startswith("final")
        elif name == "channel":
            self._channel = ""
        elif name == "start":
            self._channel = None
        if name != "constrain":
            self._body = name == "message"

    def _answer(self, end: bool) -> bool:
        """Show the answer, up to a closing mark that makes it reasoning."""
        mark = MARK.search(self._held, self._at)
        stop = mark.start() if mark else self._tail(end)
        self._emit(self._held[self._at : stop])
        self._at = stop
        if mark is None:
            return False
        alone = self._closes_what_precedes(mark, end)
        if alone is None:
            return False
        self._at = mark.start() if alone and mark["final"] else mark.end()
        if alone:
            self._discard()
        elif not mark["wrapper"]:
            self._emit(mark[0])
            if opened(mark):
                self._emit_repeats(mark[0])
        return True

    def _emit_repeats(self, mark: str) -> None:
        """Show the repetitions of an opening mark. The last one stays: what follows decides whether it is quoted."""
        count = self._repeats(mark) - 1
        if count >= 0:
            self._at -= len(mark)
            self._open += 0 if self._context.code else count
            self._emit(mark * count)

    def _closes_what_precedes(self, mark: re.Match[str], end: bool) -> bool | None:
        """Return whether all text before `mark` is reasoning; None when more text must decide."""
        after = self._held[mark.end() : mark.end() + 2 * LONGEST]
        if not after and not end:
            return None
        quoted = self._context.code or (self._context.last in _QUOTES and self._context.last != "")
        if quoted or mark["wrapper"] or (after and after[0] in _QUOTES):
            return False
        if mark["final"]:
            return True
        if opened(mark):
            self._open += 1
            return False
        if self._open:
            self._open -= 1
            return False
        if self._surplus or self._context.blank_line:
            return True
        return ends_thought(self._context.last, after, end)

    def _discard(self) -> None:
        """Discard all text so far and start again."""
        if self._shown:
            self.restarts += 1
        self._shown = False
        self._out.clear()
        self._space = ""
        self._surplus = max(self._surplus - 1, 0)
        self._state = self._start

    def _tail(self, end: bool) -> int:
        """Return where text begins that must wait for more: a part of a mark, half a character, backticks."""
        size = len(self._held)
        if end or size == self._at:
            return size
        floor = max(self._at, size - LONGEST)
        place = max(self._held.rfind(first, floor) for first in "<[◁")
        if place >= 0 and may_be_mark(self._held[place:]):
            return place
        if "\ud800" <= self._held[-1] <= "\udbff":
            return size - 1
        return max(floor, len(self._held.rstrip("`"))) if self._held[-1] == "`" else size

    def _emit(self, text: str) -> None:
        """Show `text`, with the white space at its end kept for what follows."""
        if not text:
            return
        self._context.add(text)
        text = encodable(text)
        bare = text.rstrip()
        if not bare:
            self._space += text if self._shown else ""
            return
        self._out.append(self._space + bare if self._shown else bare.lstrip())
        self._shown = True
        self._space = text[len(bare) :]

    # Of the reasoning that is being read: its closing mark, how many more of them were opened, and how many others.
    _key = ""
    _surplus = 0
    _inner = 0
    # Of the harmony format: the current channel's name, and whether the position is in a body or between messages.
    _channel: str | None = None
    _body = False
    _final = False
    _between = False


def _end_of(match: re.Match[str] | None) -> int:
    return match.end() if match else 0
