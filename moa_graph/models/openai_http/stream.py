"""Streamed answers as dicts, read from server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from types import TracebackType
from typing import Any

import aiohttp

from moa_graph.models.openai_http.errors import mapped, stream_error
from moa_graph.models.openai_http.sse import Events, loads

TOGETHER = 8
"""The most chunks that are put together: an answer that comes all at once still streams."""

_DRAIN = 0.1
"""Seconds to wait for the end of a body after its last event, so that the connection can be used again."""


class Stream:
    """The chunks of a streamed answer; leaving it early closes the connection at once."""

    def __init__(self, url: str, answer: aiohttp.ClientResponse) -> None:
        self._url, self._answer = url, answer
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
        """Closes the connection unless the body has been read to its end."""
        self._answer.close()
        await self._chunks.aclose()

    async def _read(self) -> AsyncGenerator[Any, None]:
        events = Events()
        async with mapped(self._url):
            try:
                async for data in self._answer.content.iter_any():
                    found = events.feed(data)
                    for chunk in merged(map(self._chunk, itertools.takewhile(_not_done, found))):
                        yield chunk
                    if found and not _not_done(found[-1]):
                        await self._drain()
                        return
            finally:
                self._answer.close()

    def _chunk(self, event: bytes) -> Any:
        chunk = loads(event)
        if isinstance(chunk, dict) and (error := chunk.get("error")):
            raise stream_error(self._url, error)
        return chunk

    async def _drain(self) -> None:
        if self._answer.content.at_eof():
            return
        # The answer is whole: a failure from here on only costs the connection.
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(_DRAIN):
                async for _ in self._answer.content.iter_any():
                    pass


def _not_done(event: bytes) -> bool:
    return not event.startswith(b"[DONE]")


def merged(chunks: Iterable[Any]) -> Iterator[Any]:
    """Puts up to `TOGETHER` chunks of plain text into one.

    Only chunks that came in one read are given here, so no text waits for other text. A busy process reads more at
    a time, and pays less for each token the busier it is.
    """
    waiting: list[dict[str, Any]] = []
    texts: list[str] = []
    try:
        for chunk in chunks:
            text = _text(chunk)
            if waiting and (text is None or len(texts) == TOGETHER):
                yield _joined(waiting, texts)
            if text is None:
                yield chunk
            else:
                waiting = waiting or [chunk]
                texts.append(text)
    except Exception:
        # What came before a broken event is still told before the error, as it would be event by event.
        if waiting:
            yield _joined(waiting, texts)
        raise
    if waiting:
        yield _joined(waiting, texts)


def _joined(waiting: list[dict[str, Any]], texts: list[str]) -> dict[str, Any]:
    """The first chunk with all the texts; both lists are emptied."""
    chunk = waiting.pop()
    chunk["choices"][0]["delta"]["content"] = "".join(texts)
    texts.clear()
    return chunk


def _text(chunk: Any) -> str | None:
    """The text of a chunk that holds one piece of text and nothing else that counts."""
    try:
        (choice,) = chunk["choices"]
        delta = choice["delta"]
        text = delta["content"]
    except (KeyError, TypeError, ValueError):
        return None
    more = choice.get("finish_reason") or choice.get("logprobs") or chunk.get("usage") or delta.get("refusal")
    return text if isinstance(text, str) and not more and delta.keys() <= _PLAIN else None


_PLAIN = frozenset({"content", "role", "refusal"})
"""What a delta of plain text may have."""
