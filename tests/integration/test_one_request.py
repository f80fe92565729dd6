"""`one_request: true`: the samples of a round are one request, and still one draft, event and ledger row per slot."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from langchain_core.messages import HumanMessage

from moa_graph import Mixture, MoAContext, create_moa
from moa_graph.costs.budget import estimate
from moa_graph.costs.ledger import Ledger
from moa_graph.graph import shared
from moa_graph.mixture.context import settings
from tests.clocks import steady_time
from tests.faults.foreign import Own
from tests.provider import Provider

QUESTION: Any = {"messages": [{"role": "user", "content": "Why is the sky blue? " * 40}]}


@pytest.fixture(autouse=True)
def _forget_refusals() -> None:
    shared._separate.clear()


def mixture(provider: Provider, model: str = "tok=8-a", samples: int = 6, **fields: Any) -> Mixture:
    spec = {"model": f"openai:{model}", "base_url": provider.url, "samples": samples, "one_request": True}
    aggregator = {"model": "openai:tok=4-agg", "base_url": provider.url}
    return Mixture(proposers=[spec], aggregator=aggregator, **fields)


def apart(provider: Provider) -> Mixture:
    fields = mixture(provider).proposers[0].model_dump()
    return mixture(provider).changed(proposers=[{**fields, "one_request": False}])


def bodies(provider: Provider) -> list[dict[str, Any]]:
    return [request.json for request in provider.requests() if not request.model.endswith("agg")]


async def test_six_samples_are_billed_for_one_prompt(provider: Provider) -> None:
    one = (await create_moa(apart(provider)).ainvoke(QUESTION))["drafts"][0]["usage"]["input_tokens"]
    assert [body.get("n") for body in bodies(provider)] == [None] * 6
    provider.reset()
    events, result = [], {}
    async for mode, part in create_moa(mixture(provider)).astream(QUESTION, stream_mode=["custom", "values"]):
        if mode == "custom":
            events.append(part)
        else:
            result = part
    drafts = result["drafts"]
    assert [body.get("n") for body in bodies(provider)] == [6]
    assert [draft["status"] for draft in drafts] == ["ok"] * 6 and [draft["slot"] for draft in drafts] == [*range(6)]
    assert sum(draft["usage"]["input_tokens"] for draft in drafts) == one > 0
    assert sum(draft["usage"]["output_tokens"] for draft in drafts) == 6 * 8
    counts = Counter(event["moa"] for event in events)
    assert counts["draft"] == counts["draft_started"] == 6
    assert result["record"]["calls"] == 2 and not result["record"]["degraded"]
    assert len(result["record"]["used"]) == 6


async def test_every_round_shares_its_request_and_quorum_holds(provider: Provider) -> None:
    result = await create_moa(mixture(provider, layers=3, quorum=2)).ainvoke(QUESTION)
    assert [body.get("n") for body in bodies(provider)] == [6, 6]
    # The whole second request shows the same drafts in one order, between boundaries of one code.
    assert len(result["drafts"]) == 12 and sum(d["status"] == "ok" for d in result["drafts"]) >= 4


async def test_a_server_that_ignores_n_gets_the_other_requests(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    mine = Own(model="own", text="mine")
    moa = Mixture(
        proposers=[{"model": mine, "samples": 4, "one_request": True}],
        aggregator={"model": "openai:tok=4-agg", "base_url": provider.url},
        layers=3,
    )
    with caplog.at_level(logging.WARNING, "moa_graph.samples"):
        result = await create_moa(moa).ainvoke(QUESTION)
    assert [draft["status"] for draft in result["drafts"]] == ["ok"] * 8
    assert len(mine.seen) == 8 and len(caplog.records) == 1
    assert "1 of 4 replies came" in caplog.text


async def test_a_server_that_refuses_n_gets_one_such_request(
    provider: Provider, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(Own):
        async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            if "n" in kwargs:
                raise TypeError("create() got an unexpected keyword argument 'n'")
            return await super()._agenerate(messages, *args, **kwargs)

    moa = Mixture(
        proposers=[{"model": Refusing(model="own"), "samples": 3, "one_request": True}],
        aggregator={"model": "openai:tok=4-agg", "base_url": provider.url},
    )
    with caplog.at_level(logging.WARNING, "moa_graph.samples"):
        for _ in range(2):
            result = await create_moa(moa).ainvoke(QUESTION)
            assert [draft["status"] for draft in result["drafts"]] == ["ok"] * 3
    assert len(caplog.records) == 1 and "unexpected keyword argument 'n'" in caplog.text


async def test_a_model_of_the_responses_api_takes_no_n(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    """LangChain calls some of OpenAI's models through it, and its SDK refuses `n` there before anything is sent."""
    spec = mixture(provider, samples=3).proposers[0].model_dump()
    moa = mixture(provider).changed(proposers=[{**spec, "params": {"use_responses_api": True}}])
    with caplog.at_level(logging.WARNING, "moa_graph.samples"):
        result = await create_moa(moa).ainvoke(QUESTION)
    assert [draft["status"] for draft in result["drafts"]] == ["ok"] * 3
    assert len(caplog.records) == 1 and "unexpected keyword argument 'n'" in caplog.text


async def test_an_option_that_the_sdk_does_not_take_is_named_and_not_sent_again(provider: Provider) -> None:
    spec = {**mixture(provider).proposers[0].model_dump(), "samples": 1}
    params = {"use_responses_api": True, "frequency_penalty": 0.5}
    moa = mixture(provider).changed(proposers=[{**spec, "params": params}], min_drafts=0)
    (draft,) = (await create_moa(moa).ainvoke(QUESTION))["drafts"]
    assert (draft["status"], draft["attempts"]) == ("failed", 1)
    assert "unexpected keyword argument 'frequency_penalty'" in draft["error"] and "protocol" not in draft["error"]


async def test_a_question_that_is_refused_either_way_ends_no_shared_requests(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    graph = create_moa(mixture(provider, "err400x4-a", samples=3, min_drafts=0))
    with caplog.at_level(logging.WARNING, "moa_graph.samples"):
        for _ in range(2):
            drafts = (await graph.ainvoke(QUESTION))["drafts"]
    assert [body.get("n") for body in bodies(provider)] == [3, None, None, None, 3]
    assert {draft["status"] for draft in drafts} == {"ok"} and not caplog.records


@pytest.mark.parametrize("fault", ["err400", "err500", "empty", "hang"])
@steady_time
async def test_a_shared_request_that_fails_is_a_failed_draft_for_each_slot(provider: Provider, fault: str) -> None:
    good = {"model": "openai:tok=4-good", "base_url": provider.url}
    moa = mixture(provider, f"{fault}-a", samples=3, deadline=2.0, max_attempts=2)
    moa = moa.changed(proposers=[*moa.proposers, good])
    result = await create_moa(moa).ainvoke(QUESTION)
    drafts = result["drafts"]
    assert [draft["status"] for draft in drafts[:3]] == ["empty" if fault == "empty" else "failed"] * 3
    assert all(draft["error"] for draft in drafts[:3]) and drafts[3]["status"] == "ok"


async def test_a_stream_keeps_separate_requests(provider: Provider) -> None:
    await create_moa(mixture(provider)).ainvoke(QUESTION, context={"stream_drafts": True})
    assert [body.get("n") for body in bodies(provider)] == [None] * 6


def test_sync_callers_one_slot_at_a_time(provider: Provider) -> None:
    result = create_moa(mixture(provider)).invoke(QUESTION, {"max_concurrency": 1})
    assert [draft["status"] for draft in result["drafts"]] == ["ok"] * 6
    assert [body.get("n") for body in bodies(provider)] == [6]


@pytest.mark.parametrize("most", [1, 2, 3])
async def test_samples_that_came_and_were_not_needed_are_billed(provider: Provider, most: int) -> None:
    mine = mixture(provider, samples=4, quorum=1, prices={"openai:tok=8-a": [1.0, 1.0], "openai:tok=4-agg": [1.0, 1.0]})
    result = await create_moa(mine).ainvoke(QUESTION, {"max_concurrency": most})
    drafts, record = result["drafts"], result["record"]
    assert {draft["status"] for draft in drafts[most:]} == {"late"}
    assert sum(draft["usage"]["output_tokens"] for draft in drafts) == 4 * 8
    total = record["usage"]["input_tokens"] + record["usage"]["output_tokens"]
    assert record["cost"] == pytest.approx(total / 1e6) and record["usage"]["output_tokens"] == 4 * 8 + 4


async def test_the_ledger_has_every_slot_and_only_a_missing_one_is_requested(
    provider: Provider, tmp_path: Path
) -> None:
    async def run() -> dict[str, Any]:
        with Ledger(tmp_path / "l.db", run="r") as ledger:
            result = await create_moa(mixture(provider, layers=3), ledger=ledger).ainvoke(QUESTION)
            assert ledger.count() == 13
            return dict(result)

    first = await run()
    assert [body.get("n") for body in bodies(provider)] == [6, 6]
    again = await run()
    assert [d["text"] for d in again["drafts"]] == [d["text"] for d in first["drafts"]]
    assert again["record"]["usage"] == first["record"]["usage"] and len(bodies(provider)) == 2
    import sqlite3

    with sqlite3.connect(tmp_path / "l.db") as db:
        db.execute("DELETE FROM calls WHERE layer = 1 AND slot IN (2, 4)")
    db.close()
    provider.reset()
    await run()
    assert bodies(provider)[0]["n"] == 2


def test_the_estimate_counts_the_prompt_once(provider: Provider) -> None:
    whole = mixture(provider)
    separate = apart(provider)
    asked = [("user", "x" * 4000)]
    from langchain_core.messages import convert_to_messages

    one, six = (estimate(settings(each, None), convert_to_messages(asked)) for each in (whole, separate))
    aggregator = six.input_tokens - 6 * (six.input_tokens - one.input_tokens) // 5
    assert one.input_tokens - aggregator == (six.input_tokens - aggregator) // 6
    assert whole.hash == separate.hash


PROBLEM = quote('{"problems": ["it is wrong"]}')
APART: dict[str, tuple[dict[str, Any], int]] = {
    "shared": ({"layers": 3}, 3),
    "sees": ({"layers": 3, "sees": 2}, 8),
    "batches": ({"combine": {"name": "vote", "batch": 2, "stop": False}}, 3),
    "repairs": ({"combine": {"name": "verify", "check": lambda messages, text: False, "repairs": 1}}, 8),
    "revisions": ({"combine": {"name": "critique", "reviewers": [f"openai:say={PROBLEM}-r"]}}, 14),
    "streamed": ({}, 7),
}
"""Mixtures with the requests of a run. Samples that are shown different texts share none."""


@pytest.mark.parametrize("way", APART)
async def test_the_estimate_counts_the_prompt_of_every_request(
    provider: Provider, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    fields, requests = APART[way]
    mine = mixture(provider, "say=four-a", **fields)
    context = MoAContext(stream_drafts=way == "streamed")
    question = [HumanMessage("Why is the sky blue? " * 2_000)]
    expected = estimate(settings(mine, context), question, answer_tokens=1)
    used = (await create_moa(mine).ainvoke({"messages": question}, context=context))["record"]["usage"]
    assert len(provider.requests()) == requests
    assert expected.input_tokens == pytest.approx(used["input_tokens"], rel=0.1)
