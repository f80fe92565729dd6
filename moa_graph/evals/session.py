"""One benchmark run in one folder: the ledger, the items, the final files.

A folder belongs to one benchmark, system, judge and data. Calls are stored in `ledger.db` as soon as they are paid for.
The final files are written once, at the end, from recorded replies only, so a killed and resumed run ends with the same
bytes. Times are kept apart, in `timing.json` and the reports.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import moa_graph
from moa_graph.batch.api import BatchApi
from moa_graph.costs.file_lock import only_run
from moa_graph.costs.ledger import Ledger
from moa_graph.costs.spending_cap import SpendingCap
from moa_graph.evals import engine
from moa_graph.evals.data.files import Row, inside, json_bytes, jsonl_bytes, write
from moa_graph.evals.engine import ItemOutcome, RunOptions, Spending
from moa_graph.evals.judge import Judge
from moa_graph.evals.judge_family import warning
from moa_graph.evals.jury import name_of
from moa_graph.evals.manifest import claim, finished, models_of
from moa_graph.evals.systems.mixture import System
from moa_graph.mixture.proposer import Proposer
from moa_graph.state import new_usage

Item = TypeVar("Item")
LEDGER, SCORES, TIMING, DRAFTS = "ledger.db", "scores.json", "timing.json", "drafts.jsonl"


@dataclass(frozen=True)
class Benchmark(Generic[Item]):
    """A benchmark as a session needs it.

    Attributes:
        name: The benchmark's name.
        items: The chosen items, in the order in which they run.
        identify: Returns an item's name.
        work: Answers and judges one item and fills in its outcome.
        files: File name in the folder by kind of row.
        figures: Scores the rows of each kind.
        system: The measured system.
        judges: The judge, or the judges of a jury; empty to generate only.
        settings: Options of the benchmark; other values make another run.
        verdicts: The number of verdicts per answer that each judge gives.
        repeats: The number of times that each item is answered.
        order: The names of all items in the benchmark's own order, in which files are written.
        data: SHA-256 of every data file by name.
        reference: The name of the reference.
        kin: Names of other models whose family the judge may favour: the reference's, recorded drafts'.
    """

    name: str
    items: Sequence[Item]
    identify: Callable[[Item], str]
    work: Callable[[Item, ItemOutcome], Coroutine[Any, Any, None]]
    files: Mapping[str, str]
    figures: Callable[[Mapping[str, list[Row]]], Mapping[str, Any]]
    system: System
    judges: Sequence[Judge] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    verdicts: int = 1
    repeats: int = 1
    order: Sequence[str] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    reference: str | None = None
    kin: Sequence[str] = ()


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: its figures, times and failures, and the number of degraded answers by reason."""

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
    notify: Callable[[SpendingCap], None] | None = None,
    api: BatchApi | None = None,
    ledger: Ledger | None = None,
) -> FinishedRun:
    """Run the items that are not recorded yet and write the final files.

    Args:
        bench: The benchmark.
        options: The user's options.
        expected_cost: Assumed cost of an item in dollars, used under a cap until an item has finished.
        notify: Called with the cap after every item.
        api: Sends requests through Batch APIs; None sends them directly.
        ledger: Knows what earlier runs in the folder lost, which counts under a cap; None if nothing was.

    Raises:
        ConfigError: The folder belongs to another run, or another process works in it.
    """
    with only_run(options.folder):
        # A batch may take a day, so none of them is sent only to learn what an item costs.
        cap = SpendingCap(options.max_cost, expected=expected_cost, at_once=api is not None)
        if ledger and cap.limit is not None:
            cap.recall([row["cost"] for row in await ledger.lost()])
        return await _run(bench, options, cap, notify, api)


async def _run(
    bench: Benchmark[Item],
    options: RunOptions,
    cap: SpendingCap,
    notify: Callable[[SpendingCap], None] | None,
    api: BatchApi | None,
) -> FinishedRun:
    manifest = claim(options.folder, _manifest(bench, options, api))
    for judge in bench.judges:
        judge.form.passes = manifest["passes"]
    async with api.running() if api else nullcontext():
        done = await engine.run(
            bench.items, bench.identify, bench.work, concurrency=options.concurrency, cap=cap, notify=notify, api=api
        )
    places = {name: place for place, name in enumerate(bench.order)}
    done.sort(key=lambda one: places.get(one.item, len(places)))
    rows = {kind: [row for one in done for row in one.rows.get(kind, [])] for kind in bench.files}
    scores = summary(bench, options, done) | dict(bench.figures(rows))
    scores["warnings"] = [*scores["warnings"], *scores.pop("notes", [])]
    timing = {one.item: {"generation": one.generation.seconds, "judging": one.judging.seconds} for one in done}
    # Sorted, so that drafts from the ledger and new ones have the same order.
    drafts = [json.loads(json.dumps({"item": d.item, **draft}, sort_keys=True)) for d in done for draft in d.drafts]
    write_files(options.folder, {**bench.files, DRAFTS: DRAFTS}, {**rows, DRAFTS: drafts})
    write(inside(options.folder, SCORES), json_bytes(scores))
    write(inside(options.folder, TIMING), json_bytes(timing))
    finished(options.folder, unreadable=sum(one.unreadable for one in done))
    failures = [f"{d.item}: {text}" for d in done for text in d.failures]
    degraded = Counter(reason for d in done for reasons in d.degraded for reason in reasons)
    return FinishedRun(options.folder, scores, timing, failures, dict(degraded.most_common()), done, rows)


def specs_of(bench: Benchmark[Any]) -> list[Proposer]:
    """Return the models that a run calls: those of the system, and the judges."""
    return [*bench.system.specs, *(judge.spec for judge in bench.judges)]


def _manifest(bench: Benchmark[Any], options: RunOptions, api: BatchApi | None) -> dict[str, Any]:
    judges = [{"model": judge.spec.label, **judge.parameters} for judge in bench.judges]
    return {
        "benchmark": bench.name,
        "system": {"name": bench.system.name, **bench.system.identity},
        "models": models_of(bench.system.specs),
        "judge": judges[0] if judges else None,
        "jury": judges[1:],
        "settings": dict(bench.settings),
        "reference": bench.reference,
        "data": dict(bench.data),
        "selection": {
            "items": len(bench.items),
            "limit": options.limit,
            "ids": list(options.ids),
            "seed": options.seed,
        },
        "batch_api": api.hosts_of(specs_of(bench)) if api else [],
        "versions": [f"moa_graph {moa_graph.__version__}"],
        # The date without the time, so that a repeated run has the same bytes.
        "started": datetime.now(UTC).date().isoformat(),
        "passes": 0,
    }


def summary(bench: Benchmark[Any], options: RunOptions, done: Sequence[ItemOutcome]) -> dict[str, Any]:
    """Return the figures that every benchmark reports in addition to its own."""
    generation, judging = total([d.generation for d in done]), total([d.judging for d in done])
    judged = [*(spec.label for spec in bench.system.specs), *bench.kin]
    kin = [text for each in bench.judges if (text := warning(each.spec.label, judged))]
    answers, degraded = sum(d.answers for d in done), sum(len(d.degraded) for d in done)
    skipped = sum(d.skipped for d in done)
    # Counts only: a reason may contain a request id or a time, which would change the bytes of the file.
    less = f"{degraded} of {answers} answers are degraded; the report has the reasons" if degraded else None
    part = None
    if 0 < skipped < len(done):
        part = f"{skipped} of {len(done)} items were skipped for cost; the others are a random draw"
    return {
        "benchmark": bench.name,
        "system": bench.system.name,
        "models": models_of(bench.system.specs),
        "judge": name_of([judge.name for judge in bench.judges]) if bench.judges else None,
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
    """Return the sum of the parts."""
    whole = Spending()
    for part in parts:
        whole.add(part)
    return whole


def spent(part: Spending) -> dict[str, Any]:
    """Return calls, dollars and tokens without times, so that a repeated run has the same figures."""
    usage = part.usage or new_usage()
    return {"calls": part.calls, "cost": part.cost, **usage}


def write_files(folder: Path, files: Mapping[str, str], rows: Mapping[str, list[Row]]) -> None:
    """Write the benchmark's own files. The file of a kind without rows is removed.

    Names may contain one level of folders, as in FastChat.
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
