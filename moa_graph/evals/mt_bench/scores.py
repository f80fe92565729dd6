"""MT-Bench in FastChat's formats: ratings, pairwise verdicts, and the scores computed from them.

A rating that could not be read, or is not between 1 and 10, is -1. It is excluded from the means and counted.
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
LOWEST, HIGHEST = 1.0, 10.0
_RATING = re.compile(r"\[\[(\d+\.?\d*)\]\]")
_BACKUP = re.compile(r"\[(\d+\.?\d*)\]")
_WINNER = re.compile(r"\[\[([ABC])\]\]")


@dataclass(frozen=True)
class Judgment:
    """One rating, 1 to 10 or -1, of one turn of one model's answer.

    Attributes:
        question: The question's id; digits become an integer, also if the file has them as text.
        model: The judged model.
        judge: The judge's model.
        turn: 1 or 2.
        score: The rating, or -1.
        prompt: The judge's prompt; None if the file lacks it. It distinguishes two sets of answers.
        raw: The rating in the file.
    """

    question: int | str
    model: str
    judge: str
    turn: int
    score: float
    prompt: str | None = None
    raw: Any = None


@dataclass(frozen=True)
class Score:
    """Means over readable ratings; None if there are none. `interval` is by question, not by row."""

    score: float | None
    first_turn: float | None
    second_turn: float | None
    n: int
    duplicates: int
    parse_failures: int
    interval: Interval | None = None
    categories: dict[str, float] = field(default_factory=dict)


def temperature(category: str) -> float:
    """Return the generation temperature that FastChat uses for a category (0 unless it names one)."""
    return TEMPERATURES.get(category, 0.0)


def rating(text: str) -> float:
    """Return the first [[rating]], or else the first [number], as FastChat does; -1 outside 1 to 10."""
    found = _RATING.search(text) or _BACKUP.search(text)
    return on_scale(found[1]) if found else FAILED


def on_scale(value: Any) -> float:
    """Return a rating from 1 to 10; -1 for anything else."""
    if isinstance(value, bool):
        return FAILED
    try:
        score = float(value)
    except (TypeError, ValueError, OverflowError):
        return FAILED
    return score if LOWEST <= score <= HIGHEST else FAILED


def verdict(text: str) -> str | None:
    """Return "A", "B" or "C" (a tie) of a pairwise judgment; None unless exactly one verdict is given."""
    found = set(_WINNER.findall(text))
    return found.pop() if len(found) == 1 else None


def question_id(value: Any) -> int | str:
    """Return a question's id; quoted digits are the same id as the number."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def judgments(rows: Sequence[Row]) -> list[Judgment]:
    """Read FastChat's single-grading rows.

    Raises:
        InputError: A row has another format; the message names it.
    """
    return [_judgment(row, number) for number, row in enumerate(rows, 1)]


def _judgment(row: Row, number: int) -> Judgment:
    if missing := [name for name in ("question_id", "model", "turn", "score") if name not in row]:
        kind = "a pairwise row" if "g1_winner" in row else "not a single-grading row"
        raise InputError(f"judgment {number} is {kind}: it has no {', '.join(missing)}")
    turn = question_id(row["turn"])
    if turn not in (1, 2):
        raise InputError(f"judgment {number}: the turn is {row['turn']!r}, not 1 or 2")
    prompt = row.get("user_prompt")
    return Judgment(
        question=question_id(row["question_id"]),
        model=str(row["model"]),
        judge=judge_name(row.get("judge")),
        turn=int(turn),
        score=on_scale(row["score"]),
        prompt=prompt if isinstance(prompt, str) else None,
        raw=row["score"],
    )


def judge_name(recorded: Any) -> str:
    """Return the judge's model. FastChat records [model, name of the prompt]."""
    name = recorded[0] if isinstance(recorded, list) and recorded else recorded
    return str(name) if name else ""


def answer_sets(rows: Iterable[Judgment]) -> list[list[Judgment]]:
    """Separate ratings of different answers to the same question by the same model and judge.

    FastChat appends to its files, so answers that were generated and judged again follow the old ones. A row whose
    prompt differs from that of the same question, model, judge and turn belongs to the next set. A row with the same
    prompt is a duplicate and stays in its set.
    """
    sets: list[tuple[list[Judgment], dict[tuple[Any, ...], str | None]]] = []
    for row in rows:
        key = (row.question, row.model, row.judge, row.turn)
        for members, prompts in sets:
            if key not in prompts or None in (prompts[key], row.prompt) or prompts[key] == row.prompt:
                members.append(row)
                prompts[key] = row.prompt if prompts.get(key) is None else prompts[key]
                break
        else:
            sets.append(([row], {key: row.prompt}))
    return [members for members, _ in sets]


def unique(rows: Iterable[Judgment]) -> tuple[list[Judgment], int]:
    """Return one judgment per question, model, judge and turn, and how many were dropped.

    The first readable one is kept.
    """
    kept: dict[tuple[Any, ...], Judgment] = {}
    dropped = 0
    for row in rows:
        key = (row.question, row.model, row.judge, row.turn)
        dropped += key in kept
        if key not in kept or kept[key].score == FAILED:
            kept[key] = row
    return list(kept.values()), dropped


def scores(rows: Sequence[Judgment], *, categories: Mapping[Any, str] | None = None) -> dict[str, Score]:
    """Return scores by system, in order of first appearance.

    A system is a model. If a file has several judges of a model, or several sets of its answers, each of them is a
    separate system, named "MODEL judged by JUDGE" or "MODEL (answers 2)".
    Args:
        rows: Judgments of any number of models and judges.
        categories: The category of each question.
    """
    return {name: score(found, categories=categories or {}) for name, found in systems(rows).items()}


def systems(rows: Sequence[Judgment]) -> dict[str, list[Judgment]]:
    """Separate judgments by model, judge and set of answers; see `scores` for the names."""
    found: dict[str, list[Judgment]] = {}
    for model in dict.fromkeys(row.model for row in rows):
        mine = [row for row in rows if row.model == model]
        judges = list(dict.fromkeys(row.judge for row in mine))
        for judge in judges:
            name = f"{model} judged by {judge or 'a judge that is not recorded'}" if len(judges) > 1 else model
            sets = answer_sets(row for row in mine if row.judge == judge)
            for number, members in enumerate(sets, 1):
                found[f"{name} (answers {number})" if len(sets) > 1 else name] = members
    return found


def first_unreadable(rows: Sequence[Judgment]) -> str | None:
    """Describe the first rating that could not be read; None if all could be read."""
    for row in rows:
        if row.score == FAILED:
            shown = repr(row.raw)[:60]
            return f"question {row.question}, turn {row.turn} has the rating {shown}"
    return None


def score(rows: Sequence[Judgment], *, categories: Mapping[Any, str]) -> Score:
    """Return the score of one system's judgments."""
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
        interval=mean_interval(values, clusters=[row.question for row in read], scale=(LOWEST, HIGHEST)),
        categories={name: math.fsum(v) / len(v) for name, v in sorted(by_category.items())},
    )


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def pairwise_winner(first: str | None, second: str | None) -> str | None:
    """Return the winner over both orders: "model_1", "model_2" or "tie"; None if a verdict could not be read.

    `first` has model 1 as A, `second` has model 1 as B. A side wins only if both orders agree.
    """
    if first is None or second is None:
        return None
    one = {"A": "model_1", "B": "model_2", "C": "tie"}[first]
    two = {"A": "model_2", "B": "model_1", "C": "tie"}[second]
    return one if one == two else "tie"


def adjusted_win_rate(winners: Sequence[str | None], side: str = "model_1") -> float | None:
    """Return the percentage of wins plus half the ties over readable pairs."""
    read = [winner for winner in winners if winner is not None]
    if not read:
        return None
    return 100 * (read.count(side) + read.count("tie") / 2) / len(read)


@dataclass(frozen=True)
class PairVerdict:
    """One pairwise judgment of one turn. `winner` is "model_1", "model_2", "tie" or, if it could not be read, None.

    `same` is whether both orders gave the same winner.
    """

    question: int | str
    models: tuple[str, str]
    judge: str
    turn: int
    winner: str | None
    same: bool | None
    raw: Any = None

    def win(self, model: str) -> float | None:
        """Return 1 if `model` won, 0 if it lost, 0.5 for a tie, None if the verdict could not be read."""
        if self.winner is None:
            return None
        if self.winner == "tie":
            return 0.5
        return float(self.models[0 if self.winner == "model_1" else 1] == model)


_WINNERS = {"model_1": "model_1", "model_2": "model_2", "tie": "tie"}


def pair_verdicts(rows: Sequence[Row]) -> list[PairVerdict]:
    """Read FastChat's pairwise rows (`gpt-4_pair.jsonl`).

    Raises:
        InputError: A row has another format; the message names it.
    """
    return [_pair_verdict(row, number) for number, row in enumerate(rows, 1)]


def _pair_verdict(row: Row, number: int) -> PairVerdict:
    needed = ("question_id", "model_1", "model_2", "g1_winner", "g2_winner")
    if missing := [name for name in needed if name not in row]:
        raise InputError(f"judgment {number} is not a pairwise row: it has no {', '.join(missing)}")
    models = (str(row["model_1"]), str(row["model_2"]))
    one, two = (_side(row[name], models) for name in ("g1_winner", "g2_winner"))
    winner = None if one is None or two is None else one if one == two else "tie"
    turn = question_id(row.get("turn", 1))
    return PairVerdict(
        question=question_id(row["question_id"]),
        models=models,
        judge=judge_name(row.get("judge")),
        turn=int(turn) if isinstance(turn, int) else 1,
        winner=winner,
        same=None if winner is None else one == two,
        raw=(row["g1_winner"], row["g2_winner"]),
    )


def _side(value: Any, models: tuple[str, str]) -> str | None:
    """Return a game's winner. FastChat writes the position; some files have the model's name or "Tie"."""
    text = str(value)
    if text in models and models[0] != models[1]:
        return "model_1" if text == models[0] else "model_2"
    return _WINNERS.get(text.strip().lower())


def unique_pairs(rows: Sequence[PairVerdict]) -> tuple[list[PairVerdict], int]:
    """Return one verdict per question, pair, judge and turn, and how many were dropped."""
    kept: dict[tuple[Any, ...], PairVerdict] = {}
    dropped = 0
    for row in rows:
        key = (row.question, row.models, row.judge, row.turn)
        dropped += key in kept
        if key not in kept or kept[key].winner is None:
            kept[key] = row
    return list(kept.values()), dropped
