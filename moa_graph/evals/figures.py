"""Data structures shared by the figures of all benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from moa_graph.errors import InputError
from moa_graph.evals.data.fields import UnreadableError
from moa_graph.evals.stats import Interval

T = TypeVar("T")

Figures = dict[str, Any]
"""Plain figures by name: printed as JSON by a command and written to `scores.json` by a run."""

_OPTIONAL = frozenset({"judge", "reference"})
"""What a run need not have."""
STAR = "* this interval may not hold its level: few prompts, few wins or losses, or skewed values"


def as_pair(interval: Interval | None) -> list[float] | None:
    """Return an interval as JSON."""
    return None if interval is None else [interval.low, interval.high]


def cautions(intervals: Mapping[str, Interval | None]) -> dict[str, str]:
    """Return the caution of every interval that has one, by the figure's name."""
    return {name: width.caution for name, width in intervals.items() if width is not None and width.caution}


def formatted(value: Any, *, missing: str = "not known") -> str:
    """Format a figure for a person; `missing` stands for None."""
    if value is None:
        return missing
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}"
    if isinstance(value, list):
        if not value:
            return "none"
        return " to ".join(map(formatted, value)) if all(isinstance(v, int | float) for v in value) else _listed(value)
    return str(value)


def _listed(values: list[Any]) -> str:
    return "; ".join(
        ", ".join(f"{name} {value}" for name, value in entry.items()) if isinstance(entry, Mapping) else str(entry)
        for entry in values
    )


def lines(figures: Mapping[str, Any], *, hidden: frozenset[str] = frozenset()) -> Iterator[list[str]]:
    """Yield [name, value] of every figure, formatted for a table.

    A nested figure is named "outer: inner". The caution of an interval is appended.
    """
    marked = figures.get("cautions") or {}
    for name, value in figures.items():
        if name in hidden or name in ("cautions", "notes", "warnings"):
            continue
        if isinstance(value, Mapping):
            yield from ([f"{name}: {inner}", text] for inner, text in lines(value))
        else:
            yield [
                name,
                formatted(value, missing="none" if name in _OPTIONAL else "not known")
                + (f" (caution: {marked[name]})" if name in marked and value is not None else ""),
            ]


def readable_systems(groups: Mapping[str, T], score: Callable[[T], Figures], what: str) -> dict[str, Figures]:
    """Return the figures of every system of a file; one of which nothing can be read is a note of the others.

    Args:
        groups: The rows by system.
        score: Returns the figures of one system; it raises `UnreadableError` if no verdict could be read.
        what: What the file must have, for the error of an empty one.

    Raises:
        InputError: There are no systems, or a row is damaged.
        UnreadableError: Nothing of any system could be read.
    """
    found: dict[str, Figures] = {}
    unread: dict[str, UnreadableError] = {}
    for name, rows in groups.items():
        try:
            found[name] = score(rows)
        except UnreadableError as error:
            unread[name] = error
    if not found:
        raise next(iter(unread.values()), InputError(f"there are no {what}"))
    next(iter(found.values()))["notes"] += [f"{name}: {error}" for name, error in unread.items()]
    return found


def bracket(interval: Any, caution: Any = None) -> str:
    """Return " [low, high]" for a table cell; a star marks an interval with a caution."""
    if interval is None:
        return ""
    low, high = interval
    return f" [{formatted(low)}, {formatted(high)}]{'*' if caution else ''}"
