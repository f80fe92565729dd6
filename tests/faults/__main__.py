"""`make faults`: every fault in every place and combiner, the hostile provider, kill -9, refusals, fence, secrets.

Prints tables and writes reports/faults.json; ends with 1 when anything went wrong.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.faults import combiner_matrix, fence, hostile, kills, matrix, postgres, secrets
from tests.faults.refusals import REFUSALS, refuse
from tests.provider import Provider

WORKERS = 6
ENOUGH_CELLS = 1000
ENOUGH_KILLS = 50


def planned() -> list[matrix.Cell]:
    """Every fault in every position and mode, with one to three rounds."""
    return list(matrix.cells())


async def run_matrix(cells: list[matrix.Cell]) -> list[matrix.Result]:
    """Run all cells, a few at a time, each with its own provider."""
    todo, results = list(reversed(cells)), []

    async def worker() -> None:
        with Provider() as provider:
            while todo:
                results.append(await matrix.run(todo.pop(), provider))

    with Provider() as warm:  # the first run imports what all others use
        await matrix.run(matrix.Cell("same", "first", "stream", 1), warm)
    await asyncio.gather(*(worker() for _ in range(WORKERS)))
    return results


def table(results: list[matrix.Result]) -> str:
    """Fault by position and mode: cells answered/refused/wrong."""
    places = [(position, mode) for position in matrix.POSITIONS for mode in matrix.MODES]
    counts: dict[Any, Counter[str]] = {}
    for result in results:
        cell = result.cell
        counts.setdefault((cell.fault, cell.position, cell.mode), Counter())[result.outcome] += 1
    width = max(map(len, matrix.KINDS))
    lines = [
        " " * width + "".join(f" {position:>14}" + " " * 15 for position in matrix.POSITIONS),
        "fault".ljust(width) + "".join(f" {mode:>9}" for _, mode in places) + "   (answered/refused/wrong)",
    ]
    for fault in matrix.KINDS:
        row = [counts.get((fault, *place), Counter()) for place in places]
        shown = [f"{c['answered']}/{c['refused']}/{c['wrong']}" for c in row]
        lines.append(fault.ljust(width) + "".join(f" {text:>9}" for text in shown))
    return "\n".join(lines)


async def run_refusals() -> list[Any]:
    for name in ("OPENAI_API_KEY", "TOGETHER_API_KEY"):
        os.environ.pop(name, None)
    with Provider() as provider:
        return [await refuse(name, provider) for name in REFUSALS]


def run_hostile() -> list[hostile.Trial]:
    """Run every scenario of the attack kit, if it is available."""
    if reason := hostile.missing():
        print(f"without the hostile provider: {reason}")
        return []
    os.environ["OPENAI_API_KEY"] = "sk-test-0123456789"
    return asyncio.run(hostile.trials(hostile.scenarios()))


def run_kills(runs: int) -> dict[str, kills.Kills]:
    """`runs` runs on every store; PostgreSQL where it is installed."""
    stores: dict[str, str | None] = {"sqlite": None, "sqlite, sync": None, "ledger": None, "ledger, critique": None}
    if reason := postgres.missing():
        print(f"without PostgreSQL: {reason}")
        return kills.many(stores, runs=runs, kills=3)
    with postgres.cluster() as where:
        return kills.many({**stores, "postgres": where}, runs=runs, kills=3)


def report(out: Path) -> int:
    """Run everything, print the results and write the report."""
    began = time.monotonic()
    results = asyncio.run(run_matrix(planned()))
    print(table(results))
    outcomes = Counter(result.outcome for result in results)
    wrong = [f"{result.cell}: {result.why}" for result in results if result.outcome == "wrong"]
    print(f"\ncells {len(results)}, {dict(outcomes)}", *wrong, sep="\n")

    tried_cells = list(combiner_matrix.cells())
    combiners_wrong = asyncio.run(combiner_matrix.run_cells(tried_cells, workers=WORKERS))
    print(f"combiners' own calls: {len(tried_cells)} cells", *combiners_wrong, sep="\n")

    attacked = run_hostile()
    print("hostile provider:", *hostile.wrong(attacked), hostile.figures(attacked), sep="\n")

    killed = run_kills(runs=5)
    total = kills.Kills()
    for store, each in killed.items():
        total.add(each)
        print(f"kill -9, {store}: {each}")

    refused = asyncio.run(run_refusals())
    for refusal in refused:
        print(f"refused: {refusal.name}: {refusal.requests} requests; {refusal.wrong or refusal.error}")

    tried, forged = fence.count_forged(100_000)
    found = secrets.search()
    print(f"fence: {tried} hostile drafts, {forged} boundaries forged")
    print(f"secrets: {len(secrets.SECRETS)} planted, searched in {len(found)} kinds of places: {found}")

    figures = {
        "cells": len(results),
        "answered": outcomes["answered"],
        "refused": outcomes["refused"],
        "wrong": outcomes["wrong"],
        "combiner_cells": len(tried_cells),
        "combiners_wrong": len(combiners_wrong),
        **hostile.figures(attacked),
        "kills": total.kills,
        "runs_killed": total.runs,
        "runs_finished": total.finished,
        "drafts_lost": total.drafts_lost,
        "recorded_paid_twice": total.recorded_paid_twice,
        "in_flight_paid_twice": total.in_flight_paid_twice,
        "stores": sorted(killed),
        "refusals": len(refused),
        "refused_wrongly": sum(bool(each.wrong) for each in refused),
        "refused_with_requests": sum(each.requests > 0 for each in refused),
        "hostile_drafts": tried,
        "forged_boundaries": forged,
        "secrets_planted": len(secrets.SECRETS),
        "secrets_found": sum(map(len, found.values())),
        "seconds": round(time.monotonic() - began, 1),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))
    return int(not good(figures))


def good(figures: dict[str, Any]) -> bool:
    """Return whether all results are as expected."""
    zero = ("wrong", "combiners_wrong", "drafts_lost", "recorded_paid_twice", "refused_wrongly",
            "refused_with_requests", "forged_boundaries", "secrets_found", "untyped", "siblings_lost")  # fmt: skip
    enough = figures["cells"] >= ENOUGH_CELLS and figures["kills"] >= ENOUGH_KILLS
    small = figures["max_freeze_ms"] <= hostile.MAX_FREEZE_MS and figures["max_growth_mb"] <= hostile.MAX_GROWTH_MB
    finished = figures["runs_finished"] == figures["runs_killed"]
    return enough and small and finished and not any(figures[name] for name in zero)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("reports/faults.json"))
    sys.exit(report(parser.parse_args().out))
