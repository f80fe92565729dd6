"""Filter the text of a reply before LangChain's callbacks get it, and so LangGraph's `messages` stream.

The filter of a call is in a context variable, since LangChain shows a call's own arguments to tracers and caches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

__all__ = ["FILTER", "ChunkFilter", "TextFilter", "filtered", "filtering"]


class TextFilter(Protocol):
    """Removes something from a text that arrives in pieces.

    Attributes:
        removed: Whether it has removed anything.
    """

    removed: bool

    def feed(self, piece: str) -> str:
        """Add a piece and return what can be shown now."""

    def rest(self) -> str:
        """Return what was held back, after the last piece."""


FILTER: ContextVar[Callable[[], TextFilter] | None] = ContextVar("answer_filter", default=None)
"""Makes the filter of one reply; None for no filter."""


@contextmanager
def filtering(make: Callable[[], TextFilter]) -> Iterator[list[TextFilter]]:
    """Filter the replies of the model calls inside this block.

    Args:
        make: Makes the filter of one reply.

    Yields:
        The filters so far, one for each reply.
    """
    made: list[TextFilter] = []

    def recorded() -> TextFilter:
        made.append(make())
        return made[-1]

    token = FILTER.set(recorded)
    try:
        yield made
    finally:
        FILTER.reset(token)


class ChunkFilter:
    """Filters the chunks of one stream."""

    def __init__(self) -> None:
        make = FILTER.get()
        self._filter = make() if make else None

    def add(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk:
        """Return the chunk with what can be shown of its text now."""
        message = chunk.message
        last = getattr(message, "chunk_position", None) == "last"
        if self._filter is None or not (message.content or last):
            return chunk
        content = _changed(message.content, self._filter.feed)
        if last and isinstance(content, str):
            content += self._filter.rest()
        if content == message.content:
            return chunk
        return ChatGenerationChunk(message=_with(message, content), generation_info=chunk.generation_info)

    def rest(self) -> list[ChatGenerationChunk]:
        """Return what was held back, as at most one chunk."""
        text = self._filter.rest() if self._filter else ""
        return [ChatGenerationChunk(message=AIMessageChunk(content=text))] if text else []


def filtered(result: ChatResult) -> ChatResult:
    """Return a whole reply with its text filtered."""
    make = FILTER.get()
    if make is None:
        return result
    generations = []
    for generation in result.generations:
        each = make()
        content = _changed(generation.message.content, each.feed)
        if isinstance(content, str):
            content += each.rest()
        elif text := each.rest():
            content = [*content, {"type": "text", "text": text}]
        same = content == generation.message.content
        info = generation.generation_info
        generations.append(
            generation if same else ChatGeneration(message=_with(generation.message, content), generation_info=info)
        )
    return ChatResult(generations=generations, llm_output=result.llm_output)


_PIECE: Final = 2**14
"""Characters that are filtered at once: a search in a text holds up all threads until it ends."""


def _changed(content: Any, feed_piece: Callable[[str], str]) -> Any:
    """Return content with its texts passed through `feed_piece`, in order."""

    def feed(text: str) -> str:
        return "".join(feed_piece(text[start : start + _PIECE]) for start in range(0, len(text), _PIECE))

    if isinstance(content, str):
        return feed(content)
    if not isinstance(content, list):
        return content
    return [
        {**block, "text": feed(block["text"])}
        if isinstance(block, dict) and block.get("type") == "text" and isinstance(block.get("text"), str)
        else feed(block)
        if isinstance(block, str)
        else block
        for block in content
    ]


def _with(message: BaseMessage, content: Any) -> Any:
    return message.model_copy(update={"content": content})
