"""The figures of a benchmark run, from the rows of its files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.alpaca_eval import figures as alpaca_figures
from moa_graph.evals.alpaca_eval import run as alpaca_run
from moa_graph.evals.data.files import Row
from moa_graph.evals.engine import RunOptions
from moa_graph.evals.figures import Figures
from moa_graph.evals.flask import figures as flask_figures
from moa_graph.evals.flask import run as flask_run
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.judge_table.table import nearest
from moa_graph.evals.jury import Judged, Votes, jury_figures
from moa_graph.evals.mt_bench import figures as mt_bench_figures
from moa_graph.evals.mt_bench import run as mt_bench_run
from moa_graph.evals.mt_bench.scores import FAILED
from moa_graph.evals.prompts.figures import PASSES


def alpaca_run_figures(rows: Mapping[str, list[Row]], options: RunOptions) -> Figures:
    """Return the figures of an AlpacaEval run."""
    outputs, annotations = rows[alpaca_run.OUTPUTS], rows[alpaca_run.ANNOTATIONS]
    figures: Figures = {"answered": len(outputs)}
    if any(row["preference"] is not None for row in annotations):
        found = alpaca_figures.alpaca_figures(annotations, intervals=options.intervals, whole=False)
        # The run itself records system, judge, reference and the number of chosen items.
        own = ("model", "judge", "reference", "missing")
        figures |= {name: value for name, value in found.items() if name not in own}
    elif annotations:
        figures |= {"n": 0, "parse_failures": len(annotations)}
    if rows[alpaca_run.CANARY]:
        figures["canary"] = _canary(rows[alpaca_run.CANARY])
    members = _members(annotations, "instruction", lambda one: (one["annotator"], one["preference"]))
    return figures | _jury(members, nearest, scale=(1, 2))


def _canary(rows: Sequence[Row]) -> Figures:
    """Return the constant answer's win rate. A judge that lets it win can be misled by the form of an answer."""
    readable = sum(row["preference"] is not None for row in rows)
    found = alpaca_figures.alpaca_figures(rows, intervals=False, length_control=False) if readable else {}
    return {"n": readable, "win_rate": found.get("win_rate")}


def mt_bench_run_figures(rows: Mapping[str, list[Row]], chosen: Collection[Any]) -> Figures:
    """Return the figures of an MT-Bench run of the `chosen` questions."""
    figures: Figures = {"answered": len(rows[mt_bench_run.ANSWERS])}
    if judgments := rows[mt_bench_run.JUDGMENTS]:
        figures |= _readable(lambda: _first(mt_bench_figures.single_figures(judgments, chosen=chosen)), len(judgments))
        figures.pop("judge", None)
    if pairs := rows[mt_bench_run.PAIRS]:
        found = _readable(lambda: _first(mt_bench_figures.pair_figures(pairs, chosen=chosen)), len(pairs))
        figures["notes"] = [*figures.get("notes", []), *found.pop("notes", [])]
        figures["pairwise"] = found
    rated = _members(judgments, ("question_id", "turn"), lambda one: (one["judge"][0], _rated(one["score"])))
    return figures | _jury(rated, lambda value: value >= PASSES, scale=(1, 10))


def _first(systems: Mapping[str, Figures]) -> Figures:
    return next(iter(systems.values()))


def _rated(score: float) -> float | None:
    return None if score == FAILED else score


def _members(
    rows: Sequence[Row], key: str | Sequence[str], read: Callable[[Row], tuple[str, float | None]]
) -> dict[str, dict[Judged, float]]:
    """Return the readable verdicts of a jury's members by judge; empty without a jury."""
    names = (key,) if isinstance(key, str) else key
    found: dict[str, dict[Judged, float]] = {}
    for row in rows:
        for member in row.get("jury") or ():
            judge, verdict = read(member)
            if verdict is not None:
                found.setdefault(judge, {})[tuple(row[name] for name in names)] = verdict
    return found


def _jury(members: Votes, verdict: Callable[[float], Hashable], *, scale: tuple[float, float]) -> Figures:
    """Return the `jury` figures of a run; empty without a jury."""
    found = jury_figures(members, verdict, scale=scale)
    return {"jury": found} if found else {}


def _readable(score: Callable[[], Figures], judged: int) -> Figures:
    """Return the figures; if no verdict could be read, the figures of such a run."""
    try:
        return dict(score())
    except InputError as error:
        return {"n": 0, "parse_failures": judged, "notes": [str(error)]}


def flask_run_figures(rows: Mapping[str, list[Row]], items: Sequence[flask.FlaskItem]) -> Figures:
    """Return the figures of a FLASK run of `items`."""
    figures: Figures = {"answered": len(rows[flask_run.OUTPUTS])}
    if reviews := rows[flask_run.REVIEWS]:
        figures |= _readable(
            lambda: flask_figures.flask_figures(flask_figures.reviews(reviews, items), items), len(reviews)
        )
    members = _members(reviews, "idx", lambda one: (one["judge_record"]["model"], _mean_skill(one["score"])))
    return figures | _jury(members, lambda value: value >= 3, scale=(1, 5))


def _mean_skill(scores: Mapping[str, float | None] | None) -> float | None:
    """Return the mean over an item's skills; None if none of them was rated."""
    known = [score for score in (scores or {}).values() if score is not None]
    return sum(known) / len(known) if known else None
