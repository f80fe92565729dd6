"""The arguments of streamed tool calls, checked before LangChain parses them.

LangChain parses the arguments of every piece, and of all pieces joined, with its parser of partial JSON. For a text
that begins JSON and has little white space, it takes time in proportion to the length. For other texts it tries every
shorter one in turn: 50,000 characters stop the event loop for a minute. A model that repeats white space until its
token limit sends such a text.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from typing import Any, Final, Literal

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.tool import ToolCallChunk

from moa_graph.models.limits import MAX_ARGUMENT_CHARS, MAX_TEXT_CHARS, ReplyTooLarge
from moa_graph.models.reply.calls import LEFT_OVER, GrowingCalls
from moa_graph.models.reply.reply import is_long

__all__ = ["LONG_PIECE", "CheckedArguments"]

LONG_PIECE: Final = 1000
"""Characters that LangChain may parse whatever they are. It takes 15 ms at most."""

_UNFINISHED: Final = 150_000
"""Characters of incomplete arguments that are passed on. LangChain parses them in 30 ms when the stream breaks off."""

_LONGEST_WORD: Final = 4300
"""Characters of a number. Python reads no longer integer."""

_CUT: Final = "…"
"""Stands for text after complete arguments that is omitted. It makes them invalid."""

_BLANKS: Final = " \t\r\n"
_SPACES: Final = re.compile(f"[{_BLANKS}]+")
_LETTERS: Final = re.compile(r"[-+.0-9A-Za-z]+")
_WORD: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null|NaN|-?Infinity")
_TEXT: Final = re.compile(r'(?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_ESCAPE: Final = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")
_CLOSING: Final = {"{": "}", "[": "]"}

_Next = Literal["value", "item", "key", "first key", "colon", "comma", "end"]


class CheckedArguments:
    """Checks the tool calls of one stream, piece by piece.

    The arguments that are passed on are a beginning of JSON, with one character for each white space between values.
    Text that cannot continue the JSON is passed on only if all calls with such text have at most `LONG_PIECE`
    characters in total. Otherwise it is omitted, and the call remains invalid. When a server repeats complete
    arguments, or repeats in each piece all that came before, the repetition is omitted too.
    """

    def __init__(self) -> None:
        self._calls = GrowingCalls()
        self._arguments: list[_Arguments] = []
        self._indexes: list[int | str] = []
        self._broken = 0

    async def check(self, message: BaseMessage) -> None:
        """Check the pieces of tool calls in a chunk, and change them in place. Long ones are checked in a thread.

        Calls that share an index get one each, so that LangChain does not join the arguments of two calls.

        Raises:
            ReplyTooLarge: There are too many calls, or too much text.
        """
        if not isinstance(message, AIMessageChunk) or not (pieces := message.tool_call_chunks):
            return
        pieces[:] = await asyncio.to_thread(self._checked, pieces) if is_long(pieces) else self._checked(pieces)

    def _checked(self, pieces: Iterable[ToolCallChunk]) -> list[ToolCallChunk]:
        return [self._piece(each) for each in pieces]

    def _piece(self, piece: ToolCallChunk) -> ToolCallChunk:
        name, args, id_, index = piece.get("name"), piece.get("args"), piece.get("id"), piece.get("index")
        place = self._calls.add(name, args, id_, index)
        if self._calls.chars > MAX_TEXT_CHARS:
            raise ReplyTooLarge("answer", MAX_TEXT_CHARS, "characters")
        if place == len(self._arguments):
            self._arguments.append(_Arguments())
            self._indexes.append(self._unused(index))
        if isinstance(args, str):
            args = self._passed(self._arguments[place], args)
        own: Any = self._indexes[place]  # some providers have texts there
        return ToolCallChunk(name=name, args=args, id=id_, index=own, type="tool_call_chunk")

    def _unused(self, index: int | str | None) -> int | str:
        """Return `index`, or the next number when another call has it."""
        if index is not None and index not in self._indexes:
            return index
        return max((each for each in self._indexes if isinstance(each, int)), default=-1) + 1

    def _passed(self, arguments: _Arguments, text: str) -> str:
        known = arguments.broken
        begin, rest = arguments.add(text)
        if not arguments.broken:
            return begin
        self._broken += 0 if known else arguments.chars
        if arguments.complete and arguments.chars > _UNFINISHED:
            raise ReplyTooLarge("arguments of a tool call that are not JSON", LONG_PIECE, "characters")
        if self._broken + len(rest) > LONG_PIECE:
            return begin if known or not arguments.complete else begin + _CUT
        self._broken += len(rest)
        return begin + rest


class _Arguments:
    """The arguments of one call.

    Attributes:
        chars: Characters that were passed on.
        broken: Whether text has followed that does not continue JSON.
    """

    def __init__(self) -> None:
        self.chars = 0
        self.broken = False
        self._json = _Json()
        self._size = 0
        self._sent: list[str] = []
        self._cumulative = False
        self._left_over = ""
        self._texts: list[str] = []
        self._held: list[str] = []
        self._whole = ""
        self._repeated = 0

    @property
    def complete(self) -> bool:
        """Whether the JSON is complete."""
        return self._json.next == "end"

    def add(self, text: str) -> tuple[str, str]:
        """Return what of `text` continues the JSON and may be passed on, and the rest, which breaks it."""
        if self._cumulative:
            text = self._new(text)
        self._size += len(text)
        if self.broken or self._size > MAX_ARGUMENT_CHARS:
            self.broken = True
            return "", text
        begin, rest = self._json.read(text)
        if rest and not self._cumulative and not self.complete and text.startswith(sent := "".join(self._sent)):
            # Some servers repeat in each piece all that came before.
            self._cumulative, self._json = bool(sent), _Json()
            self._json.read(sent)
            text = text[len(sent) :]
            self._size -= len(sent)
            begin, rest = self._json.read(text)
        self._sent.append(text)
        self._texts.append(begin)
        if rest and self.complete and "".join(self._texts).strip() == "{}":  # some proxies begin with an empty object
            self._json = _Json()
            more, rest = self._json.read(rest)
            self._texts = [more]
            begin += more
        self.broken = bool(rest) and not (self.complete and (self._repeats(rest) or self._is_left_over(rest)))
        passed = self._may_pass(begin)
        self.chars += len(passed)
        return passed, rest if self.broken else ""

    def _new(self, text: str) -> str:
        """Return what is new in a piece that repeats all before it. One that does not is the first of usual ones."""
        self._sent = ["".join(self._sent)]
        self._cumulative = text.startswith(self._sent[0]) or self._sent[0].startswith(text)
        return text[len(self._sent[0]) :] if self._cumulative else text

    def _is_left_over(self, text: str) -> bool:
        """Return whether `text`, after complete arguments, has no meaning."""
        self._left_over = (self._left_over + text)[:LONG_PIECE]
        return LEFT_OVER.fullmatch(self._left_over) is not None

    def _repeats(self, text: str) -> bool:
        """Return whether `text`, after complete arguments, is a part of their repetition, the next one."""
        part = _SPACES.sub("", text)
        self._whole = self._whole or _SPACES.sub("", "".join(self._texts))
        begin, self._repeated = self._repeated % len(self._whole), self._repeated + len(part)
        return self._whole.startswith(part, begin)

    def _may_pass(self, text: str) -> str:
        if self.complete or (self.chars + len(text) <= _UNFINISHED and not self._held):
            text, self._held = "".join([*self._held, text]), []
            return text
        self._held.append(text)
        return ""


class _Json:
    """Reads one JSON value in pieces.

    Attributes:
        next: What may come next, besides white space.
    """

    def __init__(self) -> None:
        self.next: _Next = "value"
        self._open: list[str] = []
        self._after_text: _Next | None = None
        self._blank = False
        self._cut = ""

    def read(self, piece: str) -> tuple[str, str]:
        """Return what of `piece` continues the JSON, without most white space between values, and the rest."""
        if len(piece) > LONG_PIECE and self.next == "value" and not (self._open or self._cut) and _is_json(piece):
            self.next = "end"
            return piece, ""
        # What was cut at the end of the last piece is read again. It was passed on.
        text, at, start = self._cut + piece, 0, len(self._cut)
        parts, self._cut = list[str](), ""
        while at < len(text):
            if self._after_text is not None:
                end = self._end_of_text(text, at)
            elif text[at] in _BLANKS:
                end = _end(_SPACES, text, at)
                parts.append(text[start : at + (not self._blank)])
                start, self._blank = end, True
            else:
                end, self._blank = self._end_of_token(text, at), False
            if end is None:
                kept = max(at, start)
                return "".join([*parts, text[start:kept]]), text[kept:]
            at = end
        return "".join([*parts, text[start:]]), ""

    def _end_of_text(self, text: str, at: int) -> int | None:
        """Read the inside of a text and its closing quote; None if an escape is wrong."""
        end = _end(_TEXT, text, at)
        if end == len(text):
            return end
        if text[end] == '"':
            self.next, self._after_text = self._after_text or "end", None
            return end + 1
        if _end(_ESCAPE, text, end) < len(text):
            return None
        self._cut = text[end:]
        return len(text)

    def _end_of_token(self, text: str, at: int) -> int | None:
        """Read a token; None if it cannot come here."""
        sign, value = text[at], self.next in ("value", "item")
        if sign == '"' and (value or self.next in ("key", "first key")):
            self._after_text = self._after_value() if value else "colon"
        elif sign in _CLOSING and value:
            self._open.append(_CLOSING[sign])
            self.next = "first key" if sign == "{" else "item"
        elif self._open and sign == self._open[-1] and self.next in ("comma", "first key" if sign == "}" else "item"):
            self._open.pop()
            self.next = self._after_value()
        elif sign == ":" and self.next == "colon":
            self.next = "value"
        elif sign == "," and self.next == "comma":
            self.next = "key" if self._open[-1] == "}" else "value"
        else:
            return self._end_of_word(text, at) if value else None
        return at + 1

    def _end_of_word(self, text: str, at: int) -> int | None:
        """Read a number or a name, such as "true". One at the end of the text may continue in the next piece."""
        end = _end(_LETTERS, text, at)
        if end == len(text) and 0 < end - at <= _LONGEST_WORD:
            self._cut = text[at:]
            return end
        if not _WORD.fullmatch(text, at, end):
            return None
        self.next = self._after_value()
        return end

    def _after_value(self) -> _Next:
        return "comma" if self._open else "end"


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Return the end of the match at `at`; `at` without one."""
    found = pattern.match(text, at)
    return found.end() if found else at


def _is_json(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True
