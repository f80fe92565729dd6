"""Rows of recorded sets under other names of fields, brought to one form.

Three forms of a question with drafts are read: a list of drafts, an object of drafts by model, and rows of one draft
each that name their model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moa_graph.evals.data.files import Row

__all__ = ["ID", "QUESTION", "answers_in", "as_drafts", "gold_in", "has_drafts"]

ID = ("id", "question_id", "unique_id", "uid", "index")
QUESTION = ("prompt", "question", "problem", "instruction", "input")
_DRAFTS = ("drafts", "responses", "outputs", "generations", "completions", "candidates", "answers", "predictions")
_MODEL = ("model", "model_name", "generator", "name")
_GOLD = ("gold", "expected", "reference", "target", "label")
_TEXT = ("text", "response", "output", "completion", "generation", "content", "prediction", "answer")
_GRADE = ("correct", "is_correct", "right", "passed", "score")


def has_drafts(row: Row) -> bool:
    """Return whether a row holds recorded drafts, and is not a prompt alone."""
    return _drafts_field(row) is not None or _is_one_draft(row)


def as_drafts(row: Row) -> Row:
    """Return a row with the fields `id`, `question`, `gold` and `drafts`; those that it lacks are left out.

    Fields of drafts are `model`, `text` and `correct`. A row of another form is returned as it is.
    """
    known = {name: value for name, names in (("id", ID), ("question", QUESTION)) if (value := _first(row, names))}
    kept = {name: row[name] for name in ("scores_side_by_side",) if name in row}
    if row.get("id") == 0:
        known["id"] = 0
    if _is_one_draft(row):
        text = next(name for name in _TEXT if name in row)
        gold = _first(row, _GOLD if text == "answer" else (*_GOLD, "answer"))
        return {**known, **kept, "gold": gold, "drafts": [_draft(row)]}
    if (field := _drafts_field(row)) is None:
        return row
    return {**known, **kept, "gold": _first(row, (*_GOLD, "answer")), "drafts": _listed(row[field])}


def gold_in(row: Row) -> Any:
    """Return the right answer in a row of one model's answers; None without one."""
    return _first(row, _GOLD)


def answers_in(row: Row) -> list[Any] | None:
    """Return one model's final answers to a question; None where the row has none."""
    given = _first(row, ("answers", "predictions", *_TEXT))
    if isinstance(given, list):
        return given
    # A question that the model did not answer has the field and no value, or, in a table, an empty cell.
    return None if isinstance(given, Mapping) or given is None else [given]


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _drafts_field(row: Row) -> str | None:
    """Return the field with the drafts: `drafts`, or another one that names models."""
    if "drafts" in row:
        return "drafts"
    return next((name for name in _DRAFTS if name in row and _names_models(row[name])), None)


def _names_models(given: Any) -> bool:
    if isinstance(given, Mapping):
        return bool(given)
    return isinstance(given, list) and bool(given) and all(isinstance(e, Mapping) and _first(e, _MODEL) for e in given)


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
