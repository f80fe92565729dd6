"""The tool calls of a reply: joined from pieces, then complete with unique ids and an object, or marked invalid."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from langchain_core.messages import InvalidToolCall, ToolCall

from moa_graph.models.limits import MAX_ARGUMENT_CHARS, MAX_TOOL_CALLS, ReplyTooLarge
from moa_graph.models.reply.fields import encodable, plain

__all__ = ["LEFT_OVER", "GrowingCalls", "RawCall", "checked_calls"]


_LONGEST_NAME: Final = 200
"""Characters of the longest name that is usable. The pieces of a longer one are not joined."""

_LONGEST_ID: Final = 2**16
"""Characters of an id. LiteLLM puts Gemini's signature of a thought into the id of the call that follows it."""


@dataclass(slots=True)
class RawCall:
    """A tool call as it arrived. `args` is text or an object."""

    name: object = None
    args: object = None
    id: object = None


def checked_calls(given: Sequence[RawCall], *, cut: bool) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Return the valid calls and the invalid ones, all with unique ids.

    Args:
        given: The calls as they arrived.
        cut: Whether the reply ended at a limit, so that arguments of the last call may be missing.

    Raises:
        ReplyTooLarge: There are too many.
    """
    if len(given) > MAX_TOOL_CALLS:
        raise ReplyTooLarge("list of tool calls", MAX_TOOL_CALLS, "calls")
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    ids: set[str] = set()
    for call in given:
        id_ = encodable(call.id)[:_LONGEST_ID] if isinstance(call.id, str) else ""
        if not id_ or id_ in ids:
            id_ = f"call_{uuid.uuid4().hex[:24]}"
        ids.add(id_)
        # Some servers leave gpt-oss' special tokens behind the name.
        name = encodable(call.name).partition("<|")[0].strip() if isinstance(call.name, str) else ""
        args, error = _arguments(call.args, cut=cut and call is given[-1])
        if args is not None and 0 < len(name) <= _LONGEST_NAME:
            calls.append(ToolCall(name=name, args=args, id=id_, type="tool_call"))
            continue
        shown = encodable(call.args if isinstance(call.args, str) else repr(call.args))[:2000]
        error = error or "the call has no usable name"
        invalid.append(
            InvalidToolCall(name=name[:_LONGEST_NAME], args=shown, id=id_, error=error, type="invalid_tool_call")
        )
    return calls, invalid


def _arguments(given: object, *, cut: bool) -> tuple[dict[str, Any] | None, str | None]:
    """Return the arguments as an object, or None and the reason. A call without arguments has an empty object."""
    if isinstance(given, str) and len(given) > MAX_ARGUMENT_CHARS:
        return None, f"the arguments are longer than {MAX_ARGUMENT_CHARS:,} characters"
    value: Any = given
    if value is None or (isinstance(value, str) and not value.strip()):
        return (None, "the arguments were cut off") if cut else ({}, None)
    try:
        for _ in range(2):  # some servers encode the text twice
            value = _json(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None, "the arguments are not valid JSON"
    if value is None:  # the text "null", for a call without arguments
        return {}, None
    if not isinstance(value, Mapping):
        return None, "the arguments are not a JSON object"
    checked = plain(value, text=MAX_ARGUMENT_CHARS, values=100_000, depth=100)
    return (checked, None) if isinstance(checked, dict) else (None, "the arguments are nested too deeply")


def _json(text: str) -> Any:
    """Return the JSON value in `text`.

    Some servers repeat the whole text at the end of a stream, proxies for Anthropic begin it with an empty object, and
    parsers of models' own formats leave closing brackets and special tokens behind it.
    """
    value, end = _DECODER.raw_decode(text := text.strip())
    first, rest = text[:end], text[end:].strip()
    if rest and value == {}:
        value, end = _DECODER.raw_decode(rest)
        first, rest = rest[:end], rest[end:].strip()
    if rest and rest != first and not LEFT_OVER.fullmatch(rest):
        raise ValueError("text after the JSON")
    return value


_DECODER: Final = json.JSONDecoder(strict=False)
LEFT_OVER: Final = re.compile(r"(?:[\s}\]]|<\|[a-z_]{1,40}\|>)*+(?:<(?:\|(?:[a-z_]{1,40}\|?)?)?)?")
"""What may follow complete arguments without a meaning, or the beginning of it."""


class _Growing:
    """A tool call in pieces."""

    def __init__(self, index: object) -> None:
        self.index = index
        self.name = ""
        self.id: object = None
        self.object: Any = None
        self.parts: list[str] = []
        self._braces = 0
        self._last = ""

    def extend(self, name: object, args: object, id_: object) -> None:
        if isinstance(name, str) and name != self.name and len(self.name) <= _LONGEST_NAME:
            self.name += name
        self.id = self.id or id_
        if isinstance(args, str):
            self.parts.append(args)
            self._braces += args.count("{") - args.count("}")
            self._last = args.rstrip()[-1:] or self._last
        elif isinstance(args, Mapping) and isinstance(self.object, dict):
            self.object.update(args)
        elif args is not None:
            self.object = dict(args) if isinstance(args, Mapping) else args

    @property
    def complete(self) -> bool:
        """Whether the arguments look complete."""
        return self.object is not None or (self._last == "}" and self._braces <= 0)

    @property
    def begun(self) -> bool:
        return self.object is not None or bool(self._last)


class GrowingCalls:
    """Tool calls in pieces. Some servers omit indexes and ids, use index 0 for every call, or repeat names."""

    def __init__(self) -> None:
        self.chars = 0
        self.calls: list[_Growing] = []

    def add_whole(self, call: RawCall) -> None:
        self._begin(None).extend(call.name, call.args, call.id)

    def add(self, name: object, args: object, id_: object, index: object) -> int:
        """Add a piece and return the place of its call."""
        id_ = id_ if isinstance(id_, str) and id_ else None
        call = self._at(index)
        if call is None or self._is_new(call, name, args, id_):
            call = self._begin(index)
        call.extend(name, args, id_)
        self.chars += len(args) if isinstance(args, str) else 0
        return self.calls.index(call)

    def _begin(self, index: object) -> _Growing:
        if len(self.calls) >= MAX_TOOL_CALLS:
            raise ReplyTooLarge("list of tool calls", MAX_TOOL_CALLS, "calls")
        self.calls.append(_Growing(index))
        return self.calls[-1]

    def _at(self, index: object) -> _Growing | None:
        if index is None:
            return self.calls[-1] if self.calls else None
        return next((call for call in reversed(self.calls) if call.index == index), None)

    @staticmethod
    def _is_new(call: _Growing, name: object, args: object, id_: str | None) -> bool:
        """Return whether a piece for the place of `call` begins another call."""
        if id_ and call.id:
            # Some servers make up a new id for every piece; such pieces have no name.
            return id_ != call.id and (bool(name) or call.complete)
        if not name or not call.name:
            return False
        if name != call.name:
            return call.begun
        whole = isinstance(args, Mapping) or (isinstance(args, str) and args.strip()[:1] == "{")
        return call.complete and whole

    def joined(self) -> list[RawCall]:
        return [
            RawCall(call.name, call.object if call.object is not None else "".join(call.parts), call.id)
            for call in self.calls
        ]
