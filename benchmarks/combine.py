"""`python -m benchmarks.combine`: what each combiner makes of recorded drafts and answers; reports/combine.json.

Drafts, judges' scores and answers are recorded; the graph is the real one, and nothing is sent anywhere. Accuracy is in
percent, calls and tokens are means per question (tokens as a quarter of the characters).
"""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

from moa_graph import create_moa
from moa_graph.graph.agreement import longest
from tests.combine.recorded import Recorded, answers_of, drafts_of, judging, models_of, proposers_of, recorded
from tests.combine.replays import counted, full_count

REPORT = Path("reports/combine.json")


async def _replay(rows: list[dict[str, Any]], **fields: Any) -> list[dict[str, Any]]:
    graph = create_moa(proposers=fields.pop("proposers", None) or proposers_of(rows), **fields)
    return list(await graph.abatch([{"messages": row["id"]} for row in rows], config={"max_concurrency": 20}))


def _row(name: str, hits: float, results: list[dict[str, Any]]) -> dict[str, Any]:
    usage = [result["record"]["usage"] for result in results]
    many = len(results)
    return {
        "combiner": name,
        "accuracy": round(100 * hits / many, 2),
        "calls": round(sum(result["record"]["calls"] for result in results) / many, 2),
        "tokens": round(sum(each["input_tokens"] + each["output_tokens"] for each in usage) / many),
    }


def _key(text: str) -> str:
    return "".join(text.split())


async def drafts(name: str) -> list[dict[str, Any]]:
    """The table of one set of recorded drafts."""
    rows = drafts_of(name)
    silent, none = recorded("silent", lambda m: ""), recorded("none", lambda m: "none")
    correct = [[draft["correct"] for draft in row["drafts"]] for row in rows]
    fallen = await _replay(rows, aggregator=silent, on_failure="best_draft")
    found = [_row("a random draft", sum(sum(each) / len(each) for each in correct), fallen)]
    long = [longest([draft["text"] for draft in row["drafts"]]) or 0 for row in rows]
    found.append(_row("the longest draft", sum(each[n] for each, n in zip(correct, long, strict=True)), fallen))
    medoids = [result["record"]["medoid"]["slot"] for result in fallen]
    found.append(_row("best_draft: the medoid", sum(e[n] for e, n in zip(correct, medoids, strict=True)), fallen))
    proposers = proposers_of(rows)
    peers = [recorded(each.model, _both(each, judging(rows, "scores_side_by_side", each.model))) for each in proposers]
    picked = await _replay(rows, proposers=peers, aggregator=none, combine={"name": "select", "by": "peers"})
    best = [result["record"]["decision"]["selected"][0] for result in picked]
    found.append(_row("select by peers", sum(each[n] for each, n in zip(correct, best, strict=True)), picked))
    right = {(row["id"], _key(d["text"])) for row in rows for d in row["drafts"] if d["correct"]}
    check = {"name": "verify", "check": lambda messages, text: (str(messages[0].content), _key(text)) in right}
    checked = await _replay(rows, aggregator=none, combine=check)
    found.append(_row("verify with gold", sum(r["record"]["decision"]["passed"] > 0 for r in checked), checked))
    return found


def _both(proposer: Recorded, judge: Any) -> Any:
    return lambda messages: judge(messages) if "ends:" in str(messages[-1].content) else proposer.reply(messages)


async def answers(bench: str) -> list[dict[str, Any]]:
    """The table of one set of recorded answers: every model alone, voting on all answers, and adaptively."""
    found = []
    for model in models_of(bench):
        rows = [row for row in answers_of(bench, model) if row["answers"]]
        one = sum(sum(a == row["gold"] for a in row["answers"]) / len(row["answers"]) for row in rows)
        found.append(_counted(model, "one answer", one, 1.0, rows))
        for name, options in (("vote on all", {"stop": False}), ("vote, adaptive", {"sure": 0.95})):
            hits = used = 0.0
            for row in rows:
                order = random.Random(row["id"]).sample(row["answers"], min(len(row["answers"]), 40))
                votes = await counted(row["answers"] if name == "vote on all" else order, **options)
                hits += votes.winner in full_count([row["gold"]])
                used += votes.used
            found.append(_counted(model, name, hits, used / len(rows), rows))
    return found


def _counted(model: str, name: str, hits: float, calls: float, rows: list[dict[str, Any]]) -> dict[str, Any]:
    each = [sum(tokens) / len(tokens) for row in rows if (tokens := [t for t in row["tokens"] if t])]
    tokens = round(calls * sum(each) / len(each)) if each else None
    accuracy = round(100 * hits / len(rows), 2)
    return {"model": model, "combiner": name, "accuracy": accuracy, "calls": round(calls, 2), "tokens": tokens}


async def main() -> None:
    sets: dict[str, Any] = {}
    for name in ("gsm8k", "math"):
        sets[name] = await drafts(name)
    for bench in ("aime2024", "gpqa_diamond", "math500"):
        sets[bench] = await answers(bench)
    for name, table in sets.items():
        print(f"\n{name}")
        for row in table:
            who = f"{row['model']}: " if "model" in row else ""
            print(f"  {who + row['combiner']:<55} {row['accuracy']:6.2f} %  {row['calls']:6.2f} calls")
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps({"sets": sets}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
