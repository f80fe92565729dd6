"""FLASK: twelve skills, rated 1 to 5 by a judge that ends its review with a Python dictionary.

Skills are matched by their full names and items joined by `idx`. A review without a readable dictionary is
a parse failure; a skill the judge left out is *missing*, one it called not applicable is *skipped*. None of
them is a score.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row

SKILLS = (
    "Logical Robustness",
    "Logical Correctness",
    "Logical Efficiency",
    "Factuality",
    "Commonsense Understanding",
    "Comprehension",
    "Insightfulness",
    "Completeness",
    "Metacognition",
    "Readability",
    "Conciseness",
    "Harmlessness",
)
_DICTIONARY = re.compile(r"\{[^}]+\}")
_NOT_APPLICABLE = frozenset({"na", "n/a", "not applicable", "none"})


@dataclass(frozen=True)
class Item:
    """One question of the evaluation set."""

    idx: int
    instruction: str
    answer: str
    skills: tuple[str, ...]
    domains: tuple[str, ...]
    difficulty: str


@dataclass(frozen=True)
class Review:
    """A judge's scores of one item by full skill name; None means not applicable; `scores` None:
    unreadable."""

    idx: int
    scores: dict[str, float | None] | None


@dataclass(frozen=True)
class Report:
    """Means over readable scores, with how many there were of each."""

    skills: dict[str, float]
    domains: dict[str, float]
    difficulties: dict[str, float]
    mean: float | None
    n: int
    counts: dict[str, int] = field(default_factory=dict)
    parse_failures: int = 0
    missing: int = 0
    skipped: int = 0


def items(rows: Sequence[Row]) -> list[Item]:
    """The evaluation set, with the labelled set's field names accepted too. Raises InputError."""
    found = [_item(row, number) for number, row in enumerate(rows, 1)]
    if len({item.idx for item in found}) != len(found):
        raise InputError("the evaluation set has an idx twice")
    return found


def _item(row: Row, number: int) -> Item:
    try:
        return Item(
            idx=item_id(row, f"item {number} of the evaluation set"),
            instruction=str(row["instruction"] if "instruction" in row else row["text"]),
            answer=str(row.get("answer") or ""),
            skills=tuple(_full_name(s) for s in _list(row["skill"] if "skill" in row else row["metrics"])),
            domains=tuple(_list(row.get("domain_labeled", row.get("domain")))),
            difficulty="".join(_list(row.get("difficulty_labeled", row.get("difficulty")))[:1]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"item {number} of the evaluation set is damaged: {error!r}") from error


def item_id(row: Row, where: str) -> int:
    """The item a row is about: `idx`, or `question_id` as the original's files call it; a number, also as text.

    Raises InputError.
    """
    name = "idx" if "idx" in row else "question_id"
    try:
        return int(str(row[name]))
    except (KeyError, ValueError) as error:
        raise InputError(f"{where} has no idx or question_id that is a number: {row.get(name)!r}") from error


def review(row: Row, where: str, asked: Sequence[str] = ()) -> Review:
    """A recorded review, parsed anew from its text where that is there.

    `asked` are the skills it is about; without them the row's own, or else all twelve. Raises InputError.
    """
    own = [_full_name(name) for name in _list(row["skill"] if "skill" in row else row.get("metrics"))]
    text = row.get("review")
    scores = parse(text if isinstance(text, str) else repr(row.get("score")), asked or own or SKILLS)
    return Review(item_id(row, where), scores)


def _list(value: Any) -> list[str]:
    """One label or a list of them; the set marks an unlabelled item with -1."""
    labels = value if isinstance(value, list) else [value]
    return [str(label) for label in labels if label not in (None, "", -1, "-1")]


def _full_name(name: str) -> str:
    """The skill a judge or a file means: its full name, or the one word that tells it from the others."""
    wanted = " ".join(name.replace("_", " ").lower().split())
    for skill in SKILLS:
        if wanted == skill.lower():
            return skill
    words = [skill for skill in SKILLS if wanted and wanted == _telling_word(skill)]
    return words[0] if words else name


def _telling_word(skill: str) -> str:
    words = skill.lower().split()
    return words[-1] if words[0] == "logical" else words[0]


def parse(review: str, skills: Iterable[str]) -> dict[str, float | None] | None:
    """Scores of the asked skills from the last dictionary of a review; None when there is no such dictionary.

    A score outside 1 to 5 is not a score. Skills the judge left out are not in the result.
    """
    found = _DICTIONARY.findall(review)
    if not found:
        return None
    try:
        value = ast.literal_eval(found[-1].replace("\n", " "))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    named = {_full_name(str(key)): _score(score) for key, score in value.items()}
    known = {skill: named[skill] for skill in skills if skill in named}
    read = {skill: score for skill, score in known.items() if score is None or math.isfinite(score)}
    return read or None


def _score(value: Any) -> float | None:
    """1 to 5, None for "not applicable", NaN for what is neither."""
    if value is None or (isinstance(value, str) and value.strip().lower() in _NOT_APPLICABLE):
        return None
    try:
        score = float(value)
    except (TypeError, ValueError):
        return math.nan
    return score if 1 <= score <= 5 and not isinstance(value, bool) else math.nan


def report(reviews: Sequence[Review], questions: Sequence[Item]) -> Report:
    """Means by skill, domain and difficulty; a domain's mean pools all skill scores of its items."""
    by_idx = {item.idx: item for item in questions}
    pools: dict[str, dict[str, list[float]]] = {"skill": {}, "domain": {}, "difficulty": {}}
    failures = missing = skipped = 0
    for review in reviews:
        item = by_idx[review.idx]
        if review.scores is None:
            failures += 1
            continue
        missing += len(item.skills) - len(review.scores)
        skipped += sum(score is None for score in review.scores.values())
        _pool(pools, item, review.scores)
    values = [score for scores in pools["skill"].values() for score in scores]
    order = [skill for skill in SKILLS if skill in pools["skill"]]
    return Report(
        skills={skill: _mean(pools["skill"][skill]) for skill in order},
        domains={name: _mean(v) for name, v in sorted(pools["domain"].items())},
        difficulties={name: _mean(v) for name, v in sorted(pools["difficulty"].items())},
        mean=_mean(values) if values else None,
        n=len(reviews) - failures,
        counts={skill: len(pools["skill"][skill]) for skill in order},
        parse_failures=failures,
        missing=missing,
        skipped=skipped,
    )


def _pool(pools: dict[str, dict[str, list[float]]], item: Item, scores: dict[str, float | None]) -> None:
    for skill, score in scores.items():
        if score is None:
            continue
        pools["skill"].setdefault(skill, []).append(score)
        if item.difficulty:
            pools["difficulty"].setdefault(item.difficulty, []).append(score)
        for domain in item.domains:
            pools["domain"].setdefault(domain, []).append(score)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
