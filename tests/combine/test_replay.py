"""The combiners on recorded data, through the real graph: exactly the figures that the data gives."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.combine.__main__ import ASSETS, failures
from benchmarks.combine.answers import answers_table, full_count, voting
from benchmarks.combine.drafts import drafts_table
from benchmarks.combine.sets import AnswerSet, answer_sets, draft_sets
from tests.faults import LONG

pytestmark = [
    pytest.mark.skipif(not (ASSETS / "recorded_drafts").is_dir(), reason="needs the recorded drafts"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

in_make_combine = pytest.mark.skipif(not LONG, reason="a minute more: `make combine` or MOA_LONG=1 has it")

FIGURES = {
    "gsm8k": {
        "a random draft": 80.88,
        "the longest draft": 79.75,
        "the best single model, known afterwards": 91.5,
        "best_draft: the medoid": 88.75,
        "select by peers, ties shared": 92.6,
        "select by peers": 92.25,
        "verify with gold": 97.0,
    },
    "math": {
        "a random draft": 51.94,
        "the longest draft": 50.0,
        "the best single model, known afterwards": 69.25,
        "best_draft: the medoid": 63.0,
        "select by peers, ties shared": 69.25,
        "select by peers": 69.0,
        "verify with gold": 82.75,
    },
}
QUARTILES = {"gsm8k": [82, 86, 92, 95], "math": [45, 64, 71, 72]}


@pytest.mark.parametrize("name", ["gsm8k", pytest.param("math", marks=in_make_combine)])
async def test_recorded_drafts_give_the_published_figures(name: str) -> None:
    found = await drafts_table(next(each for each in draft_sets(ASSETS) if each.name == name))
    accuracy = {row["combiner"]: row["accuracy"] for row in found["table"]}
    shared = accuracy.pop("select by peers, ties shared")
    assert abs(shared - FIGURES[name]["select by peers, ties shared"]) <= 0.05
    assert {each: accuracy[each] for each in FIGURES[name] if each in accuracy} == {
        each: figure for each, figure in FIGURES[name].items() if "shared" not in each
    }
    calls = {row["combiner"]: row["calls"] for row in found["table"]}
    assert calls["best_draft: the medoid"] == 4 and calls["select by peers"] == 8
    checks = found["checks"]
    assert checks["published_picks"] == checks["published_picks_among_winners"] == 400
    assert checks["medoid_accuracy_by_quartile_of_agreement"] == QUARTILES[name]
    assert checks["in_flight_after_pass"] == 0 and not failures({name: found})


def benches() -> list[AnswerSet]:
    return answer_sets(Path(ASSETS)) if (ASSETS / "recorded_answers").is_dir() else []


@pytest.mark.parametrize("name", ["aime2024", "gpqa_diamond", pytest.param("math500", marks=in_make_combine)])
async def test_votes_and_escalation_on_recorded_answers(name: str) -> None:
    bench = next(each for each in benches() if each.name == name)
    # Every third problem of the smallest set, every 20th of the others; `make combine` takes them all.
    step = 3 if name == "aime2024" else 20
    found = await answers_table(replace(bench, models={model: rows[::step] for model, rows in bench.models.items()}))
    checks = found["checks"]
    assert not failures({name: found}), checks
    assert checks["votes"] == sum(len(rows[::step]) for rows in bench.models.values())
    assert checks["votes_through_the_graph"] and checks["escalations"]
    by_way: dict[str, list[float]] = {}
    for row in found["table"]:
        by_way.setdefault(row["combiner"], []).append(row["calls"])
    for decided, every in zip(by_way["vote until decided"], by_way["vote on all"], strict=True):
        assert decided < every


async def test_a_vote_in_batches_through_the_graph_stops_early_with_the_same_winner() -> None:
    rows: Any = next(each for each in benches() if each.name == "aime2024").models["Qwen3-4B"][:10]
    stopped = 0
    for row in rows:
        slots = len(row.answers)
        result = await voting([row], "m", slots, batch=4).ainvoke({"messages": row.id})
        full = full_count(row.answers)
        assert full[result["record"]["decision"]["answer"]] == max(full.values())
        assert result["record"]["calls"] <= slots and not result["record"]["degraded"]
        stopped += result["record"]["calls"] < slots
    assert stopped
