"""Recorded sets of drafts and of answers, read as `moa tune` reads them.

    recorded_drafts/NAME             a file: questions with drafts, which of them are right, judges' scores
    recorded_answers/NAME/MODEL      a folder: a file for each model, with its final answers and the right ones

Every set in the two folders is read. One that cannot be read is refused with the file, the row and the reason.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from moa_graph.errors import MoAError
from moa_graph.evals.data.files import Row, read_rows
from moa_graph.evals.tune.recorded.answers import (
    Answers,
    ModelRows,
    holds_texts,
    model_files,
    model_rows,
    read_answers,
    read_folder,
)
from moa_graph.evals.tune.recorded.drafts import read_drafts
from moa_graph.evals.tune.recorded.recorded_set import RecordedSet
from moa_graph.evals.tune.recorded.rows import as_drafts

__all__ = ["AnswerRow", "AnswerSet", "DraftRow", "DraftSet", "SetError", "answer_sets", "draft_sets"]

MOST_SLOTS = 256
"""Drafts of one question, and answers of one problem."""


class SetError(Exception):
    """A recorded set that cannot be read: names the file, the row and the reason."""


@dataclass(frozen=True)
class RecordedDraft:
    """One model's draft of one question. `correct` is its grade from 0 to 1."""

    model: str
    text: str
    correct: float


@dataclass(frozen=True)
class DraftRow:
    """One question.

    Attributes:
        id: The text that the replay sends as the question.
        drafts: One draft per slot.
        scores: For each judge a score from 0 to 10 per draft, given side by side; a missing score is None.
        pick: The published choice among the drafts, from 0; None where none was published.
    """

    id: str
    drafts: Sequence[RecordedDraft]
    scores: Mapping[str, Sequence[float | None]]
    pick: int | None


@dataclass(frozen=True)
class DraftSet:
    """The drafts of the same models for many questions. A model with several drafts has as many slots."""

    name: str
    models: Sequence[str]
    rows: Sequence[DraftRow]

    @property
    def judged(self) -> bool:
        """Whether every model has scored the drafts of every question, so that peers can be replayed."""
        return all(set(self.models) <= set(row.scores) for row in self.rows)


@dataclass(frozen=True)
class AnswerRow:
    """One problem: a model's answers that could be read, how many were given in all, and their output tokens.

    `right` is how many of them are right.
    """

    id: str
    gold: Sequence[str]
    answers: Sequence[str]
    given: int
    right: int
    tokens: Sequence[int]


@dataclass(frozen=True)
class AnswerSet:
    """The answers of several models to the same problems."""

    name: str
    models: Mapping[str, Sequence[AnswerRow]]


def draft_sets(assets: Path) -> list[DraftSet]:
    """Read every set of drafts: files in `recorded_drafts`, and folders of whole texts in `recorded_answers`.

    Raises:
        SetError: A file is not a recorded set.
    """
    folder, found = assets / "recorded_drafts", []
    with _named_errors():
        files = model_files(folder) if folder.is_dir() and any(folder.iterdir()) else {}
        # "gsm8k400" is the set "gsm8k" unless that name is taken.
        short = Counter(map(_stem, files))
        for name, path in files.items():
            rows = [as_drafts(row) for row in read_rows(path)]
            if not rows:
                raise SetError(f"{path}: no rows")
            found.append(_draft_set(_stem(name) if short[_stem(name)] == 1 else name, path, read_drafts(path, rows)))
        found += [
            _draft_set(path.name, path, read_folder(path)) for path, rows in _folders(assets) if holds_texts(rows)
        ]
    return found


def answer_sets(assets: Path) -> list[AnswerSet]:
    """Read every set of final answers in `recorded_answers`.

    Raises:
        SetError: A file is not a recorded set.
    """
    with _named_errors():
        return [
            AnswerSet(path.name, {name: _answer_rows(file, rows) for name, (file, rows) in models.items()})
            for path, models in _folders(assets)
            if not holds_texts(models)
        ]


def _stem(name: str) -> str:
    return re.sub(r"\d{3,}$", "", name) or name


def _folders(assets: Path) -> list[tuple[Path, ModelRows]]:
    """Return each folder of `recorded_answers` with its models' rows."""
    folder = assets / "recorded_answers"
    folders = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [(path, model_rows(path)) for path in folders if any(path.iterdir())]


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except MoAError as error:
        raise SetError(str(error)) from error


def _draft_set(name: str, path: Path, read: RecordedSet) -> DraftSet:
    """Return one slot for every draft that a model has on all questions."""
    slots = [(model, n) for model, many in enumerate(read.samples.counts) for n in range(many)]
    if len(slots) > MOST_SLOTS:
        raise SetError(f"{path}: {len(slots)} drafts of a question; at most {MOST_SLOTS} can be replayed")
    names = [read.models[model] + (f" ({n + 1})" if n else "") for model, n in slots]
    rows = []
    for place, prompt in enumerate(read.prompts):
        drafts = [
            RecordedDraft(called, read.rows[model][place][n].text, read.rows[model][place][n].score or 0.0)
            for called, (model, n) in zip(names, slots, strict=True)
        ]
        scores = (
            {judge: scores[prompt.id] for judge, scores in read.judges.items()}
            if len(slots) == len(read.models)
            else {}
        )
        pick = read.picks.get(prompt.id)
        rows.append(DraftRow(f"question {prompt.id}", drafts, scores, slots.index(pick) if pick in slots else None))
    return DraftSet(name, names, rows)


def _answer_rows(path: Path, rows: Sequence[Row]) -> list[AnswerRow]:
    found, _ = read_answers(path, rows)
    for name, each in found.items():
        if len(each.drafts) > MOST_SLOTS:
            raise SetError(f"{path}, {name}: {len(each.drafts)} answers; at most {MOST_SLOTS} can be replayed")
    return [_answer_row(name, each) for name, each in found.items() if each.drafts]


def _answer_row(name: str, found: Answers) -> AnswerRow:
    read = [each.text for each in found.drafts if each.text]
    tokens = [each.usage["output_tokens"] for each in found.drafts if each.usage]
    right = sum(int(each.score or 0) for each in found.drafts)
    return AnswerRow(f"question {name}", found.gold, read, len(found.drafts), right, tokens)
