"""FLASK: twelve skills, rated 1 to 5 by a judge that ends its review with a Python dictionary.

Skills are matched by their full names. The full and the hard set both number their items from 1, so a number alone does
not identify an item: rows name their set, or are checked against it. A review without a readable dictionary is a parse
failure. A skill that the judge omitted is *missing*; a skill that it called not applicable is *skipped*. None of these
is a score.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.fields import identifier
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
_RATING = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:/\s*5\s*)?")
_LONGEST = 20_000
"""Number of characters at the end of a review that are searched for the dictionary."""
_TRIED = 40
"""Maximum pairs of braces to try, from the end."""
_NOT_APPLICABLE = frozenset({"na", "n/a", "not applicable", "none"})


@dataclass(frozen=True)
class FlaskItem:
    """One question of the evaluation set `set`, "full" or "hard"."""

    idx: int
    instruction: str
    answer: str
    skills: tuple[str, ...]
    domains: tuple[str, ...]
    difficulty: str
    set: str = "full"


@dataclass(frozen=True)
class Review:
    """A judge's scores of one item.

    Attributes:
        idx: The item's number in its set.
        scores: 1 to 5 by full skill name, None for a skill that is not applicable; None when the review is unreadable.
        raw: The text in place of the scores, for a message.
    """

    idx: int
    scores: dict[str, float | None] | None
    raw: str = ""


@dataclass(frozen=True)
class Report:
    """Means over readable scores, with the number of scores of each."""

    skills: dict[str, float]
    domains: dict[str, float]
    difficulties: dict[str, float]
    mean: float | None
    n: int
    counts: dict[str, int] = field(default_factory=dict)
    parse_failures: int = 0
    missing: int = 0
    skipped: int = 0


def items(rows: Sequence[Row], *, name: str = "full") -> list[FlaskItem]:
    """Read the evaluation set `name`; the labelled set's field names are accepted too.

    Raises:
        InputError: An item is damaged, or two items have the same number.
    """
    found = [_item(row, number, name) for number, row in enumerate(rows, 1)]
    if len({item.idx for item in found}) != len(found):
        raise InputError("the evaluation set has an idx twice")
    return found


def _item(row: Row, number: int, name: str) -> FlaskItem:
    try:
        return FlaskItem(
            idx=item_id(row, f"item {number} of the evaluation set"),
            instruction=str(row["instruction"] if "instruction" in row else row["text"]),
            answer=str(row.get("answer") or ""),
            skills=tuple(_full_name(s) for s in _list(row["skill"] if "skill" in row else row["metrics"])),
            domains=tuple(_list(row.get("domain_labeled", row.get("domain")))),
            difficulty="".join(_list(row.get("difficulty_labeled", row.get("difficulty")))[:1]),
            set=name,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"item {number} of the evaluation set is damaged: {error!r}") from error


def item_id(row: Row, where: str) -> int:
    """Return the number of the item that a row is about: `idx`, or `question_id` as the original's files call it.

    Raises:
        InputError: There is no number, or it is not an integer.
    """
    name = "idx" if "idx" in row else "question_id"
    found = identifier(row[name], where, name) if name in row else None
    if not isinstance(found, int):
        raise InputError(f"{where} has no idx or question_id that is a number: {row.get(name)!r}")
    return found


def review(row: Row, where: str, asked: Sequence[str] = ()) -> Review:
    """Read a recorded review. It is parsed again from its text if the row has one.

    Args:
        row: The row of a reviews file.
        where: How a message names the row.
        asked: The reviewed skills; if empty, the row's own, or else all twelve.

    Raises:
        InputError: The row does not name an item.
    """
    text = row.get("review")
    text = text if isinstance(text, str) else repr(row.get("score"))
    return Review(item_id(row, where), parse(text, asked or row_skills(row) or SKILLS), text[-80:])


def row_skills(row: Row) -> tuple[str, ...]:
    """Return the full names of the skills that a row lists."""
    return tuple(_full_name(name) for name in _list(row["skill"] if "skill" in row else row.get("metrics")))


def unique(reviews: Iterable[Review]) -> tuple[list[Review], int]:
    """Return one review per item, and how many were dropped; the first readable one is kept.

    FLASK's own tool appends to its file, so a second run duplicates rows.
    """
    kept: dict[int, Review] = {}
    dropped = 0
    for found in reviews:
        dropped += found.idx in kept
        if found.idx not in kept or kept[found.idx].scores is None:
            kept[found.idx] = found
    return list(kept.values()), dropped


def first_unreadable(reviews: Sequence[Review]) -> str | None:
    """Describe the first review that could not be read; None if all could be read."""
    for found in reviews:
        if found.scores is None:
            return f"the review of item {found.idx} ends with {found.raw!r}"
    return None


def _list(value: Any) -> list[str]:
    """Return one label or a list of them; the set marks an unlabelled item with -1."""
    labels = value if isinstance(value, list) else [value]
    return [str(label) for label in labels if label not in (None, "", -1, "-1")]


def _full_name(name: str) -> str:
    """Return the full name of a skill, given by its full name or by a word that only this skill has."""
    wanted = " ".join(name.replace("_", " ").lower().split())
    for skill in SKILLS:
        if wanted == skill.lower():
            return skill
    words = [skill for skill in SKILLS if wanted and wanted == _distinctive_word(skill)]
    return words[0] if words else name


def _distinctive_word(skill: str) -> str:
    words = skill.lower().split()
    return words[-1] if words[0] == "logical" else words[0]


def parse(review: str, skills: Iterable[str]) -> dict[str, float | None] | None:
    """Return the scores of the asked skills from the last dictionary of a review that has one of them.

    The dictionary may be Python or JSON. A score may be a number, "4/5", or a dictionary with a `score`; a score
    outside 1 to 5 is unreadable. Returns None if there is no such dictionary. Skills that the judge omitted are not in
    the result.
    """
    wanted = list(skills)
    for value in _dictionaries(review[-_LONGEST:]):
        named = {_full_name(str(key)): _score(score) for key, score in value.items()}
        known = {skill: named[skill] for skill in wanted if skill in named}
        if read := {skill: score for skill, score in known.items() if score is None or math.isfinite(score)}:
            return read
    return None


def _dictionaries(text: str) -> Iterator[dict[Any, Any]]:
    """Yield the dictionaries of a text, the last first; one inside another is not yielded."""
    opened: list[int] = []
    spans: list[tuple[int, int]] = []
    for place, sign in enumerate(text):
        if sign == "{":
            opened.append(place)
        elif sign == "}" and opened:
            spans.append((opened.pop(), place + 1))
    inside = len(text) + 1
    for start, end in spans[: -_TRIED - 1 : -1]:
        if end < inside and (value := _dictionary(text[start:end])) is not None:
            inside = start
            yield value


def _dictionary(text: str) -> dict[Any, Any] | None:
    plain = text.replace("\n", " ")
    for read in (ast.literal_eval, json.loads):
        try:
            value = read(plain)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
        return value if isinstance(value, dict) else None
    return None


def _score(value: Any) -> float | None:
    """Return 1 to 5, None for "not applicable", NaN for anything else."""
    if isinstance(value, dict):
        value = value.get("score", math.nan)
    if value is None or (isinstance(value, str) and value.strip().lower() in _NOT_APPLICABLE):
        return None
    if isinstance(value, str) and (found := _RATING.fullmatch(value)):
        value = found[1]
    try:
        score = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return score if 1 <= score <= 5 and not isinstance(value, bool) else math.nan


def report(reviews: Sequence[Review], questions: Sequence[FlaskItem]) -> Report:
    """Return means by skill, domain and difficulty; a domain's mean pools all skill scores of its items."""
    by_idx = {item.idx: item for item in questions}
    pools: dict[str, dict[str, list[float]]] = {"skill": {}, "domain": {}, "difficulty": {}}
    failures = missing = skipped = 0
    for found in reviews:
        item = by_idx[found.idx]
        if found.scores is None:
            failures += 1
            continue
        missing += len(item.skills) - len(found.scores)
        skipped += sum(score is None for score in found.scores.values())
        _pool(pools, item, found.scores)
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


def _pool(pools: dict[str, dict[str, list[float]]], item: FlaskItem, scores: dict[str, float | None]) -> None:
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
