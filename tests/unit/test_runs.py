"""Whole runs on in-process fakes: quorum, grace, retries, deadlines, caps, hedges, streams, layers, fallbacks."""

from __future__ import annotations

import time
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from moa_graph import BudgetError, DeadlineError, Mixture, NotEnoughDraftsError
from tests.clocks import virtual_time
from tests.fakes import Came, Fake, ServerFault, came, fake

SLOW = 0.6
"""Seconds of a slow fake. All tests that use it run on virtual time."""


def soon(status: int = 503) -> ServerFault:
    """A fault that can be retried at once."""
    return ServerFault(status, headers={"retry-after": "0"})


def mixture(*proposers: Fake, **fields: Any) -> dict[str, Any]:
    return {"proposers": [*proposers], "aggregator": fake("z"), **fields}


def text_of(run: Came, kind: str) -> str:
    """The text of the token events of one kind."""
    return "".join(event["text"] for event in run.events if event["moa"] == kind)


@virtual_time
async def test_the_quorum_closes_the_round_and_cancels_the_rest() -> None:
    slow, z = fake("slow", delay=30 * SLOW), fake("z")
    run = await came(mixture(fake("a"), fake("b"), slow, aggregator=z, quorum=2))
    assert run.statuses == ["ok", "ok", "late"]
    assert run.seconds < 30 * SLOW and slow.sent[0].cancelled
    assert "I am slow" not in z.sent[0].text and "I am b." in z.sent[0].text
    assert run.kinds().count("quorum") == 1
    assert "2 other drafts" in run.result["drafts"][2]["error"]


@virtual_time
async def test_a_failed_draft_does_not_count_towards_the_quorum() -> None:
    run = await came(mixture(fake("bad", ServerFault(400)), fake("a"), fake("b", delay=SLOW / 4), quorum=2))
    assert run.statuses == ["failed", "ok", "ok"]


@virtual_time
async def test_grace_keeps_the_round_open_for_a_little() -> None:
    soonish, never = fake("soonish", delay=SLOW / 3), fake("never", delay=30 * SLOW)
    run = await came(mixture(fake("a"), soonish, never, quorum=1, grace=SLOW))
    assert run.statuses == ["ok", "ok", "late"]


@virtual_time
async def test_a_fault_that_may_pass_is_retried_and_another_is_not() -> None:
    busy, wrong = fake("busy", soon(), soon(429), "at last"), fake("wrong", ServerFault(400, "no such model"))
    run = await came(mixture(busy, wrong))
    assert [len(each.sent) for each in (busy, wrong)] == [3, 1]
    assert [draft["attempts"] for draft in run.result["drafts"]] == [3, 1]
    assert run.statuses == ["ok", "failed"] and "no such model" in run.result["drafts"][1]["error"]
    assert run.result["record"]["degraded"]


@virtual_time
async def test_a_clock_that_is_set_back_changes_no_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    now, true_time = time.time(), time.time
    monkeypatch.setattr(time, "time", lambda: now - 100 * (true_time() - now))
    run = await came(mixture(fake("a", delay=0.05)))
    assert 0.05 <= run.result["record"]["seconds"] <= run.seconds
    assert all(0.05 <= draft["seconds"] <= run.seconds for draft in run.result["drafts"])


@virtual_time
async def test_the_last_attempt_is_the_last() -> None:
    busy = fake("busy", soon())
    run = await came(mixture(busy, fake("a"), max_attempts=2))
    assert len(busy.sent) == 2 and run.statuses == ["failed", "ok"]


@virtual_time
async def test_a_providers_own_wait_is_kept() -> None:
    busy = fake("busy", ServerFault(503, headers={"retry-after": "0.5"}), "now")
    await came(mixture(busy))
    assert busy.sent[1].at - busy.sent[0].at >= 0.5


async def test_without_enough_drafts_the_error_carries_all_of_them() -> None:
    run = await came(mixture(fake("bad", ServerFault(400, "first reason")), fake("a"), min_drafts=2))
    assert isinstance(run.error, NotEnoughDraftsError)
    assert run.statuses == ["failed", "ok"] and "first reason" in str(run.error)


@virtual_time
async def test_a_call_ends_at_its_deadline_and_the_run_goes_on() -> None:
    slow = fake("slow", delay=30 * SLOW)
    run = await came(mixture(slow, fake("a"), deadline=0.2))
    assert run.statuses == ["failed", "ok"] and slow.sent[0].cancelled
    assert "0.2 s" in run.result["drafts"][0]["error"]


@virtual_time
async def test_the_runs_deadline_ends_it_with_its_drafts() -> None:
    z = fake("z", delay=30 * SLOW)
    run = await came(mixture(fake("a"), aggregator=z, run_deadline=0.5))
    assert isinstance(run.error, DeadlineError) and run.statuses == ["ok"] and run.seconds < 10 * SLOW


@virtual_time
async def test_a_run_without_time_for_its_fallbacks_says_so() -> None:
    z, y = fake("z", delay=30 * SLOW), fake("y", delay=30 * SLOW)
    run = await came(mixture(fake("a"), aggregator=z, fallbacks=[y], run_deadline=0.5))
    assert isinstance(run.error, DeadlineError) and [len(each.sent) for each in (z, y)] == [1, 1]


@virtual_time
async def test_a_round_leaves_time_for_the_layers_after_it() -> None:
    run = await came(mixture(fake("a"), fake("slow", delay=30 * SLOW), run_deadline=1.5))
    assert run.statuses == ["ok", "late"] and run.answer == "I am z."


@virtual_time
async def test_a_round_without_enough_drafts_stays_open() -> None:
    run = await came(mixture(fake("a"), fake("b", delay=SLOW), run_deadline=1.5 * SLOW, min_drafts=2))
    assert run.statuses == ["ok", "ok"]


async def test_a_cap_on_calls_ends_the_run_before_any_request() -> None:
    a = fake("a")
    run = await came(mixture(a, fake("b"), layers=3, max_calls=2))
    assert isinstance(run.error, BudgetError) and not a.sent and "Nothing was sent" in str(run.error)


async def test_a_cap_on_cost_ends_the_run_between_rounds() -> None:
    prices = {"Fake:a": [1.0, 1.0], "Fake:z": [1.0, 1.0]}
    a = fake("a", usage=(500_000, 500_000))
    run = await came(mixture(a, layers=3, prices=prices, max_cost=0.5))
    assert isinstance(run.error, BudgetError) and len(a.sent) == 1 and run.statuses == ["ok"]


async def test_an_unknown_price_makes_the_cost_unknown() -> None:
    priced = {"Fake:a": [1.0, 2.0], "Fake:z": [1.0, 2.0]}
    a, b, z = (fake(name, usage=(1_000_000, 500_000)) for name in "abz")
    run = await came(mixture(a, aggregator=z, prices=priced))
    assert run.result["record"]["cost"] == pytest.approx(4.0)
    run = await came(mixture(a, b, aggregator=z, prices=priced))
    assert [draft["cost"] for draft in run.result["drafts"]] == [pytest.approx(2.0), None]
    assert run.result["record"]["cost"] is None


@virtual_time
async def test_a_hedge_takes_the_first_answer_and_cancels_the_other() -> None:
    slow = fake("slow", delay=SLOW)
    run = await came(mixture(slow, hedge=0.1))
    first, second = slow.sent
    # The hedge is timed from the start of the call, which is a little before its request.
    assert second.at - first.at >= 0.05
    assert second.cancelled and not first.cancelled
    assert run.result["drafts"][0]["attempts"] == 2
    quick = fake("quick")
    await came(mixture(quick, hedge=0.1))
    assert len(quick.sent) == 1


@virtual_time
async def test_a_streamed_draft_is_not_hedged() -> None:
    slow = fake("slow", delay=SLOW)
    await came(mixture(slow, hedge=0.1), {"stream_drafts": True})
    assert len(slow.sent) == 1


async def test_tokens_add_up_to_the_drafts_and_the_answer() -> None:
    a, z = fake("a", "one two three"), fake("z", "four five six")
    run = await came(mixture(a, aggregator=z), {"stream_drafts": True, "stream_answer": True})
    assert text_of(run, "draft_token") == "one two three" == run.result["drafts"][0]["text"]
    assert text_of(run, "answer_token") == "four five six" == run.answer
    assert a.sent[0].streamed and z.sent[0].streamed
    quiet = await came(mixture(a, aggregator=z))
    assert not {"draft_token", "answer_token"} & set(quiet.kinds())
    assert not a.sent[-1].streamed and not z.sent[-1].streamed


async def test_events_come_in_the_order_of_the_run() -> None:
    run = await came(mixture(fake("a"), layers=3))
    assert run.kinds() == [
        *("round_started", "draft_started", "draft") * 2,
        "aggregating",
        "finished",
    ]


async def test_a_later_round_and_the_answer_see_the_drafts_before_them_only() -> None:
    a, z = fake("a", "first text", "second text"), fake("z")
    await came(mixture(a, aggregator=z, layers=3))
    assert "first text" not in a.sent[0].text and "first text" in a.sent[1].text
    assert "second text" in z.sent[0].text and "first text" not in z.sent[0].text


async def test_ten_layers_run_to_their_end() -> None:
    a = fake("a")
    run = await came(mixture(a, layers=10))
    assert len(a.sent) == 9 and run.answer == "I am z."
    assert run.result["record"]["layers"] == 10 and run.result["record"]["calls"] == 10


async def test_a_fallback_answers_and_the_record_says_so() -> None:
    run = await came(mixture(fake("a"), aggregator=fake("z", ServerFault(400)), fallbacks=[fake("y")]))
    record = run.result["record"]
    assert run.answer == "I am y." and record["fallback"] == "Fake:y" and record["degraded"]


async def test_the_best_draft_is_the_answer_when_all_aggregators_fail() -> None:
    a, b = fake("a", "the sky is blue"), fake("b", "bananas are yellow, and much longer than this")
    c = fake("c", "the sky looks blue")
    run = await came(mixture(a, b, c, aggregator=fake("z", ServerFault(400)), on_failure="best_draft"))
    record = run.result["record"]
    assert run.answer == "the sky looks blue" and record["status"] == "best_draft"
    assert record["medoid"]["slot"] == 2 and 0 < record["agreement"] < 1


async def test_usage_is_the_sum_over_all_calls_reasoning_included() -> None:
    def said(text: str) -> AIMessage:
        details = {"output_token_details": {"reasoning": 3}, "input_token_details": {"cache_read": 2}}
        counts = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        return AIMessage(text, usage_metadata={**counts, **details})  # type: ignore[typeddict-item]

    run = await came(mixture(fake("a", said("a")), fake("b", said("b")), aggregator=fake("z", said("z"))))
    usage = run.result["record"]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["reasoning_tokens"]) == (30, 15, 9)
    assert usage["cache_read_tokens"] == 6


@virtual_time
async def test_seven_overrides_at_once() -> None:
    a, b, z, y = fake("a"), fake("b", delay=SLOW), fake("z"), fake("y")
    whole = mixture(a, b, aggregator=z, fallbacks=[y])
    context = {
        "layers": 3,
        "prompt": "paper",
        "system": "Be kind.",
        "aggregator": "Fake:y",
        "temperature": 0.25,
        "max_tokens": 9,
        "quorum": 1,
    }
    run = await came(whole, context)
    assert len(a.sent) == 2 and run.answer == "I am y." and not z.sent
    assert run.statuses == ["ok", "late", "ok", "late"]
    assert all(sent.temperature == 0.25 and sent.max_tokens == 9 for each in (a, y) for sent in each.sent)
    assert all("Be kind." in sent.text for each in (a, y) for sent in each.sent)
    assert "1. I am a." in y.sent[0].text and run.result["record"]["prompt"] == "paper"
    assert Mixture(**whole).layers == 2


@pytest.mark.parametrize("seed", range(3))
@virtual_time
async def test_drafts_are_in_slot_order(seed: int) -> None:
    names = ["a", "b", "c"]
    fakes = [fake(name, delay=0.05 * ((place + seed) % 3)) for place, name in enumerate(names)]
    run = await came(mixture(*fakes))
    assert [draft["text"] for draft in run.result["drafts"]] == [f"I am {name}." for name in names]


def cut(text: str) -> AIMessage:
    """A reply that ended at its token limit."""
    return AIMessage(text, response_metadata={"finish_reason": "length"})


async def test_a_truncated_draft_counts() -> None:
    z = fake("z")
    run = await came(mixture(fake("a", cut("half a dra")), aggregator=z))
    assert run.statuses == ["truncated"] and "half a dra" in z.sent[0].text
    assert [slot["slot"] for slot in run.result["record"]["used"]] == [0] and not run.result["record"]["degraded"]


async def test_a_whole_draft_is_preferred_to_a_truncated_one() -> None:
    drafts = fake("a", cut("red green blue")), fake("b", cut("red green blue pink")), fake("c", "grey")
    down = fake("z", ServerFault(400))
    run = await came(mixture(*drafts, aggregator=down, on_failure="best_draft", max_attempts=1))
    assert run.answer == "grey" and run.result["record"]["status"] == "best_draft"
