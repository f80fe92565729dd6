"""Join the chunks of a long stream before LangChain keeps them.

LangChain keeps every chunk of a stream until its end and joins them there at once. 100,000 chunks take 200 MB, and stop
the event loop for half a second, the garbage collector's share included.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs import ChatGenerationChunk

from moa_graph.models.limits import MAX_CHUNKS, MAX_COPIED_CHARS, MAX_LOGPROBS, ReplyTooLarge

__all__ = ["Joining"]

_AS_THEY_COME: Final = 1000
"""Chunks at the beginning of a stream that are passed on as they come."""

_PAUSE: Final = 0.05
"""Seconds for which chunks are joined after that."""

_CHEAP: Final = 2**24
"""Characters that LangChain may copy before chunks are joined for longer: it takes 10 ms."""

_SEARCH: Final = 256
"""Characters that LangChain copies in the time in which it compares the index of one item of a list."""

_GROWING: Final = frozenset({"text", "thinking", "reasoning", "partial_json", "reasoning_content", "refusal"})
"""Fields of content blocks, and of `additional_kwargs`, whose pieces are joined."""


class _Shape(NamedTuple):
    """A chunk without its growing texts. Chunks of the same shape can be joined, text by text."""

    content: Any
    extra: Any
    calls: Any
    metadata: Any
    info: Any


_NAMES: Final = frozenset({"id", "output_version", "model_provider"})
"""Fields that LangChain does not join with an equal text."""


class _Copies:
    """Counts the characters that LangChain copies when it joins chunks.

    For every piece of a field LangChain copies the whole field so far. Only plain content is joined at once. For every
    item of a list it compares the indexes of all items so far.
    """

    def __init__(self) -> None:
        self.total = 0
        self._sizes: dict[tuple[object, ...], int] = {}
        self._names: dict[tuple[object, ...], str] = {}

    def add(self, chunk: ChatGenerationChunk) -> int:
        """Add a chunk and return what it adds to the total."""
        before, message = self.total, chunk.message
        given: list[Any] = [chunk.generation_info, message.response_metadata, message.additional_kwargs]
        given += [message.content, getattr(message, "tool_call_chunks", None)]
        # A stack of its own: a reply may be nested more deeply than Python calls.
        rest: list[tuple[tuple[object, ...], Any]]
        rest = [((place,), value) for place, value in enumerate(given) if value and not isinstance(value, str)]
        while rest:
            place, value = rest.pop()
            for name, each in self._parts(place, value):
                if isinstance(each, str):
                    if name in _NAMES:
                        last, self._names[(*place, name)] = self._names.get((*place, name)), each
                        if last == each:
                            continue
                    self.total += self._grow((*place, name), len(each))
                elif isinstance(each, Mapping | list):
                    rest.append(((*place, name), each))
        return self.total - before

    def _parts(self, place: tuple[object, ...], value: Any) -> Iterator[tuple[object, Any]]:
        """Yield what is joined with earlier parts, each with its name at `place`."""
        if isinstance(value, Mapping):
            yield from value.items()
        for item in value if isinstance(value, list) else ():
            index = item.get("index") if isinstance(item, Mapping) else None
            known = isinstance(index, int | str) and (*place, "item", index) in self._sizes
            items = self._grow((*place, "items"), 0 if known else 1)
            if isinstance(index, int | str):
                self._sizes[(*place, "item", index)] = 1
                self.total += _SEARCH * items
                yield index, {name: each for name, each in item.items() if name != "type"}

    def _grow(self, place: tuple[object, ...], size: int) -> int:
        self._sizes[place] = grown = self._sizes.get(place, 0) + size
        return grown


class Joining:
    """Joins neighbouring chunks of one stream once it is long; nothing is reordered or lost."""

    def __init__(self) -> None:
        self._count = 0
        self._copies = _Copies()
        self._copied = 0
        self._shape: _Shape | None = None
        self._last: _Shape | None = None
        self._texts: list[list[str]] = []
        self._logprobs: dict[str, list[Any] | None] = {}
        self._tokens = 0
        self._usage: UsageMetadata | None = None
        self._first: ChatGenerationChunk | None = None
        self._since = 0.0

    def add(self, chunk: ChatGenerationChunk) -> list[ChatGenerationChunk]:
        """Add a chunk and return the chunks that can be passed on now.

        Raises:
            ReplyTooLarge: the stream has too many chunks that cannot be joined.
        """
        if self._count < _AS_THEY_COME and self._copies.total < _CHEAP:
            self._count += 1
            self._copies.add(chunk)
            return [chunk]
        shape, texts = _parts(chunk)
        if shape is not None and shape == self._shape:
            for parts, text in zip(self._texts, texts, strict=True):
                parts.append(text)
            self._add_usage(chunk)
            self._add_logprobs(chunk)
            if time.monotonic() - self._since <= _PAUSE * max(1.0, self._copies.total / _CHEAP):
                return []
            done = self.rest()
            self._copies.add(done[0])
            return done
        done = self.rest()
        # A chunk that continues what the pause has ended is one that can be joined, however long the stream takes.
        self._count += shape is None or shape != self._last
        self._last = shape
        self._copied += sum(map(self._copies.add, [*done, chunk] if shape is None else done))
        if self._count > MAX_CHUNKS:
            raise ReplyTooLarge("stream", MAX_CHUNKS, "chunks that cannot be joined")
        if self._copied > MAX_COPIED_CHARS:
            raise ReplyTooLarge("stream", MAX_COPIED_CHARS, "characters to copy in joining its chunks")
        if shape is None:
            return [*done, chunk]
        self._first, self._shape, self._texts = chunk, shape, [[text] for text in texts]
        self._usage = _usage_of(chunk)
        self._add_logprobs(chunk)
        if not done:
            self._since = time.monotonic()
        return done

    def rest(self) -> list[ChatGenerationChunk]:
        """Return what is held back, as one chunk."""
        if self._first is None or self._shape is None:
            return []
        whole = _joined(self._first, self._shape, ["".join(parts) for parts in self._texts], self._usage)
        if self._logprobs:
            whole.generation_info = {**(whole.generation_info or {}), "logprobs": self._logprobs}
        self._first, self._shape, self._logprobs = None, None, {}
        return [whole]

    def _add_usage(self, chunk: ChatGenerationChunk) -> None:
        given = _usage_of(chunk)
        # OpenAI's protocol repeats the total so far; others send parts.
        totals = chunk.message.response_metadata.get("model_provider") == "openai"
        if given is not None:
            self._usage = given if totals else add_usage(self._usage, given)

    def _add_logprobs(self, chunk: ChatGenerationChunk) -> None:
        for name, tokens in ((chunk.generation_info or {}).get("logprobs") or {}).items():
            held = self._logprobs.setdefault(name, None if tokens is None else [])
            if tokens is not None:
                self._logprobs[name] = held = [] if held is None else held
                held.extend(tokens)
                self._tokens += len(tokens)
        if self._tokens > MAX_LOGPROBS:
            raise ReplyTooLarge("list of log probabilities", MAX_LOGPROBS, "tokens")


def _usage_of(chunk: ChatGenerationChunk) -> UsageMetadata | None:
    return chunk.message.usage_metadata if isinstance(chunk.message, AIMessageChunk) else None


def _parts(chunk: ChatGenerationChunk) -> tuple[_Shape | None, list[str]]:
    """Return a chunk's shape and its growing texts; None for a chunk that must stay as it is."""
    message = chunk.message
    info = dict(chunk.generation_info or {})
    if type(message) is not AIMessageChunk or message.chunk_position or not _are_lists(info.pop("logprobs", None)):
        return None, []
    texts: list[str] = []
    content, extra = _content(message.content, texts), _grown(message.additional_kwargs, texts)
    calls = [_call(each, texts) for each in message.tool_call_chunks]
    if content is None or extra is None or None in calls:
        return None, []
    return _Shape(content, extra, calls, message.response_metadata, info), texts


def _content(content: Any, texts: list[str]) -> Any:
    if isinstance(content, str):
        texts.append(content)
        return ""
    blocks = [_grown(block, texts) if isinstance(block, Mapping) else None for block in content]
    return None if None in blocks else blocks


def _grown(given: Mapping[str, Any], texts: list[str]) -> dict[str, Any] | None:
    """Return `given` without its growing texts, which go into `texts`; None when anything else would be lost."""
    rest: dict[str, Any] = {}
    for name, value in given.items():
        if name in _GROWING and isinstance(value, str):
            texts.append(value)
            rest[name] = ""
        elif name in ("type", "index"):
            rest[name] = value
        else:
            return None
    return rest


def _are_lists(logprobs: Any) -> bool:
    """Return whether log probabilities are lists by name, as in OpenAI's protocol, or missing."""
    return logprobs is None or (
        isinstance(logprobs, Mapping) and all(isinstance(each, list | None) for each in logprobs.values())
    )


def _call(piece: Mapping[str, Any], texts: list[str]) -> dict[str, Any] | None:
    name, id_ = piece.get("name"), piece.get("id")
    if name and not id_:
        return None  # it begins a call, and the next piece of this name another one
    texts.append(piece.get("args") or "")
    # Some servers repeat the name and the id in every piece, some make up an id for every piece without a name.
    return {**piece, "args": "", "id": id_ if name else None}


def _joined(first: ChatGenerationChunk, shape: _Shape, texts: list[str], usage: Any) -> ChatGenerationChunk:
    rest = iter(texts)

    def filled(given: Mapping[str, Any]) -> dict[str, Any]:
        return {name: next(rest) if name in _GROWING and value == "" else value for name, value in given.items()}

    content: Any = next(rest) if isinstance(shape.content, str) else [filled(block) for block in shape.content]
    extra = filled(shape.extra)
    calls: Any = [{**call, "args": ""} for call in shape.calls]
    message = AIMessageChunk(
        content=content,
        additional_kwargs=extra,
        tool_call_chunks=calls,
        response_metadata=shape.metadata,
        usage_metadata=usage,
        id=first.message.id,
        name=first.message.name,
    )
    for call, text in zip(message.tool_call_chunks, rest, strict=True):
        call["args"] = text  # set afterwards: LangChain would parse a piece, of which not even the beginning is JSON
    return ChatGenerationChunk(message=message, generation_info=shape.info or None)
