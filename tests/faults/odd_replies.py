"""Hostile and odd replies beyond the attack kit: what a server sends, and what a run must make of it.

Each reply is raw bytes, so that broken HTTP is possible. A reply to a streamed request may differ from the one to a
whole request. `Expected` says which statuses a proposer's draft may have, and which words its text or error must hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FINE = "a fine answer"


@dataclass(frozen=True)
class Endless:
    """A reply without an end: `head`, then `part` for ever."""

    head: bytes
    part: bytes


Sent = bytes | Endless | None


@dataclass(frozen=True)
class Odd:
    """A reply and what must become of it.

    Attributes:
        whole: the answer to a request without a stream; None: this reply is for streams only.
        stream: the answer to a streamed request; None: the same as `whole`.
        status: the statuses that the draft may have; empty: any of them.
        words: what the draft's text must be, or what its error must hold.
    """

    whole: Sent = None
    stream: Sent = None
    status: frozenset[str] = frozenset()
    words: str = ""

    def sent(self, streamed: bool) -> Sent:
        """Return what the server sends."""
        return self.stream if streamed and self.stream is not None else self.whole


def http(body: bytes, *headers: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    # The server closes the connection after an odd reply; a client that does not know that may use it once more.
    framing = [f"content-length: {len(body)}", "connection: close"]
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", *framing, *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def completion(**over: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": FINE} | over.pop("message", {})
    choice = {"index": 0, "finish_reason": "stop", "message": message} | over.pop("choice", {})
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    } | over


def chunk(delta: Any, finish: Any = None, **over: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish} | over.pop("choice", {})
    data = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]} | over
    return b"data: " + json.dumps(data).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
STOP = chunk({}, "stop")
FIRST = chunk({"role": "assistant", "content": ""})
TEXT = FIRST + chunk({"content": "a fine "}) + chunk({"content": "answer"})


def sse(*events: bytes, kind: str = "text/event-stream") -> bytes:
    return http(b"".join(events), kind=kind)


def both(status: set[str], words: str = "", **over: Any) -> Odd:
    """A reply whose body differs from a usual one; the stream holds the same in its pieces."""
    whole = completion(**json.loads(json.dumps(over)))
    given = dict(over)
    message, choice = given.pop("message", {}), given.pop("choice", {})
    delta = {"role": "assistant", "content": FINE} | message
    finish = choice.pop("finish_reason", "stop") if isinstance(choice, dict) else "stop"
    events = [chunk(delta, choice=choice, **given), chunk({}, finish, **given), DONE]
    return Odd(http(json.dumps(whole).encode()), sse(*events), frozenset(status), words)


def raw(body: bytes, status: set[str], words: str = "", line: str = "200 OK") -> Odd:
    return Odd(http(body, status=line), None, frozenset(status), words)


def stream(*events: bytes, status: set[str], words: str = "") -> Odd:
    return Odd(None, sse(*events), frozenset(status), words)


SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
JSON = SSE.replace(b"text/event-stream", b"application/json")


KEPT_OPEN = http(json.dumps(completion()).encode()).replace(b"connection: close\r\n", b"")


def part(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def endless(data: bytes, status: set[str] | None = None) -> Odd:
    """An endless stream of the same events."""
    many = part(data * max(1, 8000 // len(data)))
    return Odd(None, Endless(SSE + part(FIRST), many), frozenset(status or {"failed"}))


def call(args: Any, *, id_: Any = "t1", name: Any = "f", index: Any = 0) -> dict[str, Any]:
    return {"index": index, "id": id_, "type": "function", "function": {"name": name, "arguments": args}}


NONE = {"failed", "empty"}
OK, CUT, FAILED, EMPTY = {"ok"}, {"truncated"}, {"failed"}, {"empty"}
READ = {"ok", "truncated"}
ERR = '{"error": {"message": "the reason of it"}}'
COMPLETION = json.dumps(completion()).encode()

SHAPES: dict[str, Odd] = {
    "role null": both(OK, FINE, message={"role": None}),
    "role list": both(OK, FINE, message={"role": ["assistant"]}),
    "role number": both(OK, FINE, message={"role": 7}),
    "message null": raw(json.dumps(completion(choice={"message": None})).encode(), NONE),
    "message text": raw(json.dumps(completion(choice={"message": "hello"})).encode(), FAILED),
    "message list": raw(json.dumps(completion(choice={"message": [1]})).encode(), FAILED),
    "choices null": both(FAILED, choices=None),
    "choices object": both(FAILED, choices={"0": {}}),
    "choices text": both(FAILED, choices="none"),
    "choices of null": both(NONE, choices=[None]),
    "choices of lists": both(NONE, choices=[[]]),
    "no choices": both(FAILED, "it has no choices", choices=[]),
    "ollama's own shape": raw(b'{"model":"m","message":{"role":"assistant","content":"x"},"done":true}', NONE),
    "anthropic's shape": raw(b'{"type":"message","role":"assistant","content":[{"type":"text","text":"x"}]}', NONE),
    "gemini's shape": raw(b'{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}', NONE),
    "legacy completion": raw(b'{"choices":[{"text":"x","finish_reason":"stop","index":0}]}', NONE),
    "code and msg with status 200": raw(b'{"code":429,"msg":"slow down please"}', FAILED, "slow down please"),
    "no answer, and no words": raw(b'{"Output": {"__type": "UnknownOperation"}}', FAILED, "UnknownOperation"),
    "an error number with words beside it": raw(b'{"error": 1, "msg": "the reason of it"}', FAILED, "the reason of it"),
    "an empty error beside an answer": both(OK, FINE, error={"message": "", "type": "", "param": None, "code": None}),
    "MiniMax's error beside an empty answer": both(
        FAILED,
        "the reason of it",
        message={"content": ""},
        base_resp={"status_code": 1026, "status_msg": "the reason of it"},
    ),
    "MiniMax's error and no choices": both(
        FAILED, "the reason of it", choices=[], base_resp={"status_code": 1013, "status_msg": "the reason of it"}
    ),
    "no choices, and words": raw(b'{"choices": [], "msg": "the reason of it"}', FAILED, "the reason of it"),
    "an error in data": raw(
        b'{"code": 500, "data": {"error": {"message": "the reason of it"}}}', FAILED, "the reason of it"
    ),
    "success false": raw(b'{"success":false,"message":"no such deployment"}', FAILED, "no such deployment"),
    "a list around the reply": raw(json.dumps([completion()]).encode(), NONE),
    "usage true": both(OK, FINE, usage=True),
    "usage of lists": both(OK, FINE, usage={"prompt_tokens": [5], "completion_tokens": {"a": 1}, "total_tokens": []}),
    "usage of numerals": both(OK, FINE, usage={"prompt_tokens": "5", "completion_tokens": "5", "total_tokens": "10"}),
    "usage of 2**53": both(OK, FINE, usage={"prompt_tokens": 2**53, "completion_tokens": 5, "total_tokens": 10}),
    "usage of booleans": both(OK, FINE, usage={"prompt_tokens": True, "completion_tokens": False, "total_tokens": 1}),
    "usage details odd": both(
        OK,
        FINE,
        usage={
            "prompt_tokens": 5,
            "completion_tokens": 5,
            "total_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": -1},
            "completion_tokens_details": {"reasoning_tokens": "many", "x": {"y": None}},
        },
    ),
    "usage details null": both(
        OK,
        FINE,
        usage={
            "prompt_tokens": 5,
            "completion_tokens": 5,
            "total_tokens": 10,
            "prompt_tokens_details": None,
            "completion_tokens_details": [1],
        },
    ),
    "cost as text": both(
        OK, FINE, usage={"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10, "cost": "0.1"}
    ),
    "cost true": both(OK, FINE, usage={"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10, "cost": True}),
    "cost object": both(
        OK, FINE, usage={"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10, "cost": {"a": 1}}
    ),
    "logprobs odd": both(OK, FINE, choice={"logprobs": {"content": [None, 1, {"token": None}], "refusal": 3}}),
    "model nested": both(OK, FINE, model={"a": ["b"] * 2000}),
    "id long": both(OK, FINE, id="x" * 100_000),
    "fingerprint list": both(OK, FINE, system_fingerprint=[1, {"a": None}]),
    "service tier object": both(OK, FINE, service_tier={"a": 1}),
    "annotations odd": both(OK, FINE, message={"annotations": [None, {"type": 3}], "audio": "x", "refusal": None}),
    "a number of 5,000 digits": raw(COMPLETION.replace(b'"created": 1', b'"created": ' + b"9" * 5000), OK, FINE),
    "nested 5,000 deep": raw(COMPLETION.replace(b'"created": 1', b'"created": ' + b"[" * 5000), FAILED, "nested"),
    "bytes that are not UTF-8": raw(COMPLETION.replace(b"fine", b"f\xffne"), OK, "a f\ufffdne answer"),
    "UTF-16": raw(json.dumps(completion()).encode("utf-16"), OK, FINE),
    "comments before it": raw(b": PROCESSING\n\n: PROCESSING\n\n" + COMPLETION, OK, FINE),
    "comments before lines of it": raw(b": PROCESSING\n\n" + json.dumps(completion(), indent=1).encode(), OK, FINE),
    "one event": Odd(
        http(b"data: " + COMPLETION + b"\n\n" + DONE, kind="text/event-stream"), None, frozenset(OK), FINE
    ),
    "status 201": raw(COMPLETION, OK, FINE, line="201 Created"),
    "usage without the answer's tokens": both(OK, FINE, usage={"prompt_tokens": 5, "total_tokens": 10}),
    "a stream": Odd(http(TEXT + STOP + DONE, kind="text/event-stream"), None, frozenset(OK), FINE),
    "a stream without an end": Odd(http(TEXT, kind="text/event-stream"), http(b""), frozenset({*CUT, *FAILED}), ""),
    "a stream with an error": raw(TEXT + b'data: {"error": "the reason of it"}\n\n', FAILED, "the reason of it"),
    "a login page": Odd(
        http(b"<!doctype html><title>Sign in</title>", kind="text/html"), None, frozenset(FAILED), "HTML page instead"
    ),
    "plain words": Odd(http(b"the reason of it", kind="text/plain"), None, frozenset(FAILED), "the reason of it"),
}

CONTENT: dict[str, Odd] = {
    "a block without a type": both(OK, FINE, message={"content": [{"text": FINE}]}),
    "one block": both(OK, FINE, message={"content": {"type": "text", "text": FINE}}),
    "blocks": both(OK, FINE, message={"content": [{"type": "text", "text": FINE}]}),
    "blocks with null text": both(EMPTY, message={"content": [{"type": "text", "text": None}]}),
    "output_text blocks": both(OK, FINE, message={"content": [{"type": "output_text", "text": FINE}]}),
    "a refusal block": both(
        {"refused"}, "I will not", message={"content": [{"type": "refusal", "refusal": "I will not"}]}
    ),
    "a refusal": both({"refused"}, "I will not", message={"content": None, "refusal": "I will not"}),
    "an image block": both(EMPTY, message={"content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}),
    "lists in lists": both({"empty", "failed"}, message={"content": [[FINE]]}),
    "zero-width only": both(EMPTY, message={"content": "\u200b\u200b\ufeff"}),
    "NUL only": both(EMPTY, message={"content": "\0\0"}),
    "NUL inside": both(OK, FINE, message={"content": "a fine\0 answer"}),
    "blank only": both(EMPTY, message={"content": " \n\t\u3000 "}),
    "content false": both({"empty", "failed"}, message={"content": False}),
    "content number": both(READ, "42", message={"content": 42}),
    "reasoning only": both(
        EMPTY, "only the model's thoughts", message={"content": "", "reasoning_content": "hm " * 50}
    ),
    "reasoning up to the limit": both(
        EMPTY, "raise max_tokens", message={"content": "", "reasoning": "hm"}, choice={"finish_reason": "length"}
    ),
    "Mistral's blocks": both(
        OK,
        FINE,
        message={
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "a fine "},
                {"type": "reference", "reference_ids": [1]},
                {"type": "text", "text": "answer"},
            ]
        },
    ),
    "reasoning odd": both(
        OK, FINE, message={"reasoning_content": {"a": 1}, "reasoning": [1], "reasoning_details": "x"}
    ),
    "half an emoji": both(OK, "a\ufffdb", message={"content": "a\ud83db"}),
    "thinking left open": both(EMPTY, message={"content": "<think>" + "hm " * 1000}),
    "blocks with their text in an object": both(
        OK, FINE, message={"content": [{"type": "text", "text": {"value": FINE}}]}
    ),
    "blocks of a null type": both(OK, FINE, message={"content": [{"type": None, "text": FINE}]}),
    "blocks of type TEXT": both(OK, FINE, message={"content": [{"type": "TEXT", "text": FINE}]}),
    "blocks of a type that is a list": both(
        OK, FINE, message={"content": [{"type": ["x"], "text": "y"}, {"type": "text", "text": FINE}]}
    ),
    "a refusal that is an object": both(
        {"refused"}, "I will not", message={"content": None, "refusal": {"reason": "I will not"}}
    ),
    "a refusal that is true": both(OK, FINE, message={"refusal": True}),
}

ENDINGS: dict[str, Odd] = {
    "capitals": both(OK, FINE, choice={"finish_reason": "STOP"}),
    "MAX_TOKENS": both(CUT, FINE, choice={"finish_reason": "MAX_TOKENS"}),
    "a list": both(CUT, FINE, choice={"finish_reason": ["stop"]}),
    "an object": both(CUT, FINE, choice={"finish_reason": {"type": "stop"}}),
    "zero": both(READ, FINE, choice={"finish_reason": 0}),
    "false": both(READ, FINE, choice={"finish_reason": False}),
    "an unknown word": both(CUT, FINE, choice={"finish_reason": "stopped_by_elephants"}),
    "SAFETY": both({"filtered"}, choice={"finish_reason": "SAFETY"}),
    "error": both(FAILED, choice={"finish_reason": "error"}),
    "length and nothing said": both(EMPTY, message={"content": ""}, choice={"finish_reason": "length"}),
    "Google's prefix": both({"filtered"}, choice={"finish_reason": "FINISH_REASON_PROHIBITED_CONTENT"}),
    "None as a text": stream(TEXT.replace(b"null", b'"None"'), STOP, DONE, status=OK, words=FINE),
}

TOOLS: dict[str, Odd] = {
    "a call that nobody offered": both(EMPTY, message={"content": None, "tool_calls": [call("{}")]}),
    "300 calls": raw(
        json.dumps(
            completion(message={"content": None, "tool_calls": [call("{}", id_=f"t{n}") for n in range(300)]})
        ).encode(),
        FAILED,
        "larger than 256 calls",
    ),
    "calls null": both(OK, FINE, message={"tool_calls": None, "function_call": None}),
    "calls text": both(OK, FINE, message={"tool_calls": "none"}),
    "calls of junk": both(OK, FINE, message={"tool_calls": [None, 1, "x", {}, {"function": None}]}),
    "index odd": both(
        OK, FINE, message={"tool_calls": [call("{}", index=-1), call("{}", index="x"), call("{}", index=10**12)]}
    ),
    "arguments odd": both(OK, FINE, message={"tool_calls": [call(None), call([1]), call(7), call("{"), call('"x"')]}),
    "arguments NaN": both(OK, FINE, message={"tool_calls": [call('{"a": NaN, "b": Infinity, "c": "\\ud800"}')]}),
    "a legacy call": both(
        {"empty", "ok"}, message={"content": None, "function_call": {"name": "f", "arguments": "{}"}}
    ),
}

ERRORS: dict[str, Odd] = {
    f"{name} ({status})": Odd(http(body, status=f"{status} X", kind=kind), None, frozenset(FAILED), words)
    for status in (400, 500)
    for name, body, kind, words in (
        ("null", b'{"error": null}', "application/json", ""),
        ("empty text", b'{"error": ""}', "application/json", ""),
        ("empty list", b'{"error": []}', "application/json", ""),
        ("message null", b'{"error": {"message": null}}', "application/json", ""),
        ("message nested", b'{"message": {"message": "the reason of it"}}', "application/json", "the reason of it"),
        ("errors", b'{"errors": [{"message": "the reason of it"}]}', "application/json", "the reason of it"),
        ("a list", b'[{"error": {"message": "the reason of it"}}]', "application/json", "the reason of it"),
        ("twice encoded", json.dumps(ERR).encode(), "application/json", "the reason of it"),
        (
            "xml",
            b"<?xml version='1.0'?><Error><Message>the reason of it</Message></Error>",
            "text/xml",
            "the reason of it",
        ),
        ("plain", b"the reason of it", "text/plain", "the reason of it"),
        ("binary", bytes(range(256)), "application/octet-stream", ""),
        ("nothing", b"", "text/plain", ""),
        ("numbers", b'{"error": {"message": 42, "code": 17}}', "application/json", ""),
        ("latin-1", "{'Fehler': 'größer'}".encode("latin-1"), "text/plain", "Fehler"),
        (
            "many errors",
            json.dumps({"errors": [{"message": f"e{n}"} for n in range(5000)]}).encode(),
            "application/json",
            "e0",
        ),
        ("deep", b'{"error":' * 500 + b'"x"' + b"}" * 500, "application/json", ""),
        ("escapes", b'{"error": {"message": "a\\u001b]52;c;aGk=\\u0007\\u202e b"}}', "application/json", ""),
        (
            "event stream",
            b'data: {"error": {"message": "the reason of it"}}\n\n',
            "text/event-stream",
            "the reason of it",
        ),
    )
}

STATUS: dict[str, Odd] = {
    "in a choice that stopped": raw(
        json.dumps(completion(message={"content": ""}, choice={"error": {"message": "the reason of it"}})).encode(),
        FAILED,
        "the reason of it",
    ),
    "in a choice": both(FAILED, "the reason", choice={"finish_reason": "error", "error": {"message": "the reason"}}),
    "lists by field": raw(b'{"errors": {"model": ["is invalid"]}}', FAILED, "model: is invalid", "422 Unprocessable"),
    "error with status 200": raw(ERR.encode(), FAILED, "the reason of it"),
    "error beside choices": both(FAILED, "the reason of it", error={"message": "the reason of it", "code": 502}),
    "error null beside choices": both(OK, FINE, error=None),
    "unauthorized": raw(b'{"detail": "the reason of it"}', FAILED, "the reason of it", line="401 X"),
    "quota": raw(b'{"error": {"code": "insufficient_quota", "message": "the reason of it"}}', FAILED, line="429 X"),
    "teapot": raw(b"short and stout", FAILED, "short and stout", line="418 X"),
    "redirect": Odd(http(b"", "location: http://127.0.0.1:9/", status="302 Found"), None, frozenset(FAILED)),
    "no content": raw(b"", NONE, line="204 No Content"),
    "accepted": raw(b'{"id": "job", "status": "queued"}', NONE, line="202 Accepted"),
    "a redirect with words": raw(ERR.encode(), FAILED, "308 the reason of it", line="308 Permanent Redirect"),
    "a limit with a broken body": Odd(
        http(b"\x8b\x02", "content-encoding: br", status="429 X"), None, frozenset(FAILED), "429"
    ),
    "an error whose body is cut": Odd(
        http(b"no key", status="401 X").replace(b"length: 6", b"length: 60"), None, frozenset(FAILED), "401 no key"
    ),
}

BROKEN: dict[str, Odd] = {
    "chunk size junk": Odd(JSON + b"zz\r\nhello\r\n", None, frozenset(FAILED)),
    "chunk size huge": Odd(JSON + b"f" * 40 + b"\r\nhello\r\n", None, frozenset(FAILED)),
    "chunk size negative": Odd(JSON + b"-5\r\nhello\r\n", None, frozenset(FAILED)),
    "length negative": Odd(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello", None, frozenset(FAILED)),
    "length with plus": Odd(b"HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello", None, frozenset(FAILED)),
    "length of 400 digits": Odd(
        b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 400 + b"\r\n\r\nhello", None, frozenset(FAILED)
    ),
    "length and chunked": Odd(
        JSON.replace(b"\r\n\r\n", b"\r\ncontent-length: 5\r\n\r\n") + b"5\r\nhello\r\n0\r\n\r\n",
        None,
        frozenset(FAILED),
    ),
    "no reason phrase": Odd(
        http(json.dumps(completion()).encode()).replace(b"200 OK", b"200"), None, frozenset(OK), FINE
    ),
    "line feeds only": Odd(http(json.dumps(completion()).encode()).replace(b"\r\n", b"\n"), None),
    "folded header": Odd(http(json.dumps(completion()).encode(), "x-a: b\r\n  c"), None),
    "NUL in a header": Odd(http(json.dumps(completion()).encode(), "x-a: b\0c"), None),
    "header without a name": Odd(http(json.dumps(completion()).encode(), ": x"), None),
    "header of UTF-8": Odd(http(json.dumps(completion()).encode(), "x-a: größe"), None, frozenset(OK), FINE),
    "HTTP/2": Odd(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None, frozenset(FAILED)),
    "status 99": Odd(http(b"{}", status="99 X"), None, frozenset(FAILED)),
    "status 1000": Odd(http(b"{}", status="1000 X"), None, frozenset(FAILED)),
    "status 200 for ever": Odd(Endless(b"HTTP/1.1 200 ", b"O" * 10_000), None, frozenset(FAILED)),
    "a header for ever": Odd(Endless(b"HTTP/1.1 200 OK\r\nx-a: ", b"O" * 10_000), None, frozenset(FAILED)),
    "headers for ever": Odd(Endless(b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n" * 1000), None, frozenset(FAILED)),
    "trailers for ever": Odd(
        Endless(JSON + part(json.dumps(completion()).encode()) + b"0\r\n", b"x-a: b\r\n" * 1000), None
    ),
    "a chunk extension for ever": Odd(Endless(JSON + b"5;", b"x" * 10_000), None, frozenset(FAILED)),
    "answers for ever": Odd(Endless(b"", KEPT_OPEN * 100), None, frozenset(OK), FINE),
    "empty answers for ever": Odd(Endless(b"", b"HTTP/1.1 204 No Content\r\n\r\n" * 100), None),
    "interim replies for ever": Odd(Endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 100), None, frozenset(FAILED)),
    "gzip cut": Odd(
        http(gzip.compress(json.dumps(completion()).encode())[:-20], "content-encoding: gzip"), None, frozenset(FAILED)
    ),
    "gzip with junk behind": Odd(
        http(gzip.compress(json.dumps(completion()).encode()) + b"junk", "content-encoding: gzip"), None
    ),
    "gzip twice": Odd(
        http(gzip.compress(gzip.compress(json.dumps(completion()).encode())), "content-encoding: gzip, gzip"),
        None,
        frozenset(FAILED),
    ),
    "deflate raw": Odd(
        http(zlib.compress(json.dumps(completion()).encode(), wbits=-15), "content-encoding: deflate"),
        None,
        frozenset(OK),
        FINE,
    ),
    "brotli": Odd(http(b"\x8b\x02\x80abc\x03", "content-encoding: br"), None, frozenset(FAILED), "encoding"),
    "gzip members for ever": Odd(
        Endless(JSON.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"), part(gzip.compress(b" " * 10**6))),
        None,
        frozenset(FAILED),
    ),
    "nothing": Odd(b"", None, frozenset(FAILED)),
    "a head cut": Odd(b"HTTP/1.1 200 OK\r\ncontent-", None, frozenset(FAILED)),
    "an old protocol": Odd(b"<html>no head at all</html>", None, frozenset(FAILED)),
    "gzip in the header only": Odd(http(COMPLETION, "content-encoding: gzip"), None, frozenset(OK), FINE),
    "gzip without a header": Odd(http(gzip.compress(COMPLETION)), None, frozenset(OK), FINE),
    "gzip with junk that looks like gzip": Odd(
        http(gzip.compress(COMPLETION) + b"\x1f\x8bjunk", "content-encoding: gzip"), None, frozenset(OK), FINE
    ),
    "a character set as encoding": Odd(http(COMPLETION, "content-encoding: utf-8"), None, frozenset(OK), FINE),
    "encodings in a row": Odd(
        http(gzip.compress(COMPLETION), "content-encoding: identity, gzip"), None, frozenset(OK), FINE
    ),
}

STREAMS: dict[str, Odd] = {
    "several data lines": stream(TEXT.replace(b'"choices"', b'\ndata: "choices"'), STOP, DONE, status=OK, words=FINE),
    "carriage returns": stream((TEXT + STOP + DONE).replace(b"\n", b"\r"), status=OK, words=FINE),
    "no space after data": stream((TEXT + STOP + DONE).replace(b"data: ", b"data:"), status=OK, words=FINE),
    "DONE first": stream(DONE, TEXT, STOP, status={"failed", "empty"}),
    "DONE only": stream(DONE, status={"failed", "empty"}),
    "DONE in the text": stream(FIRST, chunk({"content": "data: [DONE]\n\n"}), STOP, DONE, status=OK, words="[DONE]"),
    "finish only": stream(STOP, DONE, status=EMPTY),
    "null events": stream(
        b"data: null\n\n", TEXT, b'data: ""\n\n', b"data: 12\n\n", b"data: [1]\n\n", STOP, DONE, status=set()
    ),
    "JSON lines": Odd(
        None,
        http((TEXT + STOP).replace(b"data: ", b"").replace(b"\n\n", b"\n"), kind="application/x-ndjson"),
        frozenset(OK),
        FINE,
    ),
    "two JSON in one event": stream(TEXT, STOP[:-2] + STOP[6:], DONE, status=READ, words=FINE),
    "delta null": stream(FIRST, chunk(None), TEXT, chunk(None, "stop"), DONE, status=OK, words=FINE),
    "delta text": stream(FIRST, chunk("hello"), TEXT, STOP, DONE, status=set()),
    "delta list": stream(FIRST, chunk([1]), TEXT, STOP, DONE, status=set()),
    "content changes its type": stream(
        TEXT,
        chunk({"content": [{"type": "text", "text": "!"}]}),
        chunk({"content": 5}),
        chunk({"content": None}),
        STOP,
        DONE,
        status=READ,
        words=FINE,
    ),
    "another choice": stream(FIRST, chunk({"content": "x"}, choice={"index": 1}), TEXT, STOP, DONE, status=set()),
    "several choices": stream(
        *[chunk({"content": w}, choice={"index": n}) for w in ("a ", "fine ", "answer") for n in (0, 1)],
        chunk({}, "length", choice={"index": 1}),
        STOP,
        DONE,
        status=OK,
        words=FINE,
    ),
    "indexes that count chunks": stream(
        *[chunk({"content": w}, choice={"index": n}) for n, w in enumerate(["a ", "fine ", "answer"])],
        chunk({}, "stop", choice={"index": 3}),
        DONE,
        status=OK,
        words=FINE,
    ),
    "indexes of content blocks": stream(
        chunk({"reasoning_content": "hm"}),
        chunk({"content": FINE}, choice={"index": 1}),
        chunk({}, "stop", choice={"index": 1}),
        DONE,
        status=OK,
        words=FINE,
    ),
    "role changes": stream(
        FIRST,
        chunk({"role": "user", "content": "a fine "}),
        chunk({"role": "tool", "content": "answer"}),
        STOP,
        DONE,
        status=OK,
        words=FINE,
    ),
    "finish null text": stream(TEXT, chunk({}, "null"), STOP, DONE, status=OK, words=FINE),
    "error after text": stream(
        TEXT,
        b'data: {"error": {"message": "the reason of it", "code": 500}}\n\n',
        status=FAILED,
        words="the reason of it",
    ),
    "error after finish": stream(TEXT, STOP, b'data: {"error": {"message": "late"}}\n\n', DONE, status=OK, words=FINE),
    "error event": stream(
        TEXT, b'event: error\ndata: {"message": "the reason of it"}\n\n', status=FAILED, words="the reason of it"
    ),
    "error typed": stream(
        b'data: {"type": "error", "error": {"type": "overloaded_error", "message": "the reason of it"}}\n\n',
        status=FAILED,
        words="the reason of it",
    ),
    "error text": stream(b'data: {"error": "the reason of it"}\n\n', status=FAILED, words="the reason of it"),
    "error with object detail": stream(
        b'data: {"detail": "the reason of it"}\n\n', status=FAILED, words="the reason of it"
    ),
    "events without blank lines": stream((TEXT + STOP + DONE).replace(b"\n\n", b"\n"), status=OK, words=FINE),
    "the whole answer once more in the end": stream(
        TEXT,
        STOP,
        b'data: {"object": "chat.completion", "choices": [{"index": 0, "finish_reason": "stop", '
        b'"message": {"role": "assistant", "content": "a fine answer"}}], "base_resp": {"status_code": 0}}\n\n',
        status=OK,
        words=FINE,
    ),
    "pieces in messages": stream(
        *[
            b'data: {"choices": [{"index": 0, "message": {"content": "%b"}}]}\n\n' % w
            for w in (b"a f", b"ine", b" answer")
        ],
        STOP,
        status=OK,
        words=FINE,
    ),
    "error in Groq's own field": stream(
        TEXT,
        chunk({}, "stop", x_groq={"id": "r", "error": "the reason of it"}),
        status=FAILED,
        words="the reason of it",
    ),
    "error in a response": stream(
        TEXT,
        b'event: response.failed\ndata: {"type": "response.failed", "response": {"status": "failed", '
        b'"error": {"code": "server_error", "message": "the reason of it"}}}\n\n',
        status=FAILED,
        words="the reason of it",
    ),
    "error in data": stream(
        b'data: {"data": {"error": {"message": "the reason of it"}}}\n\n', DONE, status=FAILED, words="the reason of it"
    ),
    "error event in JSON": stream(
        b'data: {"event": "error", "data": {"message": "the reason of it"}}\n\n',
        DONE,
        status=FAILED,
        words="the reason of it",
    ),
    "error event in JSON with text": stream(
        b'data: {"event": "error", "data": "the reason of it"}\n\n', DONE, status=FAILED, words="the reason of it"
    ),
    "pieces that repeat all text so far": stream(
        *(chunk({"content": FINE[:end]}) for end in (1, 3, 9, len(FINE))), STOP, DONE, status=OK, words=FINE
    ),
    "DONE without a finish reason": stream(TEXT, chunk({}), DONE, status=CUT, words=FINE),
    "usage without choices": stream(
        TEXT, b'data: {"usage": {"prompt_tokens": 5}}\n\n', STOP, DONE, status=OK, words=FINE
    ),
    "a choice without fields": stream(TEXT, chunk({}, choices=[{}]), STOP, DONE, status=OK, words=FINE),
    "heartbeats with words": stream(
        b'event: heartbeat\ndata: {"message": "in the queue"}\n\n',
        TEXT,
        b'data: {"type": "keepalive", "message": "wait"}\n\nevent: keep-alive\ndata: wait\n\n',
        STOP,
        DONE,
        status=OK,
        words=FINE,
    ),
    "events of a search": stream(
        b'data: {"event": {"type": "status", "data": {"description": "Searching"}}}\n\n',
        TEXT,
        STOP,
        b'data: {"base_resp": {"status_code": 0, "status_msg": "success"}}\n\n',
        DONE,
        status=OK,
        words=FINE,
    ),
    "events without an answer": stream(
        b'data: {"Output": {"__type": "UnknownOperation"}}\n\n', DONE, status=FAILED, words="UnknownOperation"
    ),
    "error unframed": stream(
        TEXT, b'{"error": {"message": "the reason of it"}}', status=FAILED, words="the reason of it"
    ),
    "error marker": stream(TEXT, b"data: [ERROR] the reason of it\n\n", status=FAILED),
    "halves of an emoji": stream(
        FIRST,
        chunk({"content": "a fine \ud83d"}),
        chunk({"content": "\ude00 answer"}),
        STOP,
        DONE,
        status=OK,
        words="a fine \U0001f600 answer",
    ),
    "whole answer again in the end": stream(
        TEXT, chunk({}, "stop", choice={"message": {"role": "assistant", "content": FINE}}), DONE, status=OK, words=FINE
    ),
    "usage everywhere": stream(
        *[
            chunk({"content": w}, usage={"prompt_tokens": 5, "completion_tokens": n, "total_tokens": 5 + n})
            for n, w in enumerate(["a ", "fine ", "answer"])
        ],
        STOP,
        DONE,
        status=OK,
        words=FINE,
    ),
    "cut in an event": stream(TEXT, STOP[:30], status=FAILED),
    "frames in frames": stream(
        (TEXT + STOP + DONE).replace(b"data: ", b"data: data: ").replace(b"\n\n", b"\ndata: \ndata: \n\n"),
        status=OK,
        words=FINE,
    ),
    "an error in frames in frames": stream(
        TEXT, b'data: data: {"error": "the reason of it"}\n\n', DONE, status=FAILED, words="the reason of it"
    ),
    "data without words": stream(b"data: [1, 2]\n\n", status=FAILED, words="[1, 2]"),
    "a BOM in the middle": stream(TEXT, b"\xef\xbb\xbf", STOP, DONE, status=set()),
    "calls in pieces": stream(
        FIRST,
        chunk({"tool_calls": [call('{"a', name="f")]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '": 1}'}}]}),
        chunk({}, "tool_calls"),
        DONE,
        status=EMPTY,
    ),
    "content type missing": Odd(
        None, (TEXT + STOP + DONE).join([b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", b""]), frozenset(OK), FINE
    ),
    "a byte order mark before every event": stream(
        (TEXT + STOP + DONE).replace(b"data", b"\xef\xbb\xbfdata"), status=OK, words=FINE
    ),
    "words without a frame": stream(TEXT, b"the reason of it\n", status=FAILED, words="the reason of it"),
    "words as data": stream(TEXT, b"data: [ERROR] the reason of it\n\n", DONE, status=FAILED, words="the reason of it"),
    "words as a JSON text": stream(TEXT, b'data: "the reason of it"\n\n', status=FAILED, words="the reason of it"),
    "an error in a list": stream(
        TEXT, b'data: [{"error": {"message": "the reason of it"}}]\n\n', status=FAILED, words="the reason of it"
    ),
    "an error that is true": stream(
        TEXT, b'data: {"error": true, "message": "the reason of it"}\n\n', status=FAILED, words="the reason of it"
    ),
    "words that are no error": stream(
        b"data: ping\n\n", TEXT, b"data: null\n\n", STOP, b"data: [END]\n\n", status=OK, words=FINE
    ),
    "a page": Odd(
        None,
        http(b"<html><title>Sign in</title></html>", kind="text/html"),
        frozenset(FAILED),
        "instead of JSON: Sign in",
    ),
    "a whole answer in lines": stream(json.dumps(completion(), indent=1).encode(), status=OK, words=FINE),
    "an error in lines": stream(
        json.dumps(json.loads(ERR), indent=1).encode(), status=FAILED, words="the reason of it"
    ),
    "events under a JSON type": Odd(None, sse(TEXT, STOP, DONE, kind="application/json"), frozenset(OK), FINE),
    "bytes that are not UTF-8": stream(
        TEXT.replace(b"fine", b"f\xffne"), STOP, DONE, status=OK, words="a f\ufffdne answer"
    ),
}

ENDLESS: dict[str, Odd] = {
    "empty deltas": endless(chunk({})),
    "no choices": endless(chunk({}, choices=[])),
    "usage": endless(chunk({}, choices=[], usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})),
    "text with usage": endless(
        chunk({"content": "x"}, usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}), {"failed"}
    ),
    "finish reasons": endless(chunk({}, "stop"), {"failed", "empty"}),
    "roles": endless(chunk({"role": "assistant"})),
    "log probabilities": endless(
        chunk(
            {"content": "x"},
            choice={"logprobs": {"content": [{"token": "x", "logprob": -1.0, "bytes": [1], "top_logprobs": []}]}},
        )
    ),
    "calls": endless(chunk({"tool_calls": [call("{}")]})),
    "call arguments": endless(chunk({"tool_calls": [{"index": 0, "function": {"arguments": "x"}}]})),
    "new ids": endless(b"".join(chunk({"content": "x"}, id=f"i{n}") for n in range(50))),
    "other choices": endless(b"".join(chunk({"content": "x"}, choice={"index": n}) for n in range(50))),
    "null": endless(b"data: null\n\n"),
    "blank lines": endless(b"\n"),
    "carriage returns": endless(b"\r"),
    "event names": endless(b"event: x\n"),
    "ids": endless(b"id: 7\n\n"),
    "one event": endless(b"data: x\n"),
    "one line": endless(b"x"),
    "comment without an end": endless(b":x"),
    "thoughts in tags": endless(chunk({"content": "<think>hm</think>"})),
    "open thoughts": endless(chunk({"content": "<think>"})),
    "half emojis": endless(chunk({"content": "\ud83d"})),
    "backticks": endless(chunk({"content": "`"})),
    "angle brackets": endless(chunk({"content": "<"})),
    "unknown fields": endless(chunk({"x": ["y"] * 20})),
    "reasoning details": endless(chunk({"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]})),
}

GROUPS: dict[str, dict[str, Odd]] = {
    "shape": SHAPES,
    "content": CONTENT,
    "ending": ENDINGS,
    "tools": TOOLS,
    "error": ERRORS,
    "status": STATUS,
    "broken": BROKEN,
    "stream": STREAMS,
    "endless": ENDLESS,
}
REPLIES: dict[str, Odd] = {f"{group}: {name}": odd for group, found in GROUPS.items() for name, odd in found.items()}


FINE_REPLY = Odd(http(json.dumps(completion()).encode()), sse(TEXT, STOP, DONE))


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the reply that the model's name stands for. An unknown name gets a usual answer."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            asked = json.loads(
                await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
            )
            odd = REPLIES.get(str(asked.get("model")))
            sent = (odd or FINE_REPLY).sent(bool(asked.get("stream")))
            if isinstance(sent, Endless):
                writer.write(sent.head)
                while True:
                    writer.write(sent.part)
                    await writer.drain()
            writer.write(sent or b"")
            await writer.drain()
            if odd is not None:
                break
    writer.close()


async def serve() -> None:
    server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=2**24)
    print("http://{}:{}/v1".format(*server.sockets[0].getsockname()), flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Run a server in its own process, so that its work is not measured with the run; yield its address."""
    process = subprocess.Popen([sys.executable, "-m", __name__], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(serve())
