"""What `create_moa` passes to LangGraph's compiler, and how ChatMoA takes LangChain's switches."""

import inspect
import socket
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph

from moa_graph import ChatMoA, create_moa
from tests.faults.foreign import Own


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
async def test_v3_event_streams_carry_the_custom_events() -> None:
    graph = create_moa(proposers=[Own()], aggregator=Own())
    stream: Any = await graph.astream_events({"messages": "hi"}, version="v3")
    kinds = [event["moa"] async for event in stream.custom]
    assert kinds == ["round_started", "draft_started", "draft", "aggregating", "finished"]


async def test_a_graph_pauses_at_the_given_nodes() -> None:
    graph = create_moa(
        proposers=[Own()], aggregator=Own(), checkpointer=InMemorySaver(), interrupt_before=["aggregate"]
    )
    config: Any = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke({"messages": "hi"}, config)
    assert (await graph.aget_state(config)).next == ("aggregate",)
    assert (await graph.ainvoke(None, config))["messages"][-1].content == Own().text


@pytest.mark.parametrize("switch", [{"disable_streaming": True}, {"streaming": False}])
async def test_a_model_that_must_not_stream_answers_in_one_piece(switch: dict[str, Any]) -> None:
    model = ChatMoA(proposers=[Own()], aggregator=Own(), **switch)
    assert "".join(str(chunk.content) for chunk in model.stream("hi")) == Own().text
    assert "".join([str(chunk.content) async for chunk in model.astream("hi")]) == Own().text


def test_a_notebook_shows_the_graph_without_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of the graph too; it stays a compiled LangGraph graph for whoever asks."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the display of a graph used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    graph = create_moa(proposers=[Own(), Own()], aggregator=Own(), combine="select")
    for each in (graph, graph.with_config(tags=["mine"]), graph.copy({"name": "other"})):
        assert isinstance(each, CompiledStateGraph)
        shown = each._repr_mimebundle_()
        assert set(shown) == {"text/plain", "text/markdown"}
        assert shown["text/markdown"].startswith("```mermaid\n") and shown["text/markdown"].endswith("```\n")
        for name in ("begin", "p0", "p1", "judge-0", "gather", "aggregate"):
            assert name in shown["text/markdown"] and name in shown["text/plain"], name


@pytest.mark.parametrize("method", ["invoke", "ainvoke", "stream", "astream"])
def test_programs_find_the_arguments_of_langgraphs_methods(method: str) -> None:
    """Some look whether the installed LangGraph takes `durability`, `subgraphs` or `stream_mode`."""
    graph = create_moa(proposers=[Own()], aggregator=Own())
    for each in (graph, graph.with_config(tags=["mine"])):
        found = list(inspect.signature(getattr(each, method)).parameters)
        assert found == list(inspect.signature(getattr(CompiledStateGraph, method)).parameters)[1:]
        assert {"stream_mode", "durability", "context"} <= set(found)
