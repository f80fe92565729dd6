"""A caller that leaves a stream early, or is cancelled more than once: the running model calls end."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import anyio
import pytest
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from moa_graph import ChatMoA, create_moa
from tests.fakes import Fake, Log, fake

LONG = 20.0
"""Seconds of a model call; a caller that leaves must not wait for it."""
QUESTION: Any = {"messages": "q"}


class Slow(Fake):
    """A model that streams one word, and in its first answer waits before the next one."""

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        sent, _message = self._begin(messages, streamed=True)
        yield ChatGenerationChunk(message=AIMessageChunk("one "))
        await self._wait(sent, LONG if len(self.sent) == 1 else 0)
        yield ChatGenerationChunk(message=AIMessageChunk("two", chunk_position="last"))


def slow() -> Slow:
    return Slow(model="slow", log=Log(["one two"]))


def soon(holds: Callable[[], bool]) -> bool:
    """Return whether something becomes true within five seconds: the background loop ends what it runs."""
    end = time.monotonic() + 5
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def until(stream: Any, kind: str) -> float:
    """Read the events of a stream up to the first of a kind, leave it, and return the seconds that leaving took."""
    for part in stream:
        if part["moa"] == kind:
            break
    begun = time.monotonic()
    stream.close()
    return time.monotonic() - begun


@pytest.mark.parametrize("kind", ["draft", "aggregating"])
def test_the_calls_of_a_graph_end(kind: str) -> None:
    other = fake("b", delay=LONG if kind == "draft" else 0.0)
    writer = fake("z", delay=LONG)
    graph = create_moa(proposers=[fake("a"), other], aggregator=writer)
    assert until(graph.stream(QUESTION, stream_mode="custom"), kind) < LONG / 4
    last = other if kind == "draft" else writer
    assert soon(lambda: [sent.cancelled for sent in last.sent] == [True])
    assert len(writer.sent) == (kind == "aggregating")


def test_the_call_of_a_chat_model_ends() -> None:
    writer = slow()
    begun = time.monotonic()
    for chunk in ChatMoA(proposers=[fake("a")], aggregator=writer).stream("q"):
        assert chunk.text.strip() == "one"
        break
    assert time.monotonic() - begun < LONG / 4
    assert soon(lambda: [sent.cancelled for sent in writer.sent] == [True])


def test_a_thread_that_was_left_goes_on_and_pays_no_draft_twice() -> None:
    drafter, writer = fake("a"), slow()
    graph = create_moa(proposers=[drafter], aggregator=writer, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    stream = graph.stream(QUESTION, config, context={"stream_answer": True}, stream_mode="custom")
    assert until(stream, "answer_token") < LONG / 4
    assert graph.get_state(config).next == ("aggregate",)
    done = graph.invoke(None, config, context={"stream_answer": True})
    assert (done["messages"][-1].text, len(drafter.sent), len(writer.sent)) == ("one two", 1, 2)


def test_other_runs_of_the_graph_go_on() -> None:
    graph = create_moa(proposers=[fake("a", delay=0.5)], aggregator=fake("z", delay=0.5))
    answers: list[str] = []
    other = threading.Thread(target=lambda: answers.append(graph.invoke(QUESTION)["messages"][-1].text))
    other.start()
    until(graph.stream(QUESTION, stream_mode="custom"), "draft_started")
    assert graph.invoke(QUESTION)["messages"][-1].text == "I am z."
    other.join()
    assert answers == ["I am z."]


async def sent_by(*models: Fake) -> None:
    """Return when each model has a request."""
    while not all(each.sent for each in models):
        await asyncio.sleep(0.001)


async def in_scope(work: Callable[[], Any], models: list[Fake]) -> None:
    """Cancel work as anyio does, and so FastAPI and MCP servers: in every turn of the loop until it has ended."""
    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await sent_by(*models)
        group.cancel_scope.cancel()


async def twice(work: Callable[[], Any], models: list[Fake]) -> None:
    task = asyncio.ensure_future(work())
    await sent_by(*models)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def beside_a_failure(work: Callable[[], Any], models: list[Fake]) -> None:
    """Run work in a node of a graph in which another node fails meanwhile."""

    async def fails(_: Any) -> dict[str, Any]:
        await sent_by(*models)
        raise LookupError

    async def works(_: Any) -> dict[str, Any]:
        await work()
        return {}

    parent = StateGraph(MessagesState)
    nodes: dict[str, Any] = {"fails": fails, "works": works}
    for name, node in nodes.items():
        parent.add_node(name, node)
        parent.add_edge(START, name)
    with pytest.raises(LookupError):
        await parent.compile().ainvoke(QUESTION)


@pytest.mark.parametrize("way", ["ainvoke", "astream", "chat", "between"])
@pytest.mark.parametrize("cancel", [in_scope, twice, beside_a_failure])
async def test_a_caller_that_is_cancelled_repeatedly_leaves_no_call(cancel: Any, way: str) -> None:
    models = [fake("a", delay=LONG), fake("b", delay=LONG)]
    graph = create_moa(proposers=models, aggregator=fake("z"))

    async def work() -> None:
        if way == "ainvoke":
            await graph.ainvoke(QUESTION)
        elif way == "chat":
            await ChatMoA(proposers=models, aggregator=fake("z")).ainvoke("q")
        else:
            stream: Any = graph.astream(QUESTION, stream_mode="custom")
            async with aclosing(stream):
                async for part in stream:
                    if way == "between" and part["moa"] == "draft_started" and part["slot"] == 1:
                        await asyncio.sleep(LONG)

    begun = time.monotonic()
    await cancel(work, models)
    assert time.monotonic() - begun < LONG / 4
    await asyncio.sleep(0.05)  # connections close in the next turns of the loop
    assert [[sent.cancelled for sent in each.sent] for each in models] == [[True], [True]]
