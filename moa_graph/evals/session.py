"""One benchmark run in one folder: the ledger, the items, the final files.

A folder belongs to one benchmark, system, judge and data. Calls are in `ledger.db` as soon as they are paid for; the
final files are written once, at the end, from recorded replies only, so a run that was killed and begun again ends with
the same bytes. Times stand apart, in `timing.json` and the reports.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import moa_graph
from moa_graph.costs.spending_cap import SpendingCap
from moa_graph.evals import engine
from moa_graph.evals.data.files import Row, inside, json_bytes, jsonl_bytes, write
from moa_graph.evals.engine import ItemOutcome, RunOptions, Spending
from moa_graph.evals.judge import Judge
from moa_graph.evals.judge_family import warning
from moa_graph.evals.manifest import claim, finished, models_of
from moa_graph.evals.systems.mixture import System
from moa_graph.state import new_usage

Item = TypeVar("Item")
LEDGER, SCORES, TIMING, DRAFTS = "ledger.db", "scores.json", "timing.json", "drafts.jsonl"


@dataclass(frozen=True)
class Benchmark(Generic[Item]):
    """A benchmark as a session needs it.

    Attributes:
        name: The benchmark's name.
        items: The chosen items, in the order in which they are run.
        identify: Returns an item's name.
        work: Answers and judges one item and fills in its outcome.
        files: File name in the folder by kind of row.
        figures: Scores the rows of each kind.
        system: What is measured.
        judge: Who judges; None to generate only.
        settings: Options of the benchmark that make it another run.
        verdicts: How often the judge is asked about one answer.
        order: The names of all items in the benchmark's own order, in which files are written.
        data: SHA-256 of every data file by name.
        reference: What answers are judged against, by name.
        kin: Names of other models whose family the judge may favour: the reference's, recorded drafts'.
        jury: Judges beside `judge`.
    """

    name: str
    items: Sequence[Item]
    identify: Callable[[Item], str]
    work: Callable[[Item, ItemOutcome], Coroutine[Any, Any, None]]
    files: Mapping[str, str]
    figures: Callable[[Mapping[str, list[Row]]], Mapping[str, Any]]
    system: System
    judge: Judge | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    verdicts: int = 1
    order: Sequence[str] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    reference: str | None = None
    kin: Sequence[str] = ()
    jury: Sequence[Judge] = ()


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: its figures, its times, what went wrong, and how many answers are degraded by reason."""

    folder: Path
    scores: dict[str, Any]
    timing: dict[str, Any]
    failures: list[str]
    degraded: dict[str, int] = field(default_factory=dict)
    done: list[ItemOutcome] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=dict)


async def run(
    bench: Benchmark[Item],
    options: RunOptions,
    *,
    expected_cost: float | None = None,
    tell: Callable[[ItemOutcome, SpendingCap], None] | None = None,
) -> FinishedRun:
    """Run what is not recorded yet and write the final files.

    Args:
        bench: The benchmark.
        options: What the user chose.
        expected_cost: Dollars that an item is taken to cost under a cap, before any has shown it.
        tell: Called after every item.

    Raises:
        ConfigError: The folder belongs to another run.
    """
    manifest = claim(options.folder, _manifest(bench, options))
    for judge in _judges(bench):
        judge.form.passes = manifest["passes"]
    cap = SpendingCap(options.max_cost, expected=expected_cost)
    done = await engine.run(
        bench.items, bench.identify, bench.work, concurrency=options.concurrency, cap=cap, tell=tell
    )
    places = {name: place for place, name in enumerate(bench.order)}
    done.sort(key=lambda one: places.get(one.item, len(places)))
    rows = {kind: [row for one in done for row in one.rows.get(kind, [])] for kind in bench.files}
    scores = summary(bench, options, done) | dict(bench.figures(rows))
    scores["warnings"] = [*scores["warnings"], *scores.pop("notes", [])]
    timing = {one.item: {"generation": one.generation.seconds, "judging": one.judging.seconds} for one in done}
    # Sorted, so that drafts from the ledger have the bytes of new ones.
    drafts = [json.loads(json.dumps({"item": d.item, **draft}, sort_keys=True)) for d in done for draft in d.drafts]
    write_files(options.folder, {**bench.files, DRAFTS: DRAFTS}, {**rows, DRAFTS: drafts})
    write(inside(options.folder, SCORES), json_bytes(scores))
    write(inside(options.folder, TIMING), json_bytes(timing))
    finished(options.folder, unreadable=sum(one.unreadable for one in done))
    failures = [f"{d.item}: {text}" for d in done for text in d.failures]
    degraded = Counter(reason for d in done for reasons in d.degraded for reason in reasons)
    return FinishedRun(options.folder, scores, timing, failures, dict(degraded.most_common()), done, rows)


def _judges(bench: Benchmark[Any]) -> list[Judge]:
    return [*([bench.judge] if bench.judge else []), *bench.jury]


def _manifest(bench: Benchmark[Any], options: RunOptions) -> dict[str, Any]:
    judge = bench.judge
    return {
        "benchmark": bench.name,
        "system": {"name": bench.system.name, **bench.system.identity},
        "models": models_of(bench.system.specs),
        "judge": {"model": judge.spec.label, **judge.parameters} if judge else None,
        "jury": [{"model": each.spec.label, **each.parameters} for each in bench.jury],
        "settings": dict(bench.settings),
        "reference": bench.reference,
        "data": dict(bench.data),
        "selection": {
            "items": len(bench.items),
            "limit": options.limit,
            "ids": list(options.ids),
            "seed": options.seed,
        },
        "versions": [f"moa_graph {moa_graph.__version__}"],
        # The day alone, so that a run and its repetition have the same bytes.
        "started": datetime.now(UTC).date().isoformat(),
        "passes": 0,
    }


def summary(bench: Benchmark[Any], options: RunOptions, done: Sequence[ItemOutcome]) -> dict[str, Any]:
    """Return what every benchmark tells of a run beside its own figures."""
    generation, judging = total([d.generation for d in done]), total([d.judging for d in done])
    judge = bench.judge
    judged = [*(spec.label for spec in bench.system.specs), *bench.kin]
    kin = [text for each in _judges(bench) if (text := warning(each.spec.label, judged))]
    answers, degraded = sum(d.answers for d in done), sum(len(d.degraded) for d in done)
    skipped = sum(d.skipped for d in done)
    # Only counts stand here: reasons may name a request or a time, and these bytes must not.
    less = f"{degraded} of {answers} answers are degraded; the report says why" if degraded else None
    part = f"{skipped} of {len(done)} items were skipped for cost; the others are a random draw" if skipped else None
    return {
        "benchmark": bench.name,
        "system": bench.system.name,
        "models": models_of(bench.system.specs),
        "judge": judge.name if judge else None,
        "reference": bench.reference,
        "seed": options.seed,
        "items": len(done),
        "answers": answers,
        "degraded": degraded,
        "skipped_for_cost": skipped,
        "items_of_unknown_cost": sum(not d.priced for d in done),
        "items_with_failures": sum(bool(d.failures) for d in done),
        "generation": spent(generation),
        "judging": spent(judging),
        "warnings": [*kin, *(text for text in (less, part) if text)],
    }


def total(parts: Sequence[Spending]) -> Spending:
    """Return the sum."""
    whole = Spending()
    for part in parts:
        whole.add(part)
    return whole


def spent(part: Spending) -> dict[str, Any]:
    """Return calls, dollars and tokens, but no times: these figures are the same whenever a run is repeated."""
    usage = part.usage or new_usage()
    return {"calls": part.calls, "cost": part.cost, **usage}


def write_files(folder: Path, files: Mapping[str, str], rows: Mapping[str, list[Row]]) -> None:
    """Write the benchmark's own files; a kind without rows leaves none, also none of an earlier run's.

    One level of folders is allowed, as FastChat has.
    """
    for kind, name in files.items():
        parent, _, leaf = name.rpartition("/")
        place = inside(folder, parent) if parent else folder
        if not rows[kind]:
            inside(place, leaf).unlink(missing_ok=True)
            continue
        data = jsonl_bytes(rows[kind]) if leaf.endswith(".jsonl") else json_bytes(rows[kind])
        place.mkdir(parents=True, exist_ok=True)
        write(inside(place, leaf), data)
