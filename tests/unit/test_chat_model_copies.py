"""Copies of a ChatMoA work, with changed fields too; it counts tokens and knows its window without other packages."""

import copy
import pickle
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, trim_messages
from langchain_core.runnables import RunnableLambda

from moa_graph import ChatMoA, ConfigError, Mixture, Proposer
from moa_graph.models import tools
from tests.fakes import Fake, ServerFault, fake


def moa(*proposers: Fake, **fields: Any) -> ChatMoA:
    models = proposers or (fake("a"),)
    return ChatMoA(proposers=list(models), aggregator=fake("z"), **fields)


async def test_model_copy_with_another_mixture_asks_the_new_one() -> None:
    first, second = fake("first"), fake("second")
    mine = moa(first)
    other = mine.model_copy(update={"mixture": Mixture(proposers=[second], aggregator=second)})
    assert (await other.ainvoke("hi")).text == "I am second."
    assert len(first.sent) == 0 and len(second.sent) == 2
    assert (await mine.ainvoke("hi")).text == "I am z."


async def test_model_copy_with_other_retries_makes_as_many_requests() -> None:
    failing = fake("bad", ServerFault(500))
    mine = ChatMoA(proposers=[failing], aggregator=failing, max_retries=2, min_drafts=0)
    once = mine.model_copy(update={"max_retries": 0})
    with pytest.raises(Exception, match="aggregator gave no answer"):
        await once.ainvoke("hi")
    assert len(failing.sent) == 2


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
async def test_copies_answer_and_share_no_lists(copied: Any) -> None:
    mine = moa(stop=["END"], tags=["t"], metadata={"k": 1})
    other = copied(mine)
    assert other == mine and (await other.ainvoke("hi")).text == "I am z."
    if copied is copy.deepcopy:
        other.metadata["k"] = 2
        other.stop.append("X")
        assert (mine.metadata, mine.stop) == ({**mine.metadata, "k": 1}, ["END"])


def test_pickling_keeps_a_working_model() -> None:
    spec = Proposer(model="openai:x", base_url="http://127.0.0.1:9/v1", window=5000)
    mine = ChatMoA(proposers=[spec], aggregator=spec, max_retries=0, temperature=0.5)
    other = pickle.loads(pickle.dumps(mine))
    assert (other.mixture, other.max_retries, other.temperature) == (mine.mixture, 0, 0.5)
    assert other._graph is not mine._graph and list(other._graph.nodes) == list(mine._graph.nodes)


def test_tokens_are_counted_without_another_package() -> None:
    mine = moa()
    assert mine.get_num_tokens("a" * 400) == 100
    one = mine.get_num_tokens_from_messages([HumanMessage("a" * 400)])
    assert 100 <= one <= 110
    schema = {"title": "t", "description": "d" * 400, "type": "object", "properties": {}}
    assert mine.get_num_tokens_from_messages([HumanMessage("a" * 400)], tools=[schema]) >= one + 100
    messages = [HumanMessage("a" * 400), AIMessage("b" * 400), HumanMessage("c" * 400)]
    assert trim_messages(messages, max_tokens=110, token_counter=mine) == messages[-1:]


def test_the_profile_is_the_aggregators() -> None:
    spec = Proposer(model="openai:x", base_url="http://127.0.0.1:9/v1", window=5000)
    mine = ChatMoA(proposers=[spec], aggregator=spec)
    assert mine.profile == {"max_input_tokens": 5000}
    model = fake("z")
    model.profile = {"max_input_tokens": 77, "image_inputs": True}
    assert ChatMoA(proposers=[spec], aggregator=model).profile == model.profile
    assert mine.model_copy(update={"mixture": Mixture(proposers=[spec], aggregator=model)}).profile == model.profile


def test_a_named_providers_model_has_its_packages_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    profile = ChatMoA(proposers=["openai:gpt-4o"], aggregator="openai:gpt-4o").profile
    assert profile is not None and profile["max_input_tokens"] >= 100_000


async def test_json_mode_is_refused_before_anything_is_paid() -> None:
    anthropic = pytest.importorskip("langchain_anthropic")
    draft = fake("a")
    aggregator = anthropic.ChatAnthropic(model_name="claude-loopback", api_key="none", base_url="http://127.0.0.1:9")
    mine = ChatMoA(proposers=[draft], aggregator=aggregator)
    with pytest.raises(ConfigError, match="has no JSON mode"):
        await mine.with_structured_output(None, method="json_mode").ainvoke("hi")
    assert draft.sent == []


async def test_json_mode_passes_where_the_class_names_it_or_says_nothing() -> None:
    from langchain_openai import ChatOpenAI

    spec = Proposer(model="openai:x", base_url="http://127.0.0.1:9/v1")
    models: list[BaseChatModel] = [fake("z"), ChatOpenAI(model="x", api_key="none", base_url="http://127.0.0.1:9/v1")]
    for model in models:
        tools._refuse_format({"type": "json_object"}, model, spec)


async def test_disable_streaming_for_tools_only() -> None:
    """As with ChatOpenAI: with tools one piece, without them many."""
    mine = moa(disable_streaming="tool_calling")
    plain = [chunk.text async for chunk in mine.astream("hi")]
    assert len([text for text in plain if text]) > 1

    class Acting(Fake):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self

    acting = Acting(model="z", log=fake("z", "one two three").log)
    bound = ChatMoA(proposers=[fake("a")], aggregator=acting, disable_streaming="tool_calling").bind_tools([_tool])
    pieces = [chunk.text async for chunk in bound.astream("hi")]
    assert [text for text in pieces if text] == ["one two three"]


def _tool(x: int) -> int:
    """A tool."""
    return x


@pytest.mark.filterwarnings("ignore:astream_events version='v1' is deprecated")
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_in_a_chain_events_show_one_model_and_its_tokens(version: Any) -> None:
    chain = RunnableLambda(lambda text: [HumanMessage(text)]) | moa() | RunnableLambda(lambda message: message.text)
    events = [event async for event in chain.astream_events("hi", version=version)]
    models = [event for event in events if event["event"] == "on_chat_model_start"]
    tokens = [event["data"]["chunk"].text for event in events if event["event"] == "on_chat_model_stream"]  # type: ignore[union-attr]  # a message
    assert len(models) == 1 and "".join(tokens) == "I am z." and len(tokens) > 2
    assert events[-1]["data"]["output"] == "I am z."
