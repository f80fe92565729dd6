"""The rows that need fresh processes: start, memory, tracing.

Each child prints one line of JSON. `python -m benchmarks.fresh CHILD BASE SYSTEM` runs one by hand.
"""

import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.commands import compile_package
from benchmarks.measure import run, sample
from benchmarks.provider import ROOT
from benchmarks.report import Row, row
from benchmarks.systems import SYSTEMS, task


def child(name: str, base: str, system: str, **environment: str) -> dict[str, float]:
    """What a child of this module measured, in a process with the given environment and no tracing by accident."""
    compile_package()
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("LANGSMITH", "LANGCHAIN"))}
    command = [sys.executable, "-m", "benchmarks.fresh", name, base, system]
    began = repr(time.time())
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**inherited, **environment, "BENCH_BEGAN": began},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name} of {system} failed: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def start(base: str, rounds: int = 3) -> list[Row]:
    """Process start to the first token."""
    found: dict[str, list[dict[str, float]]] = {"skeleton": [], "moa": []}
    for _ in range(rounds):
        for system, kept in found.items():
            kept.append(child("first", base, system))
    rows = []
    pairs = list(zip(found["moa"], found["skeleton"], strict=True))
    for kind, target in (("cpu", 0.9), ("wall", None)):
        values = [ours[kind] / theirs[kind] for ours, theirs in pairs]
        rows.append(row(f"start_{kind}", f"process start to first token, {kind} time", values, "x skel.", target))
    rows.append(row("start_seconds", "  seconds of CPU", [each["cpu"] for each in found["moa"]], "s"))
    return rows


def start_embedded(base: str, rounds: int = 3) -> list[Row]:
    """The same with the embedded model, which needs neither the SDK nor its import.

    Up to the first call of a model: from there on it is the model's own arithmetic, shown beside it.
    """
    pairs = [(child("embedded", base, "moa"), child("first", base, "skeleton")) for _ in range(rounds)]
    shares = [ours["ready"] / theirs["cpu"] for ours, theirs in pairs]
    rows = [row("start_embedded", "process start to the first call, embedded model, CPU", shares, "x skel.", 0.6)]
    title = "  CPU of its two calls, drafts of one token"
    return [*rows, row("start_embedded_model", title, [ours["cpu"] - ours["ready"] for ours, _ in pairs], "s")]


def memory(base: str) -> list[Row]:
    """Memory retained after 1,000 runs whose answers are kept."""
    found = {system: child("memory", base, system)["retained"] for system in ("raw", "moa")}
    rows = [row("memory", "memory retained after 1,000 runs", [found["moa"] / found["raw"]], "x raw", 2.0)]
    return [*rows, row("memory_bytes", "  a run", [found["moa"]], "bytes")]


def tracing(base: str, rounds: int = 3) -> list[Row]:
    """What tracing costs, with a server and without one: time with models of 50 ms, CPU with models of 0 ms.

    The CPU is the whole process's, so it includes LangSmith's own threads.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{probe.getsockname()[1]}"
    on = {"LANGSMITH_TRACING": "true", "LANGSMITH_API_KEY": "lsv2_x"}
    modes = {"off": {}, "sink": {**on, "LANGSMITH_ENDPOINT": base}, "refused": {**on, "LANGSMITH_ENDPOINT": refused}}
    rows = []
    for name, title, target, kinds in (
        ("wall", "time, 50 ms models", 1.1, ("off", "refused")),
        ("cpu", "CPU, instant models", 1.5, tuple(modes)),
    ):
        found: dict[str, list[float]] = {mode: [] for mode in kinds}
        for _ in range(rounds):
            for mode in kinds:
                found[mode].append(child(f"traced_{name}", base, "moa", **modes[mode])[name])
        for mode in kinds[1:]:
            values = [a / b for a, b in zip(found[mode], found["off"], strict=True)]
            rows.append(row(f"tracing_{mode}_{name}", f"tracing, {mode}: {title}", values, "x off", target))
    return rows


# Code of the child processes


async def _embedded(base: str, system: str) -> dict[str, float]:
    from moa_graph import Proposer, create_moa

    spec = Proposer(model="local:smollm2", max_tokens=1, temperature=0.0)
    graph = create_moa(proposers=[spec], aggregator=spec)
    ready = 0.0
    async for event in graph.astream({"messages": "first"}, stream_mode="custom"):
        if event["moa"] == "draft_started":
            ready = time.process_time()
    return {"ready": ready, "cpu": time.process_time()}


async def _first(base: str, system: str) -> dict[str, float]:
    made = SYSTEMS[system](task(base))
    seen: list[tuple[float, float]] = []
    await made.ask("first", lambda _: seen.append((time.time(), time.process_time())))
    wall, cpu = seen[0]
    return {"wall": wall - float(os.environ["BENCH_BEGAN"]), "cpu": cpu}


async def _memory(base: str, system: str) -> dict[str, float]:
    made = SYSTEMS[system](task(base, tok=2))
    await sample(made, [f"warm {i}" for i in range(50)], at_once=8)
    gc.collect()
    tracemalloc.start()
    gate = asyncio.Semaphore(8)

    async def ask(number: int) -> str:
        async with gate:
            return await made.ask(f"question {number}", lambda _: None)

    before = tracemalloc.get_traced_memory()[0]
    kept = await asyncio.gather(*(ask(number) for number in range(1000)))
    gc.collect()
    assert all(kept)
    return {"retained": (tracemalloc.get_traced_memory()[0] - before) / 1000}


async def _traced(base: str, system: str, latency: str, count: int) -> dict[str, float]:
    made = SYSTEMS[system](task(base, latency=latency))
    await sample(made, [f"warm {i}" for i in range(10)])
    found = await sample(made, [f"question {i}" for i in range(count)])
    return {"wall": found.wall, "cpu": found.cpu}


CHILDREN: dict[str, Callable[[str, str], Awaitable[dict[str, float]]]] = {
    "first": _first,
    "embedded": _embedded,
    "memory": _memory,
    "traced_wall": lambda base, system: _traced(base, system, "50ms", 20),
    "traced_cpu": lambda base, system: _traced(base, system, "0ms", 60),
}


def main() -> None:
    name, base, system = sys.argv[1:]

    async def measured() -> Any:
        return await CHILDREN[name](base, system)

    print(json.dumps(run(measured)), flush=True)
    os._exit(0)  # without a server, the tracer would wait for its queue


if __name__ == "__main__":
    main()
