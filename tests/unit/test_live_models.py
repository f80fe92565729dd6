"""The list of a provider's models: its address, the key's header, and every provider's shape."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from moa_graph import Proposer
from moa_graph.models.live_models import closest, live_models

SHAPES: list[tuple[str, str, str, Any]] = [
    ("openai", "/v1/models", "authorization", {"object": "list", "data": [{"id": "b"}, {"id": "a"}]}),
    ("together", "/v1/models", "authorization", [{"id": "b"}, {"id": "a"}]),
    ("anthropic", "/v1/models", "x-api-key", {"data": [{"id": "b", "type": "model"}, {"id": "a"}]}),
    ("google_genai", "/v1beta/models", "x-goog-api-key", {"models": [{"name": "models/b"}, {"name": "models/a"}]}),
    ("ollama", "/api/tags", "", {"models": [{"name": "b"}, {"name": "a"}]}),
]


@asynccontextmanager
async def host(status: int, body: bytes) -> AsyncIterator[tuple[str, list[str]]]:
    """A server with one answer; yield its address and the heads of the requests that it got."""
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (status, len(body)) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", heads


@pytest.mark.parametrize(("provider", "path", "header", "body"), SHAPES)
async def test_each_providers_list_is_read_with_its_key(
    provider: str, path: str, header: str, body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_KEY", "sk-planted")
    async with host(200, json.dumps(body).encode()) as (url, heads):
        spec = Proposer(model=f"{provider}:x", base_url=url, api_key_env="OWN_KEY" if header else None)
        assert await live_models(spec, seconds=60) == ["a", "b"]
    head = heads[0].lower()
    assert head.startswith(f"get {path} ")
    assert ("sk-planted" in head) == bool(header)
    if header:
        assert f"{header}: {'bearer ' if header == 'authorization' else ''}sk-planted" in head


@pytest.mark.parametrize(
    ("status", "body", "reason"), [(401, b"{}", "answered with 401"), (200, b"<html>", "not JSON"), (200, b"7", "")]
)
async def test_what_is_not_a_list_has_a_reason(status: int, body: bytes, reason: str) -> None:
    async with host(status, body) as (url, _):
        spec = Proposer(model="openai:x", base_url=url)
        if reason:
            with pytest.raises(LookupError, match=reason):
                await live_models(spec, seconds=60)
        else:
            assert await live_models(spec, seconds=60) == []


async def test_an_embedded_model_has_no_list() -> None:
    with pytest.raises(LookupError, match="no known list"):
        await live_models(Proposer(model="local:smollm2"), seconds=1)


def test_the_closest_are_found_whatever_the_maker_before_the_slash() -> None:
    live = ["deepseek/deepseek-v4.1", "openai/gpt-7", "qwen/qwen4-72b", "qwen/qwen4-7b"]
    assert closest("Qwen/Qwen3-72B", live)[0] == "qwen/qwen4-72b"
    assert closest("zzz", live) == []
