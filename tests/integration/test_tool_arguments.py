"""Streamed tool calls from a real server: hostile arguments stop nothing, and long valid ones arrive whole."""

from __future__ import annotations

import contextlib
import functools
import json
import operator
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from moa_graph import ChatMoA, MoAContext, create_moa
from tests.loop_watch import LoopWatch

HOSTILE = {
    "white space": '{"a": 1,' + " " * 20_000,
    "an object where a name must be": '{"a": [' + "1," * 10_000 + '{"a": 1, {',
    "a text of escapes without an end": '{"a": "' + "\\" * 3_000_001,
}
LONG_MS = 300.0
"""The event loop stood still for 1.5 to 4 seconds with the first two when LangChain parsed these arguments."""


@tool
def save(text: str, places: list[int]) -> str:
    """Save a text."""
    return text + str(places)


@contextlib.asynccontextmanager
async def serving(arguments: str, size: int) -> AsyncIterator[str]:
    """A server whose model "calls" streams one call with `arguments`, in pieces of `size` characters."""

    # Made beforehand: the server runs in the event loop that is watched.
    called, said = replies(arguments, size), replies(None, size)

    async def reply(request: web.Request) -> web.Response:
        asked = await request.json()
        whole, streamed = called if asked["model"] == "calls" else said
        kind = "text/event-stream" if asked.get("stream") else "application/json"
        return web.Response(body=streamed if asked.get("stream") else whole, content_type=kind)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", reply)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


def replies(arguments: str | None, size: int) -> tuple[bytes, bytes]:
    """A whole reply and a streamed one: "ok", or a call with these arguments."""
    if arguments is None:
        message: dict[str, Any] = {"content": "ok"}
        deltas = [message]
    else:
        call = {"id": "c1", "type": "function", "function": {"name": "save", "arguments": arguments}}
        message = {"content": None, "tool_calls": [call]}
        pieces = [arguments[n : n + size] for n in range(0, len(arguments), size)]
        deltas = [{"tool_calls": [{**call, "index": 0, "function": {"name": "save", "arguments": ""}}]}]
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
    chunks = [completion("delta", delta, None) for delta in deltas] + [completion("delta", {}, "stop")]
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    whole = completion("message", {"role": "assistant", **message}, "stop")
    return json.dumps(whole).encode(), "".join([*lines, "data: [DONE]\n\n"]).encode()


def completion(part: str, given: dict[str, Any], reason: str | None) -> dict[str, Any]:
    choice = {"index": 0, part: given, "finish_reason": reason}
    return {"id": "r", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


# The class of a caller's own model parses each piece before this package has it, so its pieces are short here.
@pytest.mark.parametrize(("client", "size"), [("wire", 400), ("wire", 2_000_000), ("sdk", 400)])
@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_arguments_do_not_stop_the_event_loop(name: str, size: int, client: str) -> None:
    async with serving(HOSTILE[name], size) as url:
        given: Any = {"model": "openai:calls", "base_url": url}
        if client == "sdk":
            given = ChatOpenAI(model="calls", base_url=url, api_key=SecretStr("k"))
        sibling = {"model": "openai:other", "base_url": url}
        graph = create_moa(proposers=[given, sibling], aggregator=sibling)
        await graph.ainvoke({"messages": "What is imported by the first call does not count."})
        async with LoopWatch() as watch:
            state = await graph.ainvoke({"messages": "Why?"}, context=MoAContext(stream_drafts=True))
    assert [draft["status"] for draft in state["drafts"]] == ["empty", "ok"]
    assert watch.freeze_ms < LONG_MS


@pytest.mark.parametrize("size", [2_000, 50_000, 1_000_000])
async def test_long_valid_arguments_arrive_whole(size: int) -> None:
    wanted = {"text": 'a "text"\n' * 30_000, "places": list(range(3_000))}
    async with serving(json.dumps(wanted, indent=4), size) as url:
        sibling, caller = ({"model": f"openai:{name}", "base_url": url} for name in ("other", "calls"))
        model = ChatMoA(proposers=[sibling], aggregator=caller).bind_tools([save])
        whole = await model.ainvoke("Save it.")
        parts = [part async for part in model.astream("Save it.")]
    streamed = functools.reduce(operator.add, parts)
    for answer in (whole, streamed):
        (call,) = answer.tool_calls
        assert call["name"] == "save"
        assert call["args"] == wanted, len(call["args"])
