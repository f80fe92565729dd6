"""Under `langgraph dev`: its event loop is not blocked, hostile contexts and foreign web pages are refused."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_client

from tests.faults import LONG
from tests.langgraph_dev import LangGraphDev
from tests.provider import Provider

ASK = {"messages": [{"role": "user", "content": "What is it?"}]}
HOSTILE: tuple[dict[str, Any], ...] = (
    {"layers": 10**9},
    {"layers": True},
    {"layers": -1},
    {"temperature": "hot"},
    {"aggregator": "openai:evil"},
    {"prompt": "{x}"},
    {"system": "x" * 200_000},
    {"deadline": 1e12},
    {"max_tokens": 10**9},
    {"quorum": 99},
)
DROPPED: tuple[dict[str, Any], ...] = (
    {"base_url": "http://evil.example/v1"},
    {"api_key": "sk-evil-0123456789"},
    {"model": "openai:evil"},
    {"bound": {"tools": []}},
    {"__class__": "evil"},
)
"""The server itself drops what the context's schema does not have; in process these are refused."""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Provider, LangGraphDev]]:
    """A server whose mixture has a silent proposer, a refused one, one that recovers, and a quorum."""
    with Provider() as provider:

        def spec(model: str) -> dict[str, Any]:
            return {"model": f"openai:{model}", "base_url": provider.url}

        mixture = {
            "proposers": [spec("tok=4-a"), spec("tok=4-b"), spec("err401-c"), spec("hang-d")],
            "aggregator": spec("err503-agg"),
            "fallbacks": [spec("tok=4-fallback")],
            "max_attempts": 1,
            "quorum": 2,
            "deadline": 60.0,
        }
        with LangGraphDev(mixture, folder=tmp_path_factory.mktemp("faulty")) as server:
            yield provider, server


@pytest.mark.timeout(400)
async def test_many_runs_with_faults_and_no_blocking_call(faulty: tuple[Provider, LangGraphDev]) -> None:
    provider, server = faulty
    gate = asyncio.Semaphore(10)
    async with get_client(url=server.url) as client:

        async def one() -> Any:
            async with gate:
                return await client.runs.wait(None, "moa", input=ASK)

        results = await asyncio.gather(*(one() for _ in range(200 if LONG else 40)))
    assert all(r["record"]["fallback"] == "openai:tok=4-fallback" for r in results)
    assert all([d["status"] for d in r["drafts"]].count("ok") >= 2 for r in results)
    log = server.log.read_text()
    assert "Blocking call" not in log and "BlockingError" not in log and "Traceback" not in log
    assert (await asyncio.to_thread(provider.wait, lambda s: s["in_flight"] == 0))["in_flight"] == 0


@pytest.mark.timeout(200)
async def test_hostile_contexts_are_refused_without_a_request(faulty: tuple[Provider, LangGraphDev]) -> None:
    provider, server = faulty
    before = provider.stats()["requests"]
    async with get_client(url=server.url) as client:
        for context in HOSTILE:
            refused = await client.runs.wait(None, "moa", input=ASK, context=context, raise_error=False)
            assert refused.get("__error__", {}).get("error") == "ConfigError", context
    assert provider.stats()["requests"] == before


@pytest.mark.timeout(200)
async def test_fields_the_context_does_not_have_change_nothing(faulty: tuple[Provider, LangGraphDev]) -> None:
    provider, server = faulty
    provider.reset()
    async with get_client(url=server.url) as client:
        for context in DROPPED:
            result = await client.runs.wait(None, "moa", input=ASK, context=context)
            assert "evil" not in str(result) and result["record"]["fallback"] == "openai:tok=4-fallback"
    assert all("evil" not in str(request.headers) + request.model for request in provider.requests())


@pytest.mark.timeout(200)
async def test_a_client_that_leaves_closes_its_requests(faulty: tuple[Provider, LangGraphDev]) -> None:
    provider, server = faulty
    provider.reset()
    async with get_client(url=server.url) as client:
        stream = client.runs.stream(
            None, "moa", input=ASK, context={"quorum": 3}, stream_mode="custom", on_disconnect="cancel"
        )
        async for part in stream:
            if isinstance(part.data, dict) and part.data.get("moa") == "draft":
                break
        await stream.aclose()
    stats = await asyncio.to_thread(provider.wait, lambda s: s["requests"] and s["in_flight"] == 0, 30.0)
    assert stats["in_flight"] == 0 and stats["models"]["hang-d"]["disconnected"] == 1


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
        ("http://localhost:3000", True),
        ("https://smith.langchain.com", True),
    ],
)
@pytest.mark.timeout(200)
def test_only_local_pages_and_studio_may_call(
    faulty: tuple[Provider, LangGraphDev], origin: str, allowed: bool
) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    request = urllib.request.Request(f"{faulty[1].url}/runs/wait", method="OPTIONS", headers=asked)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            granted = reply.headers.get("access-control-allow-origin")
    except urllib.error.HTTPError as error:
        granted = error.headers.get("access-control-allow-origin")
    assert (granted in (origin, "*")) is allowed


def test_the_package_ships_the_configuration(request: pytest.FixtureRequest) -> None:
    assert "cors" in (Path(request.config.rootpath) / "langgraph.json").read_text()
