"""The wiring: for any subsets of proposers in any rounds, every slot runs once, `gather` once per round, one answer."""

import itertools
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import Field

from moa_graph import ConfigError, InputError, MoAContext, create_moa
from tests.fakes import fake


class Own(BaseChatModel):
    """A caller's own chat model. It answers with its name and the number of messages."""

    model: str = "own"
    seen: list[list[BaseMessage]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "own"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        self.seen.append(messages)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"I am {self.model}"))])


def own(name: str) -> Own:
    return Own(model=name, seen=[])


POOL = [own(name) for name in "abc"]
SUBSETS = [list(s) for k in (1, 2, 3) for s in itertools.combinations(POOL, k)]


@pytest.mark.parametrize("first", SUBSETS, ids=lambda s: "".join(m.model for m in s))
@pytest.mark.parametrize("second", SUBSETS, ids=lambda s: "".join(m.model for m in s))
async def test_any_pair_of_rounds_runs_every_slot_once(first: list[Own], second: list[Own]) -> None:
    graph = create_moa(rounds=[first, second], aggregator=own("z"))
    steps: list[str] = []
    result: dict[str, Any] = {}
    async for mode, part in graph.astream({"messages": "q"}, stream_mode=["updates", "values"]):
        if mode == "updates":
            steps += list(part)
        else:
            result = part
    assert [s for s in steps if not s.startswith("p")] == ["begin", "gather", "gather", "aggregate"]
    assert [(d["layer"], d["slot"]) for d in result["drafts"]] == [
        *((1, n) for n in range(len(first))),
        *((2, n) for n in range(len(second))),
    ]
    assert [d["text"] for d in result["drafts"]] == [f"I am {m.model}" for m in (*first, *second)]
    assert result["messages"][-1].content == "I am z"


def test_sync_async_batch_and_stream_agree() -> None:
    graph = create_moa(proposers=[own("a"), own("b")], aggregator=own("z"), layers=3)
    one = graph.invoke({"messages": "q"})
    many = graph.batch([{"messages": "q"}, {"messages": "q"}])
    streamed = list(graph.stream({"messages": "q"}, stream_mode="values"))[-1]
    texts = [[d["text"] for d in r["drafts"]] for r in (one, *many, streamed)]
    assert texts == [["I am a", "I am b"] * 2] * 4


async def test_an_aggregator_without_proposers_is_one_layer() -> None:
    aggregator = own("z")
    graph = create_moa(proposers=[own("a")], aggregator=aggregator)
    result = await graph.ainvoke({"messages": "q"}, context={"layers": 1})
    assert result["drafts"] == [] and result["record"]["calls"] == 1
    assert [m.content for m in aggregator.seen[0]] == ["q"]


CHECKED = {"name": "verify", "check": lambda question, text: True}


@pytest.mark.parametrize(
    "combine",
    [*("synthesize", "select", "analyze", "vote", "critique"), pytest.param(CHECKED, id="verify")],
)
@pytest.mark.parametrize("given", [{"layers": 1}, {}], ids=["mixture", "context"])
async def test_with_every_combiner_one_layer_is_the_aggregator(combine: Any, given: dict[str, Any]) -> None:
    graph = create_moa(proposers=[own("a"), own("b")], aggregator=own("z"), combine=combine, **given)
    result = await graph.ainvoke({"messages": "q"}, context={"layers": 1})
    assert result["messages"][-1].content == "I am z"
    assert result["drafts"] == [] and result["record"]["calls"] == 1


def test_weights_of_votes_that_one_layer_does_not_have_are_refused() -> None:
    vote: Any = {"name": "vote", "weights": [1.0, 2.0]}
    with pytest.raises(ConfigError, match="2 weights for 0 slots"):
        create_moa(proposers=[own("a"), own("b")], aggregator=own("z"), combine=vote, layers=1)


@pytest.mark.parametrize("taken", ["answer", "question"])
async def test_an_answer_never_replaces_an_earlier_message(taken: str) -> None:
    """Some servers give every reply the same id, and LangGraph replaces a message by one with its id."""
    aggregator = fake("z", AIMessage("one", id="same"), AIMessage("two", id="same"))
    graph = create_moa(proposers=[own("a")], aggregator=aggregator, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    first = HumanMessage("first", id="same" if taken == "question" else None)
    await graph.ainvoke({"messages": [first]}, config)
    result = await graph.ainvoke({"messages": "second"}, config)
    assert [m.content for m in result["messages"]] == ["first", "one", "second", "two"]


async def test_a_second_turn_sees_the_conversation_and_none_of_the_last_drafts() -> None:
    proposer, aggregator = own("a"), own("z")
    graph = create_moa(proposers=[proposer], aggregator=aggregator, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    await graph.ainvoke({"messages": "first"}, config)
    result = await graph.ainvoke({"messages": "second"}, config)
    assert [m.content for m in proposer.seen[1]] == ["first", "I am z", "second"]
    assert len(result["drafts"]) == 1
    assert [m.type for m in result["messages"]] == ["human", "ai", "human", "ai"]


@pytest.mark.parametrize("output", ["full", "answer"])
async def test_a_subgraph_adds_exactly_one_message(output: Any) -> None:
    inner = create_moa(proposers=[own("a"), own("b")], aggregator=own("z"), output=output)
    parent = StateGraph(MessagesState).add_node("moa", inner).add_edge(START, "moa").add_edge("moa", END).compile()
    result = await parent.ainvoke({"messages": "q"})
    assert [m.type for m in result["messages"]] == ["human", "ai"]
    assert set(result) == {"messages"}


async def test_a_foreign_context_has_no_effect() -> None:
    inner = create_moa(proposers=[own("a")], aggregator=own("z"))
    parent = StateGraph(MessagesState, context_schema=dict).add_node("moa", inner).add_edge(START, "moa").compile()
    result = await parent.ainvoke({"messages": "q"}, context={"layers": "not ours"})
    assert result["messages"][-1].content == "I am z"


async def test_a_thread_resumed_under_another_mixture_is_refused() -> None:
    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "t"}}
    first = create_moa(proposers=[own("a")], aggregator=own("z"), checkpointer=saver)
    await first.ainvoke({"messages": "q"}, config, interrupt_after=["gather"])
    other = create_moa(proposers=[own("a")], aggregator=own("z"), checkpointer=saver, prompt="paper")
    with pytest.raises(ConfigError, match="another mixture"):
        await other.ainvoke(None, config)
    result = await first.ainvoke(None, config)
    assert result["messages"][-1].content == "I am z"


async def test_a_person_drops_a_draft_between_gather_and_aggregate() -> None:
    aggregator = own("z")
    graph = create_moa(proposers=[own("a"), own("b")], aggregator=aggregator, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    paused = await graph.ainvoke({"messages": "q"}, config, interrupt_after=["gather"])
    dropped = {**paused["drafts"][0], "status": "dropped", "error": "wrong"}
    await graph.aupdate_state(config, {"drafts": [dropped]})
    result = await graph.ainvoke(None, config)
    shown = str(aggregator.seen[0][0].content)
    assert "I am b" in shown and "I am a" not in shown
    assert [(u["slot"], u["status"], u["reason"]) for u in result["record"]["unused"]] == [(0, "dropped", "wrong")]


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        ({"layers": True}, "context.layers"),
        ({"layers": 0}, "context.layers"),
        ({"layers": 10**9}, "context.layers"),
        ({"temperature": float("nan")}, "context.temperature"),
        ({"base_url": "https://evil.example"}, "belongs to the mixture"),
        ({"api_key": "sk-x"}, "belongs to the mixture"),
        ({"aggregator": "openai:another"}, "not a model of this mixture"),
        ({"quorum": 9}, "context.quorum"),
    ],
)
async def test_a_hostile_context_is_refused(context: dict[str, Any], reason: str) -> None:
    asked = own("a")
    graph = create_moa(proposers=[asked], aggregator=own("z"))
    with pytest.raises(ConfigError, match=reason):
        await graph.ainvoke({"messages": "q"}, context=context)
    assert not asked.seen


async def test_rounds_that_differ_allow_fewer_layers_never_more() -> None:
    graph = create_moa(rounds=[[own("a")], [own("b")]], aggregator=own("z"))
    fewer = await graph.ainvoke({"messages": "q"}, context=MoAContext(layers=2))
    assert [d["text"] for d in fewer["drafts"]] == ["I am a"]
    with pytest.raises(ConfigError, match="at most"):
        await graph.ainvoke({"messages": "q"}, context=MoAContext(layers=4))


async def test_the_context_may_choose_among_the_mixtures_models() -> None:
    graph = create_moa(proposers=[own("a"), own("b")], aggregator=own("z"))
    result = await graph.ainvoke({"messages": "q"}, context={"aggregator": "Own:b"})
    assert result["messages"][-1].content == "I am b"
    assert result["record"]["aggregator"] == "Own:b"


@pytest.mark.parametrize("content", [None, {"a": 1}, 3])
async def test_malformed_messages_are_an_input_error(content: Any) -> None:
    graph = create_moa(proposers=[own("a")], aggregator=own("z"))
    with pytest.raises(InputError, match="messages"):
        await graph.ainvoke({"messages": [{"role": "user", "content": content}]})


def test_building_and_drawing_need_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "TOGETHER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    drawn = create_moa("mixed").get_graph().draw_mermaid()
    assert "p3-glm-5-3" in drawn and "gather" in drawn


def test_missing_keys_are_all_named_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "TOGETHER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=r"OPENAI_API_KEY.*TOGETHER_API_KEY"):
        create_moa("mixed").invoke({"messages": "q"})


def test_an_unknown_provider_is_refused_when_building(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "langchain" else real(name, *a))
    with pytest.raises(ConfigError, match="unknown provider 'nobody'"):
        create_moa(proposers=["nobody:x"], aggregator="openai:a")
