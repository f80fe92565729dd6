"""The tool `moa_answer` at /mcp, called with the official MCP client, standalone and under `langgraph dev`."""

import asyncio
import http.client
import json
import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from mcp import Client, MCPError, StdioServerParameters

from moa_graph.serve.mcp import sessions
from tests.langgraph_dev import ANSWER, LangGraphDev, scripted
from tests.serving import Served, mixture, model

ROOT = Path(__file__).parents[2]
SAYS = "Four.%0ANot%20five."
ANALYSIS = {"consensus": ["It is four."], "unique_insights": [{"model": 2, "insight": "In any base."}]}
ANALYST_SAYS = quote(json.dumps(ANALYSIS), safe="").replace("_", "%5F")


@pytest.fixture(params=["auto", "legacy"])
def mode(request):
    """The current revision of the protocol, and the handshake of earlier ones."""
    return request.param


@pytest.fixture
def served(provider):
    mixtures = {
        "plain": mixture(provider, "one-tok=4", "two-tok=4", aggregator=f"say={SAYS}"),
        "broken": mixture(provider, "bad-err401", aggregator="agg"),
        "echo": mixture(provider, "one-tok=4", aggregator="prompt"),
        "hang": mixture(provider, "one-hang", "two-hang", aggregator="agg", deadline=60),
        "analyst": mixture(
            provider,
            "one-tok=4",
            "two-tok=4",
            aggregator=f"say={SAYS}",
            combine={"name": "analyze", "analyst": model(provider, f"say={ANALYST_SAYS}")},
        ),
    }
    with Served(mixtures) as server:
        yield server


def connected(served: Served, mode: str) -> Client:
    # No fixture: the client must be closed by the task that opened it.
    return Client(f"{served.url}/mcp", mode=mode)


async def test_the_tool_is_listed_with_a_plain_schema(served, mode):
    async with connected(served, mode) as client:
        (tool,) = (await client.list_tools()).tools
        assert tool.name == "moa_answer" and "several language models" in tool.description
        assert tool.input_schema["required"] == ["question"]
        assert tool.input_schema["properties"]["mixture"]["enum"] == ["plain", "broken", "echo", "hang", "analyst"]


async def test_it_answers_with_the_text_and_nothing_else(served, mode):
    async with connected(served, mode) as client:
        result = await client.call_tool("moa_answer", {"question": "What is 2 + 2?"})
        assert not result.is_error
        assert [part.model_dump(include={"type", "text"}) for part in result.content] == [
            {"type": "text", "text": "Four.\nNot five."}
        ]


async def test_it_reports_progress(served, mode):
    async with connected(served, mode) as client:
        told: list[tuple[float, float | None]] = []

        async def note(progress: float, total: float | None, message: str | None) -> None:
            told.append((progress, total))

        await client.call_tool("moa_answer", {"question": "hi"}, progress_callback=note)
        assert told == [(1, 3), (2, 3)]


async def test_another_mixture_and_a_system_prompt(served, mode):
    async with connected(served, mode) as client:
        result = await client.call_tool("moa_answer", {"question": "hi", "mixture": "echo", "system": "Be kind."})
        assert "Be kind." in result.content[0].text


async def test_a_failed_run_is_a_result_with_the_real_reason(served, mode):
    async with connected(served, mode) as client:
        result = await client.call_tool("moa_answer", {"question": "hi", "mixture": "broken"})
        assert result.is_error and "401" in result.content[0].text
        blank = await client.call_tool("moa_answer", {"question": " "})
        assert blank.is_error and "blank" in blank.content[0].text


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("moa_answers", {"question": "hi"}, "Unknown tool: moa_answers"),
        ("moa_answer", {}, 'must be an object like {"question": "..."}'),
        ("moa_answer", {"question": None}, 'must be an object like {"question": "..."}'),
        ("moa_answer", {"question": 7}, "arguments.question: expected text, got 7."),
        ("moa_answer", {"question": "hi", "mixture": "none"}, "arguments.mixture: choose one of"),
        ("moa_answer", {"question": "hi", "layers": "9"}, "unknown argument 'layers'"),
        ("moa_answer", {"question": "hi", "system": "x" * 100_001}, "arguments.system: expected text of at most"),
    ],
)
async def test_wrong_calls_are_refused_before_any_request(served, mode, provider, name, arguments, words):
    async with connected(served, mode) as client:
        with pytest.raises(MCPError, match=re.escape(words)):
            await client.call_tool(name, arguments)
        assert not provider.requests()


async def test_an_argument_that_is_null_is_left_out(served, mode):
    async with connected(served, mode) as client:
        result = await client.call_tool("moa_answer", {"question": "hi", "system": None, "mixture": None})
    assert not result.is_error


ABOUT = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
INITIALIZE = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": ABOUT}


def post(served: Served | LangGraphDev, body: Any, **headers: str) -> httpx.Response:
    accept = {"accept": "application/json, text/event-stream"}
    return httpx.post(f"{served.url}/mcp", json=body, headers={**accept, **headers})


def opened(served: Served) -> dict[str, str]:
    """The headers of a new session, as a client of the protocol before 2026-07-28 opens it."""
    answer = post(served, INITIALIZE)
    assert answer.status_code == 200 and "moa_answer" not in answer.text and '"name":"moa_graph"' in answer.text
    headers = {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
    assert post(served, {"jsonrpc": "2.0", "method": "notifications/initialized"}, **headers).status_code == 202
    return headers


def test_a_foreign_page_and_an_oversized_body_are_refused(served):
    ping = {"jsonrpc": "2.0", "id": 4, "method": "ping"}
    assert post(served, ping, origin="https://evil.example").status_code == 403
    large = {**ping, "params": {"_meta": {"x": "a" * 40_000_000}}}
    assert post(served, large).status_code == 413
    assert post(served, {"id": 3}).status_code == 400


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ([{"jsonrpc": "2.0", "id": 4, "method": "ping"}] * 2, 400, "one by one"),
        ([{"jsonrpc": "2.0", "id": 4, "method": "ping"}] * 2_000, 413, "more than 1,000 lists and objects"),
        ({"jsonrpc": "2.0", "id": 4, "method": "ping", "params": {"x": list(range(20_000))}}, 413, "more than 10,000"),
    ],
)
def test_messages_of_many_values_are_refused_before_they_are_validated(served, body, status, words):
    """The `mcp` package validates on the event loop: 100,000 messages in one request stopped it for 1.7 seconds."""
    answer = post(served, body)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == -32600 and words in answer.json()["error"]["message"]


@pytest.mark.parametrize("further", [{}, {"last-event-id": "5"}])
def test_no_connection_is_held_for_a_client_that_only_waits(served, further):
    """One client with a stream in each of a thousand sessions took all of the server's connections."""
    headers = {**opened(served), "accept": "text/event-stream", **further}
    answer = httpx.get(f"{served.url}/mcp", headers=headers)
    assert answer.status_code == 405 and answer.headers["allow"] == "POST, DELETE"
    assert "POST" in answer.json()["error"]["message"]
    assert post(served, {"jsonrpc": "2.0", "id": 4, "method": "ping"}, **opened(served)).status_code == 200


@pytest.mark.parametrize("again", ["7", '"7"', '7, "params": {"x": NaN}'])
def test_an_id_is_of_one_request_at_a_time(served, provider, again):
    """The `mcp` package keeps the earlier request's connection without an answer, as long as its client likes."""
    headers = opened(served)
    connection = call(served, headers)
    assert provider.wait(lambda stats: stats["in_flight"] == 2)["in_flight"] == 2

    def ping(given: str) -> httpx.Response:
        kinds = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        body = f'{{"jsonrpc": "2.0", "method": "ping", "id": {given}}}'
        return httpx.post(f"{served.url}/mcp", content=body, headers={**headers, **kinds})

    refused = ping(again)
    assert refused.status_code == 400 and "'7' is under way" in refused.json()["error"]["message"]
    assert ping("8").status_code == 200 and provider.stats()["in_flight"] == 2
    connection.close()
    assert provider.wait(lambda stats: stats["in_flight"] == 0)["in_flight"] == 0
    assert ping("7").status_code == 200, "the id of a request that is over"


def test_the_address_with_a_slash_is_not_redirected(served):
    """Clients do not follow the redirect of a POST, and its address would be http behind a proxy that ends TLS."""
    accept = {"accept": "application/json, text/event-stream"}
    assert httpx.post(f"{served.url}/mcp/", json=INITIALIZE, headers=accept).status_code == 200


def test_of_too_many_sessions_the_one_unused_for_the_longest_is_ended(served, provider, monkeypatch):
    """The package refuses new ones for half an hour, so that one client could lock the others out."""
    monkeypatch.setattr(sessions, "MOST", 3)
    ping = {"jsonrpc": "2.0", "id": 4, "method": "ping"}
    busy, first, second = opened(served), opened(served), opened(served)
    connection = call(served, busy)
    assert provider.wait(lambda stats: stats["in_flight"] == 2)["in_flight"] == 2
    assert post(served, ping, **first).status_code == 200
    third = opened(served)
    found = [post(served, ping, **each).status_code for each in (first, second, third)]
    assert found == [200, 404, 200]
    assert provider.stats()["in_flight"] == 2, "a session with a call under way stays"
    connection.close()
    assert httpx.delete(f"{served.url}/mcp", headers=first).status_code == 200
    assert post(served, ping, **opened(served)).status_code == 200
    assert post(served, ping, **third).status_code == 200


def test_a_session_that_was_never_opened_is_unknown(served, provider):
    call = {"name": "moa_answer", "arguments": {"question": "hi"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    assert post(served, message, **{"mcp-session-id": "made-up"}).status_code == 404
    assert not provider.requests()


async def test_the_result_carries_the_drafts_and_the_record(served, mode):
    async with connected(served, mode) as client:
        (tool,) = (await client.list_tools()).tools
        result = await client.call_tool("moa_answer", {"question": "hi"})
    held = result.structured_content
    assert held["answer"] == "Four.\nNot five."
    assert [draft["status"] for draft in held["drafts"]] == ["ok", "ok"]
    assert held["record"]["calls"] == 3 and held["analysis"] is None and held["notes"] == []
    assert set(tool.output_schema["required"]) <= set(held)


async def test_the_result_carries_the_analysis_and_the_notes(served, mode):
    async with connected(served, mode) as client:
        result = await client.call_tool("moa_answer", {"question": "hi", "mixture": "analyst"})
    held = result.structured_content
    assert held["analysis"]["consensus"] == ANALYSIS["consensus"]
    assert held["analysis"]["unique_insights"][0]["model"] == held["drafts"][1]["proposer"]
    assert [(note["kind"], note["status"]) for note in held["notes"]] == [("analysis", "ok")]


async def until(provider, in_flight: int) -> dict[str, Any]:
    """The provider's counts, once that many requests are open there; the test's own loop goes on meanwhile."""
    return await asyncio.to_thread(provider.wait, lambda stats: stats["in_flight"] == in_flight)


async def test_a_call_that_is_taken_back_is_not_paid_further(served, mode, provider):
    async with connected(served, mode) as client, connected(served, mode) as other:
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


def call(served: Served, headers: dict[str, str]) -> http.client.HTTPConnection:
    """A connection on which a call of `hang`, with the id 7, is under way."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    params = {"name": "moa_answer", "arguments": {"question": "hi", "mixture": "hang"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})
    accept = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    connection.request("POST", "/mcp", body, {**accept, **headers})
    return connection


def test_a_client_that_leaves_stops_the_calls_upstream(served, provider):
    connection = call(served, opened(served))
    assert provider.wait(lambda stats: stats["in_flight"] == 2)["in_flight"] == 2
    connection.close()
    assert provider.wait(lambda stats: stats["in_flight"] == 0)["in_flight"] == 0
    assert len(provider.requests()) == 2


def test_only_its_own_session_cancels_a_call(served, provider):
    mine, other = opened(served), opened(served)
    connection = call(served, mine)
    provider.wait(lambda stats: stats["in_flight"] == 2)
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
    post(served, cancel)
    assert post(served, cancel, **other).status_code == 202
    assert provider.stats()["in_flight"] == 2
    assert post(served, cancel, **mine).status_code == 202
    assert provider.wait(lambda stats: stats["in_flight"] == 0)["in_flight"] == 0
    connection.close()


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


async def test_the_command_serves_the_tool_over_standard_input_and_output(provider, tmp_path):
    made = mixture(provider, "one-tok=4", aggregator=f"say={SAYS}")
    fields = made.model_dump(mode="json", exclude_unset=True)
    (tmp_path / "mine.yaml").write_text(json.dumps(fields))
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "moa_graph", "mcp", "--file", str(tmp_path / "mine.yaml")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    async with Client(command) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["moa_answer"]
        result = await client.call_tool("moa_answer", {"question": "hi"})
        assert result.content[0].text == "Four.\nNot five."


AUTH = """
from langgraph_sdk import Auth

auth = Auth()


@auth.authenticate
async def who(headers: dict) -> str:
    if headers.get(b"x-test") != b"yes":
        raise Auth.exceptions.HTTPException(status_code=401, detail="no")
    return "me"
"""


def test_the_owners_auth_guards_all_routes(provider, tmp_path):
    (tmp_path / "auth.py").write_text(AUTH)
    changes = {"auth": {"path": "./auth.py:auth"}}
    with LangGraphDev(scripted(provider), folder=tmp_path, changes=changes) as server:
        for headers, status in ({}, 401), ({"x-test": "yes"}, 200):
            assert post(server, INITIALIZE, **headers).status_code == status
            assert httpx.get(f"{server.url}/v1/models", headers=headers).status_code == status
