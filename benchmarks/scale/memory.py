"""Ten thousand questions of five calls each: does memory grow, and how fast is it?"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.provider import provider, stats
from benchmarks.scale.command import missing, mixture, questions, rows, start, written

WARM = 0.05
"""The part of the questions after which everything is loaded, every connection open and every cache in use."""


def measure(folder: Path, count: int, *, concurrency: int = 32) -> dict[str, Any]:
    """Growth of the process's resident memory between a twentieth of the questions and the end, in MB."""
    with provider() as host:
        return _measured(folder, count, concurrency, host)


def _measured(folder: Path, count: int, concurrency: int, host: str) -> dict[str, Any]:
    source, out = questions(folder / "many.jsonl", count), folder / "many.out.jsonl"
    options = ("--file", written(folder, mixture(f"{host}/v1")), "-c", concurrency)
    begun = time.monotonic()
    process = start(source, out, *options)
    seen, samples = psutil.Process(process.pid), []
    while process.poll() is None:
        time.sleep(0.5)
        with contextlib.suppress(psutil.NoSuchProcess):
            part = stats(host)["answered"] / (5 * count)
            samples.append((part, seen.memory_info().rss / 1e6, seen.cpu_times().user))
    seconds = time.monotonic() - begun
    warm = [rss for part, rss, _ in samples if part >= WARM]
    return {
        "prompts": count,
        "calls": 5 * count,
        "lost": missing(rows(out), count),
        "exit_code": process.returncode,
        "seconds": round(seconds, 1),
        "calls_per_second": round(5 * count / seconds, 1),
        "memory_warm_mb": round(warm[0], 1) if warm else None,
        "memory_peak_mb": round(max(rss for _, rss, _ in samples), 1),
        "memory_growth_mb": round(max(warm) - warm[0], 1) if warm else None,
        "cpu_ms_per_call": round(1e3 * samples[-1][2] / (5 * count), 2),
        "ledger_mb": round((folder / "many.out.jsonl.ledger").stat().st_size / 1e6, 1),
    }
