"""LangGraph's `messages` stream: the aggregator's answer, without the boundaries of its prompt."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.graph import START, MessagesState, StateGraph

from moa_graph import AggregationError, ChatMoA, create_moa
from tests.fakes import fake


class Whole(BaseChatModel):
    """Repeats the boundaries of its prompt around its answer."""

    blocks: bool = False

    @property
    def _llm_type(self) -> str:
        return "repeats"

    def _answer(self, messages: list[BaseMessage]) -> str:
        (opening,) = re.findall(r"\[drafts begin: [0-9a-f]{16}\]", str(messages[-1].content))
        (draft,) = re.findall(r"\[draft 1 of 1 begins: [0-9a-f]{16}\]", str(messages[-1].content))
        return f"{draft}\nThe [one] answer.\n{opening}\nIt ends [here"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise AssertionError("the graph calls models asynchronously")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        text = self._answer(messages)
        content: Any = [{"type": "text", "text": text}] if self.blocks else text
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content))])


class Streaming(Whole):
    async def _astream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        text = self._answer(messages)
        for start in range(0, len(text), 7):
            piece: Any = text[start : start + 7]
            content = [{"type": "text", "text": piece, "index": 0}] if self.blocks else piece
            last = None if start + 7 < len(text) else "last"
            yield ChatGenerationChunk(message=AIMessageChunk(content, chunk_position=last))


@pytest.mark.parametrize("kind", [Whole, Streaming])
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("stream_answer", [False, True])
async def test_the_boundaries_of_the_prompt_are_cut(kind: Any, blocks: bool, stream_answer: bool) -> None:
    graph = create_moa(proposers=[fake("a")], aggregator=kind(blocks=blocks))
    shown, answer = "", None
    parts = graph.astream(
        {"messages": "q"}, context={"stream_answer": stream_answer}, stream_mode=["messages", "values"]
    )
    async for mode, part in parts:
        if mode == "values":
            answer = part["messages"][-1]
        elif part[0].type != "human":
            shown += part[0].text
    assert answer is not None and answer.content == "The [one] answer.\nIt ends [here"
    assert shown.strip() == answer.content


@pytest.mark.parametrize("kind", [Whole, Streaming])
async def test_the_boundaries_are_cut_from_the_answer_of_a_mixture_as_the_aggregator(kind: Any) -> None:
    """The inner mixture shows its own drafts between boundaries of its own, after those of the outer prompt."""

    class Repeats(kind):  # type: ignore[misc]  # the base class is a parameter
        def _answer(self, messages: list[BaseMessage]) -> str:
            seen = "\n".join(str(message.content) for message in messages)
            return "\n".join(["Yes,", *re.findall(r"\[drafts begin: [0-9a-f]{16}\]", seen), "an answer [here"])

    inner = ChatMoA(proposers=[fake("b")], aggregator=Repeats())
    graph = create_moa(proposers=[fake("a")], aggregator=inner)
    shown, answer = "", None
    parts = graph.astream({"messages": "q"}, stream_mode=["messages", "values"])
    async for mode, part in parts:
        if mode == "values":
            answer = part["messages"][-1]
        elif part[0].type != "human":
            shown += part[0].text
    assert answer is not None and answer.content == "Yes,\nan answer [here"
    assert shown.strip() == answer.content


@pytest.mark.parametrize("stream_answer", [False, True])
async def test_an_answer_of_boundaries_alone_is_reported_as_such(stream_answer: bool) -> None:
    class Echoes(Streaming):
        def _answer(self, messages: list[BaseMessage]) -> str:
            return "\n".join(re.findall(r"\[draft.*?: [0-9a-f]{16}\]", str(messages[-1].content)))

    graph = create_moa(proposers=[fake("a")], aggregator=Echoes())
    with pytest.raises(AggregationError, match="the answer only repeated the prompt's boundaries"):
        await graph.ainvoke({"messages": "q"}, context={"stream_answer": stream_answer})


async def test_other_calls_are_not_filtered() -> None:
    """A call without drafts in its prompt has no boundaries, also after one that had some."""
    line = "[drafts begin: 0123456789abcdef]"
    graph = create_moa(proposers=[fake("a", line)], aggregator=fake("z", line))
    result = await graph.ainvoke({"messages": "q"})
    assert result["drafts"][0]["text"] == result["messages"][-1].content == line


class Router(BaseChatModel):
    """A caller's model that asks another model, with no config of its own, and relies on its run's manager."""

    inner: BaseChatModel
    streams: bool

    @property
    def _llm_type(self) -> str:
        return "router"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise AssertionError("the graph calls models asynchronously")

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        assert run_manager.run_id
        if self.streams:
            text = "".join([chunk.text async for chunk in self.inner.astream(messages)])
        else:
            text = (await self.inner.ainvoke(messages)).text
        await run_manager.on_llm_new_token("")
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


class Agent(BaseChatModel):
    """A caller's model that collects the messages which its own graph streams."""

    graph: Any

    @property
    def _llm_type(self) -> str:
        return "agent"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise AssertionError("the graph calls models asynchronously")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        parts = self.graph.astream({"messages": messages}, stream_mode="messages")
        text = "".join([chunk.text async for chunk, _ in parts])
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


@pytest.mark.parametrize("subgraphs", [False, True])
@pytest.mark.parametrize("streams", [False, True])
async def test_what_a_callers_model_asks_itself_is_not_in_the_stream(streams: bool, subgraphs: bool) -> None:
    """Its tokens were messages of the proposer's node, and the answer came twice."""

    def agent(answer: str) -> BaseChatModel:
        asked = StateGraph(MessagesState)

        async def ask(state: MessagesState) -> dict[str, Any]:
            return {"messages": [await fake("deep", answer).ainvoke(state["messages"])]}

        asked.add_node("ask", ask)
        asked.add_edge(START, "ask")
        return Agent(graph=asked.compile())

    proposers = [Router(inner=fake("inner", "a draft in words"), streams=streams), agent("an agent's draft in words")]
    graph = create_moa(proposers=proposers, aggregator=Router(inner=fake("inner", "one answer"), streams=streams))
    found = [part async for part in graph.astream({"messages": "hi"}, stream_mode="messages", subgraphs=subgraphs)]
    chunks = [part[-1][0] if subgraphs else part[0] for part in found]
    assert [chunk.text for chunk in chunks] == ["one answer"]
    drafts = (await graph.ainvoke({"messages": "hi"}))["drafts"]
    assert [draft["text"] for draft in drafts] == ["a draft in words", "an agent's draft in words"]
