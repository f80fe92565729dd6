"""Repair replies in OpenAI's protocol so that LangChain's message classes take them.

LangChain validates some fields and computes with others, so that one odd value loses a whole answer: a role that is not
"assistant", a token count that is text, arguments that are an object. Each is replaced by what it means, or left out.
"""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = ["repaired"]

_COUNTS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")
_DETAILS: Final = ("prompt_tokens_details", "completion_tokens_details")


def repaired(data: dict[str, Any]) -> dict[str, Any]:
    """Return a whole reply or a chunk of a stream, repaired in place."""
    if "usage" in data:
        data["usage"] = _usage(data["usage"])
    if not isinstance(data.get("service_tier"), str | None):
        del data["service_tier"]
    choices = data.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        for name in ("message", "delta"):
            if isinstance(message := choice.get(name), dict):
                _repair(message)
        if not isinstance(choice.get("logprobs"), dict | None):
            choice["logprobs"] = None
    return data


def _usage(given: Any) -> dict[str, Any] | None:
    """Return a usage whose counts are integers, or None when they are not known."""
    if not isinstance(given, dict):
        return None
    counts = {name: _count(given[name]) for name in _COUNTS if given.get(name) is not None}
    if counts.get("prompt_tokens") is None or counts.get("completion_tokens") is None:
        # Without counts the provider's own price still stands.
        return None
    details = {
        name: {key: _count(value) or 0 for key, value in given[name].items()}
        for name in _DETAILS
        if isinstance(given.get(name), dict)
    }
    known = {name: count for name, count in counts.items() if count is not None}
    return {**{key: value for key, value in given.items() if key not in (*_COUNTS, *_DETAILS)}, **known, **details}


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(value) if 0 <= value < 2**53 else None


def _repair(message: dict[str, Any]) -> None:
    """Repair a message, or the piece of one."""
    message["role"] = "assistant"
    for name in ("name", "id"):
        if not isinstance(message.get(name), str | None):
            del message[name]
    message["content"] = _content(message.get("content"))
    if isinstance(calls := message.get("tool_calls"), list):
        message["tool_calls"] = [_call(call) for call in calls if isinstance(call, dict)]
    elif calls is not None:
        del message["tool_calls"]
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        message["function_call"] = _function(legacy)
    elif legacy is not None:
        del message["function_call"]


def _content(given: Any) -> Any:
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, list):
        return [part for part in given if isinstance(part, str | dict)]
    return str(given) if isinstance(given, int | float) and not isinstance(given, bool) else None


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    repaired_call = {**call, "function": _function(function if isinstance(function, dict) else {})}
    if not isinstance(call.get("id"), str | None):
        repaired_call["id"] = None
    return repaired_call


def _function(function: dict[str, Any]) -> dict[str, Any]:
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(arguments, str | None):
        arguments = json.dumps(arguments)
    return {**function, "name": name if isinstance(name, str) else None, "arguments": arguments}
