"""Rows of recorded sets under other names of fields, brought to one form.

Four forms of a question with drafts are read: a list of drafts, an object of drafts by model, a list of models beside a
list of texts, and rows of one draft each that name their model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.fields import question
from moa_graph.evals.data.files import Row

__all__ = ["ID", "as_drafts", "as_text", "drafts_of_model", "final_answers", "gold_in", "gold_of", "has_drafts",
           "is_copy", "text_field"]  # fmt: skip

ID = ("id", "question_id", "unique_id", "uid", "index")
_DRAFTS = ("drafts", "responses", "outputs", "generations", "completions", "candidates", "answers", "predictions")
_MODEL = ("model", "model_name", "generator", "name")
_GOLD = ("gold", "expected", "reference", "target", "label")
_ANSWERS = ("answers", "predictions")
_TEXT = ("text", "response", "output", "completion", "generation", "content", "prediction", "answer")
_GRADE = ("correct", "is_correct", "right", "passed", "score")
_KEPT = ("scores_side_by_side", "published_pick")


def has_drafts(row: Row) -> bool:
    """Return whether a row holds recorded drafts, and is not a prompt alone."""
    return _drafts_field(row) is not None or _is_one_draft(row)


def as_drafts(row: Row) -> Row:
    """Return a row with the fields `id`, `question`, `gold` and `drafts`; those that it lacks are left out.

    Fields of drafts are `model`, `text` and `correct`. `row` is the row itself. A row of another form is returned as it
    is.
    """
    if _is_one_draft(row):
        return {**_about(row), "drafts": [_draft(row)], "row": row}
    if (field := _drafts_field(row)) is None:
        return row
    given = row[field]
    if _beside(row, field):
        grades = _each(_first(row, _GRADE), len(given))
        given = [{"model": m, "text": t, "correct": c} for m, t, c in zip(row["models"], given, grades, strict=True)]
    return {**_about(row), "drafts": _listed(given), "row": row}


def drafts_of_model(row: Row, model: str, number: int) -> Row:
    """Return a row of one model's own file, with one text or several, in the form of `as_drafts`."""
    field = text_field(row)
    # A table leaves an empty cell out.
    given = None if field is None else row[field]
    texts = given if isinstance(given, list) else [given]
    grades = _each(_first(row, _GRADE), len(texts))
    about = _about(row if field == "answer" or _first(row, _GOLD) is not None else {**row, "gold": row.get("answer")})
    drafts = [{"model": model, "text": text, "correct": grade} for text, grade in zip(texts, grades, strict=True)]
    return {"id": number, **about, "drafts": drafts, "row": {**row, "model": model}}


def is_copy(row: Row, earlier: Sequence[Row], drafts: int) -> bool:
    """Return whether a row is there twice: the same evidence once.

    A row of one draft is a sample of its own, because samples of a model are often equal.

    Args:
        row: The row as its file has it.
        earlier: Earlier rows of the same question.
        drafts: The number of its drafts or answers.
    """
    return drafts > 1 and row in earlier


def text_field(row: Row) -> str | None:
    """Return the field with the texts of a row of one model's own file; None without one."""
    return next((name for name in (*_DRAFTS, *_TEXT) if name in row), None)


def final_answers(row: Row) -> list[Any] | None:
    """Return one model's list of final answers; None where the row has no such list."""
    given = _first(row, _ANSWERS)
    return given if isinstance(given, list) and not any(isinstance(each, Mapping) for each in given) else None


def gold_in(row: Row) -> Any:
    """Return the right answer in a row of one model's answers; None without one."""
    return _first(row, _GOLD)


def gold_of(given: Any, where: str) -> tuple[str, ...]:
    """Return a row's right answers, one or several; empty without one.

    GSM8K's answers are a solution, and the number after "####".

    Raises:
        InputError: They are not texts, numbers or truth values.
    """
    golds = given if isinstance(given, list) else [] if given is None else [given]
    if not all(isinstance(gold, str | int | float) for gold in golds):
        raise InputError(f"{where}: `gold` must be text or a number, or a list of them")
    texts = [as_text(gold).rsplit("####", 1)[-1].strip() for gold in golds]
    return tuple(text for text in texts if text)


def as_text(value: Any) -> str:
    """Return a value of JSON as an answer: a whole number without its decimals, and no white space around it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _about(row: Row) -> Row:
    """Return what a row says of its question."""
    text = next((name for name in _TEXT if name in row), None) if _is_one_draft(row) else None
    gold = _first(row, _GOLD if text == "answer" else (*_GOLD, "answer"))
    about = {"id": _first(row, ID), "question": question(row)}
    known = {name: value for name, value in about.items() if value is not None and value != ""}
    return {**known, **{name: row[name] for name in _KEPT if name in row}, "gold": gold}


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the first value; null, and the NaN that tables have for it, do not count."""
    return next((row[name] for name in names if row.get(name) is not None and row[name] == row[name]), None)


def _each(given: Any, many: int) -> list[Any]:
    return given if isinstance(given, list) and len(given) == many else [given] * many


def _drafts_field(row: Row) -> str | None:
    """Return the field with the drafts: `drafts`, or another one that names models."""
    if "drafts" in row:
        return "drafts"
    return next((name for name in _DRAFTS if name in row and (_names_models(row[name]) or _beside(row, name))), None)


def _names_models(given: Any) -> bool:
    if isinstance(given, Mapping):
        return bool(given)
    return isinstance(given, list) and bool(given) and all(isinstance(e, Mapping) and _first(e, _MODEL) for e in given)


def _beside(row: Row, field: str) -> bool:
    """Return whether a field is a list of texts, one for each of the row's `models`."""
    models, given = row.get("models"), row[field]
    lists = isinstance(models, list) and isinstance(given, list) and len(models) == len(given) > 0
    return lists and not any(isinstance(each, Mapping) for each in given)


def _is_one_draft(row: Row) -> bool:
    named = isinstance(row.get("model", row.get("model_name")), str)
    return named and _drafts_field(row) is None and any(name in row for name in _TEXT)


def _listed(given: Any) -> Any:
    """Return a list of drafts; anything else as it is, for the reader's own errors."""
    if isinstance(given, Mapping):
        pairs = [(name, each) for name, many in given.items() for each in (many if isinstance(many, list) else [many])]
        return [_draft({**each, "model": name}) if isinstance(each, Mapping) else {"model": name, "text": each}
                for name, each in pairs]  # fmt: skip
    if isinstance(given, list):
        return [_draft(each) if isinstance(each, Mapping) else each for each in given]
    return given


def _draft(given: Mapping[str, Any]) -> Row:
    return {"model": _first(given, _MODEL), "text": _first(given, _TEXT), "correct": _first(given, _GRADE),
            "seconds": given.get("seconds")}  # fmt: skip
