"""Other packages that do Mixture-of-Agents, each in an environment of its own (`make bench-peers`).

They are driven as their documentation shows; none of these APIs streams the answer but AsyncTogether's. Every figure is
a ratio to `raw` in the same process, so that moa_graph, measured in this environment in the same run, can be compared
with each. `calls` are the requests that one question made, counted at the provider.

vLLM Semantic Router's looper is not measured: the package `vllm-sr` on PyPI (0.4.0) is a command that starts containers
from ghcr.io, in which the looper runs (Go and Envoy).
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Sample, closed, interleaved, ratios, run
from benchmarks.provider import ROOT, provider, reset, stats
from benchmarks.report import Row, row, write
from benchmarks.systems import OnToken, System, Task, moa, nothing, raw, task, together

NEEDS = ("aiohttp", "orjson", "uvloop")
"""The requirements of the harness in a peer's environment."""


def _answering(ask: Callable[[str], Awaitable[str]]) -> System:
    async def answered(question: str, on_token: OnToken) -> str:
        text = await ask(question)
        on_token(text)
        return text

    return System(answered, nothing)


def mixture_llm(given: Task) -> System:
    import openai
    from mixture_llm import Aggregate, Propose, Synthesize, run

    sdk = openai.AsyncOpenAI(base_url=given.url, api_key="x", max_retries=0)

    async def client(*, model: str, messages: Any, temp: float, max_tokens: int) -> tuple[str, int, int]:
        answer = await sdk.chat.completions.create(
            model=model, messages=messages, temperature=temp, max_tokens=max_tokens
        )
        return answer.choices[0].message.content, answer.usage.prompt_tokens, answer.usage.completion_tokens

    more = [Synthesize(list(given.proposers)) for _ in range(given.rounds - 1)]
    steps = [Propose(list(given.proposers)), *more, Aggregate(given.aggregator)]

    async def ask(question: str) -> str:
        return str((await run(steps, question, client))[0])

    return _answering(ask)


def moa_llm(given: Task) -> System:
    for name in ("OPENAI_API_KEY", "TOGETHER_API_KEY", "API_KEY", "PROVIDER_API_KEY"):
        os.environ.setdefault(name, "x")
    from moa_llm import create_moa_from_config

    neurons = [{"model": name, "system_prompt": "x"} for name in given.proposers]
    config = {
        "base_url": given.url,
        "proposal_layers": [{"neurons": neurons} for _ in range(given.rounds)],
        "aggregation_layer": {"model": given.aggregator, "system_prompt": "{responses}\n{user_query}"},
    }
    mixture = create_moa_from_config(config, max_workers=64)

    async def ask(question: str) -> str:
        answer = await mixture.process(question)
        return str(answer["content"] if isinstance(answer, dict) else answer)

    return _answering(ask)


def swarms(given: Task) -> System:
    os.environ.update(
        SWARMS_TELEMETRY_ON="false",
        SWARMS_VERBOSE_GLOBAL="False",
        OPENAI_API_KEY="x",
        OPENAI_API_BASE=given.url,
        OPENAI_BASE_URL=given.url,
    )
    from swarms import Agent, MixtureOfAgents

    def agent(name: str, model: str) -> Any:
        quiet = {"verbose": False, "print_on": False, "streaming_on": False, "autosave": False}
        host = {"llm_base_url": given.url, "llm_api_key": "x", "retry_attempts": 1}
        return Agent(agent_name=name, model_name=f"openai/{model}", max_loops=1, output_type="final", **quiet, **host)

    agents = [agent(f"p{slot}", model) for slot, model in enumerate(given.proposers)]
    mixture = MixtureOfAgents(agents=agents, aggregator_agent=agent("agg", given.aggregator), layers=given.rounds)

    async def ask(question: str) -> str:
        return str(await asyncio.to_thread(mixture.run, question))

    return _answering(ask)


def optillm(given: Task) -> System:
    """One call for three drafts, one critique, one answer: 3 calls in a row, on the synchronous client."""
    import openai
    from optillm.moa import mixture_of_agents

    sdk = openai.OpenAI(base_url=given.url, api_key="x", max_retries=0)

    async def ask(question: str) -> str:
        asked = (mixture_of_agents, "x", question, sdk, given.aggregator)
        return str((await asyncio.to_thread(*asked))[0])

    return _answering(ask)


PEERS: dict[str, tuple[str, Callable[[Task], System]]] = {
    "mixture-llm": ("mixture-llm openai", mixture_llm),
    "moa-llm": ("moa-llm", moa_llm),
    "together": ("together", together),
    "swarms": ("swarms", swarms),
    "optillm": ("optillm", optillm),
}
"""By name: what is installed, and the system."""

OURS = "moa_graph"
STREAMS = frozenset({OURS, "together"})
"""Those whose measured API streams the answer. Elsewhere the first token comes with the last."""

FIGURES: dict[str, tuple[str, str, Callable[[Sample], float]]] = {
    "cpu": ("0ms", "CPU, instant models", lambda one: one.cpu),
    "wall": ("50ms", "wall, 50 ms models", lambda one: one.wall),
    "first": ("50ms-tps=400", "first token, 50 ms models, 400 tokens a second", lambda one: one.first),
}
"""By name: the models' latency, the title, and the part of a sample."""


async def _measured(base: str, name: str) -> dict[str, Any]:
    """Return the ratios of one system to `raw` for every figure, and the requests of one question."""
    make = moa if name == OURS else PEERS[name][1]
    found: dict[str, Any] = {}
    for figure, (latency, _, part) in FIGURES.items():
        systems = {"raw": raw(task(base, latency=latency)), name: make(task(base, latency=latency))}
        samples = await interleaved(base, systems, questions=8, rounds=3)
        found[figure] = ratios(samples[name], samples["raw"], part)
        await asyncio.to_thread(reset, base)
        await systems[name].ask("How many calls is this?", lambda _: None)
        found["calls"] = (await asyncio.to_thread(stats, base))["requests"]
        await closed(systems)
    return found


def _installed(folder: Path, packages: str) -> Path:
    """A fresh environment's Python; made by uv where there is one, which is quicker."""
    python = folder / "bin" / "python"
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    if uv := shutil.which("uv", path=places):
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        pip = [uv, "pip", "install", "--quiet", "--python", str(python)]
    else:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *packages.split(), *NEEDS], check=True, timeout=600)
    return python


def _rows(base: str, name: str) -> list[Row]:
    """Return the rows of one system; none when it cannot be installed or fails, with the reason on the screen."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            python = Path(sys.executable) if name == OURS else _installed(Path(folder), PEERS[name][0])
            command = [str(python), "-m", "benchmarks.peers", "--child", name, "--base", base]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"{name}: not measured: {error}\n{(getattr(error, 'stderr', '') or '')[-1500:]}", flush=True)
            return []
    found = json.loads(done.stdout.splitlines()[-1])
    key = name.replace("-", "_")
    return [
        row(f"peer_{key}_{figure}", f"{name}, {found['calls']} calls: {title}", found[figure], "x raw")
        for figure, (_, title, _) in FIGURES.items()
    ]


def _compared(ours: list[Row], theirs: list[Row], *, streams: bool) -> list[str]:
    """Return a line for each figure: who is first, and by how much."""
    kind = "streams" if streams else "does not stream"
    return [
        f"{other.title} ({kind}): {OURS if own.value <= other.value else 'the peer'} is first, "
        f"{own.value:.3g} against {other.value:.3g} x raw"
        for own, other in zip(ours, theirs, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("peers", nargs="*", help=f"of {', '.join(PEERS)}; all when none is named")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--base", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(run(lambda: _measured(options.base, options.child))), flush=True)
        os._exit(0)  # some peers leave threads that never end
    with provider() as base:
        found = {name: _rows(base, name) for name in (OURS, *(options.peers or PEERS))}
    write([each for rows in found.values() for each in rows], Path("reports/bench.json"))
    ours = found.pop(OURS)
    for name, rows in found.items():
        print("\n".join(_compared(ours, rows, streams=name in STREAMS) if ours and rows else []))


if __name__ == "__main__":
    main()
