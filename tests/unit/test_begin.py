"""What `begin` refuses before any request, although LangGraph notices it when models have been paid."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from moa_graph import ConfigError, InputError, create_moa
from tests.fakes import fake

COMBINERS: list[Any] = [
    "synthesize",
    "select",
    "analyze",
    "vote",
    pytest.param({"name": "vote", "batch": 2}, id="vote in batches"),
    pytest.param({"name": "vote", "batch": 1, "stop": False}, id="vote one by one"),
    "critique",
    pytest.param({"name": "verify", "check": lambda question, text: True}, id="verify"),
    pytest.param({"name": "escalate", "strong": [fake("s")]}, id="escalate"),
]
CONFIG: Any = {"configurable": {"thread_id": "1"}}


class Opaque:
    """A value that no serializer knows."""


@pytest.mark.parametrize("combine", COMBINERS)
@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("quorum", [None, 1])
async def test_a_limit_of_steps_is_refused_exactly_when_it_ends_every_run(
    combine: Any, layers: int, quorum: int | None
) -> None:
    name = combine if isinstance(combine, str) else combine["name"]
    if name == "escalate" and layers != 2:
        pytest.skip("escalate has two layers")
    proposers = [fake(name, "the answer is: 4") for name in "abc"]
    graph = create_moa(proposers=proposers, aggregator=fake("z"), layers=layers, combine=combine, quorum=quorum)
    outcomes = []
    for limit in range(1, 15):
        try:
            await graph.ainvoke({"messages": "q"}, {"recursion_limit": limit})
        except ConfigError as error:
            assert f"recursion_limit: {limit} steps are too few" in str(error)
            assert not any(proposer.sent for proposer in proposers)
            outcomes.append("refused")
        else:
            outcomes.append("answered")
            break
    assert outcomes[-1] == "answered" and len(outcomes) > 1


async def test_a_surrounding_graphs_limit_is_named_before_anything_is_paid() -> None:
    proposer = fake("a")
    moa: Any = create_moa(proposers=[proposer], aggregator=fake("z"), layers=6, output="answer")
    parent = StateGraph(MessagesState).add_node("moa", moa).add_edge(START, "moa").compile()
    with pytest.raises(ConfigError, match="this run takes at least 13"):
        await parent.ainvoke({"messages": [HumanMessage("q")]}, {"recursion_limit": 12})
    assert not proposer.sent
    result = await parent.ainvoke({"messages": [HumanMessage("q")]}, {"recursion_limit": 13})
    assert result["messages"][-1].content == "I am z."


UNSAVED: dict[str, list[Any]] = {
    r"messages\[0\]\.additional_kwargs": [HumanMessage("q", additional_kwargs={"raw": Opaque()})],
    r"messages\[0\]\.content": [HumanMessage([{"type": "text", "text": "q", "raw": Opaque()}])],
    r"messages\[2\]\.artifact": [
        HumanMessage("q"),
        AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
        ToolMessage("r", tool_call_id="1", artifact=Opaque()),
    ],
    r"messages\[1\]\.tool_calls": [
        HumanMessage("q"),
        AIMessage("", tool_calls=[{"name": "f", "args": {"n": 2**70}, "id": "1"}]),
        ToolMessage("r", tool_call_id="1"),
    ],
}


@pytest.mark.parametrize("place", UNSAVED)
@pytest.mark.parametrize("durability", ["async", "exit"])
async def test_a_message_that_a_checkpointer_cannot_save_is_refused(place: str, durability: Any) -> None:
    proposer = fake("a")
    graph = create_moa(proposers=[proposer], aggregator=fake("z"), checkpointer=InMemorySaver())
    with pytest.raises(InputError, match=rf"^{place}: the checkpointer cannot save it"):
        await graph.ainvoke({"messages": UNSAVED[place]}, CONFIG, durability=durability)
    assert not proposer.sent


@pytest.mark.parametrize("place", UNSAVED)
async def test_without_a_checkpointer_it_is_answered(place: str) -> None:
    graph = create_moa(proposers=[fake("a")], aggregator=fake("z"))
    assert (await graph.ainvoke({"messages": UNSAVED[place]}))["messages"][-1].content == "I am z."


@pytest.mark.parametrize("saves", [True, False])
async def test_a_surrounding_graphs_checkpointer_counts_unless_the_graph_does_not_save(saves: bool) -> None:
    proposer = fake("a")
    moa = create_moa(proposers=[proposer], aggregator=fake("z"), checkpointer=None if saves else False)

    async def node(state: MessagesState) -> dict[str, Any]:
        asked: Any = UNSAVED[r"messages\[2\]\.artifact"]
        return {"messages": (await moa.ainvoke({"messages": asked}))["messages"][-1:]}

    parent = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile(InMemorySaver())
    asked: Any = {"messages": [HumanMessage("q")]}
    if saves:
        with pytest.raises(InputError, match="artifact: the checkpointer cannot save it"):
            await parent.ainvoke(asked, CONFIG)
        assert not proposer.sent
    else:
        assert (await parent.ainvoke(asked, CONFIG))["messages"][-1].content == "I am z."
