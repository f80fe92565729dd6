"""Streamed answers as dicts, read from server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import Any

import aiohttp
import httpx2
import openai

from moa_graph.models.fault_reading import message_in
from moa_graph.models.limits import MAX_STREAM_BYTES
from moa_graph.models.openai_http.sse import Events, loads
from moa_graph.models.transport import Turns, body_of

MERGED = 8
"""The most chunks that are merged into one: an answer that comes all at once still streams."""
_DRAIN = 0.1
"""Seconds to wait for the end of a body after its last event, so that the connection can be used again."""
_JSON_LINES = ("ndjson", "stream+json")
_TEXTS = ("content", "reasoning_content", "reasoning")


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
    turns = Turns()
    try:
        with sdk_errors(url):
            async with (
                contextlib.aclosing(body_of(response, MAX_STREAM_BYTES)) as pieces,
                contextlib.aclosing(_events(response, pieces)) as events,
            ):
                async for found in events:
                    for chunk in merged(_chunk(event, url, logprobs) for event in found):
                        yield chunk
                        await turns.share()
    finally:
        response.close()


async def _events(response: aiohttp.ClientResponse, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[list[bytes]]:
    """The events of every read; `[DONE]` and what follows it are left out."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.endswith("json") and not kind.endswith(_JSON_LINES):
        yield [b"".join([piece async for piece in pieces])]  # the server ignored `stream`
        return
    events = Events()
    async for data in pieces:
        found = events.feed(data)
        done = next((place for place, event in enumerate(found) if event.startswith(b"[DONE]")), None)
        yield found[:done]
        if done is not None:
            # The answer is whole: a failure from here on only costs the connection.
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(_DRAIN):
                    async for _ in response.content.iter_any():
                        pass
            return
    yield [event for event in events.end() if not event.startswith(b"[DONE]")]


def _chunk(event: bytes, url: str, logprobs: bool) -> Any:
    chunk = loads(event)
    if isinstance(chunk, dict):
        raise_error_in(chunk, url)
        if not logprobs:
            for choice in chunk.get("choices") or ():
                if isinstance(choice, dict):
                    choice.pop("logprobs", None)
    return chunk


def raise_error_in(data: dict[str, Any], url: str) -> None:
    """Raise the error that a server reports with a status of success, in the field `error` or instead of an answer."""
    if "error" not in data and data.get("choices") is not None:
        return
    error = data.get("error")
    said = error.get("message") if isinstance(error, dict) else None
    text = said if isinstance(said, str) and said else "An error occurred during streaming" if error else ""
    if not error and data.get("choices") is None:
        error, text = data, message_in(data)
    if text:
        raise openai.APIError(text, httpx2.Request("POST", url), body=error)


def merged(chunks: Iterable[Any]) -> Iterator[Any]:
    """Merge up to `MERGED` chunks of plain text, or of reasoning, into one.

    Only chunks that came in one read are given here, so no text waits for other text. What came before a broken event
    is handed out before the error, as it would be event by event.
    """
    held, place, count = None, None, 0
    try:
        for chunk in chunks:
            found = _text_in(chunk)
            if found and place and found[1] == place[1] and count < MERGED:
                place[0][place[1]] += found[0][found[1]]
                count += 1
                continue
            if held is not None:
                yield held
            held, place, count = chunk, found, 1
    except Exception:
        if held is not None:
            yield held
        raise
    if held is not None:
        yield held


def _text_in(chunk: Any) -> tuple[dict[str, Any], str] | None:
    """Return the delta and the field of a chunk's text, or None for a chunk in which anything else counts."""
    try:
        (choice,) = chunk["choices"]
        delta = choice["delta"]
        (field,) = (key for key, value in delta.items() if value not in (None, "") and key != "role")
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    more = choice.get("finish_reason") or choice.get("logprobs") or chunk.get("usage")
    return (delta, field) if field in _TEXTS and isinstance(delta[field], str) and not more else None
