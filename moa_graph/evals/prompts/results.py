"""Results of own prompts, read back from `results.jsonl`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data import fields
from moa_graph.evals.data.fields import Once, brief, identifier
from moa_graph.evals.data.files import Row

_NEEDED = ("id", "score")


def results_by_system(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return checked results by model; a row that stands twice counts once.

    Ids are text, whether the file has them as numbers or as text.

    Raises:
        InputError: A row is not a result, a value is not on its scale, or two rows of one prompt and repetition have
            different answers; the message names the row.
    """
    found: dict[str, list[Row]] = {}
    once = Once()
    for number, row in enumerate(rows, 1):
        result = _result(row, f"result {number}")
        model, key = result["model_id"], (result["id"], result["repeat"])
        if not once.repeats((model, *key), row.get("answer"), number, f"prompt {result['id']}"):
            found.setdefault(model, []).append(result)
    return found


def grading(row: Row) -> dict[str, Any]:
    """Return how a result was graded, as far as its row says: scores that differ in it cannot be compared."""
    ratings = row.get("ratings")
    if not (ratings or {"gold", "passed"} & row.keys()):
        return {}
    gold = row.get("gold") or []
    return {
        "right answers": sorted(map(str, gold if isinstance(gold, list) else [gold])),
        "`match`": row.get("match") if gold else None,
        "a check": "passed" in row,
        # Rows of version 0.1.0 do not have them.
        **{name: row[name] for name in ("criteria", "majority") if ratings and name in row},
    }


def _result(row: Row, where: str) -> Row:
    if missing := [name for name in _NEEDED if name not in row]:
        raise InputError(f"{where} has no {', '.join(missing)}: it is not a row of `moa eval run`")
    repeat, tags = row.get("repeat", 0), row.get("tags") or []
    if isinstance(repeat, bool) or not isinstance(repeat, int) or repeat < 0:
        raise InputError(f"{where}: `repeat` is {brief(repeat)}; it must be a number from 0")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InputError(f"{where}: `tags` is {brief(tags)}; it must be a list of texts")
    return {
        **row,
        "id": str(identifier(row["id"], where, "id")),
        "repeat": repeat,
        "score": _share(row["score"], where),
        "tags": tags,
        "model_id": fields.name(row.get("model_id"), where, "model_id"),
        "ratings": _ratings(row.get("ratings"), where),
    }


def _share(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{where}: `score` is {brief(value)}; it must be null or a number from 0 to 1")
    return float(value)


def _ratings(value: Any, where: str) -> list[Row]:
    ratings = value or []
    if not isinstance(ratings, list) or not all(isinstance(each, dict) and "judge" in each for each in ratings):
        raise InputError(
            f"{where}: `ratings` is {brief(value)}; it must be a list of objects with `judge` and `rating`"
        )
    return [{**each, "judge": fields.name(each["judge"], where, "judge"), "rating": _rating(each)} for each in ratings]


def _rating(found: Row) -> float | None:
    value = found.get("rating")
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number and value is not None and 1 <= value <= 10 else None
