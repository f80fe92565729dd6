"""AlpacaEval: win rates from the judge's annotations.

A *preference* is 1 if the reference wins, 2 if the model wins, a number between for a weighted judge, and 1.5 for a tie
(0 in old files). null, -1 and everything else mark a verdict that could not be read. Win rates are in percent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data import fields
from moa_graph.evals.data.fields import NOT_RECORDED, Once, brief
from moa_graph.evals.data.files import Row

FIELDS = ("instruction", "output_1", "output_2")


@dataclass(frozen=True)
class Annotation:
    """One judged pair.

    Attributes:
        instruction: The prompt.
        reference: Output 1.
        output: Output 2, the model's.
        dataset: The part of the benchmark that the prompt belongs to.
        win: The model's share of the verdict, 0 to 1; None when it could not be read.
        preference: The verdict as the file has it.
    """

    instruction: str
    reference: str
    output: str
    dataset: str
    win: float | None
    preference: Any = None


@dataclass(frozen=True)
class WinRate:
    """Percentages over the `n` readable verdicts; `standard_error` is None with fewer than two."""

    n: int
    win_rate: float
    standard_error: float | None
    discrete_win_rate: float
    wins: int
    losses: int
    draws: int
    parse_failures: int


def win(preference: Any) -> float | None:
    """Return the model's share of a preference, 0 to 1; None when the verdict could not be read."""
    if isinstance(preference, bool) or not isinstance(preference, int | float):
        return None
    if preference == 0:
        return 0.5
    return preference - 1 if 1 <= preference <= 2 else None


def annotation(row: Row, number: int = 0) -> Annotation:
    """Read one row of either published form; a preference may be a number in quotes.

    Raises:
        InputError: The row lacks one of the three texts.
    """
    # An output of null is an empty answer.
    texts = {name: "" if row.get(name, 0) is None and name != FIELDS[0] else row.get(name) for name in FIELDS}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise InputError(f"annotation {number}: {name!r} is missing or is not text")
    preference = row.get("preference")
    return Annotation(
        instruction=str(texts["instruction"]),
        reference=str(texts["output_1"]),
        output=str(texts["output_2"]),
        dataset=str(row.get("dataset") or ""),
        win=win(_number(preference)),
        preference=preference,
    )


def _number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return None


def read_annotations(rows: Sequence[Row]) -> list[Annotation]:
    """Read the rows of one system. The same output judged again is a duplicate; the first readable verdict stays.

    Raises:
        InputError: There are no rows, a row is damaged, or two rows of one instruction have different outputs.
    """
    found: dict[str, Annotation] = {}
    once = Once()
    for number, row in enumerate(rows, 1):
        item = annotation(row, number)
        once.repeats(item.instruction, (item.reference, item.output), number, f"{item.instruction[:80]!r}")
        before = found.get(item.instruction)
        if before is None or before.win is None:
            found[item.instruction] = item
    if not found:
        raise InputError("there are no annotations")
    return list(found.values())


@dataclass(frozen=True)
class Source:
    """Which comparison a row belongs to; rows of different sources are never averaged.

    Attributes:
        model: `generator_2`.
        judge: `annotator`.
        reference: `generator_1`.
    """

    model: str
    judge: str
    reference: str

    @classmethod
    def of(cls, row: Row) -> Source:
        """Return the source of one row; missing fields are empty strings."""
        names = ("generator_2", "annotator", "generator_1")
        return cls(*(fields.name(row.get(name), "an annotation", name) for name in names))

    def __str__(self) -> str:
        model, judge, reference = (name or NOT_RECORDED for name in (self.model, self.judge, self.reference))
        return f"{model} against {reference}, judged by {judge}"


def by_source(rows: Sequence[Row]) -> dict[Source, list[Row]]:
    """Separate the rows of several models, judges or references in one file, in order of first appearance.

    Raises:
        InputError: A row is not an annotation; the message has its number in the file.
    """
    found: dict[Source, list[Row]] = {}
    for number, row in enumerate(rows, 1):
        annotation(row, number)
        found.setdefault(Source.of(row), []).append(row)
    return found


def both_orders(rows: Sequence[Row]) -> bool:
    """Return whether the rows were judged in both orders."""
    return any(row.get("orders") for row in rows)


def first_unreadable(items: Sequence[Annotation]) -> str | None:
    """Describe the first verdict that could not be read; None when all could."""
    for number, item in enumerate(items, 1):
        if item.win is None:
            return f"annotation {number} has the preference {brief(item.preference)}"
    return None


def win_rate(wins: Sequence[float | None]) -> WinRate:
    """Return the win rate, its standard error and the discrete win rate.

    Raises:
        InputError: No verdict was readable.
    """
    read = [w for w in wins if w is not None]
    if not read:
        raise InputError("no verdict could be read")
    n, mean = len(read), math.fsum(read) / len(read)
    spread = math.sqrt(math.fsum((w - mean) ** 2 for w in read) / (n - 1) / n) if n > 1 else None
    more, less = sum(w > 0.5 for w in read), sum(w < 0.5 for w in read)
    return WinRate(
        n=n,
        win_rate=100 * mean,
        standard_error=None if spread is None else 100 * spread,
        discrete_win_rate=100 * (more + (n - more - less) / 2) / n,
        wins=more,
        losses=less,
        draws=n - more - less,
        parse_failures=len(wins) - n,
    )


def by_dataset(items: Sequence[Annotation]) -> dict[str, dict[str, float]]:
    """Return n and win rate of every part of the benchmark; empty if the rows name fewer than two parts."""
    names = Counter(item.dataset for item in items if item.win is not None)
    if len(names) < 2:
        return {}
    found: dict[str, dict[str, float]] = {}
    for name in sorted(names):
        wins = [item.win for item in items if item.dataset == name and item.win is not None]
        found[name or NOT_RECORDED] = {"n": len(wins), "win_rate": 100 * math.fsum(wins) / len(wins)}
    return found


def bounds(wins: Sequence[float | None]) -> tuple[float, float]:
    """Return the win rate if every unreadable verdict were a loss, and if every one were a win."""
    known = math.fsum(w for w in wins if w is not None)
    missing = sum(w is None for w in wins)
    return 100 * known / len(wins), 100 * (known + missing) / len(wins)


def average_length(items: Sequence[Annotation]) -> int:
    """Return the mean length of the model's outputs in characters, cut to an integer as the leaderboard does."""
    return int(sum(len(item.output) for item in items) / len(items))


def position_figures(rows: Sequence[Row]) -> dict[str, float]:
    """Return the consistency of a judge in both orders: how often the same side wins, and the answer shown first.

    A tie is the same verdict as another tie only, and half a win of the answer shown first. Nothing for rows judged in
    one order.

    Raises:
        InputError: The `orders` of a row are damaged.
    """
    pairs = [pair for number, row in enumerate(rows, 1) if len(pair := _orders(row, f"annotation {number}")) == 2]
    if not pairs:
        return {}
    same = sum(_side(a["preference"] - 1) == _side(b["preference"] - 1) for a, b in pairs)
    shares = [_first_share(order) for pair in pairs for order in pair]
    return {
        "consistency": same / len(pairs),
        "first_position_share": sum(map(_side, shares)) / len(shares),
        "first_position_mean": sum(shares) / len(shares),
    }


def _side(share: float) -> float:
    """Return 1 for a win, 0 for a loss and 0.5 for a tie."""
    return 1.0 if share > 0.5 else 0.0 if share < 0.5 else 0.5


def _orders(row: Row, where: str) -> list[Row]:
    """Return the readable verdicts of a row that was judged in both orders."""
    orders = row.get("orders") or []
    if not isinstance(orders, list) or not all(isinstance(o, dict) and {"preference"} <= o.keys() for o in orders):
        raise InputError(f"{where}: `orders` is {brief(orders)}; it must be a list of objects with `preference`")
    read = [{**order, "preference": _number(order["preference"])} for order in orders]
    for order in read:
        share = order.get("first_share")
        if share is not None and (isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1):
            raise InputError(f"{where}: `first_share` of an order is {brief(share)}; it must be a number from 0 to 1")
    return [order for order in read if win(order["preference"]) is not None and order["preference"] != 0]


def _first_share(order: Mapping[str, Any]) -> float:
    """Return the share of the answer shown first; derived from the preference where it is not recorded."""
    if order.get("first_share") is not None:
        return float(order["first_share"])
    share = order["preference"] - 1
    return float(share if order.get("is_switched") else 1 - share)


def position_warning(figures: Mapping[str, Any]) -> str | None:
    """Return a warning if the judge's verdicts depend on the order; None if not, or if only one order is known.

    A judge that follows the content chooses the same side in both orders and prefers both positions about equally.
    """
    same, first = figures.get("consistency"), figures.get("first_position_share")
    if same is None or first is None or (same >= 0.7 and 0.3 <= first <= 0.7):
        return None
    return (
        f"the judge depends on the order: {100 * same:.0f} % of pairs have the same winner in both orders, and the "
        f"answer shown first wins {100 * first:.0f} %. Its win rates are not reliable"
    )
