"""One benchmark run in one folder: the ledger, the items, the final files.

A folder belongs to one benchmark, system and judge. Calls are in `ledger.db` the moment they are paid for; the final
files are written once, at the end, from nothing but recorded replies, so a run that was killed and begun again ends
with the same bytes. Times stand apart, in `timing.json` and the reports.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from moa_graph.costs.spending_cap import Purse
from moa_graph.errors import ConfigError
from moa_graph.evals import engine
from moa_graph.evals.data.files import Row, inside, json_bytes, jsonl_bytes, write
from moa_graph.evals.engine import Done, Options, Spent
from moa_graph.evals.judge import Judge
from moa_graph.evals.judge_family import warning
from moa_graph.evals.systems.mixture import System
from moa_graph.state import new_usage

Item = TypeVar("Item")
LEDGER, MANIFEST, SCORES, TIMING = "ledger.db", "run.json", "scores.json", "timing.json"


@dataclass(frozen=True)
class Benchmark(Generic[Item]):
    """A benchmark as a session needs it. `files` maps kinds of rows to file names in the folder; `figures` scores
    the rows of a kind. `verdicts` is how often the judge is asked about one answer."""

    name: str
    items: Sequence[Item]
    identify: Callable[[Item], str]
    work: Callable[[Item, Done], Coroutine[Any, Any, None]]
    files: Mapping[str, str]
    figures: Callable[[Mapping[str, list[Row]]], Mapping[str, Any]]
    system: System
    judge: Judge | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    verdicts: int = 1


@dataclass(frozen=True)
class Outcome:
    """A finished run: its figures, its times, what went wrong, and why answers are degraded (with how many are)."""

    folder: Path
    scores: dict[str, Any]
    timing: dict[str, Any]
    failures: list[str]
    degraded: dict[str, int] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=dict)


async def run(
    bench: Benchmark[Item],
    options: Options,
    *,
    expected_cost: float | None = None,
    tell: Callable[[Done, Purse], None] | None = None,
) -> Outcome:
    """Run what is not recorded yet and write the final files. `expected_cost` is what an item is taken to cost under a
    cap, before any has shown it.

    Raises ConfigError when the folder belongs to another run.
    """
    claim(options.folder, bench)
    purse = Purse(options.max_cost, expected=expected_cost)
    done = await engine.run(
        bench.items, bench.identify, bench.work, concurrency=options.concurrency, purse=purse, tell=tell
    )
    rows = {kind: [row for one in done for row in one.rows.get(kind, [])] for kind in bench.files}
    scores = summary(bench, options, done) | dict(bench.figures(rows))
    timing = {one.item: {"generation": one.generation.seconds, "judging": one.judging.seconds} for one in done}
    write_files(options.folder, bench.files, rows)
    write(inside(options.folder, SCORES), json_bytes(scores))
    write(inside(options.folder, TIMING), json_bytes(timing))
    failures = [f"{d.item}: {text}" for d in done for text in d.failures]
    degraded = Counter(reason for d in done for reasons in d.degraded for reason in reasons)
    return Outcome(options.folder, scores, timing, failures, dict(degraded.most_common()), done, rows)


def claim(folder: Path, bench: Benchmark[Any]) -> None:
    """Make the folder this run's own. Raises ConfigError when it already is another run's."""
    identity = {
        "benchmark": bench.name,
        "system": {"name": bench.system.name, **bench.system.identity},
        "judge": {"model": bench.judge.spec.label, **bench.judge.parameters} if bench.judge else None,
        "settings": dict(bench.settings),
    }
    path = inside(folder, MANIFEST)
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        # A run that only generated may be judged later; everything else must be as it was.
        if before["judge"] is None:
            before["judge"] = identity["judge"]
        differing = [name for name in identity if json.loads(json.dumps(identity[name])) != before.get(name)]
        if differing:
            raise ConfigError(f"{folder} holds another run ({', '.join(differing)} differ); choose another --out")
    write(path, json_bytes(identity))


def summary(bench: Benchmark[Any], options: Options, done: Sequence[Done]) -> dict[str, Any]:
    """What every benchmark tells of a run beside its own figures."""
    generation, judging = total([d.generation for d in done]), total([d.judging for d in done])
    judge = bench.judge
    kin = warning(judge.spec.label, [spec.label for spec in bench.system.specs]) if judge else None
    answers, degraded = sum(d.answers for d in done), sum(len(d.degraded) for d in done)
    # Only counts stand here: reasons may name a request or a time, and these bytes must not.
    less = f"{degraded} of {answers} answers are degraded; the report says why" if degraded else None
    return {
        "benchmark": bench.name,
        "system": bench.system.name,
        "judge": judge.name if judge else None,
        "seed": options.seed,
        "items": len(done),
        "answers": answers,
        "degraded": degraded,
        "skipped_for_cost": sum(d.skipped for d in done),
        "items_of_unknown_cost": sum(not d.priced for d in done),
        "items_with_failures": sum(bool(d.failures) for d in done),
        "generation": spent(generation),
        "judging": spent(judging),
        "warnings": [text for text in (kin, less) if text],
    }


def total(parts: Sequence[Spent]) -> Spent:
    """The sum."""
    whole = Spent()
    for part in parts:
        whole.add(part)
    return whole


def spent(part: Spent) -> dict[str, Any]:
    """Calls, dollars and tokens; no times, since these figures are the same whenever a run is repeated."""
    usage = part.usage or new_usage()
    return {"calls": part.calls, "cost": part.cost, **usage}


def write_files(folder: Path, files: Mapping[str, str], rows: Mapping[str, list[Row]]) -> None:
    """The benchmark's own files; a kind without rows leaves none, also none of an earlier run's. One level of folders
    is allowed, as FastChat has."""
    for kind, name in files.items():
        parent, _, leaf = name.rpartition("/")
        place = inside(folder, parent) if parent else folder
        if not rows[kind]:
            inside(place, leaf).unlink(missing_ok=True)
            continue
        data = jsonl_bytes(rows[kind]) if leaf.endswith(".jsonl") else json_bytes(rows[kind])
        place.mkdir(parents=True, exist_ok=True)
        write(inside(place, leaf), data)
