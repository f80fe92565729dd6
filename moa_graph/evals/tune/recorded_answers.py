"""A folder of recorded final answers, with a file for each model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row, read_rows
from moa_graph.evals.prompts.questions import OwnPrompt
from moa_graph.evals.tune.recorded_rows import ID, answers_in, gold_in
from moa_graph.evals.tune.recorded_set import RecordedSet
from moa_graph.evals.tune.samples import GradedDraft
from moa_graph.mixture.answers import AnswerReader
from moa_graph.state import new_usage

__all__ = ["as_text", "gold_of", "read_answers", "set_name"]

_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz", ".parquet")


@dataclass
class _Answers:
    """One model's answers to a question, and the right ones."""

    gold: tuple[str, ...]
    drafts: list[GradedDraft] = field(default_factory=list)


def read_answers(folder: Path) -> RecordedSet:
    """Return the set of a folder.

    Raises:
        InputError: No file was found, a row is malformed, or the files have no question in common.
    """
    by_model: dict[str, dict[str, _Answers]] = {}
    repeated = 0
    for path in _files(folder):
        if set_name(path) in by_model:
            raise InputError(f"{folder}: two files are named {set_name(path)}; a model has one file")
        by_model[set_name(path)], more = _read(path)
        repeated += more
    names = list(dict.fromkeys(name for rows in by_model.values() for name in rows))
    whole = [name for name in names if all(name in rows and rows[name].drafts for rows in by_model.values())]
    if not whole:
        raise InputError(f"{folder}: no question has an answer of every model. Files: {', '.join(by_model)}")
    prompts = [_prompt(folder, name, by_model) for name in whole]
    table = [[rows[name].drafts for name in whole] for rows in by_model.values()]
    # As the recording compares them: letter by letter.
    reader = AnswerReader(normalize=False)
    dropped = len(names) - len(whole)
    return RecordedSet(folder.name, prompts, list(by_model), table, reader, False, {}, dropped, repeated)


def _files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.name.endswith(_SUFFIXES) and not path.name.startswith("."))
    if not found:
        raise InputError(f"{folder} has no file of recorded answers: each model needs one, NAME.jsonl or NAME.csv")
    return found


def _prompt(folder: Path, name: str, by_model: Mapping[str, Mapping[str, _Answers]]) -> OwnPrompt:
    golds = {rows[name].gold for rows in by_model.values()}
    if len(golds) > 1:
        said = ", ".join(sorted(" or ".join(gold) for gold in golds))
        raise InputError(f"{folder}: the files disagree on the right answer to {name}: {said}")
    return OwnPrompt(name, (("user", f"Question {name} of {folder.name}"),), golds.pop(), "exact")


def _read(path: Path) -> tuple[dict[str, _Answers], int]:
    """Return a model's answers by question, and how many rows repeat a question."""
    found: dict[str, _Answers] = {}
    repeated = 0
    for number, row in enumerate(read_rows(path), 1):
        where = f"{path}, row {number}"
        gold = gold_of(gold_in(row), where)
        answers = answers_in(row)
        if answers is None and ".csv" in path.suffixes and number > 1:
            # An empty cell. The first row shows that the column is there.
            answers = [None]
        if not gold or answers is None:
            raise InputError(f"{where}: it needs `gold` and a list of `answers`")
        name = next((str(row[field]) for field in ID if row.get(field) is not None), str(number))
        known = found.setdefault(name, _Answers(gold))
        if known.gold != gold:
            raise InputError(f"{where}: its id is that of an earlier row, {name}, but `gold` is another one")
        new = _sampled(answers, row, gold)
        repeated += bool(known.drafts)
        # The same row twice is the same evidence once.
        known.drafts += [] if known.drafts == new else new
    return found, repeated


def _sampled(answers: list[Any], row: Row, gold: tuple[str, ...]) -> list[GradedDraft]:
    """Return the answers, graded as the recording does: by equality. One that is missing is wrong and has no vote."""
    sizes = row["tokens"] if isinstance(row.get("tokens"), list) else []
    found = []
    for answer, size in zip_longest(answers, sizes[: len(answers)]):
        text = "" if answer is None else as_text(answer)
        known = isinstance(size, int | float) and 0 < size < 2**53
        found.append(GradedDraft(text, float(text in gold), 0.0, 0.0, new_usage(0, int(size)) if known else None))
    return found


def gold_of(given: Any, where: str) -> tuple[str, ...]:
    """Return a row's right answers, one or several; empty without one.

    Raises:
        InputError: They are not texts, numbers or truth values.
    """
    golds = given if isinstance(given, list) else [] if given is None else [given]
    if not all(isinstance(gold, str | int | float) for gold in golds):
        raise InputError(f"{where}: `gold` must be text or a number, or a list of them")
    return tuple(as_text(gold) for gold in golds if as_text(gold))


def as_text(value: Any) -> str:
    """Return a value of JSON as an answer: a whole number without its decimals, and no white space around it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def set_name(path: Path) -> str:
    """Return the name of a set or of a model: its file's, without the ending."""
    for suffix in _SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name
