"""The judge table as plain figures: computed rows, published rows, and the agreement of judges."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import combinations

from moa_graph.errors import InputError
from moa_graph.evals.data import assets
from moa_graph.evals.figures import Figures, as_pair, cautions
from moa_graph.evals.judge_table import table
from moa_graph.evals.judge_table.votes import Humans, Key, RecordedJudge
from moa_graph.evals.stats import fraction_interval, kappa, kappa_interval

PUBLISHED = "meta_eval/alpaca_eval_evaluators_leaderboard.csv"


def judge_figures(humans: Humans, judges: Sequence[RecordedJudge]) -> dict[str, Figures]:
    """Return the rows of the judge table: the humans' own, then every judge's. Each is marked as computed.

    Raises:
        InputError: Two judges have one name, or a judge has no readable verdict about the humans' pairs.
    """
    rows = {"humans": table.rate_humans(humans)}
    for judge in judges:
        if judge.name in rows:
            raise InputError(f"two judges are called {judge.name!r}; rename one with NAME=FILE")
        rows[judge.name] = table.rate(judge, humans)
        if not rows[judge.name].parsed:
            raise InputError(f"judge {judge.name!r}: {table.NO_VERDICTS}; its first pair is {_first_key(judge)}")
    unread = {judge.name: judge.first_unreadable for judge in judges}
    return {name: _rating_figures(rating, unread.get(name), _part(rating, humans)) for name, rating in rows.items()}


def _part(rating: table.Rating, humans: Humans) -> list[str]:
    """Return notes on excluded pairs: those without votes of every human, or without a verdict of the judge."""
    notes = []
    if humans.incomplete:
        notes.append(f"pairs left out because a human's vote is missing or unreadable: {humans.incomplete}")
    if rating.n < len(humans.pairs):
        notes.append(f"{len(humans.pairs) - rating.n} of {len(humans.pairs)} pairs have no readable verdict")
    return notes


def _first_key(judge: RecordedJudge) -> str:
    return repr(next(iter(judge.verdicts), ()))[:120]


def _rating_figures(rating: table.Rating, unreadable: str | None, notes: list[str]) -> Figures:
    return {
        **rating.columns,
        "n": rating.n,
        "runs": rating.runs,
        "parsed": rating.parsed,
        "parse_failures": rating.parse_failures,
        "first_unreadable": unreadable,
        "kappa": rating.kappa,
        "intervals": {name: as_pair(width) for name, width in rating.intervals.items()},
        "cautions": cautions(rating.intervals),
        "reasons": rating.reasons,
        "interval_reasons": rating.interval_reasons,
        "notes": notes,
        "source": "computed",
    }


def published_judges() -> dict[str, Mapping[str, float | None]]:
    """Return the published table by judge with this package's column names; empty if the file is not on this disk.

    One row of the file is damaged (agreement 0.34, price 12.9) and is left out.
    """
    if not assets.present(PUBLISHED):
        return {}
    rows = {
        row[""]: {k: _number(row[header]) for k, header in table.COLUMNS.items()}
        for row in csv.DictReader(io.StringIO(assets.text(PUBLISHED)))
    }
    return {name: row for name, row in rows.items() if (row["human_agreement"] or 0) > 1}


def _number(text: str) -> float | None:
    return float(text) if text else None


def agreement_figures(judges: Sequence[RecordedJudge]) -> dict[str, Figures]:
    """Return agreement and kappa of every two judges, on the pairs with a readable first verdict of both.

    Raises:
        InputError: There are fewer than two judges, or no two share a pair.
    """
    if len({judge.name for judge in judges}) < 2:
        raise InputError("without --humans at least two judges are needed: use --judge twice, as NAME=FILE")
    first = {judge.name: _first_verdicts(judge) for judge in judges}
    found = {f"{a} and {b}": _agreement(first[a], first[b]) for a, b in combinations(first, 2)}
    if not any(figures["n"] for figures in found.values()):
        raise InputError("no two of these judges have verdicts on the same pairs")
    return found


def _first_verdicts(judge: RecordedJudge) -> dict[Key, float]:
    read = {key: next((v for v in votes if v is not None), None) for key, votes in judge.verdicts.items()}
    return {key: vote for key, vote in read.items() if vote is not None}


def _agreement(a: Mapping[Key, float], b: Mapping[Key, float]) -> Figures:
    shared = [key for key in a if key in b]
    if not shared:
        return {"n": 0, "agreement": None, "kappa": None, "kappa_interval": None, "agreement_interval": None}
    ours, theirs = ([table.nearest(side[key]) for key in shared] for side in (a, b))
    same = [100.0 * (x == y) for x, y in zip(ours, theirs, strict=True)]
    width, kappas = fraction_interval(same, scale=100), kappa_interval(ours, theirs)
    value = kappa(ours, theirs)
    return {
        "n": len(shared),
        "agreement": sum(same) / len(same),
        "agreement_interval": as_pair(width),
        "kappa": None if value != value else value,
        "kappa_interval": as_pair(kappas),
        "mean_difference": sum(a[key] - b[key] for key in shared) / len(shared),
        "cautions": cautions({"agreement_interval": width, "kappa_interval": kappas}),
    }
