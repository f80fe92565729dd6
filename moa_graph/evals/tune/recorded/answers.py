"""A folder with a file for each model: lists of final answers, or whole texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row, read_rows
from moa_graph.evals.prompts.questions import OwnPrompt
from moa_graph.evals.tune.recorded import lm_eval
from moa_graph.evals.tune.recorded.drafts import LABELS, read_drafts
from moa_graph.evals.tune.recorded.recorded_set import RecordedSet
from moa_graph.evals.tune.recorded.rows import (
    ID,
    as_text,
    drafts_of_model,
    final_answers,
    gold_in,
    gold_of,
    is_copy,
    text_field,
)
from moa_graph.evals.tune.samples import SHORT, GradedDraft
from moa_graph.mixture.answers import AnswerReader
from moa_graph.state import new_usage

__all__ = [
    "Answers",
    "ModelRows",
    "holds_texts",
    "model_files",
    "model_rows",
    "read_answers",
    "read_folder",
    "set_name",
]

_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz", ".tsv", ".parquet")

ModelRows = Mapping[str, tuple[Path, Sequence[Row]]]
"""Each model's file and its rows."""


@dataclass
class Answers:
    """One model's answers to a question, the right ones, and its rows."""

    gold: tuple[str, ...]
    drafts: list[GradedDraft] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def read_folder(folder: Path) -> RecordedSet:
    """Return the set of a folder.

    Raises:
        InputError: No file was found, a row is malformed, or the files have no question in common.
    """
    rows = model_rows(folder)
    return _read_texts(folder, rows) if holds_texts(rows) else _read_answers(folder, rows)


def model_files(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by the names of their models or sets.

    Raises:
        InputError: The folder has no such file, or two have one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.lower().endswith(_SUFFIXES) and not path.name.startswith("."):
            if set_name(path) in found:
                raise InputError(f"{folder}: two files are named {set_name(path)}; a model has one file")
            found[set_name(path)] = path
    if not found:
        raise InputError(f"{folder} has no file of recorded answers: each model needs one, NAME.jsonl or NAME.csv")
    return found


def model_rows(folder: Path) -> ModelRows:
    """Return each model's file and its rows."""
    if samples := lm_eval.sample_files(folder):
        return lm_eval.read_models(samples)
    return {name: (path, lm_eval.as_texts(read_rows(path), path)) for name, path in model_files(folder).items()}


def holds_texts(rows: ModelRows) -> bool:
    """Return whether the files hold whole texts: no lists of final answers, or lists of long ones."""
    lists = [found for _, own in rows.values() for row in own if (found := final_answers(row)) is not None]
    sizes = [len(as_text(each)) for answers in lists for each in answers[:5] if each is not None]
    return not lists or (bool(sizes) and median(sizes) > SHORT)


def _read_texts(folder: Path, rows: ModelRows) -> RecordedSet:
    for path, own in rows.values():
        if not any(map(text_field, own)):
            raise InputError(f"{path}, row 1: it needs `gold` and a list of `answers`, or a `text`")
    placed = [
        (f"{path}, row {number}", drafts_of_model(row, model, number))
        for model, (path, own) in rows.items()
        for number, row in enumerate(own, 1)
    ]
    return read_drafts(folder, [row for _, row in placed], [where for where, _ in placed])


def _read_answers(folder: Path, rows: ModelRows) -> RecordedSet:
    repeated = 0
    by_model: dict[str, dict[str, Answers]] = {}
    for model, (path, own) in rows.items():
        by_model[model], more = read_answers(path, own)
        repeated += more
    names = list(dict.fromkeys(name for found in by_model.values() for name in found))
    whole = [name for name in names if all(name in found and found[name].drafts for found in by_model.values())]
    if not whole:
        raise InputError(f"{folder}: no question has an answer of every model. Files: {', '.join(by_model)}")
    prompts = [_prompt(folder, name, by_model) for name in whole]
    table = [[found[name].drafts for name in whole] for found in by_model.values()]
    # As the recording compares them: letter by letter.
    reader = AnswerReader(normalize=False)
    dropped = len(names) - len(whole)
    return RecordedSet(folder.name, prompts, list(by_model), table, reader, False, {}, dropped, repeated)


def _prompt(folder: Path, name: str, by_model: Mapping[str, Mapping[str, Answers]]) -> OwnPrompt:
    golds = {rows[name].gold for rows in by_model.values()}
    if len(golds) > 1:
        said = ", ".join(sorted(" or ".join(gold) for gold in golds))
        raise InputError(f"{folder}: the files disagree on the right answer to {name}: {said}")
    return OwnPrompt(name, (("user", f"Question {name} of {folder.name}"),), golds.pop(), "exact")


def read_answers(path: Path, rows: Sequence[Row]) -> tuple[dict[str, Answers], int]:
    """Return a model's lists of final answers by question, and how many rows repeat a question.

    Raises:
        InputError: A row has no right answer, or no list of answers.
    """
    found: dict[str, Answers] = {}
    repeated = 0
    for number, row in enumerate(rows, 1):
        where = f"{path}, row {number}"
        gold = gold_of(gold_in(row), where)
        answers = final_answers(row)
        if not gold or answers is None:
            raise InputError(f"{where}: it needs `gold` and a list of `answers`")
        name = next((as_text(row[field]) for field in ID if row.get(field) is not None), str(number))
        known = found.setdefault(name, Answers(gold))
        if known.gold != gold:
            raise InputError(f"{where}: its id is that of an earlier row, {name}, but `gold` is another one")
        new = _sampled(answers, row, gold, where)
        repeated += bool(known.drafts)
        if not is_copy(row, known.rows, len(new)):
            known.drafts += new
            known.rows.append(row)
    return found, repeated


def _sampled(answers: list[Any], row: Row, gold: tuple[str, ...], where: str) -> list[GradedDraft]:
    """Return the answers with their recorded grades, or else by equality. One that is missing is wrong."""
    sizes = row["tokens"] if isinstance(row.get("tokens"), list) else []
    grades = row["correct"] if isinstance(row.get("correct"), list) else []
    found = []
    for answer, size, grade in zip_longest(answers, sizes[: len(answers)], grades[: len(answers)]):
        if answer is not None and not isinstance(answer, str | int | float):
            raise InputError(f"{where}: an answer must be text, a number or null; it is {answer!r}")
        text = "" if answer is None or answer != answer else as_text(answer)
        known = isinstance(size, int | float) and 0 < size < 2**53
        right = text in gold if grade is None else LABELS.get(str(grade).strip().casefold())
        if right is None:
            raise InputError(f"{where}: `correct` must be a list of true or false; it has {grade!r}")
        usage = new_usage(0, int(size)) if known else None
        found.append(GradedDraft(text, float(right) if text else 0.0, 0.0, 0.0, usage))
    return found


def set_name(path: Path) -> str:
    """Return the name of a set or of a model: its file's, without the ending."""
    for suffix in _SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.name
