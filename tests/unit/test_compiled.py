"""What `create_moa` passes to LangGraph's compiler, and how ChatMoA takes LangChain's switches."""

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

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
