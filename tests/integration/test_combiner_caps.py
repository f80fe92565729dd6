"""Caps and combiners: what is refused before any request, and that a run that fits its caps is not cut short."""

from typing import Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel

from moa_graph import BudgetError, ChatMoA, Mixture, create_moa
from tests.provider import Provider

ANALYSIS = quote('{"consensus": ["x"]}')
YES, NO = quote('{"answer": "yes"}'), quote('{"answer": "no"}')


class Sum(BaseModel):
    """The sum."""

    n: int


def add(a: int, b: int) -> int:
    """Return the sum of two numbers."""
    return a + b


def spec(provider: Provider, name: str, **fields: Any) -> dict[str, Any]:
    return {"model": f"openai:{name}", "base_url": provider.url, **fields}


def mixture(provider: Provider, *drafts: str, combine: Any, **fields: Any) -> Mixture:
    proposers = [spec(provider, f"say={quote(text)}-p{place}") for place, text in enumerate(drafts)]
    return Mixture(proposers=proposers, aggregator=spec(provider, "tok=5-agg"), combine=combine, **fields)


def gated(provider: Provider, gate: str, **options: Any) -> dict[str, Any]:
    strong = [spec(provider, "tok=4-strong")]
    if options.get("agree") == "model":
        options["comparator"] = spec(provider, f"say={NO}-comparator")
    return {"name": "escalate", "strong": strong, "gate": {"model": spec(provider, f"say={gate}-gate")}, **options}


@pytest.mark.parametrize("options", [{}, {"finish": "synthesize"}, {"agree": "model"}])
async def test_after_a_gate_the_planned_calls_are_enough_for_the_strong_round(
    provider: Provider, options: dict[str, Any]
) -> None:
    mine = mixture(provider, "4", "5", combine=gated(provider, YES, **options))
    result = await create_moa(mine).ainvoke({"messages": "q"}, context={"max_calls": mine.calls()})
    record = result["record"]
    assert not record["degraded"] and record["decision"]["escalated"]
    assert record["calls"] == provider.stats()["requests"] == mine.calls()


@pytest.mark.parametrize("cap", [2, 3])
async def test_a_gate_is_left_out_where_the_round_after_it_would_exceed_the_cap(provider: Provider, cap: int) -> None:
    mine = mixture(provider, "4", "4", combine=gated(provider, YES))
    record = (await create_moa(mine).ainvoke({"messages": "q"}, context={"max_calls": cap}))["record"]
    assert record["calls"] == provider.stats()["requests"] == cap
    assert [reason[:5] for reason in record["degraded_reasons"]] == ["gate:"] * (cap == 2)
    with pytest.raises(BudgetError, match="Nothing was sent"):
        await create_moa(mine).ainvoke({"messages": "q"}, context={"max_calls": 1})
    assert provider.stats()["requests"] == cap


def priced(mine: Mixture, **dollars: float) -> dict[str, list[float]]:
    """Prices of a dollar for each million of tokens, except for models whose names end in one of `dollars`."""
    found: dict[str, list[float]] = {}
    for each in mine.specs:
        price = next((value for name, value in dollars.items() if each.label.endswith(name)), 1.0)
        found[each.label] = [price, price]
    return found


@pytest.mark.parametrize("gate", [YES, NO])
async def test_a_cap_on_cost_holds_for_the_round_after_a_gate(provider: Provider, gate: str) -> None:
    mine = mixture(provider, "4", "4", combine=gated(provider, gate))
    mine = mine.changed(prices=priced(mine, p0=1_000.0, p1=1_000.0), max_cost=0.1)
    with pytest.raises(BudgetError, match="Nothing was sent"):
        await create_moa(mine).ainvoke({"messages": "q"})
    assert provider.stats()["requests"] == 0


async def test_a_gate_is_left_out_where_the_aggregator_alone_would_exceed_the_cap(provider: Provider) -> None:
    mine = mixture(provider, "4", "4", combine=gated(provider, NO))
    mine = mine.changed(prices=priced(mine, agg=1_000.0), max_cost=0.1)
    result = await create_moa(mine).ainvoke({"messages": "q"})
    assert result["messages"][-1].text == "4" and provider.stats()["requests"] == 2
    assert ["gate: max_cost" in reason for reason in result["record"]["degraded_reasons"]] == [True]


VERBATIM: dict[str, tuple[Any, int]] = {
    "vote": ("vote", 0),
    "select": ({"name": "select"}, 3),
    "verify": ({"name": "verify", "check": lambda messages, text: True}, 0),
    "analyze": ({"name": "analyze", "answer": "none"}, 3),
}
"""Combiners that plan no call of the aggregator's, with the requests under a cap of one call less than they take."""


@pytest.mark.parametrize("name", VERBATIM)
@pytest.mark.parametrize("structured", [True, False])
async def test_the_call_that_bound_tools_and_formats_take_is_reserved(
    provider: Provider, name: str, *, structured: bool
) -> None:
    combine, sent = VERBATIM[name]
    planned = mixture(provider, "4", "4", combine=combine).calls(least=True)
    for cap in (planned, planned + 1):
        provider.reset()
        model = ChatMoA(mixture(provider, "4", "4", combine=combine, max_calls=cap))
        bound: Any = model.with_structured_output(Sum) if structured else model.bind_tools([add])
        if cap == planned and not sent:
            with pytest.raises(BudgetError, match="Nothing was sent"):
                await bound.ainvoke("What is 2 + 2?")
            assert provider.stats()["requests"] == 0
            continue
        answer = await bound.ainvoke("What is 2 + 2?")
        assert isinstance(answer, Sum) if structured else answer.tool_calls[0]["name"] == "add"
        assert provider.stats()["requests"] == (sent if cap == planned else cap)


@pytest.mark.parametrize("streamed", [True, False])
async def test_tools_and_formats_are_followed_where_an_analysis_would_be_the_answer(
    provider: Provider, *, streamed: bool
) -> None:
    combine = {"name": "analyze", "answer": "none", "analyst": spec(provider, f"say={ANALYSIS}")}
    model = ChatMoA(mixture(provider, "4", "5", combine=combine))
    for bound in (model.bind_tools([add]), model.with_structured_output(Sum)):
        answers = [chunk async for chunk in bound.astream("2 + 2?")] if streamed else [await bound.ainvoke("2 + 2?")]
        assert any(isinstance(each, Sum) or each.tool_calls for each in answers)
    writer = [request for request in provider.requests() if request.model == "tok=5-agg"]
    assert all("consensus" in str(request.messages) for request in writer)
    assert "consensus" in (await model.ainvoke("2 + 2?")).text


@pytest.mark.parametrize(("quorum", "batch"), [(2, 1), (2, 2), (3, 2), (4, 3)])
async def test_a_quorum_closes_a_vote_in_batches(provider: Provider, quorum: int, batch: int) -> None:
    combine = {"name": "vote", "batch": batch}
    mine = mixture(provider, *map(str, range(6)), combine=combine, quorum=quorum)
    result = await create_moa(mine).ainvoke({"messages": "q"})
    called = -(-quorum // batch) * batch
    # Of the last batch some may be cancelled before their request.
    assert len(result["drafts"]) == called and quorum <= provider.stats()["requests"] <= called
    assert result["record"]["decision"]["read"] >= quorum


async def test_a_cap_on_cost_holds_for_tools_before_anything_is_sent(provider: Provider) -> None:
    mine = mixture(provider, "4", "5", combine="synthesize")
    mine = mine.changed(prices=priced(mine), max_cost=0.02)
    tools = [{"type": "function", "function": {"name": f"f{n}", "description": "words " * 700}} for n in range(10)]
    with pytest.raises(BudgetError, match="Nothing was sent"):
        await ChatMoA(mine).bind_tools(tools).ainvoke("What is 2 + 2?")
    assert provider.stats()["requests"] == 0
