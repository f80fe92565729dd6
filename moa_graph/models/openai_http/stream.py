"""Streamed answers as dicts, read from server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import aiohttp
import httpx2
import openai

from moa_graph.models.faults.bodies import message_in
from moa_graph.models.http.chunk_merging import merged
from moa_graph.models.http.json_bodies import loads
from moa_graph.models.http.transport import Turns, body_of
from moa_graph.models.limits import MAX_STREAM_BYTES
from moa_graph.models.openai_http.choices import FirstChoice
from moa_graph.models.openai_http.increments import Increments
from moa_graph.models.openai_http.sse import Events
from moa_graph.models.reply.calls import GrowingCalls
from moa_graph.models.secrets.redaction import beginning

_DRAIN = 0.1
"""Seconds to wait for the end of a body after its last event, so that the connection can be used again."""
_UNKNOWN_END = "incomplete"
"""The finish reason of an answer for which the server gave none."""
_JSON_LINES = ("ndjson", "stream+json")
_FRAMES = (b"data:", b"event:", b"id:", b":")
"""The beginnings of a stream of events, which no JSON has."""


@contextlib.contextmanager
def sdk_errors(url: str) -> Iterator[None]:
    """Raise the SDK's errors for connections that fail, without the request's headers, which hold the key."""
    try:
        yield
    except httpx2.RequestError as error:
        kind = openai.APITimeoutError if isinstance(error, httpx2.TimeoutException) else openai.APIConnectionError
        raise kind(request=httpx2.Request("POST", url)) from (error.__cause__ or error)


async def chunks_of(url: str, response: aiohttp.ClientResponse, *, logprobs: bool = True) -> AsyncGenerator[Any]:
    """Yield the chunks of a streamed answer. Leaving it early closes the connection at once.

    Args:
        url: the request's address, for errors.
        response: the head of the reply; its body is still to be read.
        logprobs: whether log probabilities were asked for; others are dropped, because they are kept until the end.
    """
    turns, frames, first, new, ended = Turns(), Events(), FirstChoice(), Increments(), False
    try:
        with sdk_errors(url):
            async with (
                contextlib.aclosing(body_of(response, MAX_STREAM_BYTES)) as pieces,
                contextlib.aclosing(_events(response, pieces, frames)) as events,
            ):
                async for found in events:
                    for chunk in merged(new.of(first.of(_chunk(event, url, logprobs) for event in found))):
                        ended = ended or _ends(chunk)
                        yield chunk
                        await turns.share()
        for chunk in merged([*new.of(first.rest()), *new.rest()]):
            ended = ended or _ends(chunk)
            yield chunk
            await turns.share()
        if frames.others and not ended:
            said = b"\n".join(frames.others)
            raise ValueError(message_in(said) or beginning(said.decode("utf-8", "replace"), 1000))
        if frames.done and first.begun and not ended:
            # Some gateways send no finish reason, and `[DONE]` also where the provider's stream was cut.
            yield {"choices": [{"index": first.index, "delta": {}, "finish_reason": _UNKNOWN_END}]}
    finally:
        response.close()


def _ends(chunk: dict[str, Any]) -> bool:
    choices = chunk.get("choices")
    return isinstance(choices, list) and any(isinstance(each, dict) and each.get("finish_reason") for each in choices)


async def _events(
    response: aiohttp.ClientResponse, pieces: AsyncGenerator[bytes], frames: Events
) -> AsyncGenerator[list[bytes]]:
    """Yield the events of every read; `[DONE]` and what follows it are left out."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.endswith("json") and not kind.endswith(_JSON_LINES):
        body = b"".join([piece async for piece in pieces])
        if not body.lstrip().startswith(_FRAMES):
            yield [body]  # the server ignored `stream`
            return
        pieces = _again(body)
    async for data in pieces:
        found = frames.feed(data)
        done = next((place for place, event in enumerate(found) if event.startswith(b"[DONE]")), None)
        frames.done = done is not None
        yield found[:done]
        if done is not None:
            # The answer is whole: a failure from here on only costs the connection.
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(_DRAIN):
                    async for _ in response.content.iter_any():
                        pass
            return
    last = frames.end()
    frames.done = any(event.startswith(b"[DONE]") for event in last)
    yield [event for event in last if not event.startswith(b"[DONE]")]
    if frames.others and frames.others[0].startswith(b"{"):
        yield [b"\n".join(frames.others)]  # one JSON object in several lines


async def _again(body: bytes) -> AsyncGenerator[bytes]:
    yield body


def _chunk(event: bytes, url: str, logprobs: bool) -> Any:
    chunk = loads(event)
    if isinstance(chunk, dict):
        raise_error_in(chunk, url)
        if not logprobs:
            for choice in chunk.get("choices") or ():
                if isinstance(choice, dict):
                    choice.pop("logprobs", None)
    return chunk


def whole_of(received: bytes, url: str) -> dict[str, Any] | None:
    """Return the reply in a stream that was not requested; None if `received` is not a stream.

    Args:
        received: The body of a reply.
        url: The request's address, for errors.
    """
    if not received.lstrip().startswith(_FRAMES):
        return None
    frames = Events()
    events = itertools.takewhile(lambda event: not event.startswith(b"[DONE]"), frames.feed(received) + frames.end())
    chunks = [_chunk(event, url, True) for event in events]
    if not chunks and frames.others and frames.others[0].startswith(b"{"):
        chunks = [_chunk(b"\n".join(frames.others), url, True)]  # one JSON object in several lines, after comments
    choices = [each for chunk in chunks for each in chunk.get("choices") or () if isinstance(each, dict)]
    if not choices:
        return None
    first = FirstChoice()
    for _ in first.of({"choices": [choice]} for choice in choices):
        pass
    pieces: dict[Any, list[dict[str, Any]]] = {}
    for choice in choices:
        pieces.setdefault(choice.get("index") or 0 if first.several else 0, []).append(choice)
    joined = [_joined(each) for each in pieces.values()]
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    return {**chunks[0], "choices": joined, "usage": usages[-1] if usages else None}


def _joined(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one choice in pieces as a whole one."""
    message: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    calls = GrowingCalls()
    # One event may hold the whole message.
    name_of_piece = "delta" if any(piece.get("delta") for piece in pieces) else "message"
    for piece in pieces:
        delta = piece.get(name_of_piece)
        for name, value in delta.items() if isinstance(delta, dict) else ():
            if name == "tool_calls":
                _add_calls(calls, value)
            elif isinstance(value, str):
                texts.setdefault(name, []).append(value)
            elif value is not None:
                message[name] = value
    message |= {name: "".join(parts) for name, parts in texts.items()}
    if calls.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.args}}
            for call in calls.joined()
        ]
    reasons = [reason for piece in pieces if (reason := piece.get("finish_reason"))]
    return {
        "index": pieces[0].get("index"),
        "message": message,
        "finish_reason": reasons[-1] if reasons else _UNKNOWN_END,
    }


def _add_calls(calls: GrowingCalls, given: Any) -> None:
    for call in given if isinstance(given, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            calls.add(function.get("name"), function.get("arguments"), call.get("id"), call.get("index"))


_AROUND = ("x_groq", "response", "data", "result")
"""Objects in which servers report an error: Groq beside the choices, the Responses API and gateways instead of them."""

_EVENT = ("event", "type", "object", "status")
"""Fields with an event's name."""

_ERROR_EVENT = re.compile(r"(?:\w+[._])?(?:error|failed)")
"""A name of an event that reports an error: ``error``, ``response.failed``."""

_ALIVE_EVENT = re.compile(r"ping|heart_?beat|keep[_-]?alive")
"""A name of an event that keeps a connection open, whatever words it has."""


def raise_error_in(data: dict[str, Any], url: str) -> None:
    """Raise the error that a server reports with a status of success, in a field for it or instead of an answer."""
    error, answers = data.get("error"), data.get("choices") is not None
    if answers and not error and "x_groq" not in data and "base_resp" not in data:  # nearly every chunk
        return
    if isinstance(error, dict) and not any(error.values()):
        error = data["error"] = None  # gateways send an empty error beside an answer
    error = error or _failed_response(data)
    if not error and not answers and _named(data, _ALIVE_EVENT):
        return
    if answers and not error and "x_groq" not in data:
        return
    said: Any = error if isinstance(error, dict | list) else data
    if not error:
        around = [inner.get("error") for name in _AROUND if isinstance(inner := data.get(name), dict)]
        said = error = next(filter(None, around), None)
    if not error and answers:
        return
    if not error and _named(data, _ERROR_EVENT):
        said = error = data.get("data") or {name: value for name, value in data.items() if name not in _EVENT}
    # Other events tell of a search, for example: only their own words count, not those deep in them.
    text = message_in(said) if error else message_in({**data, "base_resp": None}, around=False)
    if error or text:
        body = error if isinstance(error, dict) else data
        raise openai.APIError(text or "An error occurred during streaming", httpx2.Request("POST", url), body=body)


def _named(data: dict[str, Any], names: re.Pattern[str]) -> bool:
    return any(isinstance(name := data.get(field), str) and names.fullmatch(name) for field in _EVENT)


def _failed_response(data: dict[str, Any]) -> Any:
    """Return what MiniMax says of a failure. It says "success" otherwise, also beside an answer."""
    said = data.get("base_resp")
    return said if isinstance(said, dict) and said.get("status_code") else None


def no_choices(data: dict[str, Any] | None) -> str:
    """Return what is wrong with a reply without choices, with what the server sent instead."""
    said = message_in(data)
    if not said and data and "choices" not in data:
        said = beginning(json.dumps(data, ensure_ascii=False, default=str), 1000)
    return f"it has no choices: {said}" if said else "it has no choices"
