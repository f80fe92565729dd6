"""The CPU time of a question by package, to explain the times in the other rows."""

import cProfile
import pstats
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.measure import sample
from benchmarks.provider import ROOT
from benchmarks.report import Row, row
from benchmarks.systems import SYSTEMS, task

SHOWN = {
    "langgraph": ("langgraph",),
    "langchain": ("langchain_core", "langchain_openai", "pydantic"),
    "moa_graph": ("moa_graph",),
    "aiohttp": ("aiohttp",),
}


async def profile(base: str) -> list[Row]:
    """Each package's share of the time in Python, models of 50 ms, and the largest share of one function."""
    system = SYSTEMS["moa"](task(base, latency="50ms"))
    await sample(system, [f"warm {i}" for i in range(20)])
    profiler = cProfile.Profile()
    profiler.enable()
    await sample(system, [f"question {i}" for i in range(40)])
    profiler.disable()
    times = dict(pstats.Stats(profiler).stats)  # type: ignore[attr-defined]  # documented, but unknown to typeshed
    del times["~", 0, "<built-in method gc.collect>"]  # `sample` calls it
    spent, own = _by_package(times), [each[2] for each in times.values()]
    shares = {name: sum(spent[package] for package in packages) for name, packages in SHOWN.items()}
    return [
        *(row(f"profile_{name}", f"CPU in {name}", [100 * share / sum(own)], "%") for name, share in shares.items()),
        row("profile_largest", "CPU in the largest function", [100 * max(own) / sum(own)], "%"),
    ]


def _by_package(times: dict[Any, Any]) -> Counter[str]:
    """Seconds by package, of what pstats keeps by (file, line, function): (calls, all calls, own seconds, seconds,
    callers). Functions outside of packages, such as built-ins, count for their callers."""
    spent: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, callers) in times.items():
        if package := _package(file):
            spent[package] += own
        else:
            for (caller, _, _), (_, _, part, _) in callers.items():
                spent[_package(caller)] += part
    return spent


def _package(file: str) -> str:
    """Return the package of a file; empty if it belongs neither to an installed package nor to this repository."""
    _, installed, inside = file.partition("/site-packages/")
    if installed:
        return inside.partition("/")[0]
    path = Path(file)
    return path.relative_to(ROOT).parts[0] if path.is_relative_to(ROOT) else ""
