"""MT-Bench in FastChat's formats: questions, judge prompts, ratings and what they add up to.

A rating that could not be read is -1. It is left out of the means, counted, and shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row
from moa_graph.evals.stats import Interval, mean_interval

TEMPERATURES = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}
REFERENCE_CATEGORIES = frozenset({"math", "reasoning", "coding", "arena-hard-200"})
FAILED = -1.0
_RATING = re.compile(r"\[\[(\d+\.?\d*)\]\]")
_BACKUP = re.compile(r"\[(\d+\.?\d*)\]")
_WINNER = re.compile(r"\[\[([ABC])\]\]")


@dataclass(frozen=True)
class Judgment:
    """One rating, 1 to 10 or -1, of one turn of one model's answer."""

    question: int | str
    model: str
    judge: str
    turn: int
    score: float


@dataclass(frozen=True)
class Score:
    """Means over readable ratings; None where there is none. `interval` resamples questions, not rows."""

    score: float | None
    first_turn: float | None
    second_turn: float | None
    n: int
    duplicates: int
    parse_failures: int
    interval: Interval | None = None
    categories: dict[str, float] = field(default_factory=dict)


def temperature(category: str) -> float:
    """The generation temperature FastChat uses for a category (0 unless named)."""
    return TEMPERATURES.get(category, 0.0)


def rating(text: str) -> float:
    """The first [[rating]], else the first [number], else -1, as FastChat reads it."""
    found = _RATING.search(text) or _BACKUP.search(text)
    return float(found[1]) if found else FAILED


def verdict(text: str) -> str | None:
    """ "A", "B" or "C" (a tie) of a pairwise judgment; None unless exactly one verdict is given."""
    found = set(_WINNER.findall(text))
    return found.pop() if len(found) == 1 else None


def judgments(rows: Sequence[Row]) -> list[Judgment]:
    """Single-grading rows of FastChat. Raises InputError for a row of another kind."""
    return [_judgment(row, number) for number, row in enumerate(rows, 1)]


def _judgment(row: Row, number: int) -> Judgment:
    try:
        return Judgment(
            question=row["question_id"],
            model=str(row["model"]),
            judge="/".join(map(str, row.get("judge") or ())),
            turn=int(row["turn"]),
            score=_number(row["score"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"judgment {number} is no single-grading row: {error!r}") from error


def _number(value: Any) -> float:
    score = float(value)
    return score if math.isfinite(score) and score >= 0 else FAILED


def unique(rows: Iterable[Judgment]) -> tuple[list[Judgment], int]:
    """One judgment for each question, model, judge and turn, and how many were dropped.

    FastChat appends to its file, so a second run doubles rows; the first readable one stays.
    """
    kept: dict[tuple[Any, ...], Judgment] = {}
    dropped = 0
    for row in rows:
        key = (row.question, row.model, row.judge, row.turn)
        dropped += key in kept
        if key not in kept or kept[key].score == FAILED:
            kept[key] = row
    return list(kept.values()), dropped


def scores(rows: Sequence[Judgment], *, categories: Mapping[Any, str] | None = None, seed: int = 0) -> dict[str, Score]:
    """Scores by model, in order of first appearance. `categories` maps question_id to its category."""
    models = dict.fromkeys(row.model for row in rows)
    return {
        name: score([row for row in rows if row.model == name], categories=categories or {}, seed=seed)
        for name in models
    }


def score(rows: Sequence[Judgment], *, categories: Mapping[Any, str], seed: int = 0) -> Score:
    """The score of one model's judgments."""
    kept, duplicates = unique(rows)
    read = [row for row in kept if row.score != FAILED]
    by_category: dict[str, list[float]] = {}
    for row in read:
        if row.question in categories:
            by_category.setdefault(categories[row.question], []).append(row.score)
    values = [row.score for row in read]
    return Score(
        score=_mean(values),
        first_turn=_mean([row.score for row in read if row.turn == 1]),
        second_turn=_mean([row.score for row in read if row.turn == 2]),
        n=len(read),
        duplicates=duplicates,
        parse_failures=len(kept) - len(read),
        interval=mean_interval(values, clusters=[row.question for row in read], seed=seed),
        categories={name: math.fsum(v) / len(v) for name, v in sorted(by_category.items())},
    )


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def pairwise_winner(first: str | None, second: str | None) -> str | None:
    """Who wins over both orders: "model_1", "model_2" or "tie"; None when a verdict could not be read.

    `first` has model 1 as A, `second` has model 1 as B. A side wins only when both orders agree.
    """
    if first is None or second is None:
        return None
    one = {"A": "model_1", "B": "model_2", "C": "tie"}[first]
    two = {"A": "model_2", "B": "model_1", "C": "tie"}[second]
    return one if one == two else "tie"


def adjusted_win_rate(winners: Sequence[str | None], side: str = "model_1") -> float | None:
    """Percent of wins plus half the ties over readable pairs."""
    read = [winner for winner in winners if winner is not None]
    if not read:
        return None
    return 100 * (read.count(side) + read.count("tie") / 2) / len(read)
