"""Publish a run as a LangSmith dataset and experiment. Nothing here is called without a key."""

from __future__ import annotations

import asyncio
import hashlib
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from moa_graph.evals.alpaca_eval import run as alpaca_run
from moa_graph.evals.data.files import Row
from moa_graph.evals.engine import ItemOutcome
from moa_graph.evals.flask import run as flask_run
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.mt_bench import run as mt_bench_run
from moa_graph.evals.prompts.questions import OwnPrompt
from moa_graph.evals.prompts.run import RESULTS
from moa_graph.evals.session import Benchmark

if TYPE_CHECKING:
    from langsmith import Client

_ANSWERS = {
    "prompts": RESULTS,
    "alpaca": alpaca_run.OUTPUTS,
    "mt-bench": mt_bench_run.ANSWERS,
    "flask": flask_run.OUTPUTS,
}
BENCHMARKS = frozenset(_ANSWERS)
"""Benchmarks of systems, whose answers are examples; a run of judges has none."""
_VERDICTS = {
    "prompts": RESULTS,
    "alpaca": alpaca_run.ANNOTATIONS,
    "mt-bench": mt_bench_run.JUDGMENTS,
    "flask": flask_run.REVIEWS,
}
_SPACE = uuid.UUID("6f0c1a52-5a0f-4d0e-9d57-6a0a8c1f7d11")


def wanted() -> bool:
    """Return whether a LangSmith key is set and tracing is not switched off."""
    off = (os.environ.get("LANGSMITH_TRACING") or "").lower() in ("false", "0")
    return not off and bool(os.environ.get("LANGSMITH_API_KEY"))


def dataset_name(benchmark: str, inputs: Sequence[Mapping[str, Any]]) -> str:
    """Return a dataset name for exactly these items; another selection gets another dataset."""
    digest = hashlib.sha256("\0".join(str(sorted(entry.items())) for entry in inputs).encode()).hexdigest()
    return f"moa_graph-{benchmark}-{len(inputs)}-{digest[:8]}"


def examples(bench: Benchmark[Any], done: Sequence[ItemOutcome]) -> list[dict[str, Any]]:
    """Return the answered items as LangSmith examples: inputs, outputs and feedback."""
    made = []
    items = {bench.identify(item): item for item in bench.items}
    for one in done:
        if answers := one.rows.get(_ANSWERS[bench.name]):
            verdicts = one.rows.get(_VERDICTS[bench.name], [])
            pairs = one.rows.get(mt_bench_run.PAIRS, [])
            took = {"cost": one.generation.cost, "latency": one.generation.seconds}
            entry = {"id": one.item, "inputs": _inputs(items[one.item]), "outputs": _outputs(answers[0])}
            made.append({**entry, "feedback": {**feedback(bench.name, verdicts), **pairwise(pairs), **took}})
    return made


def _inputs(item: alpaca_run.AlpacaItem | mt_bench_run.MTBenchQuestion | flask.FlaskItem | OwnPrompt) -> dict[str, Any]:
    """Return the question in readable form, with its id and groups."""
    if isinstance(item, OwnPrompt):
        return {"prompt": item.text, "gold": list(item.gold), "tags": list(item.tags)}
    if isinstance(item, mt_bench_run.MTBenchQuestion):
        return {"question_id": item.id, "category": item.category, "turns": list(item.turns)}
    if isinstance(item, flask.FlaskItem):
        return {"idx": item.idx, "instruction": item.instruction, "skills": list(item.skills)}
    return {"instruction": item.instruction, "dataset": item.dataset}


def _outputs(row: Row) -> dict[str, Any]:
    return (
        {"turns": row["choices"][0]["turns"]}
        if "choices" in row
        else {"output": row.get("output", row.get("text", row.get("answer")))}
    )


def feedback(benchmark: str, rows: Sequence[Row]) -> dict[str, float | None]:
    """Return LangSmith's feedback for one example; None for a verdict that could not be read."""
    if benchmark == "mt-bench":
        return {f"turn_{row['turn']}": None if row["score"] < 0 else row["score"] for row in rows}
    if benchmark == "prompts":
        return {"score": rows[0]["score"] if rows else None}
    if benchmark == "alpaca":
        return {"preference": rows[0]["preference"] if rows else None}
    scores = (rows[0]["score"] or {}) if rows else {}
    return {name.lower().replace(" ", "_"): score for name, score in scores.items()}


_PAIR_SCORES = {"model_1": 1.0, "tie": 0.5, "model_2": 0.0}


def pairwise(rows: Sequence[Row]) -> dict[str, float | None]:
    """Return pairwise verdicts by turn: 1 for a win, 0.5 for a tie, 0 for a loss, None where one was unreadable."""
    return {f"pairwise_turn_{row['turn']}": _PAIR_SCORES.get(row["winner"]) for row in rows}


async def publish(
    client: Client,
    *,
    benchmark: str,
    experiment: str,
    examples: Sequence[Mapping[str, Any]],
    metadata: Mapping[str, Any],
) -> str:
    """Upload recorded answers and verdicts as one experiment and return its name.

    Each example is ``{"id", "inputs", "outputs", "feedback"}``. Nothing is generated or judged again: the target
    returns the recorded outputs.
    """
    name = dataset_name(benchmark, [example["inputs"] for example in examples])
    _dataset(client, name, examples)
    by_id = {str(_example_id(name, example)): example for example in examples}
    recorded = {str(example["id"]): example for example in examples}

    async def target(inputs: dict[str, Any]) -> dict[str, Any]:
        return dict(recorded[str(inputs["id"])]["outputs"])

    def scores(run: Any, example: Any) -> dict[str, Any]:
        found = by_id[str(example.id)]["feedback"]
        return {"results": [{"key": key, "score": value} for key, value in found.items()]}

    results = await client.aevaluate(
        target, data=name, evaluators=[scores], experiment_prefix=experiment, metadata=dict(metadata), max_concurrency=8
    )
    async for _ in results:
        continue
    # Traces and feedback are sent in the background; wait for them before the command ends.
    await asyncio.to_thread(client.flush)
    return str(results.experiment_name)


def _example_id(dataset: str, example: Mapping[str, Any]) -> uuid.UUID:
    return uuid.uuid5(_SPACE, f"{dataset}/{example['id']}")


def _dataset(client: Client, name: str, examples: Sequence[Mapping[str, Any]]) -> None:
    """Create the dataset unless it exists. Examples have fixed ids, so a second run adds none."""
    if client.has_dataset(dataset_name=name):
        return
    dataset = client.create_dataset(name, description="Made by moa_graph from recorded benchmark items.")
    client.create_examples(
        dataset_id=dataset.id,
        examples=[
            {"id": _example_id(name, example), "inputs": {"id": example["id"], **example["inputs"]}}
            for example in examples
        ],
    )
