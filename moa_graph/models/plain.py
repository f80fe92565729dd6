"""Plain values: what JSON, every checkpointer and every ledger can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from moa_graph.models.thoughts import encodable

__all__ = ["plain"]


class _TooMuch(Exception):
    """A value is nested too deeply, or holds too many values."""


def plain(value: object, *, text: int = 1000, values: int = 10_000, depth: int = 20) -> Any:
    """Return `value` with plain parts only, or None when it is too large.

    Integers that 64 bits cannot hold and numbers that are not finite become None; lone surrogates are replaced; objects
    of other types become their text.

    Args:
        value: any value.
        text: characters that a text may have; the rest is cut.
        values: how many values there may be in all.
        depth: how deeply they may be nested.
    """
    try:
        return _Plain(text, values).of(value, depth)
    except _TooMuch:
        return None


class _Plain:
    def __init__(self, text: int, values: int) -> None:
        self._text = text
        self._left = values

    def of(self, value: object, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth < 0:
            raise _TooMuch
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value) if -(2**63) <= value < 2**63 else None
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        if isinstance(value, str):
            return encodable(value[: self._text])
        if isinstance(value, Mapping):
            return {encodable(str(key)[:200]): self.of(each, depth - 1) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(each, depth - 1) for each in value]
        return self._shown(value)

    def _shown(self, value: object) -> str:
        try:
            return encodable(str(value)[: self._text])
        except Exception:  # a foreign object's own method may raise anything
            return type(value).__name__
