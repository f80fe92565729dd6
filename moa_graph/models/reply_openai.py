"""LangChain's OpenAI chat models with malformed replies repaired, and with what must go back to the provider kept.

LangChain validates some fields and computes with others, so that one malformed value loses a whole answer: a role that
is not "assistant", a token count that is text, arguments that are an object. Each is replaced by its meaning, or
omitted.
This holds for replies from `openai_http` and for those that the SDK has read.
"""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import PrivateAttr

from moa_graph.models.fault_reading import message_in
from moa_graph.models.faults import Fault, ProviderError
from moa_graph.models.reply import EXTRAS
from moa_graph.models.reply_fields import COSTS, stated_cost, token_count

__all__ = ["repaired", "repairing"]

_COUNTS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")
_DETAILS: Final = ("prompt_tokens_details", "completion_tokens_details")
_CACHES: Final = {
    "cached_tokens": ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens"),
    "cache_write_tokens": ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens"),
}
"""The details of a prompt that LangChain reads, each with the names that providers give it, in the details or beside
the counts: DeepSeek's, Together's and Moonshot's, and those of proxies for Anthropic."""

_NO_CHOICES: Final = Fault("malformed", True, None, None, "the reply does not keep to the protocol (it has no choices)")
"""A stream that ended without any choice. LangChain reports it for whole replies only."""


@dataclass
class _StreamState:
    """What is known of one stream.

    Attributes:
        calls: The ids of the tool calls so far, in order, for each choice.
        choices: Whether a chunk had choices; None before the first chunk, and with the Responses API.
    """

    calls: dict[str, list[Any]] = field(default_factory=dict)
    choices: bool | None = None


@functools.cache
def repairing(kind: type[Any], provider: str | None = None) -> type[Any]:
    """Return a subclass of `kind`, a class of LangChain's OpenAI family, that reads malformed replies.

    It also keeps `extra_content` of tool calls, in which Gemini signs its thoughts: providers want it back unchanged,
    and LangChain's tool calls have no place for it. It is kept in `additional_kwargs`, by the call's id.

    Args:
        kind: The class. The subclass has its name, for traces.
        provider: The provider's name in traces (LangSmith's `ls_provider`); None leaves LangChain's own.
    """

    class Repairing(kind):  # type: ignore[misc]  # the base class is a parameter
        _stream_state: _StreamState = PrivateAttr(default_factory=_StreamState)

        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            one_stream = self.model_copy()
            state = one_stream._stream_state = _StreamState()
            async with aclosing(super(Repairing, one_stream)._astream(*args, **kwargs)) as chunks:
                async for chunk in chunks:
                    yield chunk
            if state.choices is False:
                raise ProviderError(_NO_CHOICES)

        def _create_chat_result(self, response: Any, generation_info: Any = None) -> Any:
            response, cost = _readable(response)
            result = super()._create_chat_result(response, generation_info)
            choices = response.get("choices") if isinstance(response, dict) else getattr(response, "choices", None)
            for generation, choice in zip(result.generations, choices or (), strict=False):
                plain = choice if isinstance(choice, dict) else choice.model_dump(warnings=False)
                _keep(generation.message, plain.get("message"), cost, error=plain.get("error"))
            return result

        def _convert_chunk_to_generation_chunk(self, chunk: Any, default_chunk_class: Any, base: Any) -> Any:
            cost = stated_cost(chunk)
            state, choices = self._stream_state, chunk.get("choices")
            state.choices = bool(state.choices or choices)
            made = super()._convert_chunk_to_generation_chunk(
                _indexed(repaired(chunk, chunk=True), state.calls), default_chunk_class, base
            )
            if made is not None:
                first = choices[0] if choices else {}
                _keep(made.message, first.get("delta"), cost, error=first.get("error"))
            return made

        def _get_request_payload(self, input_: Any, *, stop: Any = None, **kwargs: Any) -> dict[str, Any]:
            payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)
            if extras := _extras_of(self._convert_input(input_).to_messages()):
                for message in payload.get("messages", ()):
                    for call in message.get("tool_calls") or ():
                        if call.get("id") in extras:
                            call["extra_content"] = extras[call["id"]]
            return payload

        def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
            params = super()._get_ls_params(stop=stop, **kwargs)
            return {**params, "ls_provider": provider} if provider else params

    Repairing.__name__, Repairing.__qualname__, Repairing.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Repairing


def _readable(response: Any) -> tuple[Any, float | None]:
    """Return a whole reply, repaired, and its stated cost. One that the SDK has parsed by a schema stays as it is."""
    if isinstance(response, dict):
        cost = stated_cost(response)
        return repaired(response), cost
    choices = getattr(response, "choices", None)
    if not isinstance(choices, list) or any(hasattr(getattr(each, "message", None), "parsed") for each in choices):
        return response, None
    # The SDK does not validate replies: its object holds the same malformed values.
    data = response.model_dump(warnings=False)
    cost = stated_cost(data)
    return type(response).construct(None, **repaired(data)), cost


def _indexed(chunk: dict[str, Any], calls: dict[str, list[Any]]) -> dict[str, Any]:
    """Give the pieces of tool calls the index that some servers omit. LangChain drops pieces without one.

    `calls` holds the ids of the stream's calls so far, in order, for each of its choices.
    """
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        for call in (delta.get("tool_calls") if isinstance(delta, dict) else None) or ():
            if isinstance(call.get("index"), int):
                continue
            known, id_ = calls.setdefault(str(choice.get("index") or 0), []), call.get("id")
            if not id_ or id_ not in known:
                if id_ or call["function"].get("name"):
                    known.append(id_)
                call["index"] = max(len(known) - 1, 0)
            else:
                call["index"] = known.index(id_)
    return chunk


def _keep(message: Any, given: Any, cost: float | None, *, error: Any = None) -> None:
    """Add to LangChain's message what LangChain leaves out.

    Args:
        message: LangChain's message, or chunk of one.
        given: The message, or the piece of one, as the provider sent it.
        cost: Dollars as the provider stated them. LangChain drops them in a stream and beside unreadable counts.
        error: The error of the choice, as OpenRouter reports a fault of the provider behind it.
    """
    if error:
        message.response_metadata["error"] = error
    if cost is not None:
        # A list, since LangChain can join lists when a stream states its cost several times.
        message.response_metadata[COSTS] = [cost]
    calls = given.get("tool_calls") if isinstance(given, Mapping) else None
    found = {
        call["id"]: call["extra_content"]
        for call in calls or ()
        if isinstance(call, Mapping) and isinstance(call.get("id"), str) and call.get("extra_content")
    }
    if found:
        message.additional_kwargs[EXTRAS] = found
    refusal = given.get("refusal") if isinstance(given, Mapping) else None
    if refusal and isinstance(refusal, str):
        message.additional_kwargs["refusal"] = refusal


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
    return arguments if isinstance(value, dict) else f"{arguments} (not a JSON object)"


def _extras_of(messages: Iterable[Any]) -> dict[str, Any]:
    found = [message.additional_kwargs.get(EXTRAS) for message in messages]
    return {id_: extra for extras in found if isinstance(extras, Mapping) for id_, extra in extras.items()}


def repaired(data: dict[str, Any], *, chunk: bool = False) -> dict[str, Any]:
    """Return a whole reply or a chunk of a stream, repaired in place."""
    if "usage" in data:
        data["usage"] = _usage(data["usage"])
    if not isinstance(data.get("service_tier"), str | None):
        del data["service_tier"]
    choices = data.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        if chunk and not isinstance(choice.get("delta"), dict):
            choice["delta"] = choice.get("message") or {}
        if not isinstance(reason := choice.get("finish_reason"), str | None):
            choice["finish_reason"] = f"a value of type {type(reason).__name__}"
        for name in ("message", "delta"):
            if isinstance(message := choice.get(name), dict):
                _repair(message, whole=not chunk)
        if not isinstance(choice.get("logprobs"), dict | None):
            choice["logprobs"] = None
    return data


def _usage(given: Any) -> dict[str, Any] | None:
    """Return a usage whose counts are integers, or None when they are not known."""
    if not isinstance(given, dict):
        return None
    counts = {name: token_count(given.get(name)) for name in _COUNTS}
    known = {name: count for name, count in counts.items() if count is not None}
    if not {"prompt_tokens", "completion_tokens"} <= known.keys():
        # LangChain would take missing counts for 0. A stated cost has been kept.
        return None
    details = {
        name: {key: token_count(value) or 0 for key, value in given[name].items()}
        for name in _DETAILS
        if isinstance(given.get(name), dict)
    }
    sent = details.get("prompt_tokens_details", {})
    places = [(of, name, key) for name, keys in _CACHES.items() for of in (given, sent) for key in reversed(keys)]
    # The first of several places counts: the details, and the usual name.
    stated = {name: count for of, name, key in places if (count := token_count(of.get(key)))}
    if stated:
        details["prompt_tokens_details"] = {**sent, **stated}
    beside = _thoughts_beside(known, details.get("completion_tokens_details", {}))
    known["completion_tokens"] = min(known["completion_tokens"] + beside, 2**53 - 1)
    return {**{key: value for key, value in given.items() if key not in (*_COUNTS, *_DETAILS)}, **known, **details}


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


def _function(function: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(arguments, str | None):
        arguments = json.dumps(arguments)
    if whole and arguments:
        arguments = _object_text(arguments)
    return {**function, "name": name if isinstance(name, str) else None, "arguments": arguments}
