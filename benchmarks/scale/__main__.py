"""`python -m benchmarks.scale [--short] [--only NAME ...]`: print one table and write reports/scale.json.

Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.scale import kills, memory, prediction, servers
from benchmarks.scale.command import ROOT

MOST_GROWTH_MB = 50.0
MOST_ERROR_PERCENT = 10.0

Part = Callable[[Path, argparse.Namespace], dict[str, Any]]
"""Measures something in an empty folder."""


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options; `arguments` is None for those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="the same with few questions")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--prompts", type=int, metavar="N", help="questions of the part memory: 10000, short 400")
    parser.add_argument("--calls", type=int, choices=range(2, 6), help="calls a question: memory 5, simulation 3")
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "scale.json")
    return parser.parse_args(arguments)


def main() -> int:
    options = parsed()
    begun, found = time.monotonic(), {}
    for name in options.only:
        print(f"{name} ...", flush=True)
        found[name] = measured(PARTS[name], options)
    report = {**summary(found), "seconds": round(time.monotonic() - begun, 1), "parts": found, **machine()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    print(table(found))
    failures = missed(found)
    skipped = [f"not tried: {name}: {part['skipped']}" for name, part in found.items() if "skipped" in part]
    verdict = "every goal is met" if not skipped else "every goal that was tried is met"
    print("\n".join([*failures, *skipped, *([] if failures else [verdict])]))
    print(f"({report['seconds']} s; {options.out.name})")
    return bool(failures)


def measured(part: Part, options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="moa-scale-") as folder:
        try:
            return part(Path(folder), options)
        except servers.Missing as exc:
            return {"skipped": str(exc)}


def _memory(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    return memory.measure(folder, options.prompts or (400 if options.short else 10_000), calls=options.calls or 5)


def _simulation(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    counts = (500, 20_000) if options.short else (10_000, 1_000_000)
    found = prediction.measure(folder, *counts, calls=options.calls or 3)
    # Of a few hundred prompts, the first burst and the slowest last answers take most of the time.
    return found if options.short else {**found, "goal_percent": MOST_ERROR_PERCENT}


PARTS: dict[str, Part] = {
    "memory": _memory,
    "kills": lambda folder, given: kills.measure(folder, 60 if given.short else 800, 3 if given.short else 20),
    "simulation": _simulation,
    "langgraph dev": lambda folder, given: servers.langgraph_dev(folder, 12 if given.short else 60),
    "aegra": lambda folder, given: servers.aegra(folder, 30 if given.short else 120),
}


def summary(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The figures that matter most; what was skipped is null."""

    def of(part: str, name: str) -> Any:
        return found.get(part, {}).get(name)

    equal = [of(part, "equal") for part in ("langgraph dev", "aegra") if of(part, "equal") is not None]
    return {
        "prompts": of("memory", "prompts"),
        "kills": of("kills", "kills"),
        "lost": sum(part.get("lost") or 0 for part in found.values()),
        "recorded_paid_twice": of("kills", "recorded_paid_twice"),
        "memory_growth_mb": of("memory", "memory_growth_mb"),
        "remote_equal": all(equal) if equal else None,
        "prediction_error_percent": of("simulation", "error_percent"),
        "million_hours": of("simulation", "simulated_hours"),
        "workers_killed": of("aegra", "workers_killed"),
    }


def missed(found: dict[str, dict[str, Any]]) -> list[str]:
    """The goals that are not met, each as a line."""
    lines = []
    for name, part in found.items():
        wrong = [key for key in ("lost", "exit_code", "recorded_paid_twice") if part.get(key)]
        wrong += [key for key in ("byte_equal", "equal") if part.get(key) is False]
        wrong += ["memory_growth_mb"] if (part.get("memory_growth_mb") or 0) >= MOST_GROWTH_MB else []
        wrong += ["error_percent"] if abs(part.get("error_percent", 0.0)) > part.get("goal_percent", math.inf) else []
        wrong += ["kills"] if part.get("kills") == 0 else []
        lines += [f"MISSED {name}: {key} is {part[key]}" for key in wrong]
    return lines


def table(found: dict[str, dict[str, Any]]) -> str:
    """Every figure, a row each."""
    cells = [(part, key, str(value)) for part, figures in found.items() for key, value in figures.items()]
    widths = [max(len(row[column]) for row in cells) for column in (0, 1)]
    return "\n".join(f"{part:<{widths[0]}}  {key:<{widths[1]}}  {value}" for part, key, value in cells)


def machine() -> dict[str, Any]:
    return {"python": platform.python_version(), "system": platform.platform()}


if __name__ == "__main__":
    raise SystemExit(main())
