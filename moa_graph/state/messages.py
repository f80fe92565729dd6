"""The reducer of the conversation: LangGraph's, with errors that name the input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.graph.message import add_messages

from moa_graph.errors import InputError, MoAError

__all__ = ["add_checked"]


def add_checked(left: Any, right: Any) -> Any:
    """Return the messages of `left` and `right` as LangGraph's reducer joins them.

    Args:
        left: The messages of the state.
        right: A message, or a list of messages: LangChain's, or dicts with `role` and `content`.

    Raises:
        InputError: `right` has malformed messages.
    """
    try:
        return add_messages(left, _readable(right))
    except MoAError:
        raise
    except Exception as exc:
        # LangChain's coercion raises errors of many classes (ValueError, KeyError, pydantic's). The cause is the input.
        reason = " ".join(str(exc).split())[:300]
        raise InputError(
            f"messages: not a valid list of messages ({reason}). "
            'Give LangChain messages or {"role": ..., "content": ...} dicts with text or content blocks.'
        ) from exc


def _readable(given: Any) -> Any:
    """Return the caller's messages. Assistant turns as dicts that LangChain cannot read become messages."""
    if isinstance(given, list):
        return [_readable(each) if isinstance(each, Mapping) else each for each in given]
    if not isinstance(given, Mapping) or given.get("role", given.get("type")) not in ("assistant", "ai"):
        return given
    calls = given.get("tool_calls")
    if not isinstance(calls, list) or not any(isinstance(c, Mapping) and "function" in c for c in calls):
        return given
    valid, invalid = [], []
    for call in calls:
        function = call["function"]
        made = {"name": str(function["name"]), "id": call.get("id")}
        args = _arguments(function.get("arguments"))
        if args is None:
            invalid.append({**made, "args": str(function.get("arguments")), "error": None, "type": "invalid_tool_call"})
        else:
            valid.append({**made, "args": args, "type": "tool_call"})
    names = ("name", "id")
    return AIMessage(
        content=given.get("content") or "",
        tool_calls=valid,
        invalid_tool_calls=invalid,
        additional_kwargs={name: given[name] for name in ("refusal", "audio") if given.get(name)},
        **{name: given[name] for name in names if given.get(name)},
    )


def _arguments(given: Any) -> dict[str, Any] | None:
    """Return a tool call's arguments; None if they are broken. Many servers write "" for a call without arguments."""
    if given is None or (isinstance(given, str) and not given.strip()):
        return {}
    try:
        args = json.loads(given, strict=False) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        return None
    return args if isinstance(args, dict) else None
