"""The reducer of the conversation: LangGraph's, with errors that name the input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages
from langgraph.graph.message import add_messages
from pydantic import ValidationError

from moa_graph.errors import MoAError
from moa_graph.state.field_errors import field_problems, place_of
from moa_graph.state.updates import UpdateError
from moa_graph.state.value_text import given

__all__ = ["add_checked"]

_ROLES = frozenset({"human", "user", "ai", "assistant", "system", "developer", "tool", "function", "remove"})
_ASSISTANT = ("assistant", "ai")
_INSTEAD = ("audio", "refusal", "function_call")
"""Fields in whose presence an assistant's turn may leave its content out, in OpenAI's protocol."""
_SOME_ROLES = "user, assistant, system, developer or tool"
_BLOCK = '{"type": "text", "text": "..."}'
_FORM = 'Give LangChain messages or {"role": ..., "content": ...} dicts with text or content blocks.'


def add_checked(left: Any, right: Any) -> Any:
    """Return the messages of `left` and `right` as LangGraph's reducer joins them.

    Args:
        left: The messages of the state.
        right: A message, or a list of messages: LangChain's, or dicts with `role` and `content`.

    Raises:
        InputError: `right` has malformed messages.
    """
    for place, message in enumerate(right if isinstance(right, list) else [right]):
        if isinstance(message, Mapping) and (problem := _problem(message)):
            raise UpdateError(f"messages[{place}]{problem}")
    try:
        return add_messages(left, _readable(right))
    except MoAError:
        raise
    except Exception as exc:
        # LangChain's coercion raises errors of many classes (ValueError, KeyError, pydantic's). The cause is the input.
        raise UpdateError(_reason(right, exc)) from exc


def _problem(message: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a message as a dict, as the rest of its place and the reason; None if nothing is."""
    if message.get("lc") == 1:
        return None  # LangChain's own serialized form
    role = message.get("role", message.get("type"))
    if role is None:
        return f".role: missing. Use {_SOME_ROLES}."
    if not isinstance(role, str) or role not in _ROLES:
        return f".role: {given(role)} is not a role. Use {_SOME_ROLES}."
    if role == "remove":
        return None
    calls = [] if message.get("tool_calls") is None else message["tool_calls"]
    instead = role in _ASSISTANT and any(message.get(name) for name in _INSTEAD)
    if "content" not in message and not calls and not instead:
        return ".content: missing. Give text, or a list of content blocks."
    return _content_problem(message.get("content")) or _calls_problem(calls) or _names_problem(message, role)


def _content_problem(content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return None
    if not isinstance(content, list):
        return f".content: expected text or a list of content blocks, got {given(content)}."
    for place, block in enumerate(content):
        if not isinstance(block, str | Mapping):
            return f".content[{place}]: expected a content block, such as {_BLOCK}, got {given(block)}."
    return None


def _calls_problem(calls: Any) -> str | None:
    if not isinstance(calls, list):
        return f".tool_calls: expected a list, got {given(calls)}."
    for place, call in enumerate(calls):
        at = f".tool_calls[{place}]"
        if not isinstance(call, Mapping):
            return f"{at}: expected a tool call with id and function, got {given(call)}."
        function = _function(call)
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(name, str):
            return f"{at}: expected a function with its name as text, got {given(call.get('function', name))}."
        if function is call and not isinstance(call.get("args"), Mapping):
            return f"{at}.args: expected the arguments by name, got {given(call.get('args'))}."
        if not isinstance(id_ := call.get("id"), str | None):
            return f"{at}.id: expected text, got {given(id_)}."
    return None


def _names_problem(message: Mapping[str, Any], role: str) -> str | None:
    call_id = message.get("tool_call_id")
    if role == "tool" and (call_id is None or isinstance(call_id, list | Mapping)):
        return f".tool_call_id: expected the id of the call that this is the result of, got {given(call_id)}."
    for name in ("name", "id"):
        if not isinstance(value := message.get(name), str | None):
            return f".{name}: expected text, got {given(value)}."
    return None


def _reason(right: Any, exc: Exception) -> str:
    """Return which of the caller's messages LangChain cannot read, and why, in our words where they are known."""
    messages = right if isinstance(right, list) else [right]
    for place, message in enumerate(messages):
        try:
            convert_to_messages([_readable(message)])
        except Exception as own:
            if not isinstance(message, Mapping | BaseMessage):
                reason = f"expected a message with role and content, got {given(message)}"
            else:
                reason = f"cannot be read ({_plain(own)})"
            return f"messages[{place}]: {reason}. {_FORM}"
    return f"messages: cannot be read ({_plain(exc)}). {_FORM}"


def _plain(exc: Exception) -> str:
    if isinstance(exc, ValidationError):
        first = field_problems(exc, {})[0]
        return f"{place_of(first.path)}: {first.text}".rstrip(".")
    return " ".join(str(exc).partition("For troubleshooting")[0].split())[:300].rstrip(" .")


def _readable(message: Any) -> Any:
    """Return the caller's messages. Assistant turns as dicts that LangChain cannot read become messages."""
    if isinstance(message, list):
        return [_readable(each) if isinstance(each, Mapping) else each for each in message]
    if not isinstance(message, Mapping) or message.get("role", message.get("type")) not in _ASSISTANT:
        return message
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or all(_function(call) is call for call in calls):
        # A turn that only calls tools may leave its content out.
        return {"content": "", **message}
    valid, invalid = [], []
    for call in calls:
        function = _function(call)
        made = {"name": str(function["name"]), "id": call.get("id")}
        args = _arguments(function.get("arguments", function.get("args")))
        if args is None:
            invalid.append({**made, "args": str(function.get("arguments")), "error": None, "type": "invalid_tool_call"})
        else:
            valid.append({**made, "args": args, "type": "tool_call"})
    names = ("name", "id")
    others = message.get("additional_kwargs")
    return AIMessage(
        content=message.get("content") or "",
        tool_calls=valid,
        invalid_tool_calls=invalid,
        additional_kwargs={
            **(others if isinstance(others, Mapping) else {}),
            **{name: message[name] for name in ("refusal", "audio") if message.get(name)},
        },
        **{name: message[name] for name in names if message.get(name)},
    )


def _function(call: Mapping[str, Any]) -> Any:
    """Return the function in a call. OpenAI's custom tools take a text: it is the argument `input`."""
    custom = call.get("custom")
    if "function" not in call and isinstance(custom, Mapping):
        return {"name": custom.get("name"), "args": {"input": custom.get("input")}}
    return call.get("function", call)


def _arguments(arguments: Any) -> dict[str, Any] | None:
    """Return a tool call's arguments; None if they are broken. Many servers write "" for a call without arguments."""
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return {}
    try:
        args = json.loads(arguments, strict=False) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return None
    return args if isinstance(args, dict) else None
