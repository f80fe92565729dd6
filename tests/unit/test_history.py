"""Threads whose checkpoints hold each message once (`history="delta"`): the same state, with far fewer bytes."""

from typing import Any

from langchain_core.messages import HumanMessage, RemoveMessage
from langgraph.checkpoint.memory import InMemorySaver

from moa_graph import create_moa
from tests.fakes import fake

CONFIG: Any = {"configurable": {"thread_id": "1"}}
TEXT = "word " * 20


def graph(history: Any, saver: Any) -> Any:
    return create_moa(proposers=[fake("p", TEXT)], aggregator=fake("a", TEXT), checkpointer=saver, history=history)


def texts(state: Any) -> list[str]:
    return [str(message.content) for message in state.values["messages"]]


async def test_both_ways_give_the_same_thread() -> None:
    found = {}
    for history in ("whole", "delta"):
        moa = graph(history, InMemorySaver())
        for turn in range(4):
            await moa.ainvoke({"messages": [{"role": "user", "content": f"turn {turn}"}]}, CONFIG)
        third = (await moa.aget_state(CONFIG)).values["messages"][2]
        await moa.aupdate_state(CONFIG, {"messages": [RemoveMessage(id=third.id)]}, as_node="aggregate")
        await moa.ainvoke({"messages": HumanMessage("turn 4", id="own")}, CONFIG)
        found[history] = texts(await moa.aget_state(CONFIG))
    assert found["delta"] == found["whole"] and len(found["delta"]) == 9
    assert "turn 1" not in found["delta"] and found["delta"][-2] == "turn 4"


async def test_message_ids_stay_the_same_when_a_thread_is_read_again() -> None:
    saver = InMemorySaver()
    for turn in range(3):
        await graph("delta", saver).ainvoke({"messages": f"turn {turn}"}, CONFIG)
    once, again = [
        [m.id for m in (await graph("delta", saver).aget_state(CONFIG)).values["messages"]] for _ in range(2)
    ]
    assert once == again and len(set(once)) == 6


async def test_half_a_character_in_a_question_does_not_end_a_thread() -> None:
    for history in ("whole", "delta"):
        moa = graph(history, InMemorySaver())
        for turn in range(2):
            await moa.ainvoke({"messages": f"half \ud83d {turn}"}, CONFIG)
        assert texts(await moa.aget_state(CONFIG))[1::2] == [TEXT.strip()] * 2


async def test_a_thread_can_be_forked() -> None:
    moa = graph("delta", InMemorySaver())
    for turn in range(3):
        await moa.ainvoke({"messages": f"turn {turn}"}, CONFIG)
    ends = [state async for state in moa.aget_state_history(CONFIG) if not state.next]
    older = ends[-1]
    assert texts(older) == ["turn 0", TEXT.strip()]
    await moa.ainvoke({"messages": "another turn"}, older.config)
    assert texts(await moa.aget_state(CONFIG))[::2] == ["turn 0", "another turn"]


async def test_a_thread_begun_whole_goes_on_with_deltas() -> None:
    saver = InMemorySaver()
    await graph("whole", saver).ainvoke({"messages": "turn 0"}, CONFIG)
    await graph("delta", saver).ainvoke({"messages": "turn 1"}, CONFIG)
    await graph("delta", saver).ainvoke({"messages": "turn 2"}, CONFIG)
    assert texts(await graph("delta", saver).aget_state(CONFIG))[::2] == ["turn 0", "turn 1", "turn 2"]
