"""Predict the time of a batch from its first prompts and the provider's limits, and compare with the batch itself."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.provider import provider, stats
from benchmarks.scale.command import missing, mixture, questions, start, written
from benchmarks.scale.simulation import plan_of, simulate

MODEL = "p50=600-p99=3000-rpm=1800"
"""Every model's latency in ms and its limit: 30 requests a second."""
CONCURRENCY = 64
FIRST, LAST = 100, 400
"""The prompts between which the processor time of a question is measured."""


class _Real(NamedTuple):
    """One real batch.

    Attributes:
        seconds: Its duration.
        start: Seconds before its first request.
        cpu: Seconds of processor time of a question, with the time that the main thread waited for a processor; of the
            first prompts, from which the prediction is made.
        cpu_later: The same of all later prompts, which shows whether other programs took more or less of the machine.
        failed: Questions without an answer.
        refused: Requests that were refused with 429.
    """

    seconds: float
    start: float
    cpu: float
    cpu_later: float
    failed: int
    refused: int


def measure(folder: Path, count: int, many: int, *, calls: int = 3) -> dict[str, Any]:
    """Return the predicted and the measured time of `count` prompts, and the predicted time of `many`.

    Args:
        folder: An empty folder.
        count: Prompts of the real batch.
        many: Prompts that are only simulated.
        calls: Calls a question: proposers and the aggregator.
    """
    with provider() as host:
        real = _batch(folder, count, calls, host)
    plan = plan_of(count, model=MODEL, proposers=calls - 1, concurrency=CONCURRENCY, cpu=real.cpu)
    result = simulate(plan)
    predicted = real.start + result.seconds
    # Where other programs take more of the machine later, no prediction from the first prompts can know.
    afterwards = real.start + simulate(replace(plan, cpu=real.cpu_later)).seconds
    began = time.monotonic()
    far = simulate(replace(plan, prompts=many))
    return {
        "prompts": count,
        "model": MODEL,
        "calls_a_question": calls,
        "concurrency": CONCURRENCY,
        "cpu_ms_per_question": round(1e3 * real.cpu, 1),
        "cpu_ms_per_question_later": round(1e3 * real.cpu_later, 1),
        "measured_seconds": round(real.seconds, 1),
        "predicted_seconds": round(predicted, 1),
        "error_percent": round(100 * (predicted / real.seconds - 1), 1),
        "error_percent_by_later_cpu": round(100 * (afterwards / real.seconds - 1), 1),
        "measured_failed": real.failed,
        "predicted_failed": result.failed,
        "measured_refused": real.refused,
        "predicted_refused": result.refused,
        "simulated_prompts": many,
        "simulated_hours": round((real.start + far.seconds) / 3600, 2),
        "simulation_seconds": round(time.monotonic() - began, 1),
    }


def _batch(folder: Path, count: int, calls: int, host: str) -> _Real:
    source, out = questions(folder / "limited.jsonl", count), folder / "limited.out.jsonl"
    mix = mixture(f"{host}/v1", traits=f"{MODEL}-echo", proposers=calls - 1)
    began = time.monotonic()
    process = start(source, out, "--file", written(folder, mix), "-c", CONCURRENCY, "-q")
    first = 0.0
    marks: list[tuple[float, float]] = []
    last = 0.0, 0.0
    while process.poll() is None:
        time.sleep(0.1)
        done = stats(host)["answered"] / calls
        first = first or (time.monotonic() - began if done else 0.0)
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            last = done, _occupied(process.pid)
            if len(marks) < 2 and done >= (FIRST, LAST)[len(marks)]:
                marks.append(last)
    seconds = time.monotonic() - began
    if len(marks) < 2:
        raise RuntimeError(f"the batch ended early:\n{out.with_suffix('.log').read_text()[-2000:]}")
    return _Real(
        seconds=seconds,
        start=first,
        cpu=_each(*marks),
        cpu_later=_each(marks[1], last),
        failed=missing(out, count),
        refused=stats(host)["error"],
    )


def _each(before: tuple[float, float], after: tuple[float, float]) -> float:
    """Return the seconds of a question between two marks."""
    return (after[1] - before[1]) / (after[0] - before[0]) if after[0] > before[0] else 0.0


def _occupied(pid: int) -> float:
    """Return the seconds for which a process used a processor or, where Linux counts it, waited for one."""
    schedule = Path(f"/proc/{pid}/schedstat")
    waited = int(schedule.read_text().split()[1]) / 1e9 if schedule.exists() else 0.0
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system + waited
