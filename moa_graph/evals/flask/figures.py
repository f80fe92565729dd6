"""Recorded FLASK reviews as plain figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.fields import NOT_RECORDED, UnreadableError
from moa_graph.evals.data.files import Row
from moa_graph.evals.figures import Figures, as_pair, cautions
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.stats import Interval, mean_interval


def system_of(row: Row) -> tuple[str, str]:
    """Return the model and the judge that a review names; a missing name is an empty string."""
    judge = row.get("judge_record")
    reviewer = judge.get("model") if isinstance(judge, Mapping) else row.get("reviewer_id")
    return str(row.get("model_id") or ""), str(reviewer or "")


def by_system(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Separate the reviews of several models or judges in one file. Their scores are never averaged together.

    The name is the model's; with several judges of one model it is "MODEL judged by JUDGE".
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault(system_of(row), []).append(row)
    judges: dict[str, int] = {}
    for model, _ in groups:
        judges[model] = judges.get(model, 0) + 1
    return {
        (model or NOT_RECORDED) + (f" judged by {judge or NOT_RECORDED}" if judges[model] > 1 else ""): found
        for (model, judge), found in groups.items()
    }


def reviews(rows: Sequence[Row], items: Sequence[flask.FlaskItem]) -> list[flask.Review]:
    """Read recorded reviews of `items`, each of its item's own skills.

    Raises:
        InputError: A row does not name an item of this set, or belongs to the other set.
    """
    by_idx = {item.idx: item for item in items}
    found = []
    for number, row in enumerate(rows, 1):
        where = f"review {number}"
        idx = flask.item_id(row, where)
        if idx not in by_idx:
            raise InputError(f"{where}: no item has idx {idx} in FLASK's {items[0].set} set")
        check_set(row, by_idx[idx], where)
        found.append(flask.review(row, where, by_idx[idx].skills))
    return found


def check_set(row: Row, item: flask.FlaskItem, where: str) -> None:
    """Check that a row belongs to this set: both sets number their items from 1.

    Raises:
        InputError: The row's set, instruction or skills are not the item's.
    """
    other = "hard" if item.set == "full" else "full"
    way_out = "use --hard" if other == "hard" else "remove --hard"
    if row.get("set") not in (None, item.set):
        raise InputError(f"{where} belongs to FLASK's {row['set']} set, not to the {item.set} set: {way_out}")
    text = row.get("instruction")
    if isinstance(text, str) and text.strip() != item.instruction.strip():
        raise InputError(f"{where}: the instruction is not that of item {item.idx} of the {item.set} set: {way_out}?")
    skills = flask.row_skills(row)
    if skills and set(skills) != set(item.skills):
        raise InputError(
            f"{where}: its skills ({', '.join(skills)}) are not those of item {item.idx} of the {item.set} set "
            f"({', '.join(item.skills)}): {way_out}?"
        )


def flask_figures(found: Sequence[flask.Review], items: Sequence[flask.FlaskItem]) -> Figures:
    """Return the figures of one system's reviews; intervals are by question.

    Raises:
        UnreadableError: No review could be read; the message has the end of the first one.
    """
    kept, duplicates = flask.unique(found)
    report = flask.report(kept, items)
    unreadable = flask.first_unreadable(kept)
    if not report.n:
        raise UnreadableError(
            f"no review could be read: {unreadable or 'there are none'}; a review ends with a dictionary"
        )
    widths: dict[str, Interval | None] = {}
    for skill in report.skills:
        scores = [r.scores.get(skill) for r in kept if r.scores is not None]
        widths[skill] = mean_interval([s for s in scores if s is not None], scale=(1, 5))
    # The mean pools all scores. Scores of one question form a cluster.
    pooled = [(s, r.idx) for r in kept for s in (r.scores or {}).values() if s is not None]
    width = mean_interval([score for score, _ in pooled], clusters=[idx for _, idx in pooled], scale=(1, 5))
    notes = [f"{len(items) - len(kept)} of {len(items)} reviews are missing"] if len(kept) < len(items) else []
    if unreadable:
        notes.append(f"unreadable reviews: {report.parse_failures}; {unreadable}")
    figures: dict[str, Any] = asdict(report)
    return {
        **figures,
        "duplicates": duplicates,
        "interval": as_pair(width),
        "intervals": {skill: as_pair(found) for skill, found in widths.items()},
        "cautions": cautions({"interval": width, **widths}),
        "notes": notes,
    }
