"""Measure systems side by side, interleaved round by round in one process, so that other load affects all equally."""

import asyncio
import gc
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.provider import reset, stats
from benchmarks.systems import System


@dataclass(frozen=True)
class Sample:
    """One round of one system. CPU is the whole process's; times are milliseconds per question."""

    cpu: float
    wall: float
    first: float
    rate: float
    errors: int
    connections: int


async def sample(system: System, questions: Sequence[str], *, at_once: int = 1) -> Sample:
    """Asks all questions, `at_once` of them at a time."""
    walls: list[float] = []
    firsts: list[float] = []
    errors = 0
    gate = asyncio.Semaphore(at_once)

    async def ask(question: str) -> None:
        nonlocal errors
        seen: list[float] = []
        async with gate:
            began = time.perf_counter()
            try:
                answer = await system.ask(question, lambda _: seen.append(time.perf_counter() - began))
                assert answer, "the answer is empty"
            except Exception as error:
                # Any exception counts as a lost question.
                errors += 1
                if errors == 1:
                    print(f"  lost a question (and maybe more): {type(error).__name__}: {error}"[:200])
                return
            walls.append(time.perf_counter() - began)
            firsts.append(seen[0] if seen else walls[-1])

    gc.collect()
    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(ask(question) for question in questions))
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    count = len(questions)
    # A lost question never gets its first token.
    firsts += [math.inf] * errors
    middle, first = (statistics.median(times) * 1e3 for times in (walls or [math.inf], firsts))
    return Sample(cpu * 1e3 / count, middle, first, (count - errors) / wall, errors, 0)


async def interleaved(
    base: str,
    systems: Mapping[str, System],
    *,
    questions: int | Mapping[str, int],
    rounds: int,
    at_once: int = 1,
    warm: int = 3,
    frozen: bool = True,
) -> dict[str, list[Sample]]:
    """`rounds` samples of every system, forth and back; `questions` each, the same ones for all.

    With `frozen`, what is loaded after the warm-up is excluded from garbage collection, as `moa serve` and
    `moa batch` do. Otherwise a full collection examines the modules of all systems that this process has loaded,
    which takes longer than ten questions, whichever system's questions it happens to interrupt.
    """
    found: dict[str, list[Sample]] = {name: [] for name in systems}
    count = questions if isinstance(questions, Mapping) else dict.fromkeys(systems, questions)
    for system in systems.values():
        await sample(system, _questions("warm", warm), at_once=min(at_once, warm))
    if frozen:
        gc.collect()
        gc.freeze()
    for number in range(rounds):
        order = list(systems) if number % 2 == 0 else list(systems)[::-1]
        for name in order:
            await asyncio.to_thread(reset, base)
            made = await sample(systems[name], _questions(str(number), count[name]), at_once=at_once)
            connections = (await asyncio.to_thread(stats, base))["connections"] - 1
            found[name].append(Sample(**{**vars(made), "connections": connections}))
    gc.unfreeze()
    return found


def _questions(label: str, count: int) -> list[str]:
    return [f"Question {label}-{i}: what are three fun things to do in San Francisco?" for i in range(count)]


def ratios(samples: Iterable[Sample], yardstick: Iterable[Sample], of: Callable[[Sample], float]) -> list[float]:
    """Round by round, so that both had the same machine."""
    return [of(one) / of(other) for one, other in zip(samples, yardstick, strict=True)]


async def closed(systems: Mapping[str, System]) -> None:
    for system in systems.values():
        await system.close()


def run(main: Callable[[], Any]) -> Any:
    """On uvloop where it is installed: all systems get the better loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main())
    return uvloop.run(main())
