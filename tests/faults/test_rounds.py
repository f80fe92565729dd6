"""Quorum, grace, deadlines, hedging, fallbacks: when a round ends, and which requests are closed at the server."""

import asyncio
import gc
from typing import Any

import pytest
from langchain_core.outputs import ChatResult

from moa_graph import (
    AggregationError,
    BudgetError,
    ConfigError,
    DeadlineError,
    InputError,
    MoAContext,
    NotEnoughDraftsError,
    Proposer,
    create_moa,
)
from moa_graph.graph.latch import Rule
from moa_graph.graph.runs import in_run
from moa_graph.models import rate_limit as limits
from tests.clocks import steady_time
from tests.faults.foreign import Own
from tests.live import live_runs, open_latches
from tests.provider import Provider

QUESTION = {"messages": [{"role": "user", "content": "Why is the sky blue?"}]}


def spec(provider: Provider, model: str, **fields: Any) -> dict[str, Any]:
    return {"model": f"openai:{model}", "base_url": provider.url, **fields}


def moa(provider: Provider, *proposers: str, aggregator: str = "tok=4-agg", **fields: Any) -> Any:
    specs = [spec(provider, model) for model in proposers]
    return create_moa(proposers=specs, aggregator=spec(provider, aggregator), **fields)


class Waits(Own):
    """Answers when `others` is set."""

    others: Any

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        await self.others.wait()
        return await super()._agenerate(*args, **kwargs)


def statuses(result: dict[str, Any]) -> list[str]:
    return [draft["status"] for draft in result["drafts"]]


async def events_of(graph: Any, context: Any = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    told, last = [], {}
    async for kind, part in graph.astream(QUESTION, context=context, stream_mode=["custom", "values"]):
        if kind == "custom":
            told.append(part)
        else:
            last = part
    return told, last


async def test_a_quorum_closes_the_round_and_cancels_stragglers_at_the_server(provider: Provider) -> None:
    graph = moa(provider, "tok=4-a", "tok=4-b", "hang-c", "hang-d", quorum=2, deadline=30.0)
    async with asyncio.timeout(30):
        told, result = await events_of(graph)
    assert statuses(result) == ["ok", "ok", "late", "late"]
    assert [e["counted"] for e in told if e["moa"] == "quorum"] == [2]
    assert all(d["error"] == "2 other drafts were enough" for d in result["drafts"][2:])
    stats = provider.wait(lambda s: s["disconnected"] == 2)
    assert stats["disconnected"] == 2 and stats["in_flight"] == 0
    assert result["record"]["degraded"] and len(result["record"]["unused"]) == 2
    gc.collect()
    assert open_latches() == 0 and live_runs() == 0


def test_a_quorum_works_for_sync_callers(provider: Provider) -> None:
    result = moa(provider, "tok=4-a", "hang-b", "tok=4-c", quorum=2, deadline=30.0).invoke(QUESTION)
    assert statuses(result) == ["ok", "late", "ok"]


def test_a_draft_counts_for_those_of_its_round_that_begin_after_its_end() -> None:
    """The first node of a step may have ended before the second begins in its thread."""
    with in_run("run-1", 2) as first:
        first.latch("step-1", Rule(2)).count()
    with in_run("run-1", 2, last=True) as second:
        assert second.latch("step-1", Rule(2)).counted == 1
        assert second.latch("step-2", Rule(2)).counted == 0
    assert open_latches() == live_runs() == 0


@steady_time
async def test_grace_lets_in_who_comes_soon_after(provider: Provider) -> None:
    graph = moa(provider, "tok=4-a", "400ms-tok=4-b", "hang-c", quorum=1, grace=2.0, deadline=30.0)
    async with asyncio.timeout(30):
        result = await graph.ainvoke(QUESTION)
    assert statuses(result) == ["ok", "ok", "late"]


async def test_a_quorum_counts_drafts_and_not_failures(provider: Provider) -> None:
    """The good proposer answers after the drafts of all others have been reported."""
    good = Waits(others=asyncio.Event())
    failing = [spec(provider, name) for name in ("err400-a", "empty-b", "refuse-c")]
    graph = create_moa(proposers=[*failing, good], aggregator=spec(provider, "tok=4-agg"), quorum=1, deadline=30.0)
    drafts = 0
    async for kind, part in graph.astream(QUESTION, stream_mode=["custom", "values"]):
        if kind == "values":
            result = part
        elif part["moa"] == "draft":
            drafts += 1
            if drafts == len(failing):
                good.others.set()
    assert statuses(result) == ["failed", "empty", "refused", "ok"]


async def test_every_layer_has_its_own_latch(provider: Provider) -> None:
    graph = moa(provider, "tok=4-a", "hang-b", quorum=1, layers=4, deadline=30.0)
    async with asyncio.timeout(40):
        results = await asyncio.gather(*(graph.ainvoke(QUESTION) for _ in range(20)))
    assert [statuses(result) for result in results] == [["ok", "late"] * 3] * 20
    gc.collect()
    assert open_latches() == 0


@steady_time
async def test_a_deadline_keeps_the_drafts_so_far(provider: Provider) -> None:
    result = await moa(provider, "tok=4-a", "hang-b", deadline=1.0).ainvoke(QUESTION)
    assert statuses(result) == ["ok", "failed"]
    assert result["drafts"][1]["error"] == "no answer within 1 s"
    assert provider.wait(lambda s: s["disconnected"] == 1)["disconnected"] == 1


async def test_min_drafts_is_a_floor_and_the_error_names_everyone(provider: Provider) -> None:
    with pytest.raises(NotEnoughDraftsError) as caught:
        await moa(provider, "tok=4-a", "err401-b", "empty-c", min_drafts=2).ainvoke(QUESTION)
    text = str(caught.value)
    assert "1 of 3 drafts succeeded, at least 2 are required" in text
    assert "401 loopback says 401" in text and "the answer was empty" in text
    assert [d["status"] for d in caught.value.drafts] == ["ok", "failed", "empty"]
    assert provider.stats()["models"].get("tok=4-agg") is None


@steady_time
async def test_run_deadline_bounds_the_whole_and_keeps_the_drafts(provider: Provider) -> None:
    graph = moa(provider, "600ms-tok=4-a", layers=10, run_deadline=2.1, deadline=30.0)
    with pytest.raises(DeadlineError, match=r"run_deadline of 2.1 s exceeded") as caught:
        async with asyncio.timeout(30):
            await graph.ainvoke(QUESTION)
    assert [d["status"] for d in caught.value.drafts][:2] == ["ok", "ok"]
    assert len(caught.value.drafts) < 9, "it ended before its last round"


@pytest.mark.parametrize("layers", [2, 3])
@steady_time
async def test_one_that_hangs_does_not_use_up_the_runs_time(provider: Provider, layers: int) -> None:
    """A round with enough drafts delays the run for at most its equal share of the remaining time."""
    graph = moa(provider, "tok=4-a", "hang-b", "tok=4-c", layers=layers, run_deadline=4.0, deadline=60.0)
    result = await graph.ainvoke(QUESTION)
    assert statuses(result) == ["ok", "late", "ok"] * (layers - 1)
    assert "needed the rest of the run's time" in result["drafts"][1]["error"]
    assert result["record"]["degraded"]
    assert provider.wait(lambda s: s["in_flight"] == 0)["disconnected"] == layers - 1
    gc.collect()
    assert open_latches() == 0


def test_the_runs_time_is_shared_out_for_sync_callers_too(provider: Provider) -> None:
    result = moa(provider, "hang-a", "tok=4-b", run_deadline=8.0, deadline=60.0).invoke(QUESTION)
    assert statuses(result) == ["late", "ok"]


@steady_time
async def test_too_few_drafts_may_use_all_of_the_time(provider: Provider) -> None:
    """A round is not cut at its share of the time before it has `min_drafts`: the slow draft still counts."""
    graph = moa(provider, "1200ms-tok=4-a", "hang-b", run_deadline=2.4, deadline=60.0)
    assert statuses(await graph.ainvoke(QUESTION)) == ["ok", "late"]
    with pytest.raises(DeadlineError):
        await moa(provider, "hang-a", "hang-b", run_deadline=1.0, deadline=60.0).ainvoke(QUESTION)


@steady_time
async def test_an_aggregator_that_hangs_leaves_its_fallback_time(provider: Provider) -> None:
    spare = spec(provider, "tok=4-spare")
    graph = moa(provider, "tok=4-a", aggregator="hang-agg", fallbacks=[spare], run_deadline=4.0, deadline=60.0)
    result = await graph.ainvoke(QUESTION)
    assert result["record"]["fallback"] == "openai:tok=4-spare"


async def test_a_window_too_small_for_the_drafts_is_refused_before_any_is_paid(provider: Provider) -> None:
    small = spec(provider, "tok=4-agg", window=2048)
    long = {"messages": [{"role": "user", "content": "word " * 700}]}
    proposers = [spec(provider, f"tok=4-{n}") for n in range(6)]
    with pytest.raises(InputError, match="too long"):
        await create_moa(proposers=proposers, aggregator=small).ainvoke(long)
    assert provider.stats()["requests"] == 0
    assert await create_moa(proposers=proposers[:2], aggregator=small, min_drafts=1).ainvoke(long)


@steady_time
async def test_a_hedge_overtakes_a_silent_call_and_the_loser_is_cancelled(provider: Provider) -> None:
    graph = moa(provider, "hangx1-tok=4-a", "tok=4-b", hedge=0.2, deadline=30.0)
    async with asyncio.timeout(30):
        result = await graph.ainvoke(QUESTION)
    assert statuses(result) == ["ok", "ok"]
    assert result["drafts"][0]["attempts"] == 2
    assert provider.wait(lambda s: s["disconnected"] == 1)["disconnected"] == 1


@steady_time
async def test_hedges_are_bounded_by_the_runs_budget(provider: Provider) -> None:
    """A run of 3 calls may send 3 more: three silent proposers in each of two rounds get no fourth hedge."""
    graph = moa(provider, "hang-a", "hang-b", hedge=0.05, deadline=1.0, max_attempts=10)
    with pytest.raises(NotEnoughDraftsError):
        await graph.ainvoke(QUESTION)
    assert provider.stats()["requests"] == 4


async def test_hedging_is_off_by_default(provider: Provider) -> None:
    await moa(provider, "700ms-tok=4-a").ainvoke(QUESTION)
    assert provider.stats()["models"]["700ms-tok=4-a"]["requests"] == 1


async def test_retries_have_one_owner_and_a_budget(provider: Provider) -> None:
    """Four proposers and an aggregator that always fail: 5 planned calls, so at most 5 retries for all of them."""
    graph = moa(provider, *(f"err500-{n}" for n in range(4)), max_attempts=10, deadline=30.0)
    with pytest.raises(NotEnoughDraftsError):
        await graph.ainvoke(QUESTION)
    assert provider.stats()["requests"] == 4 + 5


@pytest.mark.parametrize("fault", ["err400", "err401", "err403", "err404", "err422", "quota", "nomodel", "redirect"])
async def test_permanent_faults_are_not_retried(provider: Provider, fault: str) -> None:
    with pytest.raises(NotEnoughDraftsError):
        await moa(provider, fault).ainvoke(QUESTION)
    assert provider.stats()["requests"] == 1


@pytest.mark.parametrize("wish", ["ra=0.3", "rams=300"])
async def test_retry_after_is_not_undercut(provider: Provider, wish: str) -> None:
    await moa(provider, f"err429x1-{wish}").ainvoke(QUESTION)
    first, second = provider.requests(f"err429x1-{wish}")
    assert first.done is not None and second.arrived - first.done >= 0.3


@pytest.mark.parametrize("fault", ["err500", "quota", "empty", "refuse", "resetmid", "html"])
async def test_the_aggregator_has_fallbacks(provider: Provider, fault: str) -> None:
    graph = moa(
        provider,
        "tok=4-a",
        aggregator=f"{fault}-first",
        fallbacks=[spec(provider, "err503-second"), spec(provider, "tok=4-third")],
        max_attempts=1,
    )
    result = await graph.ainvoke(QUESTION)
    assert result["messages"][-1].content.startswith("[tok=4-third]")
    assert result["record"]["fallback"] == "openai:tok=4-third"
    assert result["record"]["degraded"] and result["record"]["calls"] == 4


async def test_when_all_aggregators_fail_the_error_says_why_each_did(provider: Provider) -> None:
    graph = moa(
        provider, "tok=4-a", aggregator="err401-first", fallbacks=[spec(provider, "refuse-second")], max_attempts=1
    )
    with pytest.raises(AggregationError) as caught:
        await graph.ainvoke(QUESTION)
    assert "401 loopback says 401" in str(caught.value) and "I can't help with that" in str(caught.value)
    assert [d["status"] for d in caught.value.drafts] == ["ok"]


async def test_or_the_best_draft_labelled_as_such(provider: Provider) -> None:
    graph = moa(provider, "tok=4-a", "tok=9-b", aggregator="err401", on_failure="best_draft")
    result = await graph.ainvoke(QUESTION)
    answer, record = result["messages"][-1], result["record"]
    assert answer.content == result["drafts"][1]["text"]
    assert answer.response_metadata["moa_status"] == "best_draft"
    assert record["status"] == "best_draft" and record["degraded"] and record["fallback"] is None


@pytest.mark.parametrize("fault", ["resetmid", "cut", "errmid", "hangmid", "nodone", "truncated"])
@pytest.mark.parametrize("mode", ["messages", "custom"])
@steady_time
async def test_a_broken_stream_is_not_reported_as_whole(provider: Provider, fault: str, mode: str) -> None:
    graph = moa(provider, "tok=4-a", aggregator=f"{fault}-tok=20", deadline=2.0, max_attempts=1)
    context = MoAContext(stream_answer=True) if mode == "custom" else None
    parts = []
    with pytest.raises(AggregationError):
        async for part in graph.astream(QUESTION, context=context, stream_mode=[mode]):
            parts.append(part)
    assert parts


async def test_a_fallback_restarts_the_answer_after_a_broken_stream(provider: Provider) -> None:
    graph = moa(
        provider,
        "tok=4-a",
        aggregator="resetmid-tok=20",
        fallbacks=[spec(provider, "tok=5-whole")],
        max_attempts=1,
    )
    told, result = await events_of(graph, MoAContext(stream_answer=True))
    begun = [place for place, event in enumerate(told) if event["moa"] == "aggregating"]
    assert [told[place]["model"] for place in begun] == ["openai:resetmid-tok=20", "openai:tok=5-whole"]
    tokens = [event["text"] for event in told[begun[1] :] if event["moa"] == "answer_token"]
    assert "".join(tokens) == result["messages"][-1].content
    assert result["messages"][-1].content.startswith("[tok=5-whole]")


async def test_a_retried_stream_starts_again(provider: Provider) -> None:
    graph = moa(provider, "tok=4-a", aggregator="resetmidx1-tok=20", deadline=20.0)
    told, result = await events_of(graph, MoAContext(stream_answer=True))
    begun = [place for place, event in enumerate(told) if event["moa"] == "aggregating"]
    assert len(begun) == 2
    tokens = [event["text"] for event in told[begun[1] :] if event["moa"] == "answer_token"]
    assert "".join(tokens) == result["messages"][-1].content


async def test_a_cap_on_calls_is_checked_before_each_round_and_keeps_drafts(provider: Provider) -> None:
    graph = moa(provider, "tok=4-a", "tok=4-b", layers=3)
    with pytest.raises(BudgetError, match=r"max_calls is 2.*Nothing was sent"):
        await graph.ainvoke(QUESTION, context={"max_calls": 2})
    assert provider.stats()["requests"] == 0
    with pytest.raises(BudgetError, match="max_calls is 4: 2 calls made so far") as caught:
        await graph.ainvoke(QUESTION, context={"max_calls": 4})
    assert len(caught.value.drafts) == 2 and provider.stats()["requests"] == 2
    result = await graph.ainvoke(QUESTION, context={"max_calls": 5})
    assert result["record"]["calls"] == 5


async def test_a_cap_on_cost(provider: Provider) -> None:
    prices = {"openai:tok=4-a": [1000.0, 1000.0], "openai:tok=4-agg": [1000.0, 1000.0]}
    graph = moa(provider, "tok=4-a", layers=4, prices=prices)
    with pytest.raises(BudgetError, match=r"max_cost is \$0.001.*Nothing was sent"):
        await graph.ainvoke(QUESTION, context={"max_cost": 0.001})
    assert provider.stats()["requests"] == 0
    result = await graph.ainvoke(QUESTION)
    total = result["record"]["cost"]
    usage = result["record"]["usage"]
    assert total == pytest.approx((usage["input_tokens"] + usage["output_tokens"]) / 1000)
    assert total == pytest.approx(sum(d["cost"] for d in result["drafts"]) + total / 4, rel=0.9)


async def test_a_cap_without_a_price_is_refused_before_any_request(provider: Provider) -> None:
    with pytest.raises(BudgetError, match=r"price of openai:tok=4-a.* is unknown: give `prices`"):
        await moa(provider, "tok=4-a").ainvoke(QUESTION, context={"max_cost": 1.0})
    assert provider.stats()["requests"] == 0


async def test_an_unknown_price_is_unknown(provider: Provider) -> None:
    result = await moa(provider, "tok=4-a").ainvoke(QUESTION)
    assert result["record"]["cost"] is None and result["drafts"][0]["cost"] is None


@steady_time
async def test_a_refused_call_costs_zero_and_a_broken_one_is_unknown(provider: Provider) -> None:
    prices = {"openai:tok=4-a": [1.0, 1.0], "openai:tok=4-agg": [1.0, 1.0]}
    refused = await moa(provider, "tok=4-a", "err401-b", prices=prices).ainvoke(QUESTION)
    assert refused["drafts"][1]["cost"] == 0.0 and refused["record"]["cost"] is not None
    broken = await moa(provider, "tok=4-a", "hang-b", prices=prices, deadline=1.0).ainvoke(QUESTION)
    assert broken["drafts"][1]["cost"] is None and broken["record"]["cost"] is None


async def test_a_request_that_was_not_sent_costs_zero() -> None:
    """A connection refused, and a name that does not exist cannot have been billed."""
    away = [{"model": "openai:m", "base_url": f"http://{host}/v1"} for host in ("127.0.0.1:9", "nowhere.invalid")]
    good = Own(text="fine", seen=[])
    graph = create_moa(proposers=[good, *away], aggregator=good, max_attempts=1)
    drafts = (await graph.ainvoke(QUESTION))["drafts"]
    assert [draft["cost"] for draft in drafts[1:]] == [0.0, 0.0]


@steady_time
async def test_a_call_without_a_permit_costs_zero(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOA_MAX_CONCURRENCY", "1")
    limits._limiters.clear()
    waiting, good = Proposer(**spec(provider, "tok=4-a")), Own(text="fine", seen=[])
    graph = create_moa(proposers=[good, waiting], aggregator=good, deadline=0.3)
    async with limits.limiter_for(waiting).permit():
        draft = (await graph.ainvoke(QUESTION))["drafts"][1]
    limits._limiters.clear()
    assert (draft["status"], draft["attempts"], draft["cost"]) == ("failed", 0, 0.0)
    assert not provider.requests()


async def test_the_cost_that_the_provider_reports_is_used(provider: Provider) -> None:
    result = await moa(provider, "cost=0.25-tok=4", aggregator="cost=0.5-tok=4").ainvoke(QUESTION)
    assert result["record"]["cost"] == pytest.approx(0.75)


async def test_drafts_are_cut_to_a_budget_and_marked(provider: Provider) -> None:
    aggregator = Own(text="fine", seen=[])
    graph = create_moa(
        proposers=[spec(provider, "tok=400-a"), spec(provider, "tok=4-b")], aggregator=aggregator, draft_tokens=50
    )
    result = await graph.ainvoke(QUESTION)
    shown = str(aggregator.seen[0][0].content)
    long, short = (d["text"] for d in result["drafts"])
    assert long not in shown and long[:150] in shown and short in shown
    assert f"[cut here: 200 of {len(long)} characters are shown]" in shown
    # A setting asked for the cut, so nothing is missing.
    assert not result["record"]["degraded"]


async def test_drafts_fit_each_models_window(provider: Provider) -> None:
    aggregator = Own(text="fine", seen=[])
    graph = create_moa(
        proposers=[spec(provider, "huge-a"), spec(provider, "tok=4-b")],
        aggregator={"model": aggregator, "window": 8000, "max_tokens": 1000},
    )
    result = await graph.ainvoke(QUESTION)
    shown = str(aggregator.seen[0][0].content)
    assert len(result["drafts"][0]["text"]) > 2_000_000
    assert 10_000 < len(shown) < 4 * 7000 and result["drafts"][1]["text"] in shown


async def test_a_window_too_small_leaves_that_proposer_out(provider: Provider) -> None:
    long = {"messages": [{"role": "user", "content": "word " * 4000}]}
    graph = create_moa(
        proposers=[spec(provider, "tok=4-small", window=2000), spec(provider, "tok=4-large")],
        aggregator=spec(provider, "tok=4-agg"),
    )
    result = await graph.ainvoke(long)
    assert statuses(result) == ["skipped", "ok"]
    assert "the window of openai:tok=4-small is 2000" in result["record"]["unused"][0]["reason"]
    assert "tok=4-small" not in provider.stats()["models"]


async def test_a_prompt_too_long_for_all_models_is_refused_before_any_request(provider: Provider) -> None:
    long = {"messages": [{"role": "user", "content": "word " * 4000}]}
    graph = create_moa(proposers=[spec(provider, "a", window=2000)], aggregator=spec(provider, "agg"))
    with pytest.raises(InputError, match="too long"):
        await graph.ainvoke(long)
    graph = create_moa(proposers=[spec(provider, "a")], aggregator=spec(provider, "agg", window=2000))
    with pytest.raises(InputError, match="too long"):
        await graph.ainvoke(long)
    assert provider.stats()["requests"] == 0


async def test_an_overflow_the_provider_reports_cuts_the_drafts_and_asks_again(provider: Provider) -> None:
    result = await moa(provider, "tok=400-a", "tok=400-b", aggregator="overflowx2-tok=4").ainvoke(QUESTION)
    sizes = [len(request.body) for request in provider.requests("overflowx2-tok=4")]
    assert len(sizes) == 3 and sizes[0] > sizes[1] > sizes[2]
    assert result["messages"][-1].content and result["record"]["degraded"]


async def test_without_drafts_an_overflow_is_not_retried(provider: Provider) -> None:
    with pytest.raises(NotEnoughDraftsError, match="Too much of it"):
        await moa(provider, "overflowcode").ainvoke(QUESTION)
    assert provider.stats()["requests"] == 1


async def test_a_context_can_only_lower_the_limits(provider: Provider) -> None:
    graph = moa(provider, "tok=4-a")
    for context in (
        {"quorum": 2},
        {"base_url": "http://evil.example"},
        {"api_key": "x"},
        {"aggregator": "openai:other"},
    ):
        with pytest.raises(ConfigError):
            await graph.ainvoke(QUESTION, context=context)
    assert provider.stats()["requests"] == 0
