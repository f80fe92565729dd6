"""Combiners on recorded drafts, through the real graph: accuracy, calls and tokens per question."""

import asyncio
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.combine.models import Recorded, proposers_of, question_of, recorded, same_text
from benchmarks.combine.sets import DraftRow, DraftSet
from moa_graph import create_moa
from moa_graph.state import counted

AT_ONCE = 20

Result = dict[str, Any]


async def replay(graph: Any, rows: Sequence[DraftRow]) -> list[Result]:
    """Run the graph once for each question."""
    given = [{"messages": row.id} for row in rows]
    return list(await graph.abatch(given, config={"max_concurrency": AT_ONCE}))


async def drafts_table(drafts: DraftSet) -> dict[str, Any]:
    """Return the rows of one set, and what was checked on the way."""
    rows, none = drafts.rows, recorded("none", lambda messages: "no draft is right")
    table, checks = await _without_calls(drafts)
    if drafts.judged:
        more, checked = await _select(drafts)
        table, checks = [*table, *more], {**checks, **checked}
    voted = await replay(_graph(drafts, none, "vote"), rows)
    table.append(_row("vote on the final answers", _right(rows, voted), voted))
    if len(drafts.models) > 2:
        escalated = await replay(_escalating(drafts, none), rows)
        table.append(_row("escalate from the second and third best to the best", _right(rows, escalated), escalated))
    check = {"name": "verify", "check": _gold(rows)}
    checked_rows = await replay(_graph(drafts, none, check), rows)
    table.append(_row("verify with gold", [float(_passed(each)) for each in checked_rows], checked_rows))
    checks["in_flight_after_pass"] = await _in_flight(drafts)
    return {"questions": len(rows), "table": table, "checks": checks}


def _graph(drafts: DraftSet, aggregator: Recorded, combine: Any) -> Any:
    return create_moa(proposers=proposers_of(drafts), aggregator=aggregator, combine=combine)


async def _without_calls(drafts: DraftSet) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rules that need no call beside the drafts. The aggregator says nothing, so that the medoid is the answer."""
    rows, silent = drafts.rows, recorded("silent", lambda messages: "")
    graph = create_moa(proposers=proposers_of(drafts), aggregator=silent, on_failure="best_draft")
    results = await replay(graph, rows)
    random = [statistics.fmean(draft.correct for draft in row.drafts) for row in rows]
    long = [float(max(row.drafts, key=lambda draft: len(draft.text)).correct) for row in rows]
    medoid = _right(rows, results)
    best = max(range(len(drafts.models)), key=lambda slot: sum(row.drafts[slot].correct for row in rows))
    single = [float(row.drafts[best].correct) for row in rows]
    table = [
        _row("a random draft", random, results, own=False),
        _row("the longest draft", long, results, own=False),
        _row("the best single model, known afterwards", single, results, only=best),
        _row("best_draft: the medoid", medoid, results, own=False),
    ]
    order = sorted(range(len(rows)), key=lambda n: results[n]["record"]["agreement"] or 0.0)
    parts = [order[len(order) * n // 4 : len(order) * (n + 1) // 4] for n in range(4)]
    quartiles = [round(100 * statistics.fmean(medoid[n] for n in part), 1) for part in parts if part]
    return table, {"medoid_accuracy_by_quartile_of_agreement": quartiles}


async def _select(drafts: DraftSet) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Every model judges all drafts with its recorded scores."""
    graph = create_moa(
        proposers=proposers_of(drafts, judging=True),
        aggregator=recorded("none", lambda messages: ""),
        combine={"name": "select", "by": "peers"},
        on_failure="best_draft",
    )
    results = await replay(graph, drafts.rows)
    shared, strict, picked, inside = [], [], 0, 0
    for row, result in zip(drafts.rows, results, strict=True):
        winners = _winners(result)
        shared.append(statistics.fmean(row.drafts[slot].correct for slot in winners))
        strict.append(float(row.drafts[_chosen(result)].correct))
        picked += row.pick is not None
        inside += row.pick in winners
    table = [_row("select by peers, ties shared", shared, results), _row("select by peers", strict, results)]
    return table, {"published_picks": picked, "published_picks_among_winners": inside}


def _winners(result: Result) -> list[int]:
    """Return the slots with the highest mean score; the slot that was returned where nobody judged."""
    scores = {int(slot): score for slot, score in result["record"]["decision"].get("scores", {}).items()}
    if not scores:
        return [_chosen(result)]
    return [slot for slot, score in scores.items() if score >= max(scores.values()) - 1e-6]


def _chosen(result: Result) -> int:
    """Return the slot whose draft is the answer."""
    decision = result["record"]["decision"]
    if "selected" in decision:
        return int(decision["selected"][0])
    used = result["record"]["medoid"]
    return int(used["slot"]) if used else 0


def _escalating(drafts: DraftSet, none: Recorded) -> Any:
    """The second and third best model first; the best one where their final answers differ."""
    models = proposers_of(drafts)
    right = [sum(row.drafts[slot].correct for row in drafts.rows) for slot in range(len(models))]
    best, second, third, *_ = sorted(range(len(models)), key=lambda slot: -right[slot])
    combine = {"name": "escalate", "strong": [models[best]], "answer": "final"}
    return create_moa(proposers=[models[second], models[third]], aggregator=none, combine=combine)


def _right(rows: Sequence[DraftRow], results: Sequence[Result]) -> list[float]:
    """Return for each question whether the answer, which is one of the drafts, is right."""
    known = [{same_text(draft.text): draft.correct for draft in row.drafts} for row in rows]
    texts = [same_text(str(result["messages"][-1].content)) for result in results]
    return [float(each.get(text, False)) for each, text in zip(known, texts, strict=True)]


def _gold(rows: Sequence[DraftRow]) -> Any:
    right = {(row.id, same_text(draft.text)) for row in rows for draft in row.drafts if draft.correct == 1}
    return lambda messages, text: (question_of(messages), same_text(text)) in right


def _passed(result: Result) -> bool:
    return bool(result["record"]["decision"]["passed"])


async def _in_flight(drafts: DraftSet) -> int:
    """Count the calls in flight once a draft has passed; every proposer after the first right one never answers."""
    rows = [row for row in drafts.rows if any(draft.correct == 1 for draft in row.drafts)]
    first = {row.id: next(slot for slot, draft in enumerate(row.drafts) if draft.correct == 1) for row in rows}

    def until(slot: int, model: Recorded) -> Recorded:
        late = lambda messages: None if slot > first[question_of(messages)] else model.reply(messages)  # noqa: E731
        return recorded(model.model, late)

    models = [until(slot, model) for slot, model in enumerate(proposers_of(drafts))]
    combine = {"name": "verify", "check": _gold(rows)}
    graph = create_moa(proposers=models, aggregator=recorded("none", lambda messages: ""), combine=combine)
    turn, left = asyncio.Semaphore(AT_ONCE), 0

    async def ask(row: DraftRow) -> None:
        nonlocal left
        async with turn:
            async for event in graph.astream({"messages": row.id}, stream_mode="custom"):
                if event["moa"] == "aggregating":
                    left += sum(model.in_flight[row.id] for model in models)

    await asyncio.gather(*map(ask, rows))
    return left


def _row(
    name: str, right: Sequence[float], results: Sequence[Result], *, own: bool = True, only: int | None = None
) -> dict[str, Any]:
    """Return a row of the table.

    Args:
        name: The combiner.
        right: For each question whether the answer is right, or the share of equal answers that are.
        results: The runs.
        own: Whether all calls of the run count, or those of the proposers only.
        only: The one slot that counts.
    """
    usages, calls = [], []
    for result in results:
        drafts = [d for d in counted(result["drafts"], 1) if only is None or d["slot"] == only]
        whole = own and only is None
        calls.append(result["record"]["calls"] if whole else len(drafts))
        usages.append([result["record"]["usage"]] if whole else [draft["usage"] for draft in drafts])
    tokens = [sum(u["input_tokens"] + u["output_tokens"] for u in each if u) for each in usages]
    return {
        "combiner": name,
        "accuracy": round(100 * statistics.fmean(right), 2),
        "calls": round(statistics.fmean(calls), 2),
        "tokens": round(statistics.fmean(tokens)),
    }
