"""`python -m benchmarks.scale [--short] [--only NAME ...]`: one table, and reports/scale.json. Ends with 1 when a goal
is missed."""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.scale import kills, memory, servers
from benchmarks.scale.command import ROOT

MOST_GROWTH_MB = 50.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="the same with few questions")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "scale.json")
    options = parser.parse_args()
    begun, found = time.monotonic(), {}
    for name in options.only:
        print(f"{name} ...", flush=True)
        found[name] = measured(PARTS[name], short=options.short)
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


def measured(part: Callable[[Path, bool], dict[str, Any]], *, short: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="moa-scale-") as folder:
        try:
            return part(Path(folder), short)
        except servers.Missing as exc:
            return {"skipped": str(exc)}


PARTS: dict[str, Callable[[Path, bool], dict[str, Any]]] = {
    "memory": lambda folder, short: memory.measure(folder, 400 if short else 10_000),
    "kills": lambda folder, short: kills.measure(folder, 60 if short else 800, 3 if short else 20),
    "langgraph dev": lambda folder, short: servers.langgraph_dev(folder, 12 if short else 60),
    "aegra": lambda folder, short: servers.aegra(folder, 30 if short else 120),
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
        "workers_killed": of("aegra", "workers_killed"),
    }


def missed(found: dict[str, dict[str, Any]]) -> list[str]:
    """The goals that are not met, each as a line."""
    lines = []
    for name, part in found.items():
        wrong = [key for key in ("lost", "exit_code", "recorded_paid_twice") if part.get(key)]
        wrong += [key for key in ("byte_equal", "equal") if part.get(key) is False]
        wrong += ["memory_growth_mb"] if (part.get("memory_growth_mb") or 0) >= MOST_GROWTH_MB else []
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
