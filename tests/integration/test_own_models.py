"""Callers' own chat models: they work in every event loop, and their SDKs make no retries."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from langchain_openai import ChatOpenAI

from moa_graph import AggregationError, create_moa
from tests.provider import Provider


def own(provider: Provider, model: str, **fields: object) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=provider.url, api_key="key-1", **fields)  # type: ignore[arg-type]


def test_the_callers_model_works_in_every_asyncio_run(provider: Provider) -> None:
    graph = create_moa(proposers=[own(provider, "a")], aggregator=own(provider, "b"), max_attempts=1)
    for _ in range(6):
        result = asyncio.run(graph.ainvoke({"messages": "hi"}))
        assert [draft["status"] for draft in result["drafts"]] == ["ok"]
    assert provider.stats()["requests"] == 12


def test_its_sdk_makes_no_retries_and_its_object_stays_as_it_was(provider: Provider) -> None:
    model = own(provider, "err500")
    graph = create_moa(proposers=[own(provider, "a")], aggregator=model, max_attempts=3)
    with pytest.raises(AggregationError):
        graph.invoke({"messages": "hi"})
    assert len(provider.requests("err500")) == 3
    assert model.max_retries != 0


async def test_the_callers_own_client_is_kept(provider: Provider) -> None:
    seen: list[str] = []

    async def note(request: httpx2.Request) -> None:
        seen.append(str(request.url))

    async with httpx2.AsyncClient(event_hooks={"request": [note]}) as http:
        model = own(provider, "a", http_async_client=http)
        await create_moa(proposers=[model], aggregator=model).ainvoke({"messages": "hi"})
    assert len(seen) == 2


async def test_the_callers_own_time_limit_still_holds(provider: Provider) -> None:
    slow = own(provider, "hang", timeout=0.2)
    graph = create_moa(proposers=[own(provider, "a"), slow], aggregator=own(provider, "b"), max_attempts=1)
    async with asyncio.timeout(20):
        result = await graph.ainvoke({"messages": "hi"})
    assert [draft["status"] for draft in result["drafts"]] == ["ok", "failed"]


@pytest.mark.parametrize("responses", [False, True])
async def test_a_model_that_is_set_to_stream_drafts_too(provider: Provider, *, responses: bool) -> None:
    """`streaming=True` is common in LangChain code. Proposers do not stream, whatever they are set to."""
    mine = own(provider, "a", streaming=True, use_responses_api=responses)
    named = {"model": "openai:c", "base_url": provider.url, "params": {"streaming": True}}
    graph = create_moa(proposers=[mine, named], aggregator=own(provider, "b", streaming=True), max_attempts=1)
    result = await graph.ainvoke({"messages": "hi"})
    assert [draft["status"] for draft in result["drafts"]] == ["ok", "ok"]
    assert result["messages"][-1].text.startswith("[b]")
    assert mine.streaming and not mine.disable_streaming
