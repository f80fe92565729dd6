"""Whether the memory of `moa batch` grows over many questions, and how many calls a second it makes."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.provider import provider, stats
from benchmarks.scale.command import PROPOSERS, missing, mixture, questions, start, written

WARM = 0.05
"""Share of the questions after which everything is loaded, every connection open and every cache in use."""


def measure(folder: Path, count: int, *, calls: int = len(PROPOSERS) + 1, concurrency: int = 32) -> dict[str, Any]:
    """Return how far the process's resident memory grew between a twentieth of the questions and the end, in MB.

    Args:
        folder: An empty folder.
        count: Questions.
        calls: Calls a question, from 2 to 5: proposers and the aggregator.
        concurrency: Questions at once.
    """
    with provider() as host:
        return _measured(folder, count, calls, concurrency, host)


def _measured(folder: Path, count: int, calls: int, concurrency: int, host: str) -> dict[str, Any]:
    source, out = questions(folder / "many.jsonl", count), folder / "many.out.jsonl"
    mix = mixture(f"{host}/v1", proposers=calls - 1)
    begun = time.monotonic()
    process = start(source, out, "--file", written(folder, mix), "-c", concurrency)
    seen, samples = psutil.Process(process.pid), []
    while process.poll() is None:
        time.sleep(0.5)
        with contextlib.suppress(psutil.NoSuchProcess):
            part = stats(host)["answered"] / (calls * count)
            samples.append((part, seen.memory_info().rss / 1e6, seen.cpu_times().user))
    seconds = time.monotonic() - begun
    warm = [rss for part, rss, _ in samples if part >= WARM]
    return {
        "prompts": count,
        "calls": calls * count,
        "lost": missing(out, count),
        "exit_code": process.returncode,
        "seconds": round(seconds, 1),
        "calls_per_second": round(calls * count / seconds, 1),
        "memory_warm_mb": round(warm[0], 1) if warm else None,
        "memory_peak_mb": round(max(rss for _, rss, _ in samples), 1),
        "memory_growth_mb": round(max(warm) - warm[0], 1) if warm else None,
        "cpu_ms_per_call": round(1e3 * samples[-1][2] / (calls * count), 2),
        "ledger_mb": round((folder / "many.out.jsonl.ledger").stat().st_size / 1e6, 1),
    }
