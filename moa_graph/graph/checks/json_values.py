"""Check that a caller's tools and response format can be sent as JSON, in little time for any value."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from moa_graph.errors import InputError
from moa_graph.state.value_text import given

__all__ = ["JsonCheck", "SchemaPlace"]

_MOST_BYTES = 2_000_000
"""Bytes of the JSON of all tools and the response format, about 500,000 tokens."""
_MOST_PARTS = 10_000
"""Lists and objects in them. OpenAI takes 5,000 properties."""
_MOST_VALUES = 20_000
"""Values that are searched for one that JSON does not have, about 50 ms."""
_LONGEST_STEP, _MOST_STEPS = 60, 20
"""Characters of a name, and steps of a place, that an error repeats."""
_DEEPEST = 250
"""Levels of nesting. Providers take about ten."""
_LONGEST_NUMBER = 4096
"""Bits of a whole number."""


class SchemaPlace(NamedTuple):
    """The place of a schema. It is written out for an error alone: names may be long, and schemas deep."""

    step: str
    parent: SchemaPlace | None = None

    def __str__(self) -> str:
        steps, at = [], self
        while at.parent is not None:
            steps.append(at.step if len(at.step) <= _LONGEST_STEP else f"{at.step[:_LONGEST_STEP]}…")
            at = at.parent
        inner = steps if len(steps) <= _MOST_STEPS else [*steps[: _MOST_STEPS // 2], "…", *steps[-_MOST_STEPS // 2 :]]
        return ".".join([at.step, *reversed(inner)])


class JsonCheck:
    """Refuses values that cannot be sent as JSON, that are nested too deeply, or that are too many or too large."""

    def __init__(self) -> None:
        self._bytes = 0
        self._parts = 0

    def add(self, value: Any, at: SchemaPlace) -> None:
        """Check a further value.

        Args:
            value: The value.
            at: Its place.

        Raises:
            InputError: The value, or all values so far, cannot be sent.
        """
        search = _Search()
        try:
            quick = orjson.dumps(value)
            self._bytes += len(quick)
            # A brace in a text counts as well. Texts have few.
            self._parts += quick.count(b"{") + quick.count(b"[")
        except TypeError:
            search.check(value, at, _DEEPEST)
            quick = b""
            self._bytes += search.chars
            self._parts += search.parts
        self._refuse_too_much(at)
        # orjson writes numbers that JSON does not have as null.
        if b"null" in quick and not _is_finite(value):
            search.check(value, at, _DEEPEST)

    def _refuse_too_much(self, at: SchemaPlace) -> None:
        for count, most, unit in (
            (self._bytes, _MOST_BYTES, "bytes of JSON"),
            (self._parts, _MOST_PARTS, "lists and objects"),
        ):
            if count > most:
                more = f"the tools and the response format have more than {most:,} {unit}"
                raise InputError(f"{at}: {more}. Offer fewer or shorter ones.")


def _is_finite(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False, default=str)
    except ValueError:
        return False
    return True


class _Search:
    """Finds a value that JSON does not have.

    Attributes:
        left: The values that are still searched.
        chars: The characters of the texts so far.
        parts: The lists and objects so far.
    """

    def __init__(self) -> None:
        self.left = _MOST_VALUES
        self.chars = 0
        self.parts = 0

    def check(self, value: Any, at: SchemaPlace, levels: int) -> None:
        """Refuse a value that JSON does not have, anywhere in `value`.

        Args:
            value: The value.
            at: Its place.
            levels: The levels of nesting that it may have.
        """
        self.left -= 1
        if self.left < 0:
            raise InputError(f"{at}: one of more than {_MOST_VALUES:,} values, some of which JSON does not have.")
        if isinstance(value, str):
            self._check_text(value, at)
        elif isinstance(value, int | float):
            # Python writes no whole number of more than 4,300 digits.
            if value.bit_length() > _LONGEST_NUMBER if isinstance(value, int) else not math.isfinite(value):
                raise InputError(f"{at}: expected a number that JSON has, got {given(value)}.")
        elif isinstance(value, Mapping | list | tuple):
            self.parts += 1
            if not levels:
                raise InputError(f"{at}: nested more than {_DEEPEST} levels deep.")
            for name, part in value.items() if isinstance(value, Mapping) else enumerate(value):
                if isinstance(name, str):
                    self._check_text(name, at)
                self.check(part, SchemaPlace(str(name), at), levels - 1)
        else:
            _check_foreign(value, at)

    def _check_text(self, text: str, at: SchemaPlace) -> None:
        # Half of a surrogate pair, as in a text that was cut inside an emoji, has no encoding.
        self.chars += len(text)
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise InputError(f"{at}: the text holds half a character, at position {exc.start}. Remove it.") from None


def _check_foreign(value: Any, at: SchemaPlace) -> None:
    """Refuse a value of a further type, except those that can be sent to an API of OpenAI's protocol, as dates can."""
    try:
        orjson.dumps(value)
    except TypeError:
        raise InputError(f"{at}: expected a value that JSON has, got {given(value)}.") from None
