"""Python clients of `langgraph dev`: LangGraph's SDK, RemoteGraph, A2A."""

import collections
import os
import uuid

import httpx
from _run import ANSWER, ASK, main

URL = os.environ["LANGGRAPH_URL"]
INPUT = {"messages": ASK}
EVENTS = {"round_started": 1, "draft": 3, "aggregating": 1, "finished": 1}


def client():
    from langgraph_sdk import get_client

    return get_client(url=URL)


def counted(events):
    """Compare the counts of the events with those of the same run over the `custom` mode of `runs.stream`."""
    counts = collections.Counter(event["moa"] for event in events)
    assert all(counts[kind] == count for kind, count in EVENTS.items()), counts
    return counts


async def sdk_runs_wait():
    state = await client().runs.wait(None, "moa", input=INPUT)
    assert state["messages"][-1]["content"] == ANSWER and len(state["drafts"]) == 3


async def legacy():
    parts = client().runs.stream(None, "moa", input=INPUT, stream_mode="custom")
    return counted([part.data async for part in parts if part.event == "custom"])


async def sdk_runs_stream():
    await legacy()


async def sdk_threads_stream(transport="sse"):
    """The protocol of v3 carries as many events as `runs.stream` does."""
    async with client().threads.stream(assistant_id="moa", transport=transport) as thread:
        await thread.run.start(input=INPUT)
        events = [event["params"]["data"] async for event in thread.subscribe(["custom"])]
        output = await thread.output
    assert output["messages"][-1]["content"] == ANSWER
    assert counted([event.get("payload", event) for event in events]) == await legacy()


async def sdk_threads_stream_websocket():
    await sdk_threads_stream("websocket")


async def sdk_threads_stream_messages():
    async with client().threads.stream(assistant_id="moa") as thread:
        await thread.run.start(input=INPUT)
        # The iterator feeds the messages, so their texts are there when it has ended.
        messages = [message async for message in thread.messages]
        assert [await message.text for message in messages] == [ANSWER]


async def sdk_assistant():
    """An assistant keeps a context, and a run with it obeys."""
    async with client() as sdk:
        made = await sdk.assistants.create("moa", context={"layers": 3}, name="deep")
        state = await sdk.runs.wait(None, made["assistant_id"], input=INPUT)
        assert state["record"]["layers"] == 3 and len(state["drafts"]) == 6
        await sdk.assistants.delete(made["assistant_id"])


async def sdk_time_travel():
    """Drop a draft in a pause, go on, and run again from the pause."""
    async with client() as sdk:
        thread = (await sdk.threads.create())["thread_id"]
        await sdk.runs.wait(thread, "moa", input=INPUT, interrupt_after=["gather"])
        paused = await sdk.threads.get_state(thread)
        first = paused["values"]["drafts"][0]
        await sdk.threads.update_state(thread, {"drafts": [{**first, "status": "dropped"}]})
        done = await sdk.runs.wait(thread, "moa", input=None)
        assert done["messages"][-1]["content"] == ANSWER and done["record"]["unused"]
        again = await sdk.runs.wait(thread, "moa", input=None, checkpoint=paused["checkpoint"])
        assert not again["record"]["unused"]


async def sdk_error():
    """What is wrong reaches the caller in words."""
    async with client() as sdk:
        try:
            await sdk.runs.wait(None, "moa", input=INPUT, context={"layers": 99})
        except Exception as error:
            assert "layers" in str(error), repr(error)
        else:
            raise AssertionError("no error")


async def remote_graph():
    from langgraph.pregel.remote import RemoteGraph

    graph = RemoteGraph("moa", url=URL)
    state = await graph.ainvoke(INPUT)
    assert state["messages"][-1]["content"] == ANSWER
    assert counted([event async for event in graph.astream(INPUT, stream_mode="custom")]) == await legacy()


def remote_graph_node():
    from langgraph.graph import START, MessagesState, StateGraph
    from langgraph.pregel.remote import RemoteGraph

    parent = StateGraph(MessagesState)
    parent.add_node("moa", RemoteGraph("moa_answer", url=URL))
    parent.add_edge(START, "moa")
    assert parent.compile().invoke(INPUT)["messages"][-1].text == ANSWER


def remote_graph_error():
    from langgraph.pregel.remote import RemoteGraph

    try:
        RemoteGraph("moa", url=URL).invoke(INPUT, context={"layers": 99})
    except Exception as error:
        assert "layers" in str(error), repr(error)
    else:
        raise AssertionError("no error")


async def _a2a(streaming, assistant_id=None):
    """Return the replies of an A2A client as texts; without an id, of the assistant of the graph `moa_answer`."""
    from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
    from a2a.types import Message, Part, Role, SendMessageRequest

    if assistant_id is None:
        (assistant,) = await client().assistants.search(graph_id="moa_answer", metadata={"created_by": "system"})
        assistant_id = assistant["assistant_id"]
    path = f"/.well-known/agent-card.json?assistant_id={assistant_id}"
    async with httpx.AsyncClient(timeout=60) as http:
        card = await A2ACardResolver(http, URL).get_agent_card(relative_card_path=path)
    if streaming:
        # langgraph-api 0.16.7 declares protocol 1.0 and sends the events of 0.3.
        card.supported_interfaces[0].protocol_version = "0.3"
    agent = ClientFactory(ClientConfig(streaming=streaming)).create(card)
    message = Message(role=Role.ROLE_USER, message_id=str(uuid.uuid4()), parts=[Part(text="What is it?")])
    return [str(reply) async for reply in agent.send_message(SendMessageRequest(message=message))]


async def a2a():
    replies = await _a2a(False)
    assert any(ANSWER in reply for reply in replies), replies


async def a2a_stream():
    replies = await _a2a(True)
    assert any(ANSWER in reply for reply in replies), replies


async def _a2a_error(streaming):
    """Return the replies of an assistant whose context is wrong."""
    async with client() as sdk:
        made = await sdk.assistants.create("moa_answer", context={"layers": 99}, name="wrong")
        try:
            return await _a2a(streaming, made["assistant_id"])
        finally:
            await sdk.assistants.delete(made["assistant_id"])


async def a2a_error():
    """The server passes on the name of an error alone when the client does not stream."""
    replies = await _a2a_error(False)
    assert any("TASK_STATE_FAILED" in reply and "ConfigError" in reply for reply in replies), replies


async def a2a_stream_error():
    replies = await _a2a_error(True)
    assert any("TASK_STATE_FAILED" in reply and "layers" in reply for reply in replies), replies


main(globals())
