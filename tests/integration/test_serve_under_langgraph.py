"""The endpoint and the page under `langgraph dev`, and the web pages that may use the server."""

import http.client
import json
import re
from typing import Any

import pytest
from openai import OpenAI

from tests.langgraph_dev import ANSWER, ROOT, LangGraphDev, scripted

ASK = [{"role": "user", "content": "What is it?"}]


def request(server, method, path, body=None, **headers):
    """Status, headers and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json", **sent})
    response = connection.getresponse()
    found = response.status, {name.lower(): value for name, value in response.getheaders()}, response.read().decode()
    connection.close()
    return found


def test_the_endpoint_serves_the_servers_own_mixture_first(langgraph_dev):
    with OpenAI(base_url=f"{langgraph_dev.url}/v1", api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()][:2] == ["scripted", "local"]
        answer = client.chat.completions.create(model="scripted", messages=ASK)
        assert answer.choices[0].message.content == ANSWER and answer.usage.total_tokens > 0
        chunks = client.chat.completions.create(model="scripted", messages=ASK, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER


def test_the_page_and_its_run(langgraph_dev):
    status, headers, page = request(langgraph_dev, "GET", "/moa")
    assert status == 200 and "<title>moa" in page and "default-src 'none'" in headers["content-security-policy"]
    status, _, listed = request(langgraph_dev, "GET", "/moa/mixtures")
    assert json.loads(listed)["mixtures"][0]["name"] == "scripted"
    status, headers, stream = request(langgraph_dev, "POST", "/moa/run", {"mixture": "scripted", "messages": ASK})
    assert status == 200 and headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    assert events[0]["moa"] == "round_started" and events[-1]["moa"] == "answer"
    assert events[-1]["text"] == ANSWER and len(events[-1]["drafts"]) == 3


def test_a_foreign_host_name_is_refused_on_every_route_but_health_checks(langgraph_dev):
    foreign = {"Host": f"elsewhere.example:{langgraph_dev.port}"}
    run = {"assistant_id": "moa", "input": {"messages": ASK}}
    for method, path, body in (
        ("GET", "/moa", None),
        ("GET", "/v1/models", None),
        ("GET", "/info", None),
        ("GET", "/docs", None),
        ("POST", "/assistants/search", {"limit": 1}),
        ("POST", "/runs/wait", run),
        ("POST", "/runs", run),
        ("POST", "/a2a/moa", run),
    ):
        status, _, answer = request(langgraph_dev, method, path, body, **foreign)
        assert status == 403 and "elsewhere.example" in answer, path
    assert request(langgraph_dev, "GET", "/ok", **foreign)[0] == 200
    for known in ("localhost", "127.0.0.1", "[::1]", "10.1.2.3", "box.localhost"):
        assert request(langgraph_dev, "POST", "/assistants/search", {"limit": 1}, Host=known)[0] == 200, known


STUDIO = ("https://smith.langchain.com", "https://eu.smith.langchain.com")
FOREIGN = (
    "https://evil.example",
    "http://localhost.evil.example",
    "https://evilsmith.langchain.com",
    "https://evilsmith.langchain.com.evil.org",
    "https://smith.langchain.com.evil.org",
    "https://smith-langchain.com",
    "http://eu.smith.langchain.com",
    "https://evil.org/.smith.langchain.com",
    "null",
)


@pytest.mark.parametrize("origin", [*STUDIO, "http://localhost:3000", "http://127.0.0.1:5173"])
def test_studio_and_local_pages_may_use_the_server(langgraph_dev, origin):
    wanted = {
        "Origin": origin,
        "Access_Control_Request_Method": "POST",
        "Access_Control_Request_Headers": "content-type,x-auth-scheme",
    }
    status, headers, _ = request(langgraph_dev, "OPTIONS", "/threads", **wanted)
    assert status == 200 and headers["access-control-allow-origin"] == origin
    assert "POST" in headers["access-control-allow-methods"]
    for method in ("DELETE", "PATCH", "PUT"):
        assert method in headers["access-control-allow-methods"]
    status, headers, _ = request(langgraph_dev, "POST", "/assistants/search", {"limit": 1}, Origin=origin)
    assert status == 200 and headers["access-control-allow-origin"] == origin
    assert "x-pagination-total" in headers["access-control-expose-headers"].lower()


def test_other_pages_may_not(langgraph_dev):
    for origin in FOREIGN:
        status, headers, _ = request(
            langgraph_dev, "OPTIONS", "/threads", Origin=origin, Access_Control_Request_Method="POST"
        )
        assert status in (400, 403) and "access-control-allow-origin" not in headers
        status, headers, _ = request(langgraph_dev, "POST", "/assistants/search", {"limit": 1}, Origin=origin)
        assert status in (400, 403) and "access-control-allow-origin" not in headers
    # Pages that may use the server's API may not use this package's routes, which are not a part of it.
    body = {"mixture": "scripted", "messages": ASK}
    assert request(langgraph_dev, "POST", "/moa/run", body, Origin="http://localhost:3000")[0] == 403


def shown() -> dict[str, Any]:
    """The langgraph.json that docs/studio.md gives to those who have no clone."""
    text = (ROOT / "docs" / "studio.md").read_text(encoding="utf-8")
    config: dict[str, Any] = json.loads(re.findall(r"^```json\n(.*?)^```", text, re.M | re.S)[0])
    return config


def test_the_langgraph_json_in_the_docs_is_ours_but_for_where_things_are():
    ours, theirs = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8")), shown()
    assert theirs["http"] == ours["http"]
    assert all("/" not in graph["path"] for graph in theirs["graphs"].values())
    for name, graph in ours["graphs"].items():
        module = graph["path"].removeprefix("./").replace(".py:", ":").replace("/", ".")
        assert theirs["graphs"].pop(name) == {**graph, "path": module}
    assert not theirs["graphs"]


def test_an_installed_package_is_served_with_it(provider_server, tmp_path):
    with LangGraphDev(scripted(provider_server), folder=tmp_path, changes=shown()) as server:
        for graph in ("moa", "moa_answer"):
            _, _, answer = request(server, "POST", "/runs/wait", {"assistant_id": graph, "input": {"messages": ASK}})
            assert json.loads(answer)["messages"][-1]["content"] == ANSWER
        assert json.loads(request(server, "GET", "/v1/models")[2])["data"][0]["id"] == "scripted"


def test_a_client_that_leaves_stops_the_calls_upstream(provider_server, tmp_path):
    stuck = {"model": "openai:stuck-hang", "base_url": provider_server.url}
    mixture = scripted(provider_server) | {"proposers": [stuck], "deadline": 60}
    with LangGraphDev(mixture, folder=tmp_path, env={"MOA_SERVE_KEY": "secret"}) as server:
        key = {"Authorization": "Bearer secret"}
        assert request(server, "GET", "/v1/models")[0] == 401
        assert request(server, "GET", "/v1/models", **key)[0] == 200
        assert request(server, "GET", "/ok")[0] == 200
        for body in ({"stream": True}, {"stream": False}):
            provider_server.reset()
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            whole = json.dumps({"model": "scripted", "messages": ASK, **body})
            connection.request("POST", "/v1/chat/completions", whole, {"Content-Type": "application/json", **key})
            assert provider_server.wait(lambda stats: stats["in_flight"] == 1, 30)["in_flight"] == 1
            connection.close()
            assert provider_server.wait(lambda stats: stats["in_flight"] == 0, 10)["in_flight"] == 0


@pytest.mark.parametrize("where", ["environment", "file"])
def test_a_providers_key_is_found_without_blocking_the_servers_loop(tmp_path, where):
    """The call itself fails at a closed port, with the provider's error and not with one of this package."""
    closed = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    if where == "file":
        (tmp_path / ".env").write_text("OPENAI_API_KEY=none\n")
    key = {"OPENAI_API_KEY": "none" if where == "environment" else ""}
    mixture = {"proposers": ["openai:x"], "aggregator": "openai:y", "max_attempts": 1, "deadline": 20}
    with LangGraphDev(mixture, folder=tmp_path, env={**closed, **key}) as server:
        body = {"assistant_id": "moa", "input": {"messages": ASK}}
        _, _, answer = request(server, "POST", "/runs/wait", body)
        assert "NotEnoughDrafts" in answer and "Blocking" not in server.log.read_text()


def test_this_package_did_not_block_the_servers_loop(langgraph_dev):
    assert "Blocking call" not in langgraph_dev.log.read_text()
