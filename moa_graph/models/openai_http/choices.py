"""The first choice of a stream, where a server sends several although one was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

_MOST: Final = 8
"""Choices that a server may send. More indexes than that count something else, such as tokens."""

_TEXTS: Final = ("content", "tool_calls", "function_call", "refusal")
_REASONING: Final = ("reasoning_content", "reasoning", "reasoning_details")


class FirstChoice:
    """Passes on the chunks of a stream that belong to its first choice.

    An index alone does not say that there are several choices: some servers number their chunks or tokens with it, and
    proxies for Anthropic the content blocks of one answer. So chunks with another index wait until the stream shows
    what they are. There are several choices if a chunk has several, if the first index returns, or if there are two
    finish reasons.

    Attributes:
        several: Whether there are several choices.
        begun: Whether the answer, or a call, has begun.
        index: The index of the first choice, or None.
    """

    def __init__(self) -> None:
        self.several = self.begun = False
        self.index: Any = None
        self._ended = self._counts = False
        self._held: list[dict[str, Any]] = []
        self._indexes: list[Any] = []
        self._before: list[Any] = []

    def of(self, chunks: Iterable[Any]) -> Iterator[Any]:
        """Yield the chunks that can be passed on now."""
        for chunk in chunks:
            if self.begun and not self._held and self._continues(chunk):
                yield chunk
                continue
            choices = chunk.get("choices") if isinstance(chunk, dict) else None
            if self._counts or not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
                yield chunk
                continue
            choice = choices[0]
            index = choice.get("index")
            if self.index is None:
                self.index = index
            if len(choices) > 1:
                self.several = True
                own = (each for each in choices if isinstance(each, dict) and each.get("index") == self.index)
                choice = next(own, {})
                index = choice.get("index")
                chunk["choices"] = [choice] if choice else []
            if index == self.index or index is None:
                yield self._own(chunk, choice)
            else:
                yield from self._other(chunk, choice, index)

    def rest(self) -> list[dict[str, Any]]:
        """Return what was held back. Call it at the end of the stream."""
        return self._usages() if self.several else self._held

    def _continues(self, chunk: Any) -> bool:
        """Return whether a chunk has one piece of the first choice and no finish reason, as nearly all have."""
        try:
            (choice,) = chunk["choices"]
            return bool(choice["index"] == self.index and not choice.get("finish_reason"))
        except (AttributeError, LookupError, TypeError, ValueError):
            return False

    def _own(self, chunk: dict[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
        self.begun = self.begun or _has(choice, _TEXTS)
        self._ended = self._ended or bool(choice.get("finish_reason"))
        if self._held and not self.several:
            ends = self._ended and any(each["choices"][0].get("finish_reason") for each in self._held)
            self.several = ends or _has(choice, (*_TEXTS, *_REASONING))
        return chunk

    def _other(self, chunk: dict[str, Any], choice: dict[str, Any], index: Any) -> Iterator[dict[str, Any]]:
        says, ends = _has(choice, _TEXTS), bool(choice.get("finish_reason"))
        if says and not self.begun and not self.several:
            # What came before was reasoning at most: the answer follows in another block.
            self._before.append(self.index)
            self.index = index
            yield self._own(chunk, choice)
            return
        if ends and not says and index in self._before and not self.several:
            yield self._own(chunk, choice)
            return
        self.several = self.several or (self._ended and (ends or not self._held))
        if not (says or ends or _has(choice, _REASONING)):
            yield {**chunk, "choices": []}
            return
        self._held.append(chunk)
        if index not in self._indexes:
            self._indexes.append(index)
        if self.several:
            yield from self._usages()
            self._held = []
        elif len(self._indexes) >= _MOST:
            self._counts = True
            yield from self._held
            self._held = []

    def _usages(self) -> list[dict[str, Any]]:
        """Return what is held back without its choices: the usage is that of the whole stream."""
        return [{**chunk, "choices": []} for chunk in self._held if chunk.get("usage")]


def _has(choice: dict[str, Any], names: Iterable[str]) -> bool:
    """Return whether the piece of a choice holds anything under one of the names."""
    delta = choice.get("delta") or choice.get("message")
    return isinstance(delta, dict) and any(delta.get(name) for name in names)
