"""The rows that run in one process: CPU, wall, throughput, silence, checkpoints, quorum."""

import asyncio
import statistics
import time
from collections.abc import Callable

from benchmarks.measure import Sample, closed, interleaved, ratios
from benchmarks.provider import reset, stats
from benchmarks.report import Row, row
from benchmarks.systems import SYSTEMS, System, Task, moa_graph, task


def _cpu(one: Sample) -> float:
    return one.cpu


def _systems(base: str, names: str, **given: object) -> dict[str, System]:
    return {name: SYSTEMS[name](task(base, **given)) for name in names.split()}  # type: ignore[arg-type]  # Task's own


async def cpu(base: str, quick: bool = False) -> list[Row]:
    """CPU per question at models that take no time."""
    rows = []
    for key, target, given in (
        ("n4", 8.0, {}),
        ("tok512", 9.0, {"tok": 512}),
        ("n16", 8.0, {"n": 16}),
    ):
        systems = _systems(base, "raw script moa skeleton", **given)
        heavy = 1 if given else 3
        many = {"raw": 24, "moa": 12, "script": 8, "skeleton": heavy} if not quick else dict.fromkeys(systems, 6)
        found = await interleaved(base, systems, questions=many, rounds=3 if quick else 7, warm=2)
        await closed(systems)
        rows += _cpu_rows(key, target, found)
        if quick:
            break
    return rows


def _cpu_rows(key: str, target: float, found: dict[str, list[Sample]]) -> list[Row]:
    plain = found["raw"]
    title = {"n4": "4 proposers, 64 tokens", "tok512": "4 proposers, 512 tokens", "n16": "16 proposers, 64 tokens"}[key]
    rows = [
        row(f"cpu_{key}", f"CPU per question, {title}", ratios(found["moa"], plain, _cpu), "x raw", target),
        row(f"cpu_{key}_of_script", "  of the SDK script's", ratios(found["moa"], found["script"], _cpu), "x", 0.5),
    ]
    for name in ("script", "skeleton"):
        rows.append(row(f"cpu_{key}_{name}", f"  {name}", ratios(found[name], plain, _cpu), "x raw"))
    return [*rows, row(f"cpu_{key}_ms", "  milliseconds", [one.cpu for one in found["moa"]], "ms")]


async def paced(base: str) -> list[Row]:
    """Tokens that arrive as a provider sends them: the first after 100 ms, then 80 a second. 64 tokens, 4 at once."""
    systems = _systems(base, "raw script moa", latency="ttft=100-tps=80")
    found = await interleaved(base, systems, questions=4, rounds=5, at_once=4, warm=2)
    await closed(systems)
    measured: tuple[tuple[str, str, Callable[[Sample], float]], ...] = (
        ("first_token", "first token", lambda one: one.first),
        ("answer", "whole answer", lambda one: one.wall),
        ("cpu", "CPU per question", _cpu),
    )
    return [
        row(
            f"paced_{key}_{name}",
            f"80 tokens a second: {title}, {name}",
            ratios(found[name], found["raw"], of),
            "x raw",
        )
        for key, title, of in measured
        for name in ("moa", "script")
    ]


async def wall(base: str) -> list[Row]:
    """Wall time over the critical path, and the first token, at models of 50 ms."""
    rows = []
    for rounds, target in ((1, 9.0), (2, 15.0)):
        systems = _systems(base, "raw bare script moa skeleton", latency="50ms", rounds=rounds)
        found = await interleaved(base, systems, questions=6, rounds=5, warm=2)
        await closed(systems)
        path = 50.0 * (rounds + 1)
        for name, wanted in (("moa", target), *((other, None) for other in ("raw", "bare", "script", "skeleton"))):
            over = [one.wall - path for one in found[name]]
            suffix = "" if name == "moa" else f"_{name}"
            rows.append(
                row(f"wall_{rounds}{suffix}", f"over the critical path, {rounds} round(s), {name}", over, "ms", wanted)
            )
        for name in ("moa", "bare"):
            first = ratios(found[name], found["raw"], lambda one: one.first)
            suffix, wanted = ("", 1.06 if rounds == 1 else None) if name == "moa" else (f"_{name}", None)
            rows.append(row(f"first_token_{rounds}{suffix}", f"first token, {name}", first, "x raw", wanted))
    return rows


async def crowd(base: str) -> list[Row]:
    """64 questions at once: rate. 256 at once: nothing lost, and the first token's median against the script's."""
    systems = _systems(base, "raw bare script moa", latency="50ms")
    found = await interleaved(base, systems, questions=64, rounds=3, at_once=64, warm=8)
    rows = [
        row(
            f"rate_64{'' if name == 'moa' else f'_{name}'}",
            f"questions a second at 64 at once, {name}",
            ratios(found[name], found["raw"], lambda one: one.rate),
            "x raw",
            0.3 if name == "moa" else None,
            at_least=True,
        )
        for name in ("moa", "bare", "script")
    ]
    rows.append(row("rate_64_per_second", "  a second", [one.rate for one in found["moa"]], "/s"))
    unfrozen = await interleaved(
        base, {"raw": systems["raw"], "moa": systems["moa"]}, questions=64, rounds=3, at_once=64, warm=8, frozen=False
    )
    values = ratios(unfrozen["moa"], unfrozen["raw"], lambda one: one.rate)
    rows.append(row("rate_64_unfrozen", "  moa without gc.freeze()", values, "x raw"))
    await closed(systems)
    systems = _systems(base, "moa patient", latency="50ms")
    found = await interleaved(base, systems, questions=256, rounds=2, at_once=256, warm=8)
    await closed(systems)
    first = ratios(found["moa"], found["patient"], lambda one: one.first)
    return [
        *rows,
        row("lost_256", "questions lost at 256 at once", [float(one.errors) for one in found["moa"]], "", 0.0),
        row("first_token_256", "median first token at 256 at once", first, "x script", 0.7),
    ]


async def silence(base: str) -> list[Row]:
    """New connections for a question after 30 seconds of silence."""
    systems = _systems(base, "raw script moa", latency="5ms")
    for system in systems.values():
        await system.ask("warm", lambda _: None)
    await asyncio.sleep(30)
    rows = []
    for name, system in systems.items():
        await asyncio.to_thread(reset, base)
        await system.ask("after the silence", lambda _: None)
        new = (await asyncio.to_thread(stats, base))["connections"] - 1.0
        key = "connections" if name == "moa" else f"connections_{name}"
        rows.append(
            row(key, f"new connections after 30 s of silence, {name}", [new], "", 0.0 if name == "moa" else None)
        )
    await closed(systems)
    return rows


async def quorum(base: str) -> list[Row]:
    """A layer's latency with a quorum of 3 of 4, one proposer with a long tail, against waiting for all."""
    names = ["tail-p50=150-p99=2500-tok=8", *(f"p{i}-p50=150-p99=300-tok=8" for i in range(3))]
    waits: dict[str, list[float]] = {}
    for label, fields in (("all", {}), ("quorum", {"quorum": 3})):
        graph = moa_graph(Task(base, names, "agg-tok=2"), **fields)
        await asyncio.to_thread(reset, base)
        waits[label] = await _layers(graph, 160)
        if label == "quorum":
            await asyncio.sleep(0.1)
            left = float((await asyncio.to_thread(stats, base))["in_flight"])
    rows = [row("quorum_in_flight", "requests in flight 100 ms after the last answer", [left], "", 0.0)]
    for share, target in ((99, 0.25), (95, 0.4), (50, None)):
        ratio = [_percentile(waits["quorum"], share) / _percentile(waits["all"], share)]
        rows.append(row(f"quorum_p{share}", f"layer p{share}, quorum 3 of 4", ratio, "x all", target))
    return rows


async def _layers(graph: object, count: int) -> list[float]:
    """Seconds that each of `count` questions spent on its round, 8 at a time."""
    gate = asyncio.Semaphore(8)

    async def ask(number: int) -> float:
        async with gate:
            began = time.perf_counter()
            asked = {"messages": [{"role": "user", "content": f"question {number}"}]}
            async for event in graph.astream(asked, stream_mode="custom"):  # type: ignore[attr-defined]  # a graph
                if event["moa"] == "aggregating":
                    waited = time.perf_counter() - began
            return waited

    return list(await asyncio.gather(*(ask(number) for number in range(count))))


def _percentile(values: list[float], share: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]
