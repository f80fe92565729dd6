"""Streams whose pieces repeat all text so far, as those of some gateways for Qwen do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

_FIELDS: Final = ("content", "reasoning_content", "reasoning")
_SURE: Final = 8
"""Characters. A second and last piece that begins with so many characters of the first one repeats it."""


class Increments:
    """Passes on what is new in each piece of text.

    The first three pieces show what a stream is: in one that repeats its text, the second begins with the first, and
    the third with the second. A second piece that does so is held back until the third. All other streams are passed on
    as they are, from their second piece on without further work.
    """

    def __init__(self) -> None:
        self._usual = self._repeats = False
        self._said: dict[str, str] = {}
        self._held = self._field = ""

    def of(self, chunks: Iterable[Any]) -> Iterable[Any]:
        """Return the chunks with the text that is new in each."""
        return chunks if self._usual else self._read(chunks)

    def rest(self) -> list[dict[str, Any]]:
        """Return what was held back. Call it at the end of the stream."""
        if not self._held:
            return []
        said = self._said[self._field]
        self._repeats = len(said) >= _SURE
        text, self._held = self._held.removeprefix(said) if self._repeats else self._held, ""
        return [{"choices": [{"index": 0, "delta": {self._field: text}}]}]

    def _read(self, chunks: Iterable[Any]) -> Iterator[Any]:
        for chunk in chunks:
            delta = None if self._usual else _delta_of(chunk)
            if delta is None:
                yield chunk
                continue
            ends = bool(chunk["choices"][0].get("finish_reason"))
            found = [(field, text) for field in _FIELDS if isinstance(text := delta.get(field), str) and text]
            if self._held and (ends or (found and found[0][0] != self._field)):
                yield from self.rest()
                self._usual = not self._repeats
            # Until it is known, one field shows what the stream is: some servers send a text under two names.
            for field, text in () if self._usual else found if self._repeats else found[:1]:
                delta[field] = self._new(field, text)
            yield chunk

    def _new(self, field: str, text: str) -> str:
        said = self._said.setdefault(field, "")
        if self._repeats and said.startswith(text):
            return ""
        if self._repeats or not said:
            self._said[field] = text
            # A piece that repeats nothing is the first of usual ones, which take no further time.
            self._usual = not text.startswith(said)
            return text.removeprefix(said)
        if not self._held and len(text) > len(said) and text.startswith(said):
            self._held, self._field = text, field
            return ""
        held, self._held = self._held, ""
        self._repeats = bool(held) and text.startswith(held)
        self._usual = not self._repeats
        if self._usual:
            return held + text
        self._said[field] = text
        return text[len(said) :]


def _delta_of(chunk: Any) -> dict[str, Any] | None:
    try:
        delta = chunk["choices"][0]["delta"]
    except (LookupError, TypeError):
        return None
    return delta if isinstance(delta, dict) else None
