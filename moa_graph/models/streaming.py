"""Read a model's stream: pass its text on piece by piece, and end soon after its finish reason."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Protocol

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langgraph.errors import GraphBubbleUp

from moa_graph.models.faults.faults import STREAM_CUT, ProviderError, of_handler
from moa_graph.models.reply.stream import Pieces

__all__ = ["Sink", "call_chunks", "read_stream"]

_AFTER_FINISH = 2.0
"""Seconds to wait for the end of a stream after its finish reason: only the usage may still come."""

_SLICE = 0.004
"""Seconds of work on a stream after which other tasks get their turn."""

_PIECE = 2**15
"""Characters that are handled at once. Longer pieces are split, so that other tasks run in between."""


class Sink(Protocol):
    """Receives an answer piece by piece."""

    def __call__(self, text: str, calls: list[ToolCallChunk]) -> None:
        """Take a piece of text, or tool calls, which are always complete."""

    def close(self) -> None:
        """Take note that the text is complete."""


async def read_stream(chunks: Any, pieces: Pieces, sink: Sink, *, on_first: Callable[[], None]) -> None:
    """Read a stream to its end.

    Args:
        chunks: The stream of a chat model.
        pieces: Receives every chunk.
        sink: Receives the texts.
        on_first: Called once, at the first token.

    Raises:
        ProviderError: The stream ended before the model did.
    """
    begun = False
    paused = time.perf_counter()
    before = cancellations()
    try:
        # Closed here, and so is the connection below it, when this task is cancelled between two pieces.
        async with aclosing(_texts(chunks, pieces)) as texts:
            async for piece in texts:
                if time.perf_counter() - paused > _SLICE:
                    # Thousands of events that arrived in one read must not hold up the event loop.
                    await asyncio.sleep(0)
                    paused = time.perf_counter()
                if cancellations() > before:
                    # A package swallowed it: `asyncio.wait_for` of Python 3.11 does when a chunk is there already.
                    raise asyncio.CancelledError
                if not begun and (piece or pieces.calls_begun):
                    begun = True
                    on_first()
                await _pass_on(piece, sink)
    except GraphBubbleUp:
        raise
    except Exception as exc:
        # A connection that breaks after the finish reason takes nothing from the answer.
        if not pieces.ended or of_handler(exc):
            raise
    if pieces.broken:
        raise ProviderError(STREAM_CUT)
    await _pass_on(pieces.rest(), sink)


async def _pass_on(text: str, sink: Sink) -> None:
    for start in range(0, len(text), _PIECE):
        sink(text[start : start + _PIECE], [])
        if start:
            await asyncio.sleep(0)


def cancellations() -> int:
    """Return how many requests to cancel the current task are pending."""
    task = asyncio.current_task()
    return task.cancelling() if task else 0


async def _texts(chunks: Any, pieces: Pieces) -> AsyncGenerator[str]:
    """Yield the texts of a stream, and end soon after its finish reason even when the server does not."""
    async with aclosing(chunks):
        try:
            while True:
                while not pieces.ended:
                    yield pieces.add(await anext(chunks))
                async with asyncio.timeout(_AFTER_FINISH):
                    chunk = await anext(chunks)
                yield pieces.add(chunk)
        except StopAsyncIteration:
            return


def call_chunks(message: AIMessage) -> list[ToolCallChunk]:
    """Return the tool calls as chunks, each complete, so that arguments that were cut off are never passed on."""
    return [
        tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=place)
        for place, call in enumerate(message.tool_calls)
    ]
