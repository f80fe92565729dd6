"""A batch of questions through a Batch API, killed again and again: nothing is lost, and nothing is paid for twice."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

from benchmarks.scale.command import questions, run, start
from tests.batch_server import BatchServer

PRICE = {"input": 1.0, "output": 2.0, "batch": 0.5}


def measure(folder: Path, *, prompts: int, kills: int, seed: int = 20261128) -> dict[str, Any]:
    """Run `prompts` questions in three layers directly, and through batches with `kills` kills; compare."""
    source = questions(folder / "questions.jsonl", prompts)
    direct, batched = folder / "direct.jsonl", folder / "batched.jsonl"
    with BatchServer(seconds=1.0, pause=0.2) as server:
        file = folder / "mixture.json.yaml"
        file.write_text(json.dumps(_mixture(server)))
        assert run(source, direct, "--file", file, "-q") == 0, direct.with_suffix(".log").read_text()[-2000:]
        assert sum(server.state.direct.values()) == 5 * prompts
        server.state.direct.clear()
        options = ("--file", file, "-q", "--batch-api", "--batch-host", server.host, "--batch-poll", 0.5)
        done, dice = 0, random.Random(seed)
        while done < kills:
            seen = server.state.seen
            process = start(source, batched, *options)
            # Uploads, batches, looks and downloads: kills fall before, in and after each of them.
            point = seen + dice.randrange(1, 4)
            while process.poll() is None and server.state.seen < point:
                time.sleep(0.002)
            time.sleep(dice.uniform(0.0, 0.4))
            if process.poll() is not None:
                break
            process.kill()
            process.wait()
            done += 1
        code = run(source, batched, *options)
        paid, sent = server.state.run, sum(server.state.direct.values())
        batches = len(server.state.batches)
    one, other = _rows(direct), _rows(batched)
    costs = [sum(row["cost"] for row in found) for found in (one, other)]
    return {
        "batch_prompts": prompts,
        "batch_kills": done,
        "batches": batches,
        "batch_exit_code": code,
        "batch_lost": prompts - sum(1 for row in other if row["answer"]),
        "batch_paid_twice": sum(count - 1 for count in paid.values()) + sent,
        "batch_equal": [_without_cost(row) for row in other] == [_without_cost(row) for row in one],
        "batch_price_ratio": round(costs[1] / costs[0], 4),
    }


def _mixture(server: BatchServer) -> dict[str, Any]:
    names = ("one", "two", "agg")
    specs = [{"model": f"openai:{name}", "base_url": server.url} for name in names]
    prices = {spec["model"]: PRICE for spec in specs}
    return {"proposers": specs[:2], "aggregator": specs[2], "layers": 3, "prices": prices}


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _without_cost(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "cost"}
