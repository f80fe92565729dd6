"""Read the fields of rows that others wrote: names, ids and texts of the right kind, or an error that names the row."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any

from moa_graph.errors import InputError

_LONGEST_ID = 18
"""Digits of an id that is a number."""

NOT_RECORDED = "not recorded"
"""The name of a model, a judge or a reference that a file does not name."""

QUESTION = ("prompt", "question", "problem", "instruction", "input")
"""Names of a row's question, the first of which counts."""
_CONTEXT = ("context", "passage", "article", "body")
"""Names of the text that a question or an instruction is about."""
_LONG = 40
"""The length in characters from which a part is not in a question by chance."""


class UnreadableError(InputError):
    """No verdict of a system could be read."""


def identifier(value: Any, where: str, field: str) -> int | str:
    """Return an id: a number or text. Digits in quotes and a whole float are the same id as the number.

    Raises:
        InputError: The value is anything else.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise InputError(f"{where}: `{field}` is {brief(value)}; it must be a number or text")
    # Longer digits are a name: no table holds such a number, and Python converts 4,300 digits at most.
    digits = isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _LONGEST_ID
    return int(value) if digits else value


def name(value: Any, where: str, field: str) -> str:
    """Return a name (of a model, a judge, a reference); "" where the file has null or nothing.

    Raises:
        InputError: The value is neither text nor a number.
    """
    if value is None or value == "":
        return ""
    return str(identifier(value, where, field)) if not isinstance(value, str) else value


def question(row: Mapping[str, Any], where: str = "") -> Any:
    """Return a row's whole question; None without one.

    That is an instruction with its `input`, as in Alpaca's sets, and a question or an instruction behind the text that
    it is about, as in RACE, SVAMP and Dolly. A `prompt` is whole by itself.

    Args:
        row: The row.
        where: How the error names it; without it, a part that cannot be read is left out.

    Raises:
        InputError: A part of the question is neither text, a number nor a list of texts.
    """
    field = next((name for name in QUESTION if row.get(name) not in (None, "") and row[name] == row[name]), None)
    text = None if field is None else row[field]
    if not isinstance(text, str) or field not in ("question", "instruction"):
        return text
    before = [_part(row, name, where) for name in _CONTEXT]
    after = [_part(row, "input", where)] if field == "instruction" else []
    return "\n\n".join(part for part in (*before, text, *after) if part is text or not _held(part.strip(), text))


def _held(part: str, text: str) -> bool:
    """Return whether a text contains a part already.

    A short part counts only at the beginning or the end, because a word such as "a" is in most texts.
    """
    if len(part) >= _LONG:
        return part in text
    return not part or bool(re.search(rf"^{re.escape(part)}(?!\w)|(?<!\w){re.escape(part)}$", text.strip()))


def _part(row: Mapping[str, Any], name: str, where: str) -> str:
    """Return a part of a question; "" where the row has null, NaN or nothing."""
    value = row.get(name)
    if not value or value != value:
        return "0" if value == 0 and not isinstance(value, bool) else ""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "\n\n".join(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        if where:
            raise InputError(
                f"{where}: `{name}` is {brief(value)}; it must be text, a number, or a list of texts, because it is "
                "asked with the question. Rename it if it is something else"
            )
        return ""
    return str(value)


def brief(value: Any) -> str:
    """Return a value as an error shows it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."


class Once:
    """Tells duplicates of a row from other content under the same key."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[int, Any]] = {}
        self.duplicates = 0

    def repeats(self, key: Hashable, content: Any, number: int, where: str) -> bool:
        """Return whether a row of this key was there before, and count it.

        Args:
            key: The identity of the row.
            content: The judged text or the answer; None if the file lacks it.
            number: The row's number.
            where: A description of the key, for the error.

        Raises:
            InputError: The row of the same key has other content: the file has two sets of answers.
        """
        if key not in self._seen:
            self._seen[key] = (number, content)
            return False
        before, earlier = self._seen[key]
        if None not in (earlier, content) and earlier != content:
            raise InputError(f"rows {before} and {number} have different answers to {where}: split the two sets")
        self.duplicates += 1
        return True
