"""Repair malformed fields of replies in OpenAI's protocol, so that LangChain can read the rest of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from moa_graph.models.faults.bodies import message_in
from moa_graph.models.reply.fields import token_count

__all__ = ["repaired"]

_COUNTS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")
_DETAILS: Final = ("prompt_tokens_details", "completion_tokens_details")
_NAMES: Final = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "prompt_tokens_details": "input_tokens_details",
    "completion_tokens_details": "output_tokens_details",
}
"""Other names of counts, of proxies for Anthropic and of the Responses API."""
_CACHES: Final = {
    "cached_tokens": ("cached_tokens", "num_cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens"),
    "cache_write_tokens": ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens"),
}
"""The details of a prompt that LangChain reads, each with the names that providers give it, in the details or beside
the counts: Mistral's, DeepSeek's, Together's and Moonshot's, and those of proxies for Anthropic."""
_THOUGHTS: Final = ("reasoning_tokens", "thinking_tokens")
"""The names of the tokens of thoughts, in the details or beside the counts: Perplexity's and Xiaomi's, Anthropic's."""

_ANTHROPIC_CACHES: Final = frozenset(names[-1] for names in _CACHES.values())


def repaired(data: dict[str, Any], *, chunk: bool = False) -> dict[str, Any]:
    """Return a whole reply or a chunk of a stream, repaired in place."""
    usage = data.get("usage") or _usage_elsewhere(data)
    if usage or "usage" in data:
        data["usage"] = _usage(usage)
    if not isinstance(data.get("service_tier"), str | None):
        del data["service_tier"]
    choices = data.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        if chunk and not isinstance(delta := choice.get("delta"), dict):
            choice["delta"] = {"content": delta} if isinstance(delta, str) else delta or choice.get("message") or {}
        if not isinstance(reason := choice.get("finish_reason"), str | None):
            choice["finish_reason"] = f"a value of type {type(reason).__name__}"
        for name in ("message", "delta"):
            if isinstance(message := choice.get(name), dict):
                _repair(message, whole=not chunk)
        if not isinstance(choice.get("logprobs"), dict | None):
            choice["logprobs"] = None
    return data


def _usage_elsewhere(data: Mapping[str, Any]) -> Any:
    """Return the usage of a stream that is not in its own place: Groq's, or Moonshot's, in the choice."""
    choices, groq = data.get("choices"), data.get("x_groq")
    first = choices[0] if isinstance(choices, list) and choices else None
    found = [place.get("usage") for place in (groq, first) if isinstance(place, Mapping)]
    return next(filter(None, found), None)


def _usage(given: Any) -> dict[str, Any] | None:
    """Return a usage whose counts are integers, or None when they are not known."""
    if not isinstance(given, dict):
        return None
    counts = {name: token_count(given.get(name, given.get(_NAMES.get(name)))) for name in _COUNTS}
    known = {name: count for name, count in counts.items() if count is not None}
    if "completion_tokens" not in known and known.get("total_tokens", -1) >= known.get("prompt_tokens", 2**53):
        # Gemini leaves out the tokens of an answer that did not begin; those of its thoughts are in the total.
        known["completion_tokens"] = known["total_tokens"] - known["prompt_tokens"]
    if not {"prompt_tokens", "completion_tokens"} <= known.keys():
        # LangChain would take missing counts for 0. A stated cost has been kept.
        return None
    details = {
        name: {key: token_count(value) or 0 for key, value in stated.items()}
        for name in _DETAILS
        if isinstance(stated := given.get(name) or given.get(_NAMES[name]), dict)
    }
    sent = details.get("prompt_tokens_details", {})
    places = [(of, name, key) for name, keys in _CACHES.items() for of in (given, sent) for key in reversed(keys)]
    # The first of several places counts: the details, and the usual name.
    caches = {name: count for of, name, key in places if (count := token_count(of.get(key)))}
    if caches:
        details["prompt_tokens_details"] = {**sent, **caches}
    received = details.get("completion_tokens_details", {})
    thoughts = next((count for of in (received, given) for key in _THOUGHTS if (count := token_count(of.get(key)))), 0)
    if thoughts and not received.get("reasoning_tokens"):
        details["completion_tokens_details"] = {**received, "reasoning_tokens": thoughts}
    known["prompt_tokens"] += _caches_beside(known, given)
    beside = _thoughts_beside(known, details.get("completion_tokens_details", {}))
    known["completion_tokens"] = min(known["completion_tokens"] + beside, 2**53 - 1)
    return {**{key: value for key, value in given.items() if key not in (*_COUNTS, *_DETAILS)}, **known, **details}


def _caches_beside(counts: Mapping[str, int], given: Mapping[str, Any]) -> int:
    """Return the cached tokens that a proxy for Anthropic leaves out of `prompt_tokens`, as Anthropic does."""
    if _ANTHROPIC_CACHES.isdisjoint(given):
        return 0
    sent, beside = counts["prompt_tokens"], sum(token_count(given.get(name)) or 0 for name in _ANTHROPIC_CACHES)
    apart = beside > sent or counts.get("total_tokens") == sent + beside + counts["completion_tokens"]
    return min(beside, 2**53 - 1 - sent) if beside and apart else 0


def _thoughts_beside(counts: Mapping[str, int], details: Mapping[str, int]) -> int:
    """Return the tokens of reasoning that a provider bills and leaves out of `completion_tokens`.

    xAI states them in the details, Gemini's OpenAI-compatible endpoint only in the total.
    """
    answer, reasoning = counts["completion_tokens"], details.get("reasoning_tokens", 0)
    beside = counts.get("total_tokens", 0) - counts["prompt_tokens"] - answer
    if reasoning > answer or (beside > 0 and beside == reasoning):
        return reasoning
    return max(beside, 0) if not reasoning and not details else 0


def _repair(message: dict[str, Any], *, whole: bool) -> None:
    """Repair a message, or the piece of one."""
    message["role"] = "assistant"
    for name in ("name", "id"):
        if not isinstance(message.get(name), str | None):
            del message[name]
    message["content"] = _content(message.get("content"))
    if not isinstance(refusal := message.get("refusal"), str | None):
        message["refusal"] = message_in(refusal)
    calls = message.get("tool_calls")
    if isinstance(calls := [calls] if isinstance(calls, dict) else calls, list):
        message["tool_calls"] = [_call(call, whole=whole) for call in calls if isinstance(call, dict)]
    elif calls is not None:
        del message["tool_calls"]
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        message["function_call"] = _function(legacy, whole=whole)
    elif legacy is not None:
        del message["function_call"]


def _content(given: Any) -> Any:
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, dict) and isinstance(given.get("text"), str):
        return [given]  # one content block
    if isinstance(given, list):
        return [part for part in given if isinstance(part, str | dict)]
    return str(given) if isinstance(given, int | float) and not isinstance(given, bool) else None


def _call(call: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    function = call.get("function")
    # Some servers write the function's fields into the call.
    repaired_call = {**call, "function": _function(function if isinstance(function, dict) else call, whole=whole)}
    if not isinstance(call.get("id"), str | None):
        repaired_call["id"] = None
    return repaired_call


_ARGUMENTS: Final = ("parameters", "args", "input")
"""Names of the arguments in the calls of Cohere, Gemini and Anthropic, which proxies may keep."""


def _function(function: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    name, arguments = function.get("name"), function.get("arguments")
    if not arguments:
        arguments = next((given for each in _ARGUMENTS if (given := function.get(each))), arguments)
    if not isinstance(arguments, str | None):
        arguments = json.dumps(arguments)
    if whole and arguments:
        arguments = _object_text(arguments)
    return {**function, "name": name if isinstance(name, str) else None, "arguments": arguments}


def _object_text(arguments: str) -> str:
    """Return arguments that LangChain reads: it rejects the whole message for valid JSON that is not an object."""
    try:
        value = json.loads(arguments, strict=False)
    except (ValueError, RecursionError):
        return arguments
    if isinstance(value, str):  # some servers encode the text once more
        try:
            arguments, value = value, json.loads(value, strict=False)
        except (ValueError, RecursionError):
            value = None
    if value is None and arguments.strip() == "null":
        return "{}"
    return arguments if isinstance(value, dict) else f"{arguments} (not a JSON object)"
