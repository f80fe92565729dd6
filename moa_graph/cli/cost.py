"""`moa cost`: sum up costs by day, mixture and model."""

from __future__ import annotations

import datetime
import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from moa_graph.cli.complete import files
from moa_graph.cli.options import Json, examples
from moa_graph.cli.output.messages import output, output_json
from moa_graph.costs.amounts import in_dollars, number_of
from moa_graph.costs.ledger import LOST
from moa_graph.errors import InputError
from moa_graph.state import Record

if TYPE_CHECKING:
    from moa_graph.cli.log_entry import Entry

_LEAST = 1e-9
"""Dollars. A smaller difference of two sums is a rounding error."""

app = typer.Typer(add_completion=False)


class Spent(NamedTuple):
    """Paid calls.

    Attributes:
        day: The day of the calls, as YYYY-MM-DD.
        mixture: The mixture that it was made for: its name in the log, its hash in a ledger. The run's name for other
            calls, such as those of a judge, and for questions without a recorded answer.
        model: The model.
        cost: In dollars; None if unknown.
        calls: How many calls.
    """

    day: str
    mixture: str
    model: str
    cost: float | None
    calls: int = 1


@app.command(epilog=examples("moa cost", "moa cost out.jsonl.ledger"))
def cost(
    ledger: Annotated[
        Path | None,
        typer.Argument(
            metavar="[LEDGER]",
            help="A ledger of `moa batch` or `moa eval` (default: the log of `moa ask` and `moa chat`).",
            autocompletion=files,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Sum up costs by day, by mixture and by model."""
    calls = list(_of_ledger(ledger) if ledger else _of_log())
    sums = {name: _sums(calls, place) for place, name in enumerate(("day", "mixture", "model"))}
    if as_json:
        output_json({"total": _sum(calls), **sums})
        return
    for name, rows in sums.items():
        output(f"by {name}")
        width = max(map(len, rows), default=0)
        for key, row in rows.items():
            output(f"  {key:<{width}}  {number_of(int(row['calls'] or 0), 'call'):>13}  {_money(row)}")
    total = _sum(calls)
    output(f"total: {number_of(int(total['calls'] or 0), 'call')}, {_money(total)}")


def _of_ledger(path: Path) -> Iterable[Spent]:
    if not path.is_file():
        raise InputError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}.")
    # A row of role `item` is the whole result of a batch. Its calls have their own rows, unless a server made them.
    calls = (
        "SELECT created, run, item, coalesce(repeat, 0), layer = 0 AND role LIKE 'judge%', model, cost FROM calls "
        "WHERE role IS NULL OR role NOT IN "
        f"('item', 'answer', 'refusal', 'batch', 'batch-file', '{LOST}') "
        "OR (role = 'item' AND model LIKE 'http%') ORDER BY created"
    )
    # A whole answer names the mixture that its question's calls were made for. A benchmark's judges have no layer.
    wholes = "SELECT run, item, coalesce(repeat, 0), model FROM calls WHERE role IN ('item', 'answer')"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            mixtures = {(run, item, repeat): model for run, item, repeat, model in db.execute(wholes)}
            rows = db.execute(calls).fetchall()
    except sqlite3.Error as exc:
        raise InputError(f"{path} is not a ledger: {exc}.") from exc
    return [
        Spent(
            _day(created),
            str((not judges and mixtures.get((run, item, repeat))) or run),
            str(model or "unknown"),
            dollars if isinstance(dollars, float) and 0 <= dollars < math.inf else None,
        )
        for created, run, item, repeat, judges, model, dollars in rows
    ]


def _of_log() -> Iterable[Spent]:
    """Return the drafts of every logged question, and its answer with the rest of the cost."""
    from moa_graph.cli.log import Log

    for entry in Log.open().entries():
        day = _day(entry.asked)
        for draft in entry.drafts:
            if not (draft["attempts"] or draft["usage"]):
                continue  # nothing was sent
            # Samples that one request gave are one call.
            yield Spent(day, entry.mixture, draft["model"], draft["cost"], int(bool(draft["attempts"])))
        calls = _calls_beside(entry)
        known = [draft["cost"] for draft in entry.drafts if draft["cost"] is not None]
        rest = None if entry.cost is None else max(0.0, entry.cost - sum(known))
        # Failed calls of an aggregator are not counted, but paid for.
        if calls > 0 or (not entry.record and rest and rest > _LEAST):
            yield Spent(day, entry.mixture, _writers(entry.record), rest, max(calls, 0))


def _calls_beside(entry: Entry) -> int:
    """Return how many calls a run made beside its drafts; none where a draft is the answer."""
    calls = entry.record["calls"] if entry.record else entry.calls or 0
    return calls - sum(bool(draft["attempts"]) for draft in entry.drafts)


def _writers(record: Record | None) -> str:
    """Return who made a run's calls beside its drafts. The log does not have the models of a combiner's own calls."""
    if record is None:
        return "the combiner and the aggregator of failed questions"
    own = record["combine"] not in ("synthesize", "vote", "verify")
    return record["aggregator"] + (f" and {record['combine']}" if own else "")


def _sums(calls: list[Spent], place: int) -> dict[str, dict[str, float | int | None]]:
    groups: dict[str, list[Spent]] = defaultdict(list)
    for call in calls:
        groups[str(call[place])].append(call)
    return {key: _sum(groups[key]) for key in sorted(groups)}


def _sum(calls: list[Spent]) -> dict[str, float | int | None]:
    known = [call.cost for call in calls if call.cost is not None]
    unknown = sum(call.calls for call in calls if call.cost is None)
    return {"calls": sum(call.calls for call in calls), "cost": sum(known), "unknown": unknown}


def _money(row: dict[str, float | int | None]) -> str:
    dollars, unknown = float(row["cost"] or 0), row["unknown"]
    if not unknown:
        return in_dollars(dollars) if dollars else "free"
    return f"{in_dollars(dollars)} and {number_of(int(unknown), 'call')} at unknown cost" if dollars else "cost unknown"


def _day(seconds: float) -> str:
    try:
        return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d")
    except (TypeError, ValueError, OverflowError, OSError):
        return "unknown"  # a damaged row
