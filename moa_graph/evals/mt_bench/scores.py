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
from moa_graph.evals.data import fields
from moa_graph.evals.data.fields import NOT_RECORDED, brief, identifier
from moa_graph.evals.data.files import Row
from moa_graph.evals.stats import Interval, mean_interval

QUESTIONS = "mt_bench/question.jsonl"
TEMPERATURES = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}
REFERENCE_CATEGORIES = frozenset({"math", "reasoning", "coding", "arena-hard-200"})
FAILED = -1.0
LOWEST, HIGHEST = 1.0, 10.0
# Possessive quantifiers: a judge's row of 50,000 digits took two minutes.
_RATING = re.compile(r"\[\[(\d++\.?\d*+)\]\]")
_OF_TEN = re.compile(r"\s*+(\d++(?:\.\d++)?)\s*+/\s*+10\s*+")
_BACKUP = re.compile(r"\[(\d++\.?\d*+)\]")


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
    """Return a rating from 1 to 10, also of "8/10"; -1 for anything else."""
    if isinstance(value, bool):
        return FAILED
    if isinstance(value, str) and (found := _OF_TEN.fullmatch(value)):
        value = found[1]
    try:
        score = float(value)
    except (TypeError, ValueError, OverflowError):
        return FAILED
    return score if LOWEST <= score <= HIGHEST else FAILED


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
    where = f"judgment {number}"
    prompt = row.get("user_prompt")
    return Judgment(
        question=identifier(row["question_id"], where, "question_id"),
        model=fields.name(row["model"], where, "model") or NOT_RECORDED,
        judge=judge_name(row.get("judge"), where),
        turn=turn_of(row["turn"], where),
        score=on_scale(row["score"]),
        prompt=prompt if isinstance(prompt, str) else None,
        raw=row["score"],
    )


def judge_name(recorded: Any, where: str) -> str:
    """Return the judge's model; FastChat records [model, name of the prompt].

    Raises:
        InputError: It is not text.
    """
    return fields.name(recorded[0] if isinstance(recorded, list) and recorded else recorded, where, "judge")


def turn_of(value: Any, where: str) -> int:
    """Return 1 or 2.

    Raises:
        InputError: It is another value.
    """
    turn = identifier(value, where, "turn")
    if turn not in (1, 2):
        raise InputError(f"{where}: the turn is {value!r}, not 1 or 2")
    return int(turn)


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


def systems(rows: Sequence[Judgment]) -> dict[str, list[Judgment]]:
    """Separate judgments by system, in order of first appearance.

    A system is a model. If a file has several judges of a model, or several sets of its answers, each of them is a
    separate system, named "MODEL judged by JUDGE" or "MODEL (answers 2)".
    """
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
            return f"question {row.question}, turn {row.turn} has the rating {brief(row.raw)}"
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
