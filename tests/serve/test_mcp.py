"""The tool `moa_answer` at /mcp, called with the MCP project's own client: by itself and under `langgraph dev`."""

import asyncio
import http.client
import json
from typing import Any

import httpx
import pytest
from mcp import Client, MCPError

from moa_graph.serve.mcp.calls import Calls
from tests.langgraph_dev import ANSWER, LangGraphDev, scripted
from tests.serving import Served, mixture

SAYS = "Four.%0ANot%20five."


@pytest.fixture
def served(provider):
    mixtures = {
        "plain": mixture(provider, "one-tok=4", "two-tok=4", aggregator=f"say={SAYS}"),
        "broken": mixture(provider, "bad-err401", aggregator="agg"),
        "echo": mixture(provider, "one-tok=4", aggregator="prompt"),
        "hang": mixture(provider, "one-hang", "two-hang", aggregator="agg", deadline=60),
    }
    with Served(mixtures) as server:
        yield server


def connected(served: Served) -> Client:
    # No fixture: the client must be closed by the task that opened it.
    return Client(f"{served.url}/mcp")


async def test_the_tool_is_listed_with_a_plain_schema(served):
    async with connected(served) as client:
        (tool,) = (await client.list_tools()).tools
        assert tool.name == "moa_answer" and "several language models" in tool.description
        assert tool.input_schema["required"] == ["question"]
        assert tool.input_schema["properties"]["mixture"]["enum"] == ["plain", "broken", "echo", "hang"]


async def test_it_answers_with_the_text_and_nothing_else(served):
    async with connected(served) as client:
        result = await client.call_tool("moa_answer", {"question": "What is 2 + 2?"})
        assert not result.is_error
        assert [part.model_dump(include={"type", "text"}) for part in result.content] == [
            {"type": "text", "text": "Four.\nNot five."}
        ]


async def test_it_tells_of_progress(served):
    async with connected(served) as client:
        told: list[tuple[float, float | None]] = []

        async def note(progress: float, total: float | None, message: str | None) -> None:
            told.append((progress, total))

        await client.call_tool("moa_answer", {"question": "hi"}, progress_callback=note)
        assert told == [(1, 3), (2, 3)]


async def test_another_mixture_and_a_system_prompt(served):
    async with connected(served) as client:
        result = await client.call_tool("moa_answer", {"question": "hi", "mixture": "echo", "system": "Be kind."})
        assert "Be kind." in result.content[0].text


async def test_a_failed_run_is_a_result_with_the_real_reason(served):
    async with connected(served) as client:
        result = await client.call_tool("moa_answer", {"question": "hi", "mixture": "broken"})
        assert result.is_error and "401" in result.content[0].text
        blank = await client.call_tool("moa_answer", {"question": " "})
        assert blank.is_error and "blank" in blank.content[0].text


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("moa_answers", {"question": "hi"}),
        ("moa_answer", {}),
        ("moa_answer", {"question": 7}),
        ("moa_answer", {"question": "hi", "mixture": "none"}),
        ("moa_answer", {"question": "hi", "layers": "9"}),
    ],
)
async def test_wrong_calls_are_refused_before_any_request(served, provider, name, arguments):
    async with connected(served) as client:
        with pytest.raises(MCPError):
            await client.call_tool(name, arguments)
        assert not provider.requests()


def post(served: Served, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(f"{served.url}/mcp", json=body, headers=headers)


def test_the_plain_protocol(served):
    call = {"name": "moa_answer", "arguments": {"question": "hi"}}
    whole = post(served, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}, accept="application/json")
    assert whole.json()["result"]["content"][0]["text"] == "Four.\nNot five."
    opened = post(served, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "1999"}})
    assert opened.json()["result"]["protocolVersion"] == "2025-11-25"
    assert post(served, {"jsonrpc": "2.0", "id": 2, "method": "prompts/list"}).json()["error"]["code"] == -32601
    assert opened.headers["mcp-session-id"]
    assert post(served, {"jsonrpc": "2.0", "method": "notifications/initialized"}).status_code == 202
    assert post(served, {"id": 3}).status_code == 400
    assert httpx.get(f"{served.url}/mcp").status_code == 405
    assert post(served, {"jsonrpc": "2.0", "id": 4, "method": "ping"}, origin="https://evil.example").status_code == 403


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"id": 1, "method": "tools/call", "params": "moa_answer"}, -32602),
        ({"id": 1, "method": "tools/call", "params": ["moa_answer"]}, -32602),
        ({"id": 1, "method": "tools/list", "params": []}, -32602),
        ({"id": 1, "method": "initialize", "params": 7}, -32602),
        ({"id": 1, "method": "tools/call", "params": {"name": "other"}}, -32602),
        ({"id": 1, "method": "tools/call", "params": {"name": "moa_answer", "arguments": ["hi"]}}, -32602),
        (
            {
                "id": 1,
                "method": "tools/call",
                "params": {"name": "moa_answer", "arguments": {"question": "hi"}, "_meta": "x"},
            },
            -32602,
        ),
        ({"id": 1, "method": ["tools/call"]}, -32601),
        ({"id": {"a": 1}, "method": "ping"}, -32600),
        ({"id": None, "method": "ping"}, -32600),
        ({"id": True, "method": "ping"}, -32600),
    ],
)
def test_a_message_that_is_wrong_is_told_what_is_wrong(served, provider, message, code):
    for accept in ("application/json", "application/json, text/event-stream"):
        answer = post(served, {"jsonrpc": "2.0", **message}, accept=accept)
        assert answer.status_code == 200 and answer.json()["error"]["code"] == code
        assert answer.json()["id"] == (1 if message["id"] == 1 and code != -32600 else None)
    assert not provider.requests()


def test_params_may_be_null(served):
    assert post(served, {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": None}).json()["result"] == {}


async def until(provider, in_flight: int) -> dict[str, Any]:
    """The provider's counts, once that many requests are open there; the test's own loop goes on meanwhile."""
    return await asyncio.to_thread(provider.wait, lambda stats: stats["in_flight"] == in_flight)


async def test_a_call_that_is_taken_back_is_not_paid_further(served, provider):
    async with connected(served) as client, connected(served) as other:
        # Both clients number their calls alike, and only one takes its own back.
        hang = {"question": "hi", "mixture": "hang"}
        mine, theirs = (asyncio.ensure_future(each.call_tool("moa_answer", hang)) for each in (client, other))
        assert (await until(provider, 4))["in_flight"] == 4
        mine.cancel()
        with pytest.raises(asyncio.CancelledError):
            await mine
        assert (await until(provider, 2))["in_flight"] == 2
        assert not theirs.done()
        # The client is still connected, and goes on.
        result = await client.call_tool("moa_answer", {"question": "hi"})
        assert result.content[0].text == "Four.\nNot five."
        theirs.cancel()
        with pytest.raises(asyncio.CancelledError):
            await theirs
        assert (await until(provider, 0))["in_flight"] == 0
    assert len(provider.requests()) == 2 + 2 + 3


def call(served: Served, *, accept: str, session: str) -> http.client.HTTPConnection:
    """A connection on which a call of `hang`, with the id 7, is under way."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    params = {"name": "moa_answer", "arguments": {"question": "hi", "mixture": "hang"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})
    headers = {"Content-Type": "application/json", "Accept": accept, "Mcp-Session-Id": session}
    connection.request("POST", "/mcp", body, headers)
    return connection


ACCEPT = ["application/json", "application/json, text/event-stream"]


@pytest.mark.parametrize("accept", ACCEPT)
def test_a_client_that_leaves_stops_the_calls_upstream(served, provider, accept):
    connection = call(served, accept=accept, session="s")
    assert provider.wait(lambda stats: stats["in_flight"] == 2)["in_flight"] == 2
    connection.close()
    assert provider.wait(lambda stats: stats["in_flight"] == 0)["in_flight"] == 0
    assert len(provider.requests()) == 2


@pytest.mark.parametrize("accept", ACCEPT)
def test_only_its_own_session_takes_a_call_back_and_the_response_ends(served, provider, accept):
    connection = call(served, accept=accept, session="s")
    provider.wait(lambda stats: stats["in_flight"] == 2)
    for params, session in (
        ({"requestId": 7}, {}),
        ({"requestId": 7}, {"Mcp-Session-Id": "other"}),
        ({"requestId": "7"}, {"Mcp-Session-Id": "s"}),
        ({"requestId": [7]}, {"Mcp-Session-Id": "s"}),
        ([7], {"Mcp-Session-Id": "s"}),
        ("", {"Mcp-Session-Id": "s"}),
    ):
        message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
        assert post(served, message, **session).status_code == 202
    assert provider.stats()["in_flight"] == 2
    message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
    assert post(served, message, **{"Mcp-Session-Id": "s"}).status_code == 202
    assert provider.wait(lambda stats: stats["in_flight"] == 0)["in_flight"] == 0
    assert connection.getresponse().read() == b""
    connection.close()


async def test_what_is_kept_is_bounded_by_the_calls_under_way():
    calls, begun = Calls(), asyncio.Event()

    async def one(session: str | None) -> None:
        with calls.running(session, 1):
            begun.set()
            await asyncio.Event().wait()

    for _ in range(3):
        task = asyncio.ensure_future(one("s"))
        await begun.wait()
        begun.clear()
        assert len(calls) == 1
        calls.cancel("s", 1)
        await asyncio.wait({task})
        assert task.cancelled() and not len(calls)
    nobodys = asyncio.ensure_future(one(None))
    await begun.wait()
    assert not len(calls)
    nobodys.cancel()


async def test_under_the_agent_server_it_is_text_and_not_the_repr_of_a_state(langgraph_dev):
    async with Client(f"{langgraph_dev.url}/mcp") as client:
        assert "moa_answer" in [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool("moa_answer", {"question": "What is it?"})
    assert [part.text for part in result.content] == [ANSWER]


async def test_the_agent_server_answers_a2a_with_the_text(langgraph_dev):
    async with httpx.AsyncClient(base_url=langgraph_dev.url) as http:
        found = (await http.post("/assistants/search", json={"graph_id": "moa_answer"})).json()
        part = {"kind": "text", "text": "What is it?"}
        message = {"role": "user", "parts": [part], "messageId": "m1", "kind": "message"}
        body = {"jsonrpc": "2.0", "id": "1", "method": "message/send", "params": {"message": message}}
        headers = {"accept": "application/json"}
        reply = (await http.post(f"/a2a/{found[0]['assistant_id']}", json=body, headers=headers, timeout=60)).json()
    assert [part["text"] for artifact in reply["result"]["artifacts"] for part in artifact["parts"]] == [ANSWER]


AUTH = """
from langgraph_sdk import Auth

auth = Auth()


@auth.authenticate
async def who(headers: dict) -> str:
    if headers.get(b"x-test") != b"yes":
        raise Auth.exceptions.HTTPException(status_code=401, detail="no")
    return "me"
"""


def test_an_owners_auth_guards_our_routes_as_it_guards_the_servers(provider, tmp_path):
    (tmp_path / "auth.py").write_text(AUTH)
    changes = {"auth": {"path": "./auth.py:auth"}}
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    with LangGraphDev(scripted(provider), folder=tmp_path, changes=changes) as server:
        for headers, status in ({}, 401), ({"x-test": "yes"}, 200):
            assert httpx.post(f"{server.url}/mcp", json=ping, headers=headers).status_code == status
            assert httpx.get(f"{server.url}/v1/models", headers=headers).status_code == status
