"""Streamed answers as dicts, read from server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from types import TracebackType
from typing import Any

import aiohttp
import httpx2
import openai

from moa_graph.models.limits import MAX_STREAM_BYTES
from moa_graph.models.openai_http.repair import repaired
from moa_graph.models.openai_http.sse import Events, loads
from moa_graph.models.transport import Turns, body_of

MERGED = 8
"""The most chunks that are merged into one: an answer that comes all at once still streams."""
_DRAIN = 0.1
"""Seconds to wait for the end of a body after its last event, so that the connection can be used again."""


class Stream:
    """The chunks of a streamed answer. Leaving it early closes the connection at once."""

    def __init__(self, url: str, response: aiohttp.ClientResponse) -> None:
        self._request, self._response = httpx2.Request("POST", url), response
        self._calls: dict[int, list[str]] = {}
        self._chunks = self._read()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._chunks

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection unless the body has been read to its end."""
        self._response.close()
        await self._chunks.aclose()

    async def _read(self) -> AsyncGenerator[Any]:
        turns = Turns()
        try:
            async with contextlib.aclosing(self._events()) as events:
                async for found in events:
                    for chunk in merged(map(self._chunk, found)):
                        yield chunk
                        await turns.share()
        except httpx2.TimeoutException as error:
            raise openai.APITimeoutError(request=self._request) from error
        except httpx2.RequestError as error:
            raise openai.APIConnectionError(request=self._request) from (error.__cause__ or error)
        finally:
            self._response.close()

    async def _events(self) -> AsyncGenerator[list[bytes]]:
        """The events of every read; `[DONE]` and what follows it are left out."""
        pieces = body_of(self._response, MAX_STREAM_BYTES)
        if "event-stream" not in (kind := self._response.headers.get("content-type", "")) and kind.endswith("json"):
            yield [b"".join([piece async for piece in pieces])]  # the server ignored `stream`
            return
        events = Events()
        async for data in pieces:
            found = events.feed(data)
            done = next((place for place, event in enumerate(found) if event.startswith(b"[DONE]")), None)
            yield found[:done]
            if done is not None:
                await self._drain()
                return
        yield [event for event in events.end() if not event.startswith(b"[DONE]")]

    async def _drain(self) -> None:
        # The answer is whole: a failure from here on only costs the connection.
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(_DRAIN):
                async for _ in self._response.content.iter_any():
                    pass

    def _chunk(self, event: bytes) -> Any:
        chunk = loads(event)
        if not isinstance(chunk, dict):
            return chunk
        if error := chunk.get("error"):
            said = error.get("message") if isinstance(error, dict) else None
            text = said if isinstance(said, str) and said else "An error occurred during streaming"
            raise openai.APIError(text, self._request, body=error)
        choices = repaired(chunk).get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._complete(choice)
        return chunk

    def _complete(self, choice: dict[str, Any]) -> None:
        """Add what LangChain needs and servers leave out: `delta`, and the index of a tool call's pieces."""
        delta = choice.setdefault("delta", choice.get("message"))
        calls = delta.get("tool_calls") if isinstance(delta, dict) else None
        if not isinstance(calls, list):
            return
        known = self._calls.setdefault(choice.get("index") or 0, [])
        for call in calls:
            if not isinstance(call, dict) or isinstance(call.get("index"), int):
                continue
            function, name = call.get("function"), call.get("id") or ""
            if not name or name not in known:
                if name or (isinstance(function, dict) and function.get("name")):
                    known.append(name)
                call["index"] = max(len(known) - 1, 0)
            else:
                call["index"] = known.index(name)


def merged(chunks: Iterable[Any]) -> Iterator[Any]:
    """Merge up to `MERGED` chunks of plain text, or any number of chunks of reasoning, into one.

    Only chunks that came in one read are given here, so no text waits for other text. A busy process reads more at a
    time, and pays less for each token the busier it is.
    """
    first: Any = None
    field, texts = "", list[str]()
    try:
        for chunk in chunks:
            key, text = _text(chunk)
            if texts and (key != field or len(texts) == (MERGED if field == "content" else None)):
                yield _joined(first, field, texts)
            if not key:
                yield chunk
                continue
            if not texts:
                first, field = chunk, key
            texts.append(text)
    except Exception:
        # What came before a broken event is handed out before the error, as it would be event by event.
        if texts:
            yield _joined(first, field, texts)
        raise
    if texts:
        yield _joined(first, field, texts)


def _joined(chunk: Any, field: str, texts: list[str]) -> Any:
    """Return `chunk` with all the texts, and empty the list."""
    chunk["choices"][0]["delta"][field] = "".join(texts)
    texts.clear()
    return chunk


def _text(chunk: Any) -> tuple[str, str]:
    """The field and the text of a chunk that holds one piece of text and nothing else that counts, or two blanks."""
    try:
        (choice,) = chunk["choices"]
        held = {key: value for key, value in choice["delta"].items() if value not in (None, "") and key != "role"}
        ((field, text),) = held.items()
    except (AttributeError, KeyError, TypeError, ValueError):
        return "", ""
    more = choice.get("finish_reason") or choice.get("logprobs") or chunk.get("usage")
    return (field, text) if isinstance(text, str) and not more and field in _TEXTS else ("", "")


_TEXTS = ("content", "reasoning_content", "reasoning")
