"""Streamed answers as dicts, read from server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import aiohttp
import httpx2
import openai

from moa_graph.models.chunk_merging import merged
from moa_graph.models.fault_reading import message_in
from moa_graph.models.json_bodies import loads
from moa_graph.models.limits import MAX_STREAM_BYTES
from moa_graph.models.openai_http.sse import Events
from moa_graph.models.transport import Turns, body_of

_DRAIN = 0.1
"""Seconds to wait for the end of a body after its last event, so that the connection can be used again."""
_JSON_LINES = ("ndjson", "stream+json")


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
