"""A mixture inside a larger graph: what the parent graph receives, and what it does not."""

from dataclasses import dataclass
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from typing_extensions import TypedDict

from moa_graph import ChatMoA, MoAContext, create_moa
from tests.speaking import speaking

MODES = ["messages", "custom", "values"]


def model(provider, name):
    return {"model": f"openai:{name}", "base_url": provider.url}


@pytest.fixture
def moa(provider):
    proposers = [model(provider, "one-tok=4"), model(provider, "two-tok=4")]
    return create_moa(proposers=proposers, aggregator=model(provider, "agg-tok=6"), output="answer")


@pytest.fixture
def spoken():
    """A mixture that streams word by word."""
    return create_moa(
        proposers=[speaking("a first draft"), {"model": speaking("a second draft"), "name": "second"}],
        aggregator=speaking("It is a fine day."),
        output="answer",
    )


def parent(moa, saver=None, context_schema=None):
    graph = StateGraph(MessagesState, context_schema=context_schema)
    return graph.add_node("inner", moa).add_edge(START, "inner").compile(checkpointer=saver)


async def parts_of(graph, *, subgraphs, context=None, modes=MODES) -> list[tuple[tuple[str, ...], str, Any]]:
    stream = graph.astream({"messages": "hi"}, context=context, stream_mode=modes, subgraphs=subgraphs)
    return [part if subgraphs else ((), *part) async for part in stream]


async def test_with_subgraphs_the_parents_stream_has_the_answers_tokens(spoken):
    parts = await parts_of(parent(spoken), subgraphs=True)
    tokens = [part[0] for _, mode, part in parts if mode == "messages"]
    final = [part for ns, mode, part in parts if mode == "values" and ns == ()][-1]["messages"]
    assert all(isinstance(token, AIMessageChunk) for token in tokens)
    assert len([token for token in tokens if token.content.strip()]) == 5
    assert "".join(token.content for token in tokens) == final[-1].content
    assert [message.type for message in final] == ["human", "ai"]


async def test_without_it_the_parent_gets_exactly_one_whole_message(moa):
    parts = await parts_of(parent(moa), subgraphs=False)
    shown = [part[0] for _, mode, part in parts if mode == "messages"]
    final = [part for _, mode, part in parts if mode == "values"][-1]["messages"]
    assert [message.content for message in shown] == [final[-1].content]
    assert not [part for _, mode, part in parts if mode == "custom"]


@pytest.mark.parametrize("subgraphs", [False, True])
async def test_drafts_are_not_messages(moa, subgraphs):
    for _, mode, part in await parts_of(parent(moa), subgraphs=subgraphs):
        if mode == "messages":
            assert "[one-" not in part[0].content and "[two-" not in part[0].content
        elif mode == "values":
            assert not [m for m in part["messages"] if m.type == "ai" and not m.content.startswith("[agg-")]


async def test_proposers_tokens_come_as_events_and_only_when_asked_for(spoken):
    def kinds(parts):
        return {part["moa"] for _, mode, part in parts if mode == "custom"}

    graph = parent(spoken, context_schema=MoAContext)
    assert not {"draft_token", "answer_token"} & kinds(await parts_of(graph, subgraphs=True))
    asked = MoAContext(stream_drafts=True, stream_answer=True)
    parts = await parts_of(graph, subgraphs=True, context=asked)
    assert {"draft_token", "answer_token"} <= kinds(parts)
    drafts = [part for _, mode, part in parts if mode == "custom" and part["moa"] == "draft"]
    for done in drafts:
        pieces = [
            part["text"]
            for _, mode, part in parts
            if mode == "custom" and part["moa"] == "draft_token" and part["slot"] == done["slot"]
        ]
        assert len(pieces) == 3 and "".join(pieces) == done["draft"]["text"]


@dataclass
class Customer:
    name: str = "Ann"
    layers: int = 99


@pytest.mark.parametrize("context", [None, Customer(), {"layers": 99, "name": "Ann"}])
def test_a_parents_context_has_no_effect(moa, context):
    schema = dict if isinstance(context, dict) else Customer
    done = parent(moa, context_schema=schema).invoke({"messages": "hi"}, context=context)
    assert len(done["messages"]) == 2


class Review(TypedDict):
    text: str
    verdict: str
    calls: int


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_a_parent_without_messages_calls_it_from_a_function(provider, way):
    moa = create_moa(proposers=[model(provider, "one")], aggregator=model(provider, "prompt"))

    def told(done):
        return {"verdict": done["messages"][-1].text, "calls": done["record"]["calls"]}

    def review(state: Review) -> dict[str, Any]:
        return told(moa.invoke({"messages": state["text"]}))

    async def areview(state: Review) -> dict[str, Any]:
        return told(await moa.ainvoke({"messages": state["text"]}))

    work = review if way == "sync" else areview
    graph = StateGraph(Review).add_node("review", work).add_edge(START, "review").compile()
    done = graph.invoke({"text": "so?"}) if way == "sync" else await graph.ainvoke({"text": "so?"})
    assert "so?" in done["verdict"] and done["calls"] == 2


def test_turns_on_one_thread_see_no_drafts_of_the_last(moa, provider):
    graph = parent(moa, InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    graph.invoke({"messages": "first"}, config)
    done = graph.invoke({"messages": "second"}, config)
    assert [message.type for message in done["messages"]] == ["human", "ai"] * 2
    last = provider.requests("agg-tok=6")[-1].json["messages"]
    assert last[-1]["content"].count("begins:") == 2
    assert [message["role"] for message in last] == ["user", "assistant", "user"]


def test_two_mixtures_in_one_graph_do_not_meet(provider):
    def one(name):
        return create_moa(proposers=[model(provider, f"{name}-tok=3")], aggregator=model(provider, "prompt"))

    def ask(state, name):
        return one(name).invoke({"messages": "hi"})["messages"][-1:]

    graph = StateGraph(MessagesState)
    for name in ("left", "right"):
        graph.add_node(name, lambda state, name=name: {"messages": ask(state, name)})
        graph.add_edge(START, name)
    graph.compile().invoke({"messages": "hi"})
    seen = [(b"[left-" in request.body, b"[right-" in request.body) for request in provider.requests("prompt")]
    assert sorted(seen) == [(False, True), (True, False)]


async def test_it_is_a_tool_of_an_agent(moa, provider):
    @tool
    async def ask_several(question: str) -> str:
        """Ask several models at once."""
        return str((await moa.ainvoke({"messages": question}))["messages"][-1].text)

    acting = ChatMoA(proposers=[model(provider, "advice-tok=2")], aggregator=model(provider, "boss-tok=3"))
    agent = create_agent(acting, [ask_several])
    done = await agent.ainvoke({"messages": "Ask 'Why is it so?' around."})
    assert [message.type for message in done["messages"]] == ["human", "ai", "tool", "ai"]
    assert done["messages"][2].content.startswith("[agg-")
    assert provider.requests("one-tok=4")[0].json["messages"][-1]["content"] == "Why is it so?"
