"""WildBench's scores (WB-Score) in the publisher's format: a rating from 1 to 10 for every session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row
from moa_graph.evals.figures import Figures, as_pair, cautions
from moa_graph.evals.mt_bench.scores import FAILED, on_scale
from moa_graph.evals.stats import mean_interval


def _rating(row: Row) -> Any:
    """Return the rating in the file: in `parsed_result`, or beside it if the judge's JSON has none."""
    parsed = row.get("parsed_result")
    value = parsed.get("score") if isinstance(parsed, dict) else parsed
    return row.get("score") if value is None or isinstance(value, list) else value


def wildbench_figures(rows: Sequence[Row]) -> Figures:
    """Return the mean score, and the score on the published scale (twice its distance from 5).

    Raises:
        InputError: A row is not in WildBench's format, or no score could be read; the message names the first one.
    """
    kept: dict[str, float] = {}
    duplicates, first = 0, None
    for number, row in enumerate(rows, 1):
        if "session_id" not in row or not {"parsed_result", "score"} & row.keys():
            raise InputError(
                f"row {number} is not in WildBench's format: it needs session_id and parsed_result (or score)"
            )
        value = _rating(row)
        score = on_scale(value)
        if score == FAILED and first is None:
            first = f"row {number} has the score {value!r}"
        duplicates += str(row["session_id"]) in kept
        kept.setdefault(str(row["session_id"]), score)
    read = [score for score in kept.values() if score != FAILED]
    if not read:
        raise InputError(f"no score could be read: {first or 'there are no rows'}; a score is 1 to 10")
    width = mean_interval(read, scale=(1, 10))
    mean = sum(read) / len(read)
    return {
        "model": str(rows[0].get("model_test") or rows[0].get("generator") or "") or None,
        "n": len(read),
        "score": mean,
        "interval": as_pair(width),
        "wb_score": 2 * (mean - 5),
        "duplicates": duplicates,
        "parse_failures": len(kept) - len(read),
        "cautions": cautions({"interval": width}),
        "notes": [f"{len(kept) - len(read)} scores could not be read; {first}"] if first else [],
    }
