"""Long requests and answers do not stop the event loop, with several proposers and in every API format."""

import asyncio
import contextlib
import http.client
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from langchain_core.messages import convert_to_messages
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from moa_graph import Mixture
from moa_graph.cli.garbage import loaded_frozen
from moa_graph.serve import sse
from moa_graph.serve.app import create_app
from moa_graph.serve.bodies import json_bytes
from moa_graph.serve.catalogue import Catalogue
from tests.loop_watch import LoopWatch
from tests.provider import Provider

LONGEST = 50.0
"""Milliseconds of the loop's thread without a break."""
SLOWER = 4
"""On a slow or busy machine, the longest turn may take this many times the CPU that LangChain alone takes for many
messages. That is 12 ms on the machine of docs/performance.md when it is quiet, so there the limit stays 50 ms."""

TEXT = "word " * 3_600_000
CHAT, RESPONSES, PAGE = "/v1/chat/completions", "/v1/responses", "/moa/run"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 18_000_000}}
TOOL = {"description": "words " * 50, "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
TOOLS = [{"type": "function", "function": {"name": f"f{n}", **TOOL}} for n in range(2_000)]
QUESTION = [{"role": "user", "content": "Why?"}]
TURNS = [*QUESTION, {"role": "assistant", "content": "Because."}]
PLAIN, LONG = "openai:tok=2", "openai:long-tok=500000-chunk=20000"


def langchain_alone() -> float:
    """Return the milliseconds of CPU that LangChain takes now to make a request of 2,601 messages."""
    model = ChatOpenAI(model="m", api_key=SecretStr("none"))
    messages = convert_to_messages([*TURNS * 1_300, *QUESTION])
    start = time.thread_time()
    model._get_request_payload(messages)
    return (time.thread_time() - start) * 1_000


@contextlib.asynccontextmanager
async def served(provider: Provider, model: str) -> AsyncIterator[int]:
    """The app of `moa serve` in this loop, over a mixture of five calls; yields its port."""
    spec = {"model": model, "base_url": provider.url}
    mixture = Mixture(proposers=[{**spec, "samples": 4}], aggregator={**spec, "window": 10_000_000})
    config = uvicorn.Config(create_app(Catalogue({"moa": mixture})), port=0, log_level="warning")
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    with loaded_frozen():  # as the command does
        yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


def post(port: int, path: str, body: bytes) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, body, {"content-type": "application/json"})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    assert response.status == 200, text[:200]
    return text


@pytest.mark.parametrize(
    ("path", "model", "fields"),
    [
        (RESPONSES, PLAIN, {"input": "Why?", "instructions": TEXT}),
        (RESPONSES, PLAIN, {"input": "Why?", "instructions": TEXT, "stream": True}),
        (RESPONSES, LONG, {"input": "Why?", "stream": True}),
        (CHAT, PLAIN, {"messages": [{"role": "user", "content": [IMAGE]}]}),
        (CHAT, PLAIN, {"messages": [*TURNS * 1_300, *QUESTION]}),
        (CHAT, PLAIN, {"messages": QUESTION, "tools": TOOLS}),
        (CHAT, LONG, {"messages": QUESTION, "moa": {"drafts": True}}),
        (PAGE, LONG, {"mixture": "moa", "messages": QUESTION}),
    ],
    ids=[
        "instructions",
        "instructions, streamed",
        "a long answer, streamed",
        "an image",
        "many messages",
        "many tools",
        "long drafts",
        "the page",
    ],
)
async def test_a_long_text_leaves_the_loop_to_others(
    provider: Provider, path: str, model: str, fields: dict[str, Any]
) -> None:
    """They took 60 to 130 ms of one turn of the loop."""
    body = json.dumps({"model": "moa", **fields}).encode()
    found: list[tuple[float, float]] = []
    async with served(provider, model) as port:
        # What the first question of a process makes is not counted. A busy machine only makes a turn longer.
        while len(found) < 4 and not any(freeze < limit for freeze, limit in found[1:]):
            async with LoopWatch() as watch:
                answer = await asyncio.to_thread(post, port, path, body)
            found.append((watch.freeze_ms, max(LONGEST, SLOWER * langchain_alone())))
    assert any(freeze < limit for freeze, limit in found[1:]), found
    assert len(answer) > 1_000_000 or (path == CHAT and "moa" not in fields)


def test_values_that_only_the_standard_library_writes_are_written() -> None:
    value = {"a": 2**70, "b": "\ud800", "c": [1.5, None]}
    assert json.loads(json_bytes(value)) == value
    assert json_bytes({"a": "\u00e9"}) == '{"a":"\u00e9"}'.encode()


async def test_a_long_event_is_sent_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_PIECE", 4)
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        assert message["more_body"]
        sent.append(message["body"])

    await sse._send_text("abc\u00e9defgh", send)
    assert sent == ["abc\u00e9".encode(), b"defg", b"h"]
