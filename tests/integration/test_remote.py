"""A mixture on `langgraph dev` through `RemoteMoA`: the local graph's output, events and errors."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from moa_graph import ConfigError, InputError, MoAError, create_moa
from moa_graph.cli.log import Log
from moa_graph.cli.source import Server
from moa_graph.errors import ServerError
from moa_graph.graph.remote import RemoteMoA
from tests.langgraph_dev import ANSWER, LangGraphDev, scripted
from tests.provider import Provider

ASK = {"messages": [{"role": "user", "content": "What is it?"}]}
SECONDS = ("seconds", "first_token_seconds")


def timeless(value: Any) -> Any:
    """Return `value` without times and message ids, which differ between runs."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in (*SECONDS, "id")}
    if isinstance(value, list | tuple):
        return [timeless(each) for each in value]
    return timeless(value.model_dump()) if hasattr(value, "model_dump") else value


def in_slot_order(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events with those of one round's proposers in the order of their slots: the order of answers is random."""
    return sorted(timeless(events), key=lambda e: (e.get("layer", 99), ORDER.index(e["moa"]), e.get("slot", 0)))


ORDER = ["round_started", "draft_started", "draft_token", "draft", "quorum"]
ORDER += ["aggregating", "answer_token", "finished", "failed"]


@pytest.fixture
async def remote(langgraph_dev: LangGraphDev) -> AsyncIterator[RemoteMoA]:
    async with RemoteMoA(langgraph_dev.url) as graph:
        yield graph


async def test_output_is_the_local_graphs(remote: RemoteMoA, provider: Provider) -> None:
    local = create_moa(scripted(provider))
    for context in (None, {"layers": 3, "item": "q7"}):
        here, there = await local.ainvoke(ASK, context=context), await remote.ainvoke(ASK, context=context)
        assert timeless(there["drafts"]) == timeless(here["drafts"])
        assert timeless(there["record"]) == timeless(here["record"])
        for mine, its in zip(here["messages"], there["messages"], strict=True):
            assert (its.type, its.text, its.additional_kwargs) == (mine.type, mine.text, mine.additional_kwargs)
        assert there["messages"][-1].usage_metadata == here["messages"][-1].usage_metadata


async def test_events_are_the_local_graphs(remote: RemoteMoA, provider: Provider) -> None:
    local = create_moa(scripted(provider))
    context = {"layers": 3, "stream_answer": True}
    here = [e async for e in local.astream(ASK, context=context, stream_mode="custom")]
    there = [e async for e in remote.astream(ASK, context=context, stream_mode="custom")]
    assert in_slot_order(there) == in_slot_order(here)
    modes = {mode async for mode, _ in remote.astream(ASK, stream_mode=["custom", "values"])}
    assert modes == {"custom", "values"}


THREADS = ["user-7", "0190c4a2-5b1e-7cc0-a2b5-3d1f2e4a5b6c"]


@pytest.mark.parametrize("context", [None, {"layers": 3}])
@pytest.mark.parametrize("thread", THREADS)
async def test_what_a_surrounding_graph_is_configured_with_stays_there(
    remote: RemoteMoA, thread: str, context: dict[str, Any] | None
) -> None:
    """The config of a node names its graph's thread, and may hold more. A local graph takes none of it either."""
    layers: list[int] = []

    async def ask(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        out = await remote.ainvoke({"messages": "What is it?"}, config, context=context)
        layers.append(out["record"]["layers"])
        return {"messages": [message.text for message in out["messages"]]}

    inner = StateGraph(MessagesState).add_node("ask", ask).add_edge(START, "ask").compile()
    parent = StateGraph(MessagesState).add_node("inner", inner).add_edge(START, "inner").compile(InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": thread, "user": "ann", "layers": 1}}
    await parent.ainvoke({"messages": "0"}, config)
    events: list[str] = []
    async for _, event in parent.astream({"messages": "1"}, config, stream_mode="custom", subgraphs=True):
        events.append(event["moa"])
    said = [message.text for message in (await parent.aget_state(config)).values["messages"]]
    assert said == ["0", "What is it?", ANSWER, "1", "What is it?", ANSWER]
    assert layers == ([3, 3] if context else [2, 2])
    assert events[0] == "round_started" and events[-1] == "finished"


async def test_a_stream_without_a_mode_has_the_updates_of_nodes(remote: RemoteMoA, provider: Provider) -> None:
    here = [name async for part in create_moa(scripted(provider)).astream(ASK) for name in part]
    there = [name async for part in remote.astream(ASK) for name in part]
    assert sorted(there) == sorted(here) and "aggregate" in here


async def test_messages_are_objects_in_every_stream(remote: RemoteMoA, provider: Provider) -> None:
    """As the local graph's: the tokens of the answer, the answer in an update, and in the report of a step."""

    async def streamed(graph: Any) -> tuple[AIMessageChunk, list[Any]]:
        tokens, others = [], []
        async for mode, part in graph.astream(ASK, stream_mode=["messages", "updates", "tasks"]):
            if mode == "messages":
                tokens.append(part[0])
                assert part[1]["langgraph_node"] == "aggregate"
            elif mode == "updates":
                others += part.get("aggregate", {}).get("messages", [])
            elif part["name"] == "aggregate":
                others += [*part.get("input", {}).get("messages", []), *part.get("result", {}).get("messages", [])]
        assert all(isinstance(token, AIMessageChunk) for token in tokens)
        return sum(tokens[1:], tokens[0]), others

    (here, mine), (there, its) = await streamed(create_moa(scripted(provider))), await streamed(remote)
    assert there.text == here.text == ANSWER and there.usage_metadata == here.usage_metadata
    assert [(type(each), each.text) for each in its] == [(type(each), each.text) for each in mine]
    assert len(its) == 3


async def fails(graph: Any, input: Any, context: Any = None) -> MoAError:
    with pytest.raises(MoAError) as caught:
        await graph.ainvoke(input, context=context)
    return caught.value


@pytest.mark.slow
async def test_errors_are_the_local_graphs(provider: Provider, tmp_path: Path) -> None:
    mixture = scripted(provider) | {"aggregator": {"model": "openai:agg-err400", "base_url": provider.url}}
    local = create_moa(mixture)
    with LangGraphDev(mixture, folder=tmp_path) as server:
        async with RemoteMoA(server.url) as remote:
            here, there = await fails(local, ASK), await fails(remote, ASK)
            assert type(there) is type(here) and str(there) == str(here)
            assert timeless(there.drafts) == timeless(here.drafts) and len(here.drafts) == 3
            provider.reset()
            for wrong in ({"messages": []}, {"messages": [{"role": "user", "content": " "}]}, {"messages": [3]}):
                assert str(await fails(remote, wrong)) == str(await fails(local, wrong))
            for context in ({"layers": 99}, {"quorum": 9}, {"layer": 2}):
                here, there = await fails(local, ASK, context), await fails(remote, ASK, context)
                assert (type(there), str(there)) == (ConfigError, str(here))
            assert provider.stats()["requests"] == 0


async def test_a_server_that_is_not_there_or_has_no_such_graph(langgraph_dev: LangGraphDev) -> None:
    async with RemoteMoA("http://127.0.0.1:9") as graph:
        assert isinstance(await fails(graph, ASK), ServerError)
        assert isinstance(await fails(graph, {"messages": []}), InputError)
    async with RemoteMoA(langgraph_dev.url, graph="nope") as graph:
        assert isinstance(await fails(graph, ASK), ConfigError)
    for wrong in ("http://127.0.0.1:99999", "http://[::1", "http://127.0.0.1:1?key=secret"):
        with pytest.raises(ConfigError, match=r"^url: .* must start with http"):
            RemoteMoA(wrong)
    with pytest.raises(ConfigError, match="must start with http:// or https://"):
        RemoteMoA("localhost:2024")


async def test_a_password_in_the_address_is_sent_and_never_shown(provider: Provider) -> None:
    async with RemoteMoA(f"http://me:s3cret@{provider.host}/") as graph:
        failure = await fails(graph, ASK)
    assert provider.requests()[0].headers["authorization"] == "Basic bWU6czNjcmV0"
    assert graph.url == f"http://{provider.host}" and "s3cret" not in str(failure)
    with pytest.raises(ConfigError) as caught:
        RemoteMoA("http://me:s3cret@127.0.0.1:99999")
    assert "s3cret" not in str(caught.value)


def test_a_password_in_the_address_is_not_logged(tmp_path: Path) -> None:
    log = Log(tmp_path / "logs.db")
    log.add("a", Server("http://me:s3cret@localhost:2024"), "Why?", "So.", [], None)
    assert [entry.mixture for entry in log.entries()] == ["http://localhost:2024 moa"]


async def test_langsmiths_key_stays_at_home(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANGGRAPH_API_KEY", "LANGSMITH_API_KEY", "LANGCHAIN_API_KEY"):
        monkeypatch.setenv(name, "lsv2-secret")
    monkeypatch.setenv("MOA_SERVER_KEY", "mine")
    async with RemoteMoA(f"http://{provider.host}") as graph:
        await fails(graph, ASK)
    (request,) = provider.requests()
    assert request.headers["x-api-key"] == "mine"
    assert "lsv2-secret" not in str(request.headers)


@contextmanager
def mute_server(status: str) -> Iterator[tuple[str, list[str]]]:
    """A server that sends heartbeats for a run and never its end, as one does whose worker died at the wrong moment;
    `status` is what it says of the run when asked. Gives its address, and what happened: "asked" for every question
    about the run, "left" for every stream that was closed."""
    happened: list[str] = []

    async def stream(_: Any) -> StreamingResponse:
        async def beats() -> AsyncIterator[str]:
            try:
                yield 'event: metadata\ndata: {"run_id": "r"}\n\n'
                yield 'event: custom\ndata: {"moa": "round_started"}\n\n'
                while True:
                    yield ": heartbeat\n\n"
                    await asyncio.sleep(0.05)
            finally:
                happened.append("left")

        headers = {"Content-Location": "/threads/11111111-aaaa/runs/22222222-bbbb"}
        return StreamingResponse(beats(), media_type="text/event-stream", headers=headers)

    async def run(_: Any) -> JSONResponse:
        happened.append("asked")
        return JSONResponse({"status": status})

    routes = [
        Route("/runs/stream", stream, methods=["POST"]),
        Route("/threads/{thread}/runs/{run}", run),
    ]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", happened
    server.should_exit = True
    thread.join(10)


async def test_a_run_without_an_end_event_is_a_server_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moa_graph.graph.remote.SILENCE", 0.2)
    with mute_server("success") as (url, happened):
        async with RemoteMoA(url) as remote:
            with pytest.raises(ServerError, match="did not report the end of the run"):
                await remote.ainvoke(ASK)
        await until(happened, ["left"])
    with mute_server("running") as (url, happened):
        async with RemoteMoA(url) as remote:
            waiting = asyncio.create_task(remote.ainvoke(ASK))
            await until(happened, ["asked"] * 3)
            assert not waiting.done()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await until(happened, ["left"])


async def test_leaving_the_stream_early_closes_it_at_the_server() -> None:
    with mute_server("running") as (url, happened):
        async with RemoteMoA(url) as remote:
            events = remote.astream(ASK, stream_mode="custom")
            assert await anext(events) == {"moa": "round_started"}
            await events.aclose()
            await until(happened, ["left"])


@pytest.mark.parametrize("turns", [1, 2, 3])
async def test_a_caller_that_is_cancelled_twice_closes_the_stream_and_gets_no_other_error(turns: int) -> None:
    """As a node of a graph is, in which another node fails."""
    with mute_server("running") as (url, happened):
        async with RemoteMoA(url) as remote:
            begun = asyncio.Event()

            async def ask() -> None:
                async for _ in remote.astream(ASK, stream_mode="custom"):
                    begun.set()

            asking = asyncio.create_task(ask())
            await begun.wait()
            asking.cancel()
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await until(happened, ["left"])


async def until(happened: list[str], wanted: list[str]) -> None:
    """Wait until all that is wanted has happened at the server. The test's time limit bounds it."""
    while any(happened.count(each) < wanted.count(each) for each in wanted):
        await asyncio.sleep(0.01)
