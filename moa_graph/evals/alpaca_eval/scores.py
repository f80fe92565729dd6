"""AlpacaEval 2: what the judge's annotations say.

A *preference* is 1 when the reference wins, 2 when the model wins, a float between for a weighted judge,
1.5 for a tie (0 in old files); null and -1 mark a verdict that could not be read. Win rates are in percent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row

FIELDS = ("instruction", "output_1", "output_2")


@dataclass(frozen=True)
class Annotation:
    """One judged pair: output_1 is the reference, output_2 the model. `win` is 0..1 or None when
    unreadable."""

    instruction: str
    reference: str
    output: str
    generator: str
    dataset: str
    win: float | None


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
    """The model's share of a preference, 0 to 1; None when the verdict could not be read."""
    if isinstance(preference, bool) or not isinstance(preference, int | float):
        return None
    if preference == 0:
        return 0.5
    return preference - 1 if 1 <= preference <= 2 else None


def annotation(row: Row, number: int = 0) -> Annotation:
    """One row of either published form. Raises InputError for a row without the three texts."""
    for name in FIELDS:
        if not isinstance(row.get(name), str):
            raise InputError(f"annotation {number}: {name!r} is missing or no text")
    return Annotation(
        instruction=row["instruction"],
        reference=row["output_1"],
        output=row["output_2"],
        generator=str(row.get("generator_2") or ""),
        dataset=str(row.get("dataset") or ""),
        win=win(row.get("preference")),
    )


def read_annotations(rows: Sequence[Row]) -> list[Annotation]:
    """All rows; an instruction judged twice is an error, since every instruction counts once."""
    found: dict[str, Annotation] = {}
    for number, row in enumerate(rows, 1):
        item = annotation(row, number)
        if item.instruction in found:
            raise InputError(f"annotation {number}: this instruction was already judged: {item.instruction[:80]!r}")
        found[item.instruction] = item
    if not found:
        raise InputError("there are no annotations")
    return list(found.values())


def win_rate(wins: Sequence[float | None]) -> WinRate:
    """Win rate, its standard error and the discrete win rate. Raises InputError when nothing was readable."""
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


def bounds(wins: Sequence[float | None]) -> tuple[float, float]:
    """The win rate if every unreadable verdict were a loss, and if every one were a win."""
    known = math.fsum(w for w in wins if w is not None)
    missing = sum(w is None for w in wins)
    return 100 * known / len(wins), 100 * (known + missing) / len(wins)


def average_length(items: Sequence[Annotation]) -> int:
    """Mean length of the model's outputs in characters, cut to an integer as the leaderboard does."""
    return int(sum(len(item.output) for item in items) / len(items))
