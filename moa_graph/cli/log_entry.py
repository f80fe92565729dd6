"""One entry of the log, read from its row. A column that is damaged is left out, and the entry's error names it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from moa_graph.state import Draft, Record

__all__ = ["Entry", "entry_of"]

_LATEST = 250_000_000_000.0
"""A time in the year 9892. Python has no dates after 9999."""

_NUMBER = (int, float)
_OF_A_DRAFT: dict[str, Any] = {
    "layer": int,
    "slot": int,
    "proposer": str,
    "model": str,
    "status": str,
    "text": str | None,
    "error": str | None,
    "cost": int | float | None,
    "seconds": _NUMBER,
}
"""The fields of a draft that commands print."""


class Entry(NamedTuple):
    """A logged question.

    Attributes whose value may be missing are None then: `answer`; `cost`, in dollars; and `calls`, the number of its
    model calls, which earlier versions did not write.
    """

    id: int
    conversation: str
    asked: float
    mixture: str
    models: list[str]
    question: str
    answer: str | None
    error: str | None
    cost: float | None
    seconds: float | None
    drafts: list[Draft]
    record: Record | None
    calls: int | None


def entry_of(row: Sequence[Any]) -> Entry:
    """Return the entry of a row whose columns are the fields of `Entry`, lists and objects as JSON."""
    found, damaged = dict[str, Any](), list[str]()
    for name, value in zip(Entry._fields, row, strict=True):
        read, blank = _READERS[name]
        try:
            found[name] = read(value)
        except (ValueError, TypeError, RecursionError):
            found[name] = blank
            damaged.append(name)
    if damaged:
        error = f"this entry of the log is damaged: {', '.join(damaged)}"
        found["error"] = f"{found['error']} ({error})" if found["error"] else error
    return Entry(**found)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any) -> float:
    if not isinstance(value, _NUMBER) or not math.isfinite(value):
        raise TypeError
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError
    return value


def _time(value: Any) -> float:
    if not 0 <= _number(value) < _LATEST:
        raise ValueError
    return _number(value)


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _models(value: Any) -> list[str]:
    return [_text(each) for each in _json(value, list)]


def _drafts(value: Any) -> list[Draft]:
    drafts: list[Draft] = _json(value, list)
    for draft in drafts:
        if not isinstance(draft, dict) or not all(isinstance(draft.get(k), kind) for k, kind in _OF_A_DRAFT.items()):
            raise TypeError
    return drafts


def _record(value: Any) -> Any:
    return _json(value, dict)


def _json(value: Any, kind: type) -> Any:
    found = json.loads(_text(value), parse_constant=_refused)
    if not isinstance(found, kind):
        raise TypeError
    return found


def _refused(name: str) -> Any:
    raise ValueError(name)


_READERS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "id": (_number, 0),
    "conversation": (_text, ""),
    "asked": (_time, 0.0),
    "mixture": (_text, ""),
    "models": (_models, []),
    "question": (_text, ""),
    "answer": (_optional(_text), None),
    "error": (_optional(_text), None),
    "cost": (_optional(_number), None),
    "seconds": (_optional(_number), None),
    "drafts": (_drafts, []),
    "record": (_optional(_record), None),
    "calls": (_optional(_count), None),
}
"""How each column is read, and its value when it is damaged."""
