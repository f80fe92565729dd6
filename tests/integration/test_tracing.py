"""The traces of a run, received by a server that speaks LangSmith's ingest protocol."""

import asyncio
import itertools
import json
from contextlib import aclosing
from functools import partial

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tracers.base import AsyncBaseTracer
from langchain_openai import ChatOpenAI
from langsmith import traceable, tracing_context
from langsmith.anonymizer import create_anonymizer

from moa_graph import ChatMoA, Mixture, NotEnoughDraftsError, create_moa
from tests.langsmith_sink import LangSmithSink

KEY = "sk-a-key-that-must-never-show"


@pytest.fixture
def sink():
    with LangSmithSink() as sink:
        yield sink


def model(provider, name, **fields):
    return {"model": f"openai:{name}", "base_url": provider.url, **fields}


@pytest.fixture
def graph(provider, monkeypatch):
    monkeypatch.setenv("MOA_TEST_KEY", KEY)
    names = ("good-tok=3", "bad-err401", "shy-refuse")
    return create_moa(
        proposers=[model(provider, name, api_key_env="MOA_TEST_KEY") for name in names],
        aggregator=model(provider, "agg-tok=4"),
        layers=3,
        name="moa",
        max_attempts=1,
    ).with_config(metadata={"moa_preset": "traced"})


NODES = ["p0-good-tok-3", "p1-bad-err401", "p2-shy-refuse"]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "astream"])
def test_the_tree_shows_who_did_what(graph, sink, way):
    with sink.tracing():
        if way == "invoke":
            graph.invoke({"messages": "hi"})
        elif way == "ainvoke":
            asyncio.run(graph.ainvoke({"messages": "hi"}))
        else:
            asyncio.run(consume(graph))
    root = sink.tree()
    assert (root.name, root.run["run_type"]) == ("moa", "chain")
    # Proposers of one round begin at once: their order within it is chance.
    spans = [span.name for span in root.children]
    assert [sorted(part) for part in (spans[:1], spans[1:4], spans[4:5], spans[5:8], spans[8:])] == [
        ["begin"],
        NODES,
        ["gather"],
        NODES,
        ["aggregate", "gather"],
    ]
    for span in root.children:
        for call in [child for child in span.children if child.run["run_type"] == "llm"]:
            if span.name == "aggregate":
                assert call.name == "aggregate openai:agg-tok=4" and call.metadata["moa_layer"] == 3
            else:
                slot = NODES.index(span.name)
                assert call.name == f"layer {span.metadata['moa_layer']} slot {slot} {span.metadata['moa_model']}"
                assert {f"moa:layer:{span.metadata['moa_layer']}", f"moa:slot:{slot}"} <= set(call.run["tags"])
    assert len([span for span in root.walk() if span.run["run_type"] == "llm"]) == 7


async def consume(graph):
    async for _ in graph.astream({"messages": "hi"}, stream_mode=["messages", "custom"]):
        pass


def test_a_failed_proposer_is_marked_with_its_reason_and_the_run_is_not(graph, sink):
    with sink.tracing():
        graph.invoke({"messages": "hi"})
    root = sink.tree()
    found = {(s.metadata["moa_layer"], s.name): s for s in root.children if s.name in NODES}
    for layer in (1, 2):
        good, bad, shy = (found[layer, name] for name in NODES)
        assert good.run.get("error") is None and good.metadata["moa_status"] == "ok"
        assert bad.run["error"].startswith("failed: ") and "401" in bad.run["error"]
        assert "moa:status:failed" in bad.run["tags"]
        assert shy.run["error"] == "refused: I can't help with that."
        assert "401" in bad.children[0].run["error"]
    assert root.run.get("error") is None and root.find("aggregate").run.get("error") is None


def test_inputs_and_outputs_are_there_and_keys_are_not(graph, sink):
    with sink.tracing():
        graph.invoke({"messages": "a question to find again"})
    root = sink.tree()
    assert root.run["inputs"] == {"messages": "a question to find again"}
    assert root.run["outputs"]["record"]["calls"] == 7
    call = root.find("aggregate").children[0]
    assert "a question to find again" in json.dumps(call.run["inputs"])
    assert call.run["outputs"]["llm_output"]["token_usage"]["completion_tokens"] == 4
    assert all(span.metadata["moa_preset"] == "traced" for span in root.walk())
    assert not [body for body in sink.bodies if KEY.encode() in body]


def test_inputs_and_outputs_can_be_hidden(graph, sink):
    with sink.tracing(hide_inputs=True, hide_outputs=True):
        graph.invoke({"messages": "a question to hide"})
    assert len(list(sink.tree().walk())) > 10
    for text in (b"a question to hide", b"[good-tok=3]", b"[agg-tok=4]"):
        assert not [body for body in sink.bodies if text in body]


def test_an_anonymizer_reaches_every_span(graph, sink):
    with sink.tracing(anonymizer=create_anonymizer([{"pattern": "four-[0-9]+", "replace": "<number>"}])):
        graph.invoke({"messages": "Who is four-4711?"})
    assert not [body for body in sink.bodies if b"four-4711" in body]
    assert [body for body in sink.bodies if b"<number>" in body]


def test_a_run_that_fails_is_marked_at_its_root(provider, sink):
    failing = create_moa(proposers=[model(provider, "bad-err500")], aggregator=model(provider, "agg"), max_attempts=1)
    with sink.tracing(), pytest.raises(NotEnoughDraftsError):
        failing.invoke({"messages": "hi"})
    assert "NotEnoughDraftsError" in sink.tree().run["error"]


@pytest.mark.parametrize("traced", [True, False])
def test_the_callers_own_span_is_not_changed(provider, sink, traced):
    failing = create_moa(
        proposers=[model(provider, "bad-err500"), model(provider, "ok")],
        aggregator=model(provider, "agg-tok=2"),
        max_attempts=1,
    )

    @traceable
    def mine(question: str) -> str:
        with tracing_context(enabled=traced):
            return str(failing.invoke({"messages": question})["messages"][-1].content)

    with sink.tracing():
        mine("hi")
    root = sink.tree()
    assert root.name == "mine" and root.run.get("error") is None
    assert "moa_status" not in root.metadata
    assert [child.name for child in root.children] == (["moa"] if traced else [])


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_a_chat_model_has_its_mixture_under_it(provider, sink, way):
    moa = ChatMoA(proposers=[model(provider, "one-tok=3")], aggregator=model(provider, "agg-tok=4"))

    async def streamed():
        return [chunk async for chunk in moa.astream([HumanMessage("hi")])]

    with sink.tracing():
        if way == "invoke":
            moa.invoke("hi")
        elif way == "stream":
            list(moa.stream("hi"))
        else:
            asyncio.run(streamed() if way == "astream" else moa.ainvoke("hi"))
    root = sink.tree()
    assert (root.name, root.run["run_type"]) == ("ChatMoA", "llm")
    assert [child.name for child in root.children] == ["moa"]
    assert [s.name for s in root.children[0].children] == ["begin", "p0-one-tok-3", "gather", "aggregate"]


@pytest.mark.parametrize("way", ["invoke", "stream", "generate"])
@pytest.mark.parametrize("fields", [{}, {"max_retries": 0}])
def test_every_span_of_a_chat_model_names_its_mixture(provider, sink, way, fields):
    """Its own too, so that a filter of root spans finds it."""
    mixture = Mixture(name="mine", proposers=[model(provider, "one-tok=3")], aggregator=model(provider, "agg-tok=4"))
    moa = ChatMoA(mixture, **fields)
    with sink.tracing():
        if way == "generate":
            moa.generate([[HumanMessage("hi")]])
        else:
            list(moa.stream("hi")) if way == "stream" else moa.invoke("hi")
    spans = list(sink.tree().walk())
    assert len(spans) == 8 and {span.metadata.get("moa_preset") for span in spans} == {"mine"}
    assert len({span.metadata.get("moa_mixture") for span in spans}) == 1


def test_a_mixture_within_a_mixture_is_under_its_slot(provider, sink):
    inner = ChatMoA(proposers=[model(provider, "one-tok=3")], aggregator=model(provider, "agg-tok=4"), layers=2)
    outer = create_moa(proposers=[inner], aggregator=model(provider, "top-tok=2"))
    with sink.tracing():
        outer.invoke({"messages": "hi"})
    (slot,) = [span for span in sink.tree().children if span.name.startswith("p0-")]
    (call,) = slot.children[:1]
    assert call.name.startswith("layer 1 slot 0 ChatMoA:moa:") and [c.name for c in call.children] == ["moa"]


def test_cached_tokens_are_where_langsmith_reads_them(sink):
    usage = {"input_tokens": 100, "output_tokens": 5, "total_tokens": 105, "input_token_details": {"cache_read": 80}}
    cached = GenericFakeChatModel(messages=itertools.cycle([AIMessage("yes", usage_metadata=usage)]))
    with sink.tracing():
        create_moa(proposers=[cached], aggregator=cached).invoke({"messages": "hi"})
    calls = [span for span in sink.tree().walk() if span.run["run_type"] == "llm"]
    assert [span.metadata["usage_metadata"] for span in calls] == [usage, usage]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream", "generate", "agenerate"])
def test_spans_inside_a_chat_model_do_not_claim_its_name(provider, sink, way):
    """`ls_model_name` of a mixture is not a provider's model: only the chat model's own span has it."""
    moa = ChatMoA(proposers=[model(provider, "one-tok=3")], aggregator=model(provider, "agg-tok=4"), name="mine")

    async def streamed():
        return [chunk async for chunk in moa.astream("hi")]

    with sink.tracing():
        if way == "invoke":
            moa.invoke("hi", config={"metadata": {"mine": 1}})
        elif way == "stream":
            list(moa.stream("hi", config={"metadata": {"mine": 1}}))
        elif way == "generate":
            moa.generate([[HumanMessage("hi")]], metadata={"mine": 1})
        elif way == "agenerate":
            asyncio.run(moa.agenerate([[HumanMessage("hi")]], metadata={"mine": 1}))
        else:
            asyncio.run(streamed() if way == "astream" else moa.ainvoke("hi"))
    root, *inner = sink.tree().walk()
    assert root.metadata["ls_model_name"] == "moa:mine"
    for span in inner:
        if span.run["run_type"] == "llm":
            assert span.metadata["ls_model_name"] == span.metadata["model_name"] in ("one-tok=3", "agg-tok=4")
        else:
            assert not {"ls_model_name", "ls_provider", "ls_model_type", "model_name"} & span.metadata.keys(), span.name
    if way in ("invoke", "stream", "generate", "agenerate"):
        assert all(span.metadata["mine"] == 1 for span in inner)


def usages(sink):
    """Return the usage of each model call in the only trace, by the call's name."""
    calls = [span for span in sink.tree().walk() if span.run["run_type"] == "llm"]
    return {span.name: span.metadata["usage_metadata"] for span in calls}


@pytest.mark.parametrize("stream", [False, True])
def test_the_cost_that_a_provider_states_is_where_langsmith_reads_it(provider, sink, stream):
    moa = create_moa(proposers=[model(provider, "one-cost=0.25")], aggregator=model(provider, "agg-cost=0.5"))
    with sink.tracing():
        done = moa.invoke({"messages": "hi"}, context={"stream_answer": stream, "stream_drafts": stream})
    found = usages(sink)
    assert found["layer 1 slot 0 openai:one-cost=0.25"]["total_cost"] == 0.25
    assert found["aggregate openai:agg-cost=0.5"]["total_cost"] == 0.5
    assert done["record"]["cost"] == 0.75 and all(usage["input_tokens"] for usage in found.values())


@pytest.mark.parametrize("stream", [False, True])
def test_a_cost_from_the_mixtures_prices_has_its_parts(provider, sink, stream):
    """The span and the record state the same dollars, and the answer's own usage stays LangChain's."""
    prices = {"openai:one": [1.0, 2.0], "openai:agg": [10.0, 20.0]}
    moa = create_moa(proposers=[model(provider, "one")], aggregator=model(provider, "agg"), prices=prices)
    with sink.tracing():
        done = moa.invoke({"messages": "hi"}, context={"stream_answer": stream, "stream_drafts": stream})
    found = usages(sink)["layer 1 slot 0 openai:one"]
    assert found["input_cost"] == pytest.approx(found["input_tokens"] * 1e-6)
    assert found["output_cost"] == pytest.approx(found["output_tokens"] * 2e-6)
    assert found["total_cost"] == pytest.approx(done["drafts"][0]["cost"])
    assert sum(usage["total_cost"] for usage in usages(sink).values()) == pytest.approx(done["record"]["cost"])
    assert "total_cost" not in done["messages"][-1].usage_metadata


class Tree(AsyncBaseTracer):
    """LangChain's base of async tracers, as Chainlit's handler derives from it."""

    async def _persist_run(self, run):
        self.root = run

    def spans(self):
        found = [self.root]
        for run in found:
            found += run.child_runs
        return {run.name: run for run in found}


@pytest.mark.parametrize("way", ["ainvoke", "astream", "invoke", "stream"])
async def test_an_async_tracer_sees_the_tree_of_a_chat_model_and_its_costs(provider, way):
    moa = ChatMoA(proposers=[model(provider, "one-cost=0.25")], aggregator=model(provider, "agg-cost=0.5"))
    tree = Tree()
    if way == "ainvoke":
        await moa.ainvoke("hi", {"callbacks": [tree]})
    elif way == "astream":
        async for _ in moa.astream("hi", {"callbacks": [tree]}):
            pass
    elif way == "invoke":
        await asyncio.to_thread(moa.invoke, "hi", {"callbacks": [tree]})
    else:
        await asyncio.to_thread(lambda: list(moa.stream("hi", {"callbacks": [tree]})))
    spans = tree.spans()
    assert list(spans)[:2] == ["ChatMoA", "moa"]
    made = [run for name, run in spans.items() if run.run_type == "llm" and name != "ChatMoA"]
    replies = [run.outputs["generations"][0][0]["message"]["kwargs"] for run in made]
    assert sorted(reply["usage_metadata"]["total_cost"] for reply in replies) == [0.25, 0.5]


def test_one_request_for_several_samples_states_its_cost_once(provider, sink):
    proposer = model(provider, "one", samples=3, one_request=True)
    moa = create_moa(proposers=[proposer], aggregator=model(provider, "agg"), prices={"openai:one": [1.0, 2.0]})
    with sink.tracing():
        done = moa.invoke({"messages": "hi"})
    found = usages(sink)["layer 1 slot 0 openai:one"]
    assert len(provider.requests("one")) == 1
    assert found["total_cost"] == pytest.approx(sum(draft["cost"] for draft in done["drafts"]))
    assert found["output_tokens"] == sum(draft["usage"]["output_tokens"] for draft in done["drafts"])


def test_a_reply_from_langchains_cache_costs_nothing(provider, sink):
    cached = ChatOpenAI(model="one", base_url=provider.url, api_key="x", cache=InMemoryCache())
    prices = {"ChatOpenAI:one": [1.0, 2.0], "openai:agg": [10.0, 20.0]}
    moa = create_moa(proposers=[cached], aggregator=model(provider, "agg"), prices=prices)
    first = moa.invoke({"messages": "hi"})
    with sink.tracing():
        again = moa.invoke({"messages": "hi"})
    assert len(provider.requests("one")) == 1
    assert first["drafts"][0]["cost"] > 0 and again["drafts"][0]["cost"] == 0
    assert again["record"]["cost"] == pytest.approx(first["record"]["cost"] - first["drafts"][0]["cost"])
    assert usages(sink)["layer 1 slot 0 ChatOpenAI:one"]["total_cost"] == 0


def test_without_a_price_no_cost_is_stated(provider, sink):
    with sink.tracing():
        create_moa(proposers=[model(provider, "one")], aggregator=model(provider, "agg")).invoke({"messages": "hi"})
    assert not any("total_cost" in usage for usage in usages(sink).values())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("place", ["proposers", "aggregator"])
def test_a_mixture_within_a_mixture_states_each_cost_once(provider, sink, place, stream):
    """In the spans, and in the record of the outer one."""
    inner = ChatMoA(proposers=[model(provider, "one-cost=0.25")], aggregator=model(provider, "agg-cost=0.5"))
    other = model(provider, "top-cost=1")
    first, last = (inner, other) if place == "proposers" else (other, inner)
    outer = create_moa(proposers=[first], aggregator=last)
    with sink.tracing():
        done = outer.invoke({"messages": "hi"}, context={"stream_answer": stream, "stream_drafts": stream})
    costs = [usage["total_cost"] for usage in usages(sink).values() if "total_cost" in usage]
    assert sorted(costs) == [0.25, 0.5, 1.0]
    assert done["record"]["cost"] == 1.75


def _left(graph, _):
    async def run():
        async with aclosing(graph.astream({"messages": "hi"}, stream_mode=["custom", "messages"])) as parts:
            async for mode, part in parts:
                if mode == "custom" and part["moa"] == "draft":
                    break

    asyncio.run(run())


def _invoked(graph, _):
    graph.invoke({"messages": "hi"})


def _awaited(graph, _):
    asyncio.run(graph.ainvoke({"messages": "hi"}))


def _cancelled(graph, provider, *, requests, start=lambda graph: graph.ainvoke({"messages": "hi"})):
    """Cancel a run as soon as so many requests have arrived."""

    async def run():
        task = asyncio.ensure_future(start(graph))
        await asyncio.to_thread(provider.wait, lambda stats: stats["requests"] >= requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


ONE_HANGS = ("one-hang", "two-tok=2")


@pytest.mark.parametrize(
    ("proposers", "aggregator", "fields", "run", "ended"),
    [
        (ONE_HANGS, "agg", {"quorum": 1}, _invoked, 1),
        (ONE_HANGS, "agg", {"quorum": 1}, _awaited, 1),
        (ONE_HANGS, "agg", {"deadline": 1}, _awaited, 1),
        (("one-2000ms", "two-tok=2"), "agg", {"hedge": 1}, _awaited, 1),
        (ONE_HANGS, "agg", {}, _left, 1),
        (("one-hang", "two-hang"), "agg", {}, partial(_cancelled, requests=2), 2),
        (("one", "two"), "agg-hang", {}, partial(_cancelled, requests=3), 1),
        (("one", "two"), "agg-hang", {}, partial(_cancelled, requests=3, start=consume), 1),
    ],
    ids=["quorum, sync", "quorum", "deadline", "hedge", "left stream", "caller", "answer", "streamed answer"],
)
def test_the_span_of_a_cancelled_call_ends(provider, sink, proposers, aggregator, fields, run, ended):
    graph = create_moa(
        proposers=[model(provider, name) for name in proposers], aggregator=model(provider, aggregator), **fields
    )
    with sink.tracing():
        run(graph, provider)
    spans = list(sink.tree().walk())
    assert [span.name for span in spans if not span.run.get("end_time")] == []
    cancelled = [span.run["error"] for span in spans if span.run["run_type"] == "llm" and span.run.get("error")]
    assert len(cancelled) == ended
    why = "1 other drafts were enough" if "quorum" in fields else ""
    assert all(error.startswith("CancelledError(") and why in error for error in cancelled)


async def test_the_span_of_a_cancelled_chat_model_ends(provider, sink):
    """Its own, and that of a mixture within a mixture."""
    inner = ChatMoA(proposers=[model(provider, "one-hang")], aggregator=model(provider, "agg"))
    outer = ChatMoA(proposers=[inner, model(provider, "two-tok=2")], aggregator=model(provider, "agg"), quorum=1)
    with sink.tracing():
        await outer.ainvoke("hi")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(inner.ainvoke("hi"), 0.2)
    assert [run["name"] for run in sink.runs.values() if not run.get("end_time")] == []
