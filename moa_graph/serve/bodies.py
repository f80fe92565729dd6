"""Request bodies: JSON objects of bounded size, read within a time limit and parsed off the event loop."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import ClientDisconnect, Request

from moa_graph.serve.problems import Problem

__all__ = ["MAX_BYTES", "MAX_MESSAGES", "MAX_VALUES", "json_body"]

MAX_BYTES = 20_000_000
"""The largest request body: a long conversation with some images."""

MAX_MESSAGES = 4_096
MAX_VALUES = 50_000
"""Lists and objects in one request. Validation costs about 25 microseconds each, on the event loop."""

BODY_SECONDS = 60.0
"""Seconds that a client may take to send a body."""

_DRAINED = 100_000_000
"""Bytes of a body that is too large which are read and dropped, so that the client can read the answer."""


async def json_body(request: Request, limit: int) -> dict[str, Any]:
    """Return the request's JSON object.

    Args:
        request: The request.
        limit: The largest body, in bytes.

    Raises:
        Problem: 408 when the body does not arrive in time; 413 when it is larger than `limit`, or has too many messages
            or values; 415 when it does not say that it is JSON (a form of a foreign web page cannot); 400 when it is
            not a JSON object.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "Send JSON, with the header Content-Type: application/json.", code="content_type")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _read(request, limit)
    except TimeoutError:
        raise Problem(408, f"The body did not arrive within {BODY_SECONDS:g} s.", code="body_too_slow") from None
    except ClientDisconnect:
        raise Problem(400, "The client closed the connection within the body.", code="client_disconnect") from None
    return await asyncio.to_thread(_parsed, body)


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
        raise Problem(413, f"The request is larger than {limit:,} bytes.", code="request_too_large")
    return bytes(body)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise Problem(400, f"The request is not valid JSON: {exc}", code="invalid_json") from exc
    if not isinstance(data, dict):
        raise Problem(400, "The request must be a JSON object.", code="invalid_json")
    for name in ("messages", "input"):
        given = data.get(name)
        if isinstance(given, list) and len(given) > MAX_MESSAGES:
            message = f"The request has {len(given):,} {name}; at most {MAX_MESSAGES:,} are accepted."
            raise Problem(413, message, code="too_many_messages", param=name)
    waiting: list[Any] = [data]
    count = 0
    while waiting:
        value: Any = waiting.pop()
        inner = value.values() if isinstance(value, dict) else value
        found = [each for each in inner if isinstance(each, dict | list)]
        count += len(found)
        waiting += found
        if count > MAX_VALUES:
            raise Problem(413, f"The request has more than {MAX_VALUES:,} lists and objects.", code="too_many_values")
    return data
