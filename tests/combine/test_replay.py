"""The combiners on recorded data, through the real graph: exactly the figures that the data says."""

from collections import Counter
from typing import Any

import pytest

from moa_graph import create_moa
from moa_graph.graph.agreement import compare, longest
from tests.combine.recorded import Recorded, drafts_of, judging, needs_assets, proposers_of, recorded

pytestmark = [needs_assets, pytest.mark.slow]

FIGURES = {"gsm8k": (88.75, 79.75, 92.6, 92.25, 97.0), "math": (63.0, 50.0, 69.25, 69.0, 82.75)}
BATCH: Any = {"max_concurrency": 20}


async def replay(graph: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(await graph.abatch([{"messages": row["id"]} for row in rows], config=BATCH))


def percent(hits: float, rows: list[dict[str, Any]]) -> float:
    return round(100 * hits / len(rows), 2)


@pytest.mark.parametrize("name", FIGURES)
async def test_the_medoid_and_the_longest_draft(name: str) -> None:
    rows = drafts_of(name)
    silent = recorded("silent", lambda messages: "")
    graph = create_moa(proposers=proposers_of(rows), aggregator=silent, on_failure="best_draft")
    results = await replay(graph, rows)
    medoid = long = 0
    for row, result in zip(rows, results, strict=True):
        record = result["record"]
        assert record["status"] == "best_draft"
        slot = record["medoid"]["slot"]
        assert result["messages"][-1].content == result["drafts"][slot]["text"]
        medoid += row["drafts"][slot]["correct"]
        long += row["drafts"][longest([d["text"] for d in row["drafts"]]) or 0]["correct"]
    assert (percent(medoid, rows), percent(long, rows)) == FIGURES[name][:2]


@pytest.mark.parametrize("name", FIGURES)
async def test_peers_scores_select_the_published_picks(name: str) -> None:
    rows = drafts_of(name)
    proposers = proposers_of(rows)
    judges = {p.model: judging(rows, "scores_side_by_side", p.model) for p in proposers}
    graph = create_moa(
        proposers=[recorded(p.model, _both(p, judges[p.model])) for p in proposers],
        aggregator=recorded("none", lambda messages: ""),
        combine={"name": "select", "by": "peers"},
    )
    shared = strict = inside = 0.0
    for row, result in zip(rows, await replay(graph, rows), strict=True):
        assert not result["record"]["degraded"] and result["record"]["calls"] == 8
        how = result["record"]["decision"]
        scores = [how["scores"][str(slot)] for slot in range(4)]
        winners = [slot for slot in range(4) if scores[slot] >= max(scores) - 1e-6]
        assert len(winners) == how["tied"]
        inside += row["published_pick"] in winners
        shared += sum(row["drafts"][slot]["correct"] for slot in winners) / len(winners)
        strict += row["drafts"][how["selected"][0]]["correct"]
    assert inside == len(rows)
    assert round(100 * shared / len(rows), 1) == round(FIGURES[name][2], 1)
    assert percent(strict, rows) == FIGURES[name][3]


def _both(proposer: Recorded, judge: Any) -> Any:
    """A model that drafts, and judges when it is shown drafts."""
    return lambda messages: judge(messages) if "ends:" in str(messages[-1].content) else proposer.reply(messages)


@pytest.mark.parametrize("name", FIGURES)
async def test_a_check_with_the_gold_answer_finds_every_right_draft(name: str) -> None:
    rows = drafts_of(name)
    right = {(row["id"], _key(d["text"])) for row in rows for d in row["drafts"] if d["correct"]}

    def check(messages: Any, text: str) -> bool:
        return (str(messages[0].content), _key(text)) in right

    graph = create_moa(
        proposers=proposers_of(rows),
        aggregator=recorded("none", lambda messages: "no draft is right"),
        combine={"name": "verify", "check": check},
    )
    results = await replay(graph, rows)
    passed = sum(r["record"]["decision"]["passed"] > 0 for r in results)
    assert percent(passed, rows) == FIGURES[name][4]
    for row, result in zip(rows, results, strict=True):
        if result["record"]["decision"]["passed"]:
            assert check([result["messages"][0]], result["messages"][-1].content), row["id"]
        else:
            assert result["record"]["degraded"] and result["messages"][-1].content == "no draft is right"


def _key(text: str) -> str:
    return "".join(text.split())


def test_agreement_is_calibrated() -> None:
    for name, quartiles in {"gsm8k": [82, 86, 92, 95], "math": [45, 64, 71, 72]}.items():
        scored = []
        for row in drafts_of(name):
            alike = compare([draft["text"] for draft in row["drafts"]])
            scored.append((alike.mean, row["drafts"][alike.medoid or 0]["correct"]))
        scored.sort(key=lambda each: each[0] or 0.0)
        found = [sum(right for _, right in scored[n : n + 100]) for n in range(0, 400, 100)]
        assert found == quartiles, Counter(found)
