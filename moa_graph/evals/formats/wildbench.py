"""WildBench's scores (WB-Score) in the publisher's format: a rating from 1 to 10 for every session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moa_graph.costs.amounts import number_of
from moa_graph.errors import InputError
from moa_graph.evals.data import fields
from moa_graph.evals.data.fields import Once, UnreadableError, identifier
from moa_graph.evals.data.files import Row
from moa_graph.evals.figures import Figures, as_pair, cautions, readable_systems
from moa_graph.evals.mt_bench.scores import FAILED, on_scale
from moa_graph.evals.stats import mean_interval


def _rating(row: Row) -> Any:
    """Return the rating in the file: in `parsed_result`, or beside it if the judge's JSON has none."""
    parsed = row.get("parsed_result")
    value = parsed.get("score") if isinstance(parsed, dict) else parsed
    return row.get("score") if value is None or isinstance(value, list) else value


def wildbench_systems(rows: Sequence[Row]) -> dict[str, Figures]:
    """Return the figures of every model, by judge where the file names several; they are never averaged together.

    Raises:
        InputError: A row is not one of WildBench's, or no score could be read.
    """
    groups: dict[tuple[str, str], list[tuple[int, Row]]] = {}
    for number, row in enumerate(rows, 1):
        where = f"row {number}"
        model = fields.name(row.get("model_test") or row.get("generator"), where, "model_test")
        judge = fields.name(row.get("judge") or row.get("evaluator"), where, "judge")
        groups.setdefault((model, judge), []).append((number, row))
    judges = {judge for _, judge in groups}
    named = {
        (model or "WildBench") + (f" judged by {judge or 'not recorded'}" if len(judges) > 1 else ""): (model, judge)
        for model, judge in groups
    }

    def score(who: tuple[str, str]) -> Figures:
        return {"model": who[0] or None, "judge": who[1] or None, **wildbench_figures(groups[who])}

    return readable_systems(named, score, "rows")


def wildbench_figures(rows: Sequence[tuple[int, Row]]) -> Figures:
    """Return the mean score, and the published scale's: twice its distance from 5. A session counts once.

    Args:
        rows: Rows of one model and judge with their numbers in the file.

    Raises:
        InputError: A row is not one of WildBench's, or two rows of one session have different outputs.
        UnreadableError: No score could be read; the message names the first.
    """
    kept: dict[str, float] = {}
    first = None
    once = Once()
    for number, row in rows:
        where = f"row {number}"
        if "session_id" not in row or not {"parsed_result", "score"} & row.keys():
            raise InputError(
                f"{where} needs session_id and parsed_result (or score): it is not one of WildBench's scores"
            )
        value, session = _rating(row), str(identifier(row["session_id"], where, "session_id"))
        score = on_scale(value)
        if score == FAILED and first is None:
            first = f"{where} has the score {value!r}"
        once.repeats(session, row.get("model_output"), number, f"session {session}")
        if kept.get(session, FAILED) == FAILED:
            kept[session] = score
    read = [score for score in kept.values() if score != FAILED]
    if not read:
        raise UnreadableError(f"no score could be read: {first or 'there are no rows'}; a score is 1 to 10")
    width = mean_interval(read, scale=(1, 10))
    mean = sum(read) / len(read)
    return {
        "n": len(read),
        "score": mean,
        "interval": as_pair(width),
        "wb_score": 2 * (mean - 5),
        "duplicates": once.duplicates,
        "parse_failures": len(kept) - len(read),
        "cautions": cautions({"interval": width}),
        "notes": [f"{number_of(len(kept) - len(read), 'score')} could not be read; {first}"] if first else [],
    }
