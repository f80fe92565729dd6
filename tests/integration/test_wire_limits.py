"""Replies are bounded while they are read, over real sockets, and replies of one connection are never mixed up."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import json
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
import pytest

from moa_graph.models.faults.faults import judged
from moa_graph.models.limits import MAX_ERROR_BYTES, ReplyTooLarge
from moa_graph.models.openai_http import chat_openai
from tests.loop_watch import LoopWatch

Reply = Callable[[asyncio.StreamWriter], Any]


def completion(text: str) -> bytes:
    message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return json.dumps(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [message]}
    ).encode()


def http(body: bytes, *headers: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@contextlib.asynccontextmanager
async def serving(reply: Reply) -> AsyncIterator[str]:
    """A server that calls `reply` for every request on a connection; yields its base URL."""

    open_now: dict[Any, asyncio.StreamWriter] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now[asyncio.current_task()] = writer
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                await reply(writer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}/v1"
        for writer in open_now.values():
            writer.transport.abort()
        await asyncio.wait(open_now.keys(), timeout=5)


def always(data: bytes) -> Reply:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return reply


async def endless(writer: asyncio.StreamWriter, head: bytes, part: bytes) -> None:
    writer.write(head)
    while True:
        writer.write(b"%x\r\n%s\r\n" % (len(part), part))
        await writer.drain()


def flood(part: bytes, *, kind: str = "application/json", status: str = "200 OK") -> Reply:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    return lambda writer: endless(writer, head, part)


async def repeated(writer: asyncio.StreamWriter, part: bytes) -> None:
    while True:
        writer.write(part * max(1, 100_000 // len(part)))
        await writer.drain()


BOMB = gzip.compress(b'{"a":"' + b" " * 100_000_000 + b'"}')
TOO_LARGE: dict[str, tuple[Reply, bool]] = {
    "whole": (flood(b" " * 100_000), False),
    "declared": (always(http(b"", "x: y").replace(b"length: 0", b"length: 900000000") + b" " * 17_000_000), False),
    "compressed": (always(http(BOMB, "content-encoding: gzip")), False),
    "compressed stream": (always(http(BOMB, "content-encoding: gzip", kind="text/event-stream")), True),
    "event": (flood(b"data: " + b"x" * 100_000, kind="text/event-stream"), True),
    "comments": (flood(b": ping\n\n" * 10_000, kind="text/event-stream"), True),
    "many values": (always(http(b"[" + b"[]," * 1_000_000 + b"[]]")), False),
    "one header": (always(http(completion("x"), "x-h: " + "v" * 1_000_000)), False),
    "many headers": (always(http(completion("x"), *(f"x-{n}: v" for n in range(5000)))), False),
    "interim replies": (lambda writer: repeated(writer, b"HTTP/1.1 100 Continue\r\n\r\n"), False),
    "interim headers": (lambda writer: repeated(writer, b"HTTP/1.1 103 x\r\nx: " + b"v" * 30_000 + b"\r\n\r\n"), False),
}


LONG_MS = 150.0


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_a_reply_that_is_too_large_ends_the_call_without_blocking_the_loop(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 64 MB of comments take a while to send.
    monkeypatch.setattr("moa_graph.models.openai_http.stream.MAX_STREAM_BYTES", 2**22 + 1)
    freezes: list[float] = []
    # The least of up to three attempts: a core that others use only makes them longer.
    while len(freezes) < 3 and min(freezes, default=LONG_MS) >= LONG_MS:
        freezes.append(await freeze_of(*TOO_LARGE[name]))
    assert min(freezes) < LONG_MS, "300 ms to 17 s of processor time before there were limits"


async def freeze_of(reply: Reply, streamed: bool) -> float:
    """Read a reply that is too large, check its error, and return how long the loop stood still, in milliseconds.

    The server runs in the same loop.
    """
    async with serving(reply) as url, asyncio.timeout(60), LoopWatch() as watch:
        model = chat_openai(model="m", base_url=url, api_key="k")
        with pytest.raises(ReplyTooLarge) as caught:
            if streamed:
                async for _ in model.astream("hi"):
                    pass
            else:
                await model.ainvoke("hi")
    fault = judged(caught.value)
    assert not fault.retryable and "larger than" in fault.reason
    return watch.freeze_ms


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_unrequested_upgrade_closes_its_connection(streamed: bool) -> None:
    gone = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await reader.read()  # until the client closes
        gone.set()
        writer.close()

    gc.disable()  # a collection would close it, with the warning "Unclosed connection"
    try:
        async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
            url = "http://{}:{}/v1".format(*server.sockets[0].getsockname())
            model = chat_openai(model="m", base_url=url, api_key="k", disable_streaming=not streamed)
            with pytest.raises(openai.APIStatusError, match="101"):
                await anext(model.astream("hi"))
            await asyncio.wait_for(gone.wait(), 60)
    finally:
        gc.enable()


async def test_an_endless_error_keeps_its_status_and_its_first_words() -> None:
    words = b'{"error": {"message": "out of order"}}' + b" " * MAX_ERROR_BYTES
    async with serving(flood(words, status="503 Busy")) as url, asyncio.timeout(60):
        with pytest.raises(Exception, match="out of order") as caught:
            await chat_openai(model="m", base_url=url, api_key="k").ainvoke("hi")
    assert judged(caught.value).status == 503


@pytest.mark.parametrize("cheap", [False, True])
async def test_an_error_whose_body_never_ends_keeps_its_status(cheap: bool) -> None:
    async def hanging(writer: asyncio.StreamWriter) -> None:
        writer.write(http(b"slow down", "retry-after: 3", status="429 Busy").replace(b"length: 9", b"length: 90"))
        await asyncio.sleep(60)

    async with serving(hanging) as url, asyncio.timeout(30):
        model = chat_openai(model="m", base_url=url, api_key="k", cheap=cheap)
        with pytest.raises(openai.RateLimitError) as caught:
            await model.ainvoke("hi")
    fault = judged(caught.value)
    assert (fault.status, fault.retry_after, fault.reason) == (429, 3.0, "429 slow down")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_429_with_a_header_that_is_not_ascii_is_a_429(streamed: bool) -> None:
    words = b'{"error": {"message": "slow down"}}'
    reply = http(words, "x-a: gr\u00f6\u00dfe \U0001f600", "retry-after: 3", status="429 Busy")
    async with serving(always(reply)) as url, asyncio.timeout(60):
        model = chat_openai(model="m", base_url=url, api_key="k", disable_streaming=not streamed)
        with pytest.raises(openai.RateLimitError, match="slow down") as caught:
            await anext(model.astream("hi"))
    fault = judged(caught.value)
    assert (fault.kind, fault.status, fault.retryable, fault.retry_after) == ("rate_limit", 429, True, 3.0)


@pytest.mark.parametrize("wait", [0.0, 0.05])
async def test_an_unrequested_reply_is_not_the_next_answer(wait: float) -> None:
    sent = asyncio.Event()

    async def twice(writer: asyncio.StreamWriter) -> None:
        writer.write(http(completion("asked for")))
        await asyncio.sleep(wait)
        writer.write(http(completion("POISONED")))
        sent.set()

    async with serving(twice) as url:
        model = chat_openai(model="m", base_url=url, api_key="k")
        for _ in range(10):
            assert (await model.ainvoke("hi")).content == "asked for"
            await sent.wait()
            sent.clear()
            await asyncio.sleep(0.01)  # the loop reads what has come


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    async def closing(writer: asyncio.StreamWriter) -> None:
        writer.write(http(completion("fine"), "connection: keep-alive"))
        writer.close()

    async with serving(closing) as url:
        model = chat_openai(model="m", base_url=url, api_key="k")
        for _ in range(10):
            assert (await model.ainvoke("hi")).content == "fine"


async def test_a_reply_that_ends_within_its_head_is_said_without_its_headers() -> None:
    async def ending(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nset-cookie: session=abc\r\n")
        await writer.drain()
        writer.close()

    async with serving(ending) as url:
        with pytest.raises(openai.APIConnectionError) as caught:
            await chat_openai(model="m", base_url=url, api_key="k").ainvoke("hi")
    assert judged(caught.value).reason == "Connection error: Server disconnected"


@pytest.mark.parametrize(("choices", "on_loop"), [(1, True), (1_000, False)])
async def test_the_messages_of_many_choices_are_made_in_a_thread(
    choices: int, on_loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They took 36 to 55 ms of the event loop."""
    message = {"role": "assistant", "content": "fine"}
    several = [{"index": n, "message": message, "finish_reason": "stop"} for n in range(choices)]
    reply = http(json.dumps({"object": "chat.completion", "choices": several}).encode())
    async with serving(always(reply)) as url:
        model = chat_openai(model="m", base_url=url, api_key="k")
        made, threads = type(model)._create_chat_result, list[int]()

        def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
            threads.append(threading.get_ident())
            return made(self, *args, **kwargs)

        monkeypatch.setattr(type(model), "_create_chat_result", watched)
        assert (await model.ainvoke("hi")).content == "fine"
    assert [thread == threading.get_ident() for thread in threads] == [on_loop]


ODD: dict[str, bytes] = {
    "a long header": http(completion("fine"), "x-debug: " + "a" * 60_000),
    "many headers": http(completion("fine"), *(f"x-{n}: v" for n in range(900))),
    "compressed unasked": http(gzip.compress(completion("fine")), "content-encoding: gzip"),
    "a byte order mark": http(b"\xef\xbb\xbf" + completion("fine")),
    "text after the JSON": http(completion("fine") + b"\n\ndata: [DONE]\n\n", kind="text/event-stream"),
}


@pytest.mark.parametrize("name", ODD)
async def test_odd_but_readable_replies_are_read(name: str) -> None:
    async with serving(always(ODD[name])) as url:
        assert (await chat_openai(model="m", base_url=url, api_key="k").ainvoke("hi")).content == "fine"


def chunk(delta: Any, finish: str | None = None) -> bytes:
    choice = {"index": 0, "finish_reason": finish} | ({} if delta is None else {"delta": delta})
    return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"


PARTS = chunk({"role": "assistant", "content": "Do not "}) + chunk({"content": "panic."}) + chunk({}, "stop")
STREAMS: dict[str, bytes] = {
    "a byte order mark": b"\xef\xbb\xbf" + PARTS + b"data: [DONE]\n\n",
    "no blank line at the end": PARTS + b"data: [DONE]",
    "no end": PARTS,
    "empty data": b"data:\n\n" + PARTS.replace(b"data", b"data: \n\ndata", 1) + b"data: [DONE]\n\n",
    "control fields": b"retry: 3\n\n: x\n\nid: 7\n\nevent: y\n\n" + PARTS + b"data: [DONE]\n\n",
    "a chunk without delta": chunk(None) + PARTS + b"data: [DONE]\n\n",
    "an empty object": b"data: {}\n\n" + PARTS + b"data: [DONE]\n\n",
    "pieces that are texts": chunk("Do not ") + chunk("panic.") + chunk({}, "stop") + b"data: [DONE]\n\n",
}


@pytest.mark.parametrize("name", STREAMS)
async def test_odd_but_readable_streams_are_read(name: str) -> None:
    async with serving(always(http(STREAMS[name], kind="text/event-stream"))) as url:
        model = chat_openai(model="m", base_url=url, api_key="k")
        assert "".join([str(part.content) async for part in model.astream("hi")]) == "Do not panic."


CHOICES: list[Any] = [{"0": {}}, [None], [[]], "x", [{"delta": [1]}], [{"message": "x"}]]


@pytest.mark.parametrize("choices", CHOICES)
async def test_a_stream_that_cannot_be_read_is_malformed_and_may_be_asked_again(choices: Any) -> None:
    """An error of Python was the reason, and the request was not repeated, as it is for a whole reply."""
    wrong = b"data: " + json.dumps({"id": "c", "choices": choices}).encode() + b"\n\n"
    for body in (wrong, chunk({"content": "Do not "}) + wrong):
        async with serving(always(http(body, kind="text/event-stream"))) as url:
            with pytest.raises(Exception) as caught:
                async for _ in chat_openai(model="m", base_url=url, api_key="k").astream("hi"):
                    pass
        fault = judged(caught.value)
        assert (fault.kind, fault.retryable) == ("malformed", True)
        assert fault.reason.startswith("the reply does not keep to the protocol")


@pytest.mark.parametrize(
    ("code", "kind", "retryable"),
    [
        ("server_error", "server", True),
        ("rate_limit_exceeded", "rate_limit", True),
        ("context_length_exceeded", "context_overflow", False),
        ("insufficient_quota", "quota", False),
    ],
)
@pytest.mark.parametrize("failed", [True, False])
async def test_a_stream_of_responses_that_fails_has_its_kind_and_its_words(
    code: str, kind: str, retryable: bool, failed: bool
) -> None:
    """Every one was a malformed reply, with the notation of a Python object as its words."""
    words = 'the server\'s "own" words\\n'
    error = {"code": code, "message": words}
    response = {"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "failed", "error": error}
    rest = {"output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    event = {"type": "response.failed", "response": {**response, **rest}} if failed else {"type": "error", **error}
    body = f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': 0})}\n\n".encode()
    async with serving(always(http(body, kind="text/event-stream"))) as url:
        model = chat_openai(model="m", base_url=url, api_key="k", use_responses_api=True)
        with pytest.raises(Exception) as caught:
            async for _ in model.astream("hi"):
                pass
    fault = judged(caught.value)
    assert (fault.kind, fault.retryable) == (kind, retryable)
    assert fault.reason == (words if failed else f"{code}: {words}")


async def test_a_whole_answer_to_a_stream_request_is_read() -> None:
    async with serving(always(http(completion("all at once")))) as url:
        model = chat_openai(model="m", base_url=url, api_key="k")
        assert "".join([str(part.content) async for part in model.astream("hi")]) == "all at once"


async def test_tool_calls_without_index_stay_apart() -> None:
    calls = [{"id": f"call_{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in range(2)]
    body = b"".join(chunk({"tool_calls": [call]}) for call in calls) + chunk({}, "tool_calls")
    async with serving(always(http(body, kind="text/event-stream"))) as url:
        whole: Any = None
        async for part in chat_openai(model="m", base_url=url, api_key="k").astream("hi"):
            whole = part if whole is None else whole + part
    assert [call["id"] for call in whole.tool_calls] == ["call_0", "call_1"]
