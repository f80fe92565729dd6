"""Options of multiple choice, in the forms of published sets and of tables.

They stand in a list (MMLU, MMLU-Pro), in texts beside labels (ARC), in texts by label (MedQA), in objects with a label
and a text (CommonsenseQA), or in columns of their own (`A`, `B`, ... of MMMLU, `option1`, ... of WinoGrande).
"""

from __future__ import annotations

import ast
import json
import re
import string
from typing import Any, NamedTuple

from moa_graph.errors import InputError
from moa_graph.evals.data.fields import brief
from moa_graph.evals.data.files import Row

GOLD = ("gold", "answer", "expected", "target", "ideal", "answerKey")
"""Names of the right answer."""
_MOST = len(string.ascii_uppercase)
_COLUMN = re.compile(r"([A-Z])|((?:option|choice|opt|op)[ _-]?)([a-z]|\d{1,2})", re.ASCII)


class _Options(NamedTuple):
    texts: list[str]
    labels: list[str]


def lettered(row: Row, where: str) -> Row:
    """Return a row with a list of `options` and the letter of the right one as `gold`.

    The right one may be named by its label, its text, or, as in MMLU's `choices`, its place from 0. A row without
    options is returned as it is.

    Raises:
        InputError: The row has options that cannot be read: without them, another question would be asked.
    """
    right = next((row[name] for name in GOLD if row.get(name) not in (None, "")), None)
    if (found := _listed(row, where) or _in_columns(row, right)) is None:
        return row
    place = _place(right, found, by_number="choices" in row)
    return {**row, "options": found.texts, **({} if place is None else {"gold": string.ascii_uppercase[place]})}


def _listed(row: Row, where: str) -> _Options | None:
    """Return the options under `options` or `choices`; None without any."""
    name = "options" if row.get("options") is not None else "choices"
    given = row.get(name)
    if isinstance(given, str):
        given = _parsed(given)
    found = _read(given)
    if found is not None and 1 < len(found.texts) == len(found.labels) <= _MOST:
        return found
    if isinstance(given, str | list) and given:
        raise InputError(f"{where}: `{name}` is {brief(row[name])}; it must be a list of 2 to {_MOST} texts")
    return None


def _parsed(text: str) -> Any:
    """Return the list that a cell of a table holds as text, as JSON or as Python writes it; else the text."""
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(found, list | dict):
            return found
    return text


def _read(given: Any) -> _Options | None:
    """Return a list or an object as options; None for other values."""
    if isinstance(given, dict):
        beside = isinstance(given.get("text"), list) and isinstance(given.get("label"), list)
        texts, labels = (given["text"], given["label"]) if beside else (list(given.values()), list(given))
    elif isinstance(given, list) and given and all(isinstance(each, dict) for each in given):
        texts, labels = ([each.get(name) for each in given] for name in ("text", "label"))
    elif isinstance(given, list):
        texts, labels = given, list(string.ascii_uppercase[: len(given)])
    else:
        return None
    if not all(map(_is_option, texts)) or not all(isinstance(label, str | int) for label in labels):
        return None
    return _Options(list(map(str, texts)), list(map(str, labels)))


def _is_option(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _in_columns(row: Row, right: Any) -> _Options | None:
    """Return the options in columns of their own, from the first label on; None without two."""
    groups: dict[str, dict[str, str]] = {}
    for name, value in row.items():
        if (found := _COLUMN.fullmatch(str(name))) and _is_option(value):
            letter, prefix, label = found.groups()
            groups.setdefault(prefix or "", {})[letter or label] = str(value)
    for prefix, by_label in groups.items():
        first = min(by_label, key=_rank)
        if first not in ("A", "a", "0", "1"):
            continue
        labels = [
            label for place, label in enumerate(sorted(by_label, key=_rank)) if _rank(label) == _rank(first) + place
        ]
        options = _Options([by_label[label] for label in labels], labels)
        # Columns A and B alone may be anything; with a right answer that names one of them, they are options.
        if len(labels) > 1 and (prefix or _place(right, options, by_number=False) is not None):
            return options
    return None


def _rank(label: str) -> int:
    return int(label) if label.isdecimal() else ord(label.lower())


def _place(right: object, options: _Options, *, by_number: bool) -> int | None:
    if not _is_option(right):
        return None
    wanted = str(right).strip()
    number = int(wanted) if by_number and wanted.isascii() and wanted.isdecimal() and len(wanted) < 3 else None
    if isinstance(right, int) and number is not None:
        return number if number < len(options.texts) else None
    forms = (options.labels, [text.strip() for text in options.texts], [label.upper() for label in options.labels])
    places = [each.index(wanted) for each in forms if each.count(wanted) == 1]
    # In a table numbers are text.
    return next(iter(places), number if number is not None and number < len(options.texts) else None)
