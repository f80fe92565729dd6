"""Distributed tracing: a run that a traced client asks a server for is below the client's span."""

import asyncio

import httpx
import pytest
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_client
from langsmith import traceable
from langsmith.run_helpers import get_current_run_tree

from moa_graph.serve.app import create_app
from moa_graph.serve.catalogue import Catalogue
from tests.langgraph_dev import LangGraphDev, scripted
from tests.langsmith_sink import LangSmithSink
from tests.serving import mixture

BODIES = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5},
}
ELSEWHERE = "langsmith-project=stolen,langsmith-metadata=%7B%22planted%22%3A1%7D"


def served(provider):
    drafts = ("one-say=draft", "two-say=draft")
    return create_app(Catalogue({"m": mixture(provider, *drafts, aggregator="agg-say=whole")}))


async def post(app, path, headers, **fields):
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.post(path, json={**BODIES[path], "model": "m", **fields}, headers=headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
async def test_an_endpoint_joins_the_clients_trace(provider, path, stream):
    app = served(provider)

    @traceable(name="outer")
    async def outer():
        headers = get_current_run_tree().to_headers()
        await post(app, path, {**headers, "baggage": ELSEWHERE}, stream=stream)

    with LangSmithSink() as sink:
        with sink.tracing():
            await outer()
        root = sink.tree()
        assert root.name == "outer" and [child.name for child in root.children] == ["moa"]
        assert "planted" not in str([span.run["extra"] for span in root.walk()])
        assert len({span.run["session_name"] for span in root.walk() if span.run.get("session_name")}) <= 1


@pytest.mark.parametrize("header", ["", "nonsense", "20200101T000000000000Znot-a-uuid", "x" * 5000])
async def test_a_malformed_header_is_ignored(provider, header):
    app = served(provider)
    with LangSmithSink() as sink:
        with sink.tracing():
            await post(app, "/v1/chat/completions", {"langsmith-trace": header})
        assert sink.tree().name == "moa"


@pytest.mark.slow
async def test_the_graphs_of_the_agent_server_join_the_clients_trace(provider, tmp_path):
    with LangSmithSink() as sink:
        traced = {"LANGSMITH_TRACING": "true", "LANGSMITH_API_KEY": "none", "LANGSMITH_ENDPOINT": sink.url}
        with LangGraphDev(scripted(provider), folder=tmp_path, env=traced) as server, sink.tracing():
            async with get_client(url=server.url) as client:
                remote = RemoteGraph("moa", client=client, distributed_tracing=True)

                @traceable(name="outer")
                async def outer():
                    return await remote.ainvoke({"messages": [{"role": "user", "content": "hi"}]})

                assert (await outer())["messages"]
            async with asyncio.timeout(100):
                while "aggregate" not in {run["name"] for run in sink.runs.values()}:
                    await asyncio.sleep(0.1)
        assert sink.tree().name == "outer" and "aggregate" in {span.name for span in sink.tree().walk()}
