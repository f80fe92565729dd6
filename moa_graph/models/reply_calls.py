"""The tool calls of a reply: complete, with ids of their own and arguments that are an object, or marked invalid."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import InvalidToolCall, ToolCall

from moa_graph.models.limits import MAX_ARGUMENT_CHARS, MAX_TOOL_CALLS, ReplyTooLarge
from moa_graph.models.plain import plain
from moa_graph.models.thoughts import encodable

__all__ = ["RawCall", "checked_calls"]


@dataclass(slots=True)
class RawCall:
    """A tool call as it arrived; `args` is text or an object."""

    name: object = None
    args: object = None
    id: object = None


def checked_calls(given: Sequence[RawCall], *, cut: bool) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Return the calls that can be made and those that cannot, all with ids of their own."""
    if len(given) > MAX_TOOL_CALLS:
        raise ReplyTooLarge("list of tool calls", MAX_TOOL_CALLS, "calls")
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    ids: set[str] = set()
    for call in given:
        id_ = encodable(call.id)[:200] if isinstance(call.id, str) else ""
        if not id_ or id_ in ids:
            id_ = f"call_{uuid.uuid4().hex[:24]}"
        ids.add(id_)
        name = encodable(call.name) if isinstance(call.name, str) else ""
        args, error = _arguments(call.args, cut=cut and call is given[-1])
        if args is not None and 0 < len(name) <= 200:
            calls.append(ToolCall(name=name, args=args, id=id_, type="tool_call"))
            continue
        shown = encodable(call.args if isinstance(call.args, str) else repr(call.args))[:2000]
        error = error or "the call has no usable name"
        invalid.append(InvalidToolCall(name=name[:200], args=shown, id=id_, error=error, type="invalid_tool_call"))
    return calls, invalid


def _arguments(given: object, *, cut: bool) -> tuple[dict[str, Any] | None, str | None]:
    """Return the arguments as an object, or None and the reason. A call without arguments has an empty object."""
    if isinstance(given, str) and len(given) > MAX_ARGUMENT_CHARS:
        return None, f"the arguments are longer than {MAX_ARGUMENT_CHARS:,} characters"
    value: Any = given
    if value is None or (isinstance(value, str) and not value.strip()):
        return (None, "the arguments were cut off") if cut else ({}, None)
    try:
        for _ in range(2):  # some servers encode the text once more
            value = json.loads(value, strict=False) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None, "the arguments are not valid JSON"
    if not isinstance(value, Mapping):
        return None, "the arguments are not a JSON object"
    checked = plain(value, text=MAX_ARGUMENT_CHARS, values=100_000, depth=100)
    return (checked, None) if isinstance(checked, dict) else (None, "the arguments are nested too deeply")
