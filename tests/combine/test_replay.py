"""The combiners on recorded data, through the real graph: with exactly the figures of the data."""

from collections import Counter
from typing import Any

import pytest

from moa_graph import create_moa
from moa_graph.graph.agreement import compare, longest
from moa_graph.mixture.answers import normalized
from tests.combine.recorded import (
    Recorded,
    answers_of,
    drafts_of,
    judging,
    models_of,
    needs_assets,
    proposers_of,
    recorded,
)
from tests.combine.replays import LAST_LINE, counted, full_count, sampler, vote_of_three, voting

pytestmark = [needs_assets, pytest.mark.slow, pytest.mark.timeout(900)]

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
    """Return a model that drafts, and judges if the prompt has drafts."""
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


@pytest.mark.parametrize("model", models_of("aime2024") or ["absent"])
async def test_a_vote_on_all_answers_is_the_count(model: str) -> None:
    rows = answers_of("aime2024", model)[::6]
    for row in rows:
        slots = len(row["answers"])
        graph = voting([row], model, slots, stop=False)
        result = await graph.ainvoke({"messages": row["id"]})
        how, full = result["record"]["decision"], full_count(row["answers"])
        assert {each: int(votes) for each, votes in how["counts"].items()} == dict(full)
        assert full[how["answer"]] == max(full.values()) and result["record"]["calls"] == slots


@pytest.mark.parametrize("bench", ["aime2024", "gpqa_diamond", "math500"])
async def test_the_count_is_that_of_the_raw_answers_and_stopping_early_never_changes_it(bench: str) -> None:
    for model in models_of(bench):
        for row in answers_of(bench, model)[:: 1 if bench == "aime2024" else 25]:
            if not row["answers"]:
                continue
            every = await counted(row["answers"], stop=False)
            early = await counted(row["answers"])
            raw = Counter(row["answers"]).most_common()
            assert every.winner in {normalized(answer) for answer, votes in raw if votes == raw[0][1]} or every.same
            assert every.same and early.same and early.used <= every.used


async def test_an_adaptive_vote_through_the_graph_stops_early_with_the_same_winner() -> None:
    rows = answers_of("aime2024", "Qwen3-4B")[:10]
    for row in rows:
        slots = len(row["answers"])
        graph = voting([row], "m", slots, batch=4)
        result = await graph.ainvoke({"messages": row["id"]})
        full = full_count(row["answers"])
        assert full[result["record"]["decision"]["answer"]] == max(full.values())
        assert result["record"]["calls"] <= slots and not result["record"]["degraded"]
        first = max(full.values())
        if first > slots * 0.7:
            assert result["record"]["calls"] < slots


async def test_escalation_on_disagreement_is_a_vote_of_three_with_the_strong_one_as_tie_break() -> None:
    cheap = [answers_of("aime2024", "Qwen3-4B"), answers_of("aime2024", "LIMO-v2")]
    strong = answers_of("aime2024", "Qwen3-30B-A3B-Thinking-2507")
    pairs = [sampler(rows, f"cheap {n}") for n, rows in enumerate(cheap)]
    last = sampler(strong, "strong")
    graph = create_moa(
        proposers=pairs,
        aggregator=recorded("none", lambda m: "none"),
        combine={"name": "escalate", "strong": [last], "answer": LAST_LINE},
    )
    escalated = 0
    for row in range(len(strong)):
        if not all(rows[row]["answers"] for rows in (*cheap, strong)):
            continue
        result = await graph.ainvoke({"messages": strong[row]["id"]})
        drafts = [draft["text"] for draft in result["drafts"]]
        one, two = drafts[:2]
        wanted = vote_of_three(one, two, drafts[2] if len(drafts) == 3 else "")
        assert normalized(result["messages"][-1].content) == normalized(wanted)
        assert (len(drafts) == 3) == (normalized(one) != normalized(two)) == result["record"]["decision"]["escalated"]
        escalated += len(drafts) == 3
    assert 0 < escalated < len(strong)
