"""Bodies: JSON objects of bounded size, read within a time limit and parsed off the event loop; and long answers."""

from __future__ import annotations

import asyncio
import json
import math
import re
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from moa_graph.models.reply.fields import encodable
from moa_graph.serve.problems import Problem, too_large

__all__ = [
    "BODY_SECONDS",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_MESSAGES",
    "MAX_PLAIN",
    "MAX_VALUES",
    "body_bytes",
    "json_body",
    "json_bytes",
]

MAX_BYTES = 20_000_000
"""The largest request body: a long conversation with some images."""

MAX_MESSAGES = 4_096
MAX_VALUES = 50_000
"""Lists and objects in one request. Validation costs about 25 microseconds each, on the event loop."""

MAX_PLAIN = 250_000
"""Texts, numbers and other plain values in one request."""

MAX_DEPTH = 128
"""Lists and objects within each other. OpenAI's client encodes at most 254, and inference servers read 128."""

CONVERSATION = frozenset({"input", "instructions", "messages", "prompt", "system"})
"""Fields of a request that hold a conversation, in any API format."""

TEXTS = frozenset(
    {"arguments", "content", "input", "instructions", "output", "prompt", "refusal", "system", "text", "thinking"}
)
"""Keys within a conversation whose text may hold lone surrogates, which models write at times. The graph replaces
them."""

BODY_SECONDS = 60.0
"""Seconds that a client may take to send a body."""

_COMMA = ord(",")

_DRAINED = 100_000_000
"""Bytes of a body that is too large which are read and dropped, so that the client can read the answer."""


async def json_body(request: Request, limit: int) -> dict[str, Any]:
    """Return the request's JSON object.

    Args:
        request: The request.
        limit: The largest body, in bytes.

    Raises:
        Problem: 408 when the body does not arrive in time; 413 when it is larger than `limit`, or has too many messages
            or values; 415 when it does not say that it is JSON (a form of a foreign web page cannot) or is compressed;
            400 when it is not a JSON object, is nested too deeply, or has lone surrogates in keys, names or settings,
            or numbers that are not finite.
    """
    return await asyncio.to_thread(_parsed, await body_bytes(request, limit))


async def body_bytes(request: Request, limit: int, *, lists: int = MAX_VALUES, plain: int = MAX_PLAIN) -> bytes:
    """Return the bytes of the request's body. Only the number of its values and its encoding are checked.

    Args:
        request: The request.
        limit: The largest body, in bytes.
        lists: The most lists and objects.
        plain: The most other values.

    Raises:
        Problem: 408, 413 or 415, as for `json_body`; 400 when it is not UTF-8 or the client has left.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "Send JSON, with the header Content-Type: application/json.", code="content_type")
    if (encoding := request.headers.get("content-encoding", "").strip().lower()) not in ("", "identity"):
        message = f"Content-Encoding: {encoding!r} is not read here. Send the JSON without compression."
        raise Problem(415, message, code="content_encoding")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _read(request, limit)
    except TimeoutError:
        raise Problem(408, f"The body did not arrive within {BODY_SECONDS:g} s.", code="body_too_slow") from None
    except ClientDisconnect:
        raise Problem(400, "The client closed the connection within the body.", code="client_disconnect") from None
    await asyncio.to_thread(_bound_values, body, lists, plain)
    return body


async def _read(request: Request, limit: int) -> bytes:
    body, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            body += part
        elif size > _DRAINED:
            break
        else:
            body.clear()
    if size > limit:
        raise too_large(limit)
    return bytes(body)


_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)|[\[{,]', re.DOTALL)
"""A string, which may hold brackets of its own, the beginning of a list or an object, or what divides values."""


def _bound_values(body: bytes, lists: int, plain: int) -> None:
    """Refuse too many values before the JSON is parsed.

    The parser of the standard library does not let other threads run: millions of small values stop the event loop for
    seconds, although the parser runs in a thread.

    Raises:
        Problem: 413; there are more than `lists` lists and objects, or more than `plain` other values. 400; the body
            is not UTF-8.
    """
    # Of UTF-16, which the parser takes as well, the bytes of other characters look like quotes and brackets.
    if b"\0" in body:
        raise Problem(400, "The request is not UTF-8, or holds a NUL character. Send it as UTF-8.", code="invalid_json")
    if body.count(b"[") + body.count(b"{") <= lists and body.count(b",") <= plain:
        return
    begun = divided = 0
    for match in _STRUCTURE.finditer(body):
        first = body[match.start()]
        begun += first in b"[{"
        divided += first == _COMMA
        if begun > lists:
            raise Problem(413, f"The request has more than {lists:,} lists and objects.", code="too_many_values")
        if divided > plain:
            raise Problem(413, f"The request has more than {plain:,} values.", code="too_many_values")


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except json.JSONDecodeError as exc:
        raise Problem(400, f"The request is not valid JSON: {exc}", code="invalid_json") from exc
    except UnicodeDecodeError as exc:
        message = f"The request is not UTF-8 (byte {exc.start:,}). Send it as UTF-8."
        raise Problem(400, message, code="invalid_json") from exc
    except RecursionError as exc:
        raise _too_deep() from exc
    except ValueError as exc:
        # The parser refuses numbers of more than about four thousand digits.
        raise Problem(400, "The request has a number of too many digits.", code="invalid_json") from exc
    if not isinstance(data, dict):
        raise Problem(400, "The request must be a JSON object.", code="invalid_json")
    for name in ("messages", "input"):
        given = data.get(name)
        if isinstance(given, list) and len(given) > MAX_MESSAGES:
            message = f"The request has {len(given):,} {name}; at most {MAX_MESSAGES:,} are accepted."
            raise Problem(413, message, code="too_many_messages", param=name)
    _check_values(data)
    return data


def _check_values(data: dict[str, Any]) -> None:
    """Refuse values that cannot be sent on: numbers that are not finite, and lone surrogates.

    Neither can be encoded in a provider's request or in an answer. In the texts of a conversation, lone surrogates are
    replaced in place, because models write them at times.

    Raises:
        Problem: 400; a number is not finite, a key, a name or a setting has a lone surrogate, or there are more than
            `MAX_DEPTH` lists and objects within each other.
    """
    # Each entry is an object or a list, its depth, the request's field it belongs to, its key, and whether it belongs
    # to the arguments of a tool call, in which every value is a text.
    waiting: list[tuple[Any, int, str, str, bool]] = [(data, 1, "", "", False)]
    while waiting:
        holder, depth, field, key, free = waiting.pop()
        if depth > MAX_DEPTH:
            raise _too_deep(field)
        for place, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
            name = place if isinstance(place, str) else key
            root = field or name
            text = free or (root in CONVERSATION and name in TEXTS)
            if not _encodable(name):
                raise _malformed(root, f"the key {name!r}")
            if isinstance(value, dict | list):
                # `input` and `output` with an object as value; the objects of a list are blocks.
                arguments = bool(field) and text and isinstance(place, str) and isinstance(value, dict)
                waiting.append((value, depth + 1, root, name, free or arguments))
            elif isinstance(value, str) and not _encodable(value):
                if not text:
                    raise _malformed(root, f"the text {value[:60]!r}" + (f" of {name!r}" if field else ""))
                holder[place] = encodable(value)
            elif isinstance(value, float) and not math.isfinite(value):
                message = f"{root}: {json.dumps(value)} is not a number that JSON has. Send a finite number."
                raise Problem(400, message, param=root)


def _too_deep(field: str | None = None) -> Problem:
    message = f"{field or 'The request'} is nested too deeply: at most {MAX_DEPTH} lists and objects within each other."
    return Problem(400, message, code="invalid_json", param=field)


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _malformed(field: str, what: str) -> Problem:
    # A field whose name is malformed cannot be named in an answer; `what` shows it escaped.
    name = field if _encodable(field) else None
    start = f"{name}: {what}" if name else what[0].upper() + what[1:]
    message = f"{start} has a lone surrogate, which is half a character. Send whole characters."
    return Problem(400, message, code="malformed_text", param=name)


def json_bytes(value: Any) -> bytes:
    """Return a value as JSON. The standard library would stop all threads for five times as long."""
    try:
        return orjson.dumps(value)
    except TypeError:  # integers above 64 bits, keys that are not texts, lone surrogates
        return json.dumps(value).encode()
