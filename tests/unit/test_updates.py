"""Updates of the state: replaced conversations, and errors that LangGraph's server answers with their reason."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import InvalidUpdateError
from langgraph.types import Command, Overwrite, Send

from moa_graph import InputError, create_moa
from tests.fakes import Fake, fake

CONFIG: Any = {"configurable": {"thread_id": "1"}}
TURN = {"role": "user", "content": "new"}
REPLACED: dict[str, Any] = {
    "messages": Overwrite([HumanMessage("new")]),
    "dicts": Overwrite([TURN]),
    "text": Overwrite("new"),
    "dicts as JSON": {"__overwrite__": [TURN]},
    "an Overwrite as JSON": {"value": [TURN], "type": "__overwrite__"},
}


def graph_of(proposer: Fake, **options: Any) -> Any:
    return create_moa(proposers=[proposer], aggregator=fake("z"), checkpointer=InMemorySaver(), **options)


@pytest.mark.parametrize("history", ["whole", "delta"])
@pytest.mark.parametrize("form", REPLACED)
async def test_a_conversation_is_replaced_in_every_form_that_langgraph_takes(form: str, history: str) -> None:
    proposer = fake("a")
    graph = graph_of(proposer, history=history)
    await graph.ainvoke({"messages": "old"}, CONFIG)
    result = await graph.ainvoke({"messages": REPLACED[form]}, CONFIG)
    assert [message.content for message in result["messages"]] == ["new", "I am z."]
    assert [message.content for message in proposer.sent[-1].messages] == ["new"]


def test_a_conversation_is_replaced_while_a_run_is_paused() -> None:
    graph = graph_of(fake("a"))
    graph.invoke({"messages": "old"}, CONFIG, interrupt_after=["gather"])
    graph.update_state(CONFIG, {"messages": REPLACED["dicts as JSON"]})
    assert [message.content for message in graph.invoke(None, CONFIG)["messages"]] == ["new", "I am z."]


async def test_a_malformed_replacement_is_refused() -> None:
    graph = graph_of(proposer := fake("a"))
    with pytest.raises(InputError, match=r"messages\[0\]\.role: missing"):
        await graph.ainvoke({"messages": {"__overwrite__": [{"content": "new"}]}}, CONFIG)
    assert not proposer.sent


@pytest.mark.parametrize("update", [{"drafts": [{"layer": 1}]}, {"messages": [{"content": "q"}]}], ids=str)
def test_a_refused_edit_is_an_error_of_langgraphs_and_of_ours(update: dict[str, Any]) -> None:
    """The Agent Server answers LangGraph's error with 400 and the reason, and others with 500 and none."""
    graph = graph_of(fake("a"))
    graph.invoke({"messages": "q"}, CONFIG, interrupt_after=["gather"])
    with pytest.raises(InvalidUpdateError) as caught:
        graph.update_state(CONFIG, update)
    error = caught.value
    assert isinstance(error, InputError) and type(error).__name__ == "InputError"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("node", ["begin", "gather"])
def test_a_new_thread_cannot_be_updated_as_a_step_of_a_run(node: str) -> None:
    graph = graph_of(fake("a"))
    with pytest.raises(InputError, match="no run has begun in this thread"):
        graph.update_state(CONFIG, {"messages": [HumanMessage("q")]}, as_node=node)
    graph.update_state(CONFIG, {"messages": [HumanMessage("q")]}, as_node="__start__")
    assert graph.invoke(None, CONFIG)["messages"][-1].content == "I am z."


@pytest.mark.parametrize("node", ["gather", "aggregate"])
async def test_a_new_thread_cannot_go_to_a_step_of_a_run(node: str) -> None:
    command: Any = Command(goto=node, update={"messages": [HumanMessage("q")]})
    with pytest.raises(InputError, match="no run has begun in this thread"):
        await graph_of(fake("a")).ainvoke(command, CONFIG)


@pytest.mark.parametrize(
    ("goto", "reason"),
    [
        ("p0-a", r"state\.next: p0-a does not run in layer 2"),
        (Send("p0-a", {"a": 1}), r"state\.messages: missing"),
        (Send("gather", 5), r"state\.messages: missing"),
    ],
    ids=str,
)
@pytest.mark.parametrize("sync", [False, True])
async def test_a_proposer_that_a_person_calls_out_of_its_layer_is_refused(
    goto: Any, reason: str, *, sync: bool
) -> None:
    graph = graph_of(proposer := fake("a"))
    await graph.ainvoke({"messages": "q"}, CONFIG)
    with pytest.raises(InputError, match=reason):
        graph.invoke(Command(goto=goto), CONFIG) if sync else await graph.ainvoke(Command(goto=goto), CONFIG)
    assert len(proposer.sent) == 1
