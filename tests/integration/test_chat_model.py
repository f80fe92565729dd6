"""ChatMoA behaves as one chat model, and runs a mixture inside."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler, get_usage_metadata_callback
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from moa_graph import AggregationError, ChatMoA, ConfigError, InputError, NotEnoughDraftsError, create_moa
from tests.provider import Provider
from tests.speaking import speaking

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def model(provider: Provider, name: str) -> dict[str, Any]:
    return {"model": f"openai:{name}", "base_url": provider.url}


def mixture(provider: Provider, *proposers: str, aggregator: str = "agg-tok=6", **fields: Any) -> dict[str, Any]:
    names = proposers or ("one-tok=4", "two-tok=5")
    return {"proposers": [model(provider, n) for n in names], "aggregator": model(provider, aggregator), **fields}


@pytest.fixture
def moa(provider: Provider) -> ChatMoA:
    return ChatMoA(mixture(provider, name="test"))


def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


def joined(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole


async def test_all_four_ways_give_the_same_answer(moa):
    ways = [moa.invoke("hi"), joined(list(moa.stream("hi")))]
    ways += [await moa.ainvoke("hi"), joined([chunk async for chunk in moa.astream("hi")])]
    for message in ways:
        assert message.content == ways[0].content and message.content.startswith("[agg-tok=6] ")
        assert [d["text"][:5] for d in message.response_metadata["drafts"]] == ["[one-", "[two-"]
        assert message.response_metadata["record"]["calls"] == 3
        assert message.response_metadata["model_name"] == "moa:test"
        assert message.usage_metadata == ways[0].usage_metadata
    assert len({message.id for message in ways}) == 4


async def test_it_streams_token_by_token_and_batches(moa, provider):
    spoken = ChatMoA({**mixture(provider), "aggregator": speaking("It is a fine day.")})
    chunks = [chunk async for chunk in spoken.astream("hi")]
    assert joined(chunks).content == (await spoken.ainvoke("hi")).content == "It is a fine day."
    assert len([chunk for chunk in chunks if chunk.content]) == 5
    assert [chunk.chunk_position for chunk in chunks][-1] == "last"
    answers = await moa.abatch(["one", "two", "three"])
    assert [a.content for a in answers] == [a.content for a in moa.batch(["one", "two", "three"])]


def test_usage_is_the_sum_over_all_calls(moa, provider):
    message = moa.invoke("hi")
    drafts = message.response_metadata["drafts"]
    known = [d["usage"] for d in drafts]
    used = message.usage_metadata
    assert used["output_tokens"] == 4 + 5 + 6 == sum(u["output_tokens"] for u in known) + 6
    assert used["input_tokens"] > sum(u["input_tokens"] for u in known)
    assert used["total_tokens"] == used["input_tokens"] + used["output_tokens"]
    assert ChatMoA(mixture(provider, "a-nousage", aggregator="b-nousage")).invoke("hi").usage_metadata is None


def test_settings_apply_only_to_the_aggregator(provider):
    ChatMoA(mixture(provider), temperature=0.25, max_tokens=3, stop=["END"]).invoke("hi")
    ChatMoA(mixture(provider)).bind(temperature=0.5, seed=7).invoke("hi", stop=["STOP"])
    sent = [request.json for request in provider.requests("agg-tok=6")]
    assert [(s["temperature"], s["stop"]) for s in sent] == [(0.25, ["END"]), (0.5, ["STOP"])]
    assert (sent[0].get("max_tokens") or sent[0].get("max_completion_tokens"), sent[1]["seed"]) == (3, 7)
    for request in provider.requests("one-tok=4") + provider.requests("two-tok=5"):
        assert not {"temperature", "stop", "seed", "max_tokens", "max_completion_tokens"} & set(request.json)


@pytest.mark.parametrize("retries", [0, 1])
def test_max_retries_alone_decides_about_retries(provider, retries):
    with pytest.raises(NotEnoughDraftsError):
        ChatMoA(mixture(provider, "x-err503"), max_retries=retries).invoke("hi")
    assert len(provider.requests("x-err503")) == 1 + retries


def test_the_aggregator_gets_the_tools_and_proposers_their_descriptions(moa, provider):
    answer = moa.bind_tools([add]).invoke("What is 2 plus 3?")
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("add", {"a": 2, "b": 2})
    (acting,) = provider.requests("agg-tok=6")
    assert [t["function"]["name"] for t in acting.json["tools"]] == ["add"]
    for name in ("one-tok=4", "two-tok=5"):
        (advising,) = provider.requests(name)
        assert "tools" not in advising.json
        told = advising.json["messages"][0]["content"]
        assert "- add: The sum of two numbers." in told and '"integer"' in told


def test_tool_results_go_to_everyone_in_the_form_each_can_read(moa, provider):
    call = {"name": "add", "args": {"a": 2, "b": 3}, "id": "c1"}
    result = ToolMessage("5", tool_call_id="c1", name="add")
    moa.bind_tools([add]).invoke([HumanMessage("2 plus 3?"), AIMessage("", tool_calls=[call]), result])
    acting = provider.requests("agg-tok=6")[0].json["messages"]
    assert [m["role"] for m in acting] == ["system", "user", "assistant", "tool", "user"]
    assert "draft 1 of 2" in acting[-1]["content"] and acting[-2]["content"] == "5"
    advising = provider.requests("one-tok=4")[0].json["messages"]
    assert [m["role"] for m in advising] == ["system", "user", "assistant", "user"]
    assert "5" in advising[-1]["content"] and "add" in advising[-1]["content"]


def test_an_image_in_a_tool_result_is_a_users_for_chat_completions(provider):
    """LangChain's profile of the model says that tool results may hold images: those of the Responses API may."""
    image = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
    call = {"name": "add", "args": {"a": 2, "b": 3}, "id": "c1"}
    result = ToolMessage([{"type": "text", "text": "5"}, image], tool_call_id="c1", name="add")
    seeing = ChatMoA(proposers=[model(provider, "one")], aggregator=model(provider, "gpt-4o"))
    seeing.bind_tools([add]).invoke([HumanMessage("2 plus 3?"), AIMessage("", tool_calls=[call]), result])
    sent = provider.requests("gpt-4o")[0].json["messages"]
    assert [message["role"] for message in sent[-3:]] == ["assistant", "tool", "user"]
    assert sent[-2]["content"] == "5\n[image]" and "image_url" in [block["type"] for block in sent[-1]["content"]]


def test_tool_calls_are_streamed_when_they_are_complete(moa):
    bound = moa.bind_tools([add])
    chunks = list(bound.stream("What is 2 plus 3?"))
    # Arguments that break off in mid-stream must never look complete, so a call comes in one piece.
    assert [json.loads(call["args"]) for chunk in chunks for call in chunk.tool_call_chunks] == [
        call["args"] for call in bound.invoke("What is 2 plus 3?").tool_calls
    ]
    assert joined(chunks).tool_calls == bound.invoke("What is 2 plus 3?").tool_calls


def test_an_aggregator_without_tools_is_named(provider):
    class Plain(ChatMoA):
        def bind_tools(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

    plain = Plain(mixture(provider, name="plain"))
    with pytest.raises(ConfigError, match="moa:plain cannot call tools"):
        ChatMoA(proposers=[model(provider, "one")], aggregator=plain).bind_tools([add]).invoke("hi")
    assert not provider.requests()


@pytest.mark.parametrize("streaming", [False, True])
async def test_it_is_the_model_of_an_agent_with_tools(moa, provider, streaming):
    agent = create_agent(moa, [add])
    ask = {"messages": [{"role": "user", "content": "What is 20 plus 22?"}]}
    if streaming:
        parts = [part async for part in agent.astream(ask, stream_mode=["messages", "values"])]
        state = [part for mode, part in parts if mode == "values"][-1]
        tokens = [m for mode, (m, _) in [p for p in parts if p[0] == "messages"] if isinstance(m, AIMessageChunk)]
        assert "".join(t.content for t in tokens) == state["messages"][-1].content
    else:
        state = await agent.ainvoke(ask)
    assert [m.type for m in state["messages"]] == ["human", "ai", "tool", "ai"]
    assert state["messages"][2].content == "40"
    assert len(provider.requests("agg-tok=6")) == 2 and len(provider.requests("one-tok=4")) == 2


class Joke(BaseModel):
    """A joke."""

    setup: str
    stars: int


class JokeDict(TypedDict):
    """A joke."""

    setup: Annotated[str, ..., "how it begins"]
    stars: int


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
async def test_structured_output_through_the_aggregator(moa, provider, method):
    typed = moa.with_structured_output(Joke, method=method)
    ask = "'Cats' with 4 stars"
    assert typed.invoke(ask) == await typed.ainvoke(ask) == Joke(setup="Cats", stars=4)
    plain = moa.with_structured_output(JokeDict, method=method)
    assert list(plain.stream(ask))[-1] == {"setup": "Cats", "stars": 4}
    for name in ("one-tok=4", "two-tok=5"):
        for request in provider.requests(name):
            assert not {"tools", "response_format"} & set(request.json)
            assert '"stars"' in request.json["messages"][0]["content"]


def test_json_mode_and_raw(moa, provider):
    assert moa.with_structured_output(method="json_mode").invoke("JSON with 'setup'") == {"setup": "text"}
    raw = moa.with_structured_output(Joke, method="json_mode", include_raw=True).invoke("JSON with 'setup'")
    assert raw["parsed"] is None and raw["parsing_error"] and raw["raw"].response_metadata["record"]
    with pytest.raises(ConfigError, match="json_mode"):
        moa.with_structured_output(Joke, method="xml")
    with pytest.raises(ConfigError, match="needs a schema"):
        moa.with_structured_output(None)


def test_images_go_to_every_model(moa, provider):
    blocks = [{"type": "text", "text": "What is it?"}, {"type": "image", "base64": PIXEL, "mime_type": "image/png"}]
    moa.invoke([HumanMessage(blocks)])
    for request in provider.requests():
        image = request.json["messages"][-1]["content"][1]
        assert image["image_url"]["url"].endswith(PIXEL)


def test_a_proposer_that_takes_no_images_is_skipped(provider):
    blind = ChatMoA(proposers=[model(provider, "blind")], aggregator=model(provider, "agg"), name="blind")
    blind = blind.model_copy(update={"profile": {"image_inputs": False}})
    seeing = ChatMoA(proposers=[blind, model(provider, "seeing-tok=3")], aggregator=model(provider, "agg-tok=4"))
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    drafts = seeing.invoke([HumanMessage([image])]).response_metadata["drafts"]
    assert [(d["status"], d["attempts"]) for d in drafts] == [("skipped", 0), ("ok", 1)]
    assert drafts[0]["error"] == "the model takes no images" and not provider.requests("blind")


class Heard(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.starts = 0

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.starts += 1

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.tokens.append(token)


async def test_callbacks_see_one_model_and_count_once(moa):
    heard, usage = Heard(), UsageMetadataCallbackHandler()
    chunks = [chunk async for chunk in moa.astream("hi", config={"callbacks": [heard, usage]})]
    assert (heard.starts, "".join(heard.tokens)) == (1, joined(chunks).content)
    assert usage.usage_metadata == {"moa:test": joined(chunks).usage_metadata}


@pytest.mark.parametrize("way", ["ainvoke", "astream", "invoke", "stream", "a proposer"])
async def test_the_callbacks_of_a_block_of_code_count_once(moa, provider, way):
    """LangChain adds them to every run inside the block, also to those of the inner graph."""
    with get_usage_metadata_callback() as usage:
        if way == "ainvoke":
            await moa.ainvoke("hi")
        elif way == "astream":
            [chunk async for chunk in moa.astream("hi")]
        elif way == "invoke":
            moa.invoke("hi")
        elif way == "stream":
            list(moa.stream("hi"))
        else:
            await create_moa(proposers=[moa], aggregator=model(provider, "last")).ainvoke({"messages": "hi"})
    assert list(usage.usage_metadata) == ["moa:test", *(["last"] if way == "a proposer" else [])]
    with get_usage_metadata_callback() as alone:
        await moa.ainvoke("hi")
    assert usage.usage_metadata["moa:test"] == alone.usage_metadata["moa:test"]


def in_a_graph(moa: Any, saver: Any = None) -> Any:
    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await moa.ainvoke(state["messages"])]}

    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile(checkpointer=saver)


@pytest.mark.parametrize("subgraphs", [False, True])
async def test_in_a_node_only_its_tokens_are_streamed_and_once(provider, subgraphs):
    moa = ChatMoA({**mixture(provider), "aggregator": speaking("It is a fine day.")})
    parts = [
        part
        async for part in in_a_graph(moa).astream(
            {"messages": "hi"}, stream_mode=["messages", "custom", "values"], subgraphs=subgraphs
        )
    ]
    plain = [part[1:] if subgraphs else part for part in parts]
    assert all(part[0] == () for part in parts if subgraphs)
    assert not [part for mode, part in plain if mode == "custom"]
    last = [part for mode, part in plain if mode == "values"][-1]["messages"][-1]
    shown = [part[0] for mode, part in plain if mode == "messages"]
    assert len(shown) >= 5 and "".join(m.content for m in shown) == last.content
    assert {m.id for m in shown} == {last.id}


async def test_it_writes_no_checkpoints(moa):
    saver = InMemorySaver()
    config = {"configurable": {"thread_id": "1"}}
    await in_a_graph(moa, saver).ainvoke({"messages": "hi"}, config)
    assert set(saver.storage["1"]) == {""}


@pytest.mark.parametrize("subgraphs", [False, True])
async def test_a_mixture_is_a_proposer_of_another_and_stays_silent(moa, provider, subgraphs):
    outer = create_moa(proposers=[moa, model(provider, "solo-tok=7")], aggregator=model(provider, "top-tok=3"))
    modes = ["messages", "custom", "values"]
    stream = outer.astream({"messages": "hi"}, stream_mode=modes, subgraphs=subgraphs)
    parts = [part[1:] if subgraphs else part async for part in stream]
    shown = [part[0] for mode, part in parts if mode == "messages"]
    state = [part for mode, part in parts if mode == "values"][-1]
    assert "".join(m.content for m in shown) == state["messages"][-1].content
    assert state["messages"][-1].content.startswith("[top-tok=3]")
    inner, solo = state["drafts"]
    assert (inner["model"], inner["text"][:11]) == ("ChatMoA:moa:test", "[agg-tok=6]")
    assert inner["usage"]["output_tokens"] == 4 + 5 + 6 and solo["usage"]["output_tokens"] == 7
    assert {d["draft"]["slot"] for mode, d in parts if mode == "custom" and d["moa"] == "draft"} == {0, 1}
    assert not [d for mode, d in parts if mode == "custom" and d["moa"] == "answer_token"]


def test_a_nested_mixture_works_in_sync_too(moa, provider):
    outer = ChatMoA(proposers=[moa], aggregator=moa)
    assert outer.invoke("hi").content.startswith("[agg-tok=6]")
    assert len(provider.requests("one-tok=4")) == 2


def test_the_callers_messages_are_all_sent_and_not_changed(moa, provider):
    again = HumanMessage("again")
    moa.invoke([again, AIMessage("no"), again])
    assert again.id is None
    assert [m["content"] for m in provider.requests("one-tok=4")[0].json["messages"]] == ["again", "no", "again"]
    moa.invoke([HumanMessage("one", id="same"), AIMessage("no"), HumanMessage("two", id="same")])
    assert [m["content"] for m in provider.requests("one-tok=4")[1].json["messages"]] == ["one", "no", "two"]


def test_a_cache_answers_the_same_question_once(provider):
    moa = ChatMoA(mixture(provider), cache=InMemoryCache())
    assert moa.invoke("hi").content == moa.invoke("hi").content
    assert len(provider.requests("agg-tok=6")) == 1
    moa.bind(temperature=0.3).invoke("hi")
    assert len(provider.requests("agg-tok=6")) == 2


def test_mistakes_are_config_errors(provider):
    for wrong, said in [
        ({"layres": 3}, "Did you mean 'layers'"),
        ({"api_key": "sk-1"}, "unknown field 'api_key'"),
        ({"temperature": 3.0}, "ChatMoA.temperature"),
        ({"max_retries": -1}, "ChatMoA.max_retries"),
        ({"layers": 99}, "layers"),
    ]:
        with pytest.raises(ConfigError, match=said):
            ChatMoA(mixture(provider), **wrong)
    with pytest.raises(InputError):
        ChatMoA(mixture(provider)).invoke([])


def test_fields_of_the_mixture_go_over_the_preset(provider):
    moa = ChatMoA(mixture(provider), layers=3, system="Be brief.")
    moa.invoke("hi")
    assert len(provider.requests("one-tok=4")) == 2
    assert provider.requests("one-tok=4")[0].json["messages"][0]["content"] == "Be brief."


class Person(GenericFakeChatModel):
    """A proposer that asks a person, as a node of a graph may."""

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        return interrupt("Write a draft.")


@pytest.mark.parametrize("way", ["ainvoke", "astream", "invoke", "stream"])
async def test_a_model_that_pauses_the_run_is_named_with_the_way_out(provider, way):
    person = Person(messages=iter(()))
    moa = ChatMoA(proposers=[model(provider, "one-tok=4"), person], aggregator=model(provider, "agg"))
    with pytest.raises(ConfigError, match=r"paused the run.*checkpointer") as caught:
        if way == "ainvoke":
            await moa.ainvoke("hi")
        elif way == "astream":
            [chunk async for chunk in moa.astream("hi")]
        elif way == "invoke":
            moa.invoke("hi")
        else:
            list(moa.stream("hi"))
    assert [draft["status"] for draft in caught.value.drafts] == ["ok"]


@pytest.mark.parametrize("fields", [{}, {"on_failure": "best_draft", "max_attempts": 1}])
async def test_a_stream_that_breaks_is_an_error_and_not_two_answers_in_one(provider, fields):
    moa = ChatMoA(mixture(provider, aggregator="cutx1-tok=9-tps=200", **fields))
    with pytest.raises(AggregationError) as caught:
        [chunk async for chunk in moa.astream("hi")]
    assert len(caught.value.drafts) == 2
    if not fields:
        assert (await moa.ainvoke("hi")).content.startswith("[cutx1")


LEFT_EARLY = """
import asyncio
from moa_graph import ChatMoA
from tests.speaking import speaking

async def main():
    moa = ChatMoA(proposers=[speaking("a b c d"), speaking("e")], aggregator=speaking("one two three four five"))
    async for chunk in moa.astream("hi"):
        break

asyncio.run(main())
"""


def test_leaving_a_stream_as_the_last_act_of_a_program_reports_nothing() -> None:
    """asyncio closes all generators of a loop at once when the loop ends, also those that another one is closing."""
    root = Path(__file__).parents[2]
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", LEFT_EARLY], cwd=root, capture_output=True, text=True, timeout=100)
        assert (done.returncode, done.stderr) == (0, "")
