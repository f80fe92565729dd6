"""Questions a second of a batch (ledger on, with its fsync) against the same graph alone, in turns in one process."""

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import Row, row
from moa_graph import Mixture, create_moa
from moa_graph.batch import Batch
from moa_graph.costs.ledger import Ledger

COUNT = 300
AT_ONCE = 16
LEAST = 0.8


async def batches(base: str) -> list[Row]:
    """The ratio of the two rates: four proposers of 16 tokens, models that take no time, 16 questions at once."""
    specs = [{"model": f"openai:p{n}-tok=16", "base_url": f"{base}/v1"} for n in range(4)]
    mixture = Mixture(proposers=specs, aggregator={"model": "openai:agg-tok=16", "base_url": f"{base}/v1"})
    with tempfile.TemporaryDirectory() as folder:
        await _alone(mixture, "warm", 32)
        rates = []
        for turn in range(5):
            alone = await _alone(mixture, str(turn), COUNT)
            rates.append((await _batch(mixture, Path(folder), str(turn), COUNT), alone))
    ratios = [batch / alone for batch, alone in rates]
    return [
        row("batch", "questions a second of a batch with its ledger", ratios, "x graph", LEAST, at_least=True),
        row("batch_per_second", "  a second", [batch for batch, _ in rates], "/s"),
    ]


def _text(turn: str, number: int) -> str:
    return f"question {turn}-{number}: why is the sky blue?"


async def _alone(mixture: Mixture, turn: str, count: int) -> float:
    graph = create_moa(mixture)
    numbers = iter(range(count))

    async def ask() -> None:
        for number in numbers:
            out: dict[str, Any] = await graph.ainvoke({"messages": _text(turn, number)})
            assert out["messages"][-1].content

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - began)


async def _batch(mixture: Mixture, folder: Path, turn: str, count: int) -> float:
    source, target = folder / f"{turn}.jsonl", folder / f"{turn}.out.jsonl"
    source.write_text("".join(json.dumps({"id": n, "prompt": _text(turn, n)}) + "\n" for n in range(count)))
    with Ledger(folder / f"{turn}.ledger", run="batch") as ledger:
        graph = create_moa(mixture, ledger=ledger)
        began = time.perf_counter()
        totals = await Batch(graph, source, target, ledger, mixture.hash, concurrency=AT_ONCE).run()
        rate = count / (time.perf_counter() - began)
    assert totals.done == count and not totals.failed
    return rate
