"""Samples that lm-eval wrote with `--log_samples`: OUTPUT/MODEL/samples_TASK_DATE.jsonl, one answer a row.

    {"doc_id": 0, "doc": {"question": "..."}, "target": "18", "resps": [["..."]], "filtered_resps": ["18"],
     "filter": "strict-match", "metrics": ["exact_match"], "exact_match": 1.0}

A task with several filters has a row for each of them; an answer is right if it is right by one of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.fields import question
from moa_graph.evals.data.files import Row, read_rows

__all__ = ["as_texts", "read_models", "sample_files"]

_NAME = re.compile(r"samples_(?P<task>.+)_\d{4}-\d{2}-\d{2}T[\d.-]+\.jsonl(?:\.gz)?")
_GRADES = ("exact_match", "acc", "prompt_level_strict_acc")
"""Metrics that say whether an answer is right, the first one before the others."""
_OTHER = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash",
          "prompt_hash", "target_hash"}  # fmt: skip


def sample_files(folder: Path) -> dict[str, dict[str, Path]]:
    """Return the files of samples in a folder, or in the folders in it, by model and task; empty without any.

    Raises:
        InputError: A model has two files of one task.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in sorted([*folder.glob("samples_*"), *folder.glob("*/samples_*")]):
        if named := _NAME.fullmatch(path.name):
            # In the names of its folders lm-eval replaces what stands between an organization and its model.
            own = found.setdefault(path.parent.resolve().name.replace("__", "/"), {})
            if other := own.get(named["task"]):
                raise InputError(f"{path.parent} has {other.name} and {path.name}: keep one run of the task")
            own[named["task"]] = path
    return found


def read_models(files: Mapping[str, Mapping[str, Path]]) -> dict[str, tuple[Path, list[Row]]]:
    """Return each model's folder and its rows, those of all tasks, in the form of `as_texts`."""
    return {
        model: (
            next(iter(own.values())).parent,
            [row for task, path in own.items() for row in as_texts(read_rows(path), path, task)],
        )
        for model, own in files.items()
    }


def as_texts(rows: Sequence[Row], path: Path, task: str = "question") -> list[Row]:
    """Return rows of samples as rows with `id`, `question`, `gold`, `responses` and `correct`; others as they are.

    Args:
        rows: The rows of a file.
        path: The file, for messages.
        task: The task, for the names of questions.

    Raises:
        InputError: Samples are not texts, or have no grade from 0 to 1.
    """
    if not rows or not {"doc_id", "resps", "filtered_resps"} <= rows[0].keys():
        return list(rows)
    found: dict[Any, Row] = {}
    for number, row in enumerate(rows, 1):
        made = _as_text(row, f"{path}, row {number}", task)
        known = found.setdefault(made["id"], made)
        if known["responses"] != made["responses"]:
            raise InputError(f"{path}, row {number}: its doc_id is that of an earlier row with another answer")
        if made["correct"] is not None:
            known["correct"] = max(made["correct"], known["correct"])
    return list(found.values())


def _as_text(row: Row, where: str, task: str) -> Row:
    given = row.get("resps")
    texts = given[0] if isinstance(given, list) and len(given) == 1 and isinstance(given[0], list) else []
    if not texts or not all(isinstance(text, str) for text in texts):
        raise InputError(
            f"{where}: `resps` has no text of the model. A task that compares the likelihoods of options cannot be "
            "mixed; use one that generates answers (`generate_until`)"
        )
    name, doc = f"{task} {row.get('doc_id')}", row.get("doc")
    asked = question(doc) if isinstance(doc, Mapping) else None
    # With several responses the metric is not that of each of them.
    grade = _grade(row, where) if len(texts) == 1 else None
    shown = f"{name}: {asked}" if isinstance(asked, str) and asked.strip() else f"Question {name}"
    return {"id": name, "question": shown, "gold": row.get("target"), "responses": texts, "correct": grade}


def _grade(row: Row, where: str) -> float:
    named = row.get("metrics")
    names = named if isinstance(named, list) else [name for name in row if name not in _OTHER]
    known = {
        str(name): float(value)
        for name in names
        if isinstance(value := row.get(str(name)), bool | int | float) and 0 <= value <= 1
    }
    chosen = next((name for name in _GRADES if name in known), next(iter(known)) if len(known) == 1 else None)
    if chosen is None:
        raise InputError(
            f"{where}: none of the metrics ({', '.join(map(str, names)) or 'there are none'}) says whether the answer "
            f"is right. It needs {', '.join(_GRADES)}, or a single one from 0 to 1"
        )
    return known[chosen]
