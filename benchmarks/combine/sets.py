"""Recorded sets of drafts and of answers: read from files, checked row by row.

    recorded_drafts/NAME.jsonl.gz        one row for each question: its drafts, which of them are right, judges' scores
    recorded_answers/NAME/MODEL.jsonl.gz one row for each problem: final answers of one model, and the right one

Files may be compressed or not. Every set in the two folders is read; a set with another format is refused with the
file, the line and the reason.
"""

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["AnswerRow", "AnswerSet", "DraftRow", "DraftSet", "SetError", "answer_sets", "draft_sets"]

MOST_SLOTS = 256
"""Drafts of one question, and answers of one problem."""


class SetError(Exception):
    """A recorded set that cannot be read: names the file, the line and the reason."""


@dataclass(frozen=True)
class RecordedDraft:
    """One model's draft of one question."""

    model: str
    text: str
    correct: bool


@dataclass(frozen=True)
class DraftRow:
    """One question.

    Attributes:
        id: The text that the replay sends as the question.
        drafts: One draft per model.
        scores: For each judge a score from 0 to 10 per draft, given side by side; a missing score is None.
        pick: The published choice among the drafts, from 0; None where none was published.
    """

    id: str
    drafts: Sequence[RecordedDraft]
    scores: Mapping[str, Sequence[float | None]]
    pick: int | None


@dataclass(frozen=True)
class DraftSet:
    """The drafts of the same models for many questions."""

    name: str
    models: Sequence[str]
    rows: Sequence[DraftRow]

    @property
    def judged(self) -> bool:
        """Whether every model has scored the drafts of every question, so that peers can be replayed."""
        return all(set(self.models) <= set(row.scores) for row in self.rows)


@dataclass(frozen=True)
class AnswerRow:
    """One problem: a model's answers that could be read, how many were given in all, and their output tokens."""

    id: str
    gold: str
    answers: Sequence[str]
    given: int
    tokens: Sequence[int]


@dataclass(frozen=True)
class AnswerSet:
    """The answers of several models to the same problems."""

    name: str
    models: Mapping[str, Sequence[AnswerRow]]


def draft_sets(assets: Path) -> list[DraftSet]:
    """Read every set in `recorded_drafts`.

    Raises:
        SetError: A file is not a recorded set.
    """
    files = _files(assets / "recorded_drafts")
    # "gsm8k400" is the set "gsm8k" unless that name is taken.
    short = Counter(re.sub(r"\d{3,}$", "", name) or name for name in files)
    found = []
    for name, path in files.items():
        stem = re.sub(r"\d{3,}$", "", name) or name
        found.append(_draft_set(stem if short[stem] == 1 else name, path))
    return found


def answer_sets(assets: Path) -> list[AnswerSet]:
    """Read every set in `recorded_answers`.

    Raises:
        SetError: A file is not a recorded set.
    """
    folder = assets / "recorded_answers"
    folders = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    found = []
    for path in folders:
        models = {model: _answer_rows(file) for model, file in _files(path).items()}
        if models:
            found.append(AnswerSet(path.name, models))
    return found


def _files(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name.endswith((".jsonl", ".jsonl.gz")):
            name = path.name.removesuffix(".gz").removesuffix(".jsonl")
            if name in found:
                raise SetError(f"{found[name]} and {path}: the same set twice. Remove one.")
            found[name] = path
    return found


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row with its place, for error messages.

    Raises:
        SetError: The file cannot be read, a line is not a JSON object, an `id` is missing or occurs twice.
    """
    seen: dict[Any, int] = {}
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                place, row = f"{path}, line {number}", _parsed(path, number, line)
                if not isinstance(row, dict):
                    raise SetError(f"{place}: expected a JSON object, got {type(row).__name__}.")
                if not isinstance(row.get("id"), str | int):
                    raise SetError(f"{place}: `id` is missing, or neither a text nor a whole number.")
                if (before := seen.setdefault(str(row["id"]), number)) != number:
                    raise SetError(f"{place}: `id` {row['id']!r} is that of line {before} as well.")
                yield place, row
    except (OSError, EOFError, zlib.error, ValueError) as exc:
        raise SetError(f"{path}: cannot be read after line {number} ({exc}).") from exc
    if not seen:
        raise SetError(f"{path}: no rows.")


def _parsed(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise SetError(f"{path}, line {number}: not JSON ({exc}).") from exc


def _draft_set(name: str, path: Path) -> DraftSet:
    rows = [_draft_row(place, row) for place, row in _rows(path)]
    models = [draft.model for draft in rows[0].drafts]
    for row in rows:
        if (mine := [draft.model for draft in row.drafts]) != models:
            raise SetError(f"{path}, {row.id}: drafts of {mine}, but the first row has those of {models}.")
    return DraftSet(name, models, rows)


def _draft_row(place: str, row: Mapping[str, Any]) -> DraftRow:
    given = row.get("drafts")
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_SLOTS:
        raise SetError(f"{place}: `drafts` must be a list of 1 to {MOST_SLOTS} drafts.")
    drafts = [_draft(f"{place}, draft {slot}", draft) for slot, draft in enumerate(given)]
    if twice := [model for model, times in Counter(draft.model for draft in drafts).items() if times > 1]:
        raise SetError(f"{place}: two drafts of {twice[0]}.")
    scores = row.get("scores_side_by_side") or {}
    if not isinstance(scores, Mapping):
        raise SetError(f"{place}: `scores_side_by_side` must map each judge to a list of scores.")
    pick = row.get("published_pick")
    if pick is not None and not (_whole(pick) and 0 <= pick < len(drafts)):
        raise SetError(f"{place}: `published_pick` must be a draft's number from 0 to {len(drafts) - 1}, got {pick!r}.")
    read = {str(judge): _scores(f"{place}, judge {judge}", each, len(drafts)) for judge, each in scores.items()}
    return DraftRow(f"question {row['id']}", drafts, read, pick)


def _draft(place: str, draft: Any) -> RecordedDraft:
    if not isinstance(draft, Mapping):
        raise SetError(f"{place}: expected an object with `model`, `text` and `correct`.")
    model, text, correct = draft.get("model"), draft.get("text"), draft.get("correct")
    if not (isinstance(model, str) and model):
        raise SetError(f"{place}: `model` must be the model's name, got {model!r}.")
    if not isinstance(text, str | None):
        raise SetError(f"{place}: `text` must be a text, or null for a missing draft, got {type(text).__name__}.")
    if correct not in (True, False):
        raise SetError(f"{place}: `correct` must be true or false, got {correct!r}.")
    return RecordedDraft(model, text or "", bool(correct))


def _scores(place: str, scores: Any, many: int) -> list[float | None]:
    if not isinstance(scores, list) or len(scores) != many:
        raise SetError(f"{place}: expected {many} scores, one for each draft.")
    for score in scores:
        if score is not None and (
            isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 10
        ):
            raise SetError(f"{place}: a score must be a number from 0 to 10 or null, got {score!r}.")
    return [None if score is None else float(score) for score in scores]


def _answer_rows(path: Path) -> list[AnswerRow]:
    found = []
    for place, row in _rows(path):
        gold, answers, tokens = row.get("gold"), row.get("answers"), row.get("tokens") or []
        if not _answer(gold):
            raise SetError(f"{place}: `gold` must be the right answer, got {gold!r}.")
        if not isinstance(answers, list) or not 1 <= len(answers) <= MOST_SLOTS:
            raise SetError(f"{place}: `answers` must be a list of 1 to {MOST_SLOTS} answers.")
        if bad := [each for each in answers if each not in (None, "") and not _answer(each)]:
            raise SetError(f"{place}: an answer must be a text, a number or null, got {bad[0]!r}.")
        if not isinstance(tokens, list) or any(each is not None and not _whole(each) for each in tokens):
            raise SetError(f"{place}: `tokens` must be a list of whole numbers.")
        read = [str(each) for each in answers if _answer(each) and str(each).strip()]
        counts = [each for each in tokens if each]
        found.append(AnswerRow(f"question {row['id']}", str(gold), read, len(answers), counts))
    return found


def _answer(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
