"""`moa batch` as a process of its own, and what it works on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PROPOSERS = ("a", "b", "c", "d")


def mixture(url: str, *, traits: str = "echo", proposers: int = len(PROPOSERS)) -> dict[str, Any]:
    """Return a mixture of `proposers` proposers and an aggregator. `traits` are the loopback provider's words."""

    def model(name: str) -> dict[str, Any]:
        return {"model": f"openai:{name}-{traits}", "base_url": url}

    return {"name": "scale", "proposers": [model(n) for n in PROPOSERS[:proposers]], "aggregator": model("agg")}


def questions(path: Path, count: int) -> Path:
    """`count` questions with ids; each says its number, so that the provider's log tells whose call is whose."""
    with path.open("w") as file:
        for number in range(count):
            prompt = f"question {number}: why is the sky {number} times as blue?"
            file.write(json.dumps({"id": str(number), "prompt": prompt}) + "\n")
    return path


def written(folder: Path, mix: dict[str, Any]) -> Path:
    path = folder / "mixture.yaml"
    path.write_text(yaml.safe_dump(mix))
    return path


def start(source: Path, target: Path, *options: Any) -> subprocess.Popen[bytes]:
    """Begins `moa batch`; what it says goes to a file beside its output."""
    command = [sys.executable, "-c", "from moa_graph.cli import main; raise SystemExit(main())", "batch"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LANGSMITH_TRACING": "false"}
    with target.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(
            [*command, str(source), str(target), *map(str, options)], stdout=log, stderr=log, env=environment
        )


def run(source: Path, target: Path, *options: Any) -> int:
    """Runs it to its end; its exit code."""
    return start(source, target, *options).wait()


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the lines of an output; none if it does not exist."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def missing(path: Path, count: int) -> int:
    """Return how many of `count` questions have no answer of their own in an output: the aggregator echoes each."""
    if not path.exists():
        return count
    with path.open() as file:
        found = map(json.loads, file)
        right = {row["id"] for row in found if str(row["answer"]).startswith(f"question {row['id']}:")}
    return count - len(right)
