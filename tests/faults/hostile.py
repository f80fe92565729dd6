"""The hostile provider of ../shared/attack: every scenario as proposer and aggregator, streamed and not.

For each run: whether anything but an answer or a typed error came out, whether the healthy proposer kept its draft, how
long the event loop stood still, and how much memory the run took.
"""

import asyncio
import contextlib
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

from moa_graph import MoAContext, MoAError, create_moa
from moa_graph.models import rate_limit
from tests.loop_watch import LoopWatch
from tests.ports import free_port

KIT = Path(os.environ.get("MOA_SHARED") or Path(__file__).parents[3] / "shared") / "attack"
DEADLINE = 3.0
"""Seconds per call."""

MAX_FREEZE_MS = 50.0
MAX_GROWTH_MB = 100.0
"""The limits of design: processor time of the event loop's thread without a break, and memory, in one run."""

_TRIES = 3
"""Runs of which the best counts where one is above a limit: what the code does to the loop, it does every time."""

_ARGUMENTS = {"gzipbomb": "500", "slow": "0.05", "text-of-size": "1000000", "many-tokens": "20000", "ctx": "10",
              "say": "hi", "fz": "0", "single-newline-comments": "5000", "echo": "0"}  # fmt: skip
_LEFT_OUT = {"html-text", "rand", "rand5"}
"""They want a file, or answer at random."""

SHORT = ("role-user", "role-model", "str-usage", "nan-usage", "neg-usage", "huge-cost", "obj-finish", "fin-len-len",
         "int-content", "gzipbomb", "think-bomb", "big200", "two-len", "ra-zero", "bom", "hang-after-finish",
         "endless-err", "deep")  # fmt: skip
"""For a quick look: one scenario of each kind."""


@dataclass
class Trial:
    """The outcome of one run. `error` is the class of its exception; empty if it answered."""

    scenario: str
    position: str
    streamed: bool
    error: str = ""
    untyped: bool = False
    sibling_lost: bool = False
    freeze_ms: float = 0.0
    freeze_wall_ms: float = 0.0
    growth_mb: float = 0.0
    seconds: float = 0.0


def missing() -> str:
    """Return why the kit cannot be used here; empty if it can be used."""
    return "" if (KIT / "provider.py").is_file() else f"no attack kit at {KIT}"


def scenarios() -> list[str]:
    """The models that the hostile provider knows, with their arguments."""
    sys.path.insert(0, str(KIT))
    try:
        spec = importlib.util.spec_from_file_location("hostile_provider", KIT / "provider.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(KIT))
    names = sorted(set(module.SC) - _LEFT_OUT)
    return [f"{name}@{_ARGUMENTS[name]}" if name in _ARGUMENTS else name for name in names]


@contextlib.contextmanager
def provider() -> Iterator[str]:
    """Run the hostile provider in its own process; yield its address."""
    port = free_port()
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen([sys.executable, str(KIT / "provider.py"), str(port)], stdout=subprocess.PIPE, env=env)
    try:
        assert process.stdout and b"READY" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


async def trials(names: Sequence[str]) -> list[Trial]:
    """Every scenario in both positions, streamed and not, one after the other so that each can be measured.

    The healthy models have a provider of their own: the hostile one is busy with its scenario.
    """
    with provider() as bad, provider() as good:
        await asyncio.to_thread(_prepare, names, bad)
        await trial("ok", "proposer", True, bad, good)  # imports what all others use
        places = itertools.product(names, ("proposer", "aggregator"), (False, True))
        return [await measured(name, position, streamed, bad, good) for name, position, streamed in places]


async def measured(name: str, position: str, streamed: bool, bad: str, good: str) -> Trial:
    """Return one run's result, with the best freeze and growth of up to `_TRIES` runs where one is above a limit.

    A page fault, a full collection of garbage, or a core that another process shares can take 50 ms once.
    """
    done = await trial(name, position, streamed, bad, good)
    for _ in range(_TRIES - 1):
        if not too_much(done) or done.untyped or done.sibling_lost:
            break
        again = await trial(name, position, streamed, bad, good)
        again.freeze_ms = min(again.freeze_ms, done.freeze_ms)
        again.freeze_wall_ms = min(again.freeze_wall_ms, done.freeze_wall_ms)
        again.growth_mb = min(again.growth_mb, done.growth_mb)
        done = again
    return done


def too_much(trial: Trial) -> bool:
    """Whether the run froze the loop, or took memory, beyond the limits."""
    return trial.freeze_ms > MAX_FREEZE_MS or trial.growth_mb > MAX_GROWTH_MB


def _prepare(names: Sequence[str], url: str) -> None:
    """Let the provider make its compressed replies, which takes it seconds, before anything is measured."""
    for name in (name for name in names if name.startswith("gzipbomb")):
        body = json.dumps({"model": name}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{url}/chat/completions", body), timeout=120) as reply:
            reply.read()


async def trial(name: str, position: str, streamed: bool, bad: str, good: str) -> Trial:
    done = Trial(name.partition("@")[0], position, streamed)
    rate_limit._limiters.clear()
    graph = _mixture(name, position, bad, good)
    watch = LoopWatch()
    began = time.monotonic()
    async with watch:
        try:
            async with asyncio.timeout(60):
                drafts = (await _run(graph, streamed))["drafts"]
        except MoAError as error:
            done.error, drafts = type(error).__name__, list(error.drafts)
        except BaseException as error:  # any other exception is a finding
            done.error, done.untyped, drafts = f"{type(error).__name__}: {error}"[:300], True, []
    healthy = [draft for draft in drafts if "good" in draft["proposer"]]
    done.sibling_lost = not healthy or any(draft["status"] != "ok" for draft in healthy)
    done.freeze_ms, done.freeze_wall_ms, done.growth_mb = watch.freeze_ms, watch.freeze_wall_ms, watch.growth_mb
    done.seconds = round(time.monotonic() - began, 2)
    return done


def _mixture(name: str, position: str, hostile: str, healthy: str) -> Any:
    bad, good = {"model": f"openai:{name}", "base_url": hostile}, {"model": "openai:ok", "base_url": healthy}
    proposers = [{**(bad if position == "proposer" else good), "name": "first"}, {**good, "name": "good"}]
    aggregator = good if position == "proposer" else bad
    return create_moa(
        proposers=proposers, aggregator=aggregator, deadline=DEADLINE, max_attempts=2, checkpointer=InMemorySaver()
    )


async def _run(graph: Any, streamed: bool) -> Any:
    config = {"configurable": {"thread_id": "t"}}
    if not streamed:
        return await graph.ainvoke({"messages": "why?"}, config)
    context = MoAContext(stream_drafts=True, stream_answer=True)
    state: Any = None
    async for mode, part in graph.astream(
        {"messages": "why?"}, config, context=context, stream_mode=["custom", "values"]
    ):
        state = part if mode == "values" else state
    return state


def figures(done: Sequence[Trial]) -> dict[str, Any]:
    """The report's figures, over all runs and for each scenario."""
    names = dict.fromkeys(each.scenario for each in done)
    worst = {
        name: {
            figure: max(getattr(each, figure) for each in done if each.scenario == name)
            for figure in ("freeze_ms", "freeze_wall_ms", "growth_mb")
        }
        for name in names
    }
    return {
        "scenarios": len(names),
        "runs": len(done),
        "untyped": sum(each.untyped for each in done),
        "siblings_lost": sum(each.sibling_lost for each in done),
        "max_freeze_ms": max((each.freeze_ms for each in done), default=0.0),
        "max_freeze_wall_ms": max((each.freeze_wall_ms for each in done), default=0.0),
        "max_growth_mb": max((each.growth_mb for each in done), default=0.0),
        "by_scenario": worst,
    }


def wrong(done: Sequence[Trial]) -> list[str]:
    """Return the runs with an unexpected outcome, as texts."""
    return [str(asdict(each)) for each in done if each.untyped or each.sibling_lost or too_much(each)]
