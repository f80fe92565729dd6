"""Replies as bytes: JSON bodies, SSE events, HTTP heads."""

import functools
import json
from typing import Any

import orjson

from tests.provider.replies import Reply

ID = b"chatcmpl-000000000000"
"""Placeholder of the answer's id in cached bytes; `numbered` replaces it with a new id of the same length."""

PAGE = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>A gateway's page</h1></body></html>"
DONE = b"data: [DONE]\n\n"


def dumps(value: Any) -> bytes:
    """Return JSON. Lone surrogates, which orjson refuses, are escaped."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def numbered(body: bytes, number: int) -> bytes:
    return body.replace(ID, b"chatcmpl-%012d" % number)


def response(
    status: int, body: bytes, kind: str = "application/json", headers: tuple[tuple[str, str], ...] = ()
) -> bytes:
    """A whole HTTP response."""
    lines = [
        f"HTTP/1.1 {status} Status",
        f"content-type: {kind}",
        f"content-length: {len(body)}",
        "x-request-id: req_loopback",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def stream_head(kind: str = "text/event-stream; charset=utf-8") -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncache-control: no-cache\r\n"
        "x-request-id: req_loopback\r\ntransfer-encoding: chunked\r\n\r\n"
    ).encode()


def chunk(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def error(status: int, message: str, kind: str, code: str | None) -> bytes:
    return dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def completion(reply: Reply, choices: Any = ()) -> bytes:
    """The body of an answer that is not streamed; `choices` replaces the real ones when it is not ()."""
    message = {"role": "assistant", "content": reply.text, "refusal": None} | reply.message
    whole = [
        {"index": i, "message": message, "logprobs": reply.logprobs, "finish_reason": reply.finish}
        for i in range(reply.n)
    ]
    body = _head(reply.model, "chat.completion") | {"choices": whole if choices == () else choices}
    return dumps(body | ({"usage": reply.usage} if reply.usage else {}))


def _head(model: str, kind: str) -> dict[str, Any]:
    return {
        "id": ID.decode(),
        "object": kind,
        "created": 1700000000,
        "model": model,
        "system_fingerprint": None,
    }


def events(reply: Reply, size: int, usage: bool, choices: Any = ()) -> tuple[bytes, ...]:
    """The SSE events of a streamed answer, without [DONE]. The first carries the role and the first piece."""
    counted = orjson.dumps(reply.usage) if usage and reply.usage else b""
    if choices != ():
        return (_event(_head(reply.model, "chat.completion.chunk") | {"choices": choices}),)
    if reply.plain:
        return _plain(reply.model, reply.pieces, reply.finish, size, counted)
    return _rich(reply, size, counted)


@functools.lru_cache(4096)
def _plain(model: str, pieces: tuple[str, ...], finish: str, size: int, usage: bytes) -> tuple[bytes, ...]:
    return _rich(Reply(model, pieces, finish), size, usage)


def _rich(reply: Reply, size: int, usage: bytes) -> tuple[bytes, ...]:
    deltas = [{"role": "assistant", "content": ""}]
    deltas += _pieces(reply, size)
    made = [_delta(reply, delta, None, reply.logprobs if delta.get("content") else None) for delta in deltas]
    made.append(_delta(reply, {}, reply.finish, None))
    parts = [made[0] + made[1], *made[2:]]
    if usage:
        head = dumps(_head(reply.model, "chat.completion.chunk") | {"choices": []})
        parts.append(b"data: " + head[:-1] + b',"usage":' + usage + b"}\n\n")
    return tuple(parts)


def _pieces(reply: Reply, size: int) -> list[dict[str, Any]]:
    content = reply.message.get("content")
    texts = ["".join(reply.pieces[i : i + size]) for i in range(0, len(reply.pieces), size)]
    deltas: list[dict[str, Any]] = [{"content": text} for text in texts]
    if isinstance(content, list):
        deltas = [{"content": [part]} for part in content]
    for key in ("reasoning_content", "refusal"):
        if key in reply.message:
            deltas.append({key: reply.message[key]})
    for call in reply.message.get("tool_calls", ()):
        deltas += _call(call)
    return deltas


def _call(call: dict[str, Any]) -> list[dict[str, Any]]:
    """A tool call in three deltas: its name, then its arguments in two parts."""
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    half = len(arguments) // 2
    first = {"index": 0, "id": call["id"], "type": "function", "function": {"name": name, "arguments": ""}}
    rest = [{"index": 0, "function": {"arguments": part}} for part in (arguments[:half], arguments[half:])]
    return [{"tool_calls": [part]} for part in (first, *rest)]


def _delta(reply: Reply, delta: dict[str, Any], finish: str | None, logprobs: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    return _event(_head(reply.model, "chat.completion.chunk") | {"choices": [choice]})


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + dumps(data) + b"\n\n"
