"""Who may ask: the key, the host name, the web page's origin, the size of a request."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from moa_graph.serve.problems import Problem

MAX_BYTES = 20_000_000
"""The largest request body: a long conversation with some images."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Policy:
    """What the owner of a server allows.

    `key`: what clients must send, `None` for none. `hosts`: names under which the server may be addressed while there
    is no key, beside those of this machine. `origins`: web pages, other than our own, that may ask ("*" for all).
    """

    key: str | None = field(default=None, repr=False)
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    max_bytes: int = MAX_BYTES

    @classmethod
    def from_environment(cls, get: Callable[[str], str | None]) -> Policy:
        """From MOA_SERVE_KEY, MOA_SERVE_HOSTS and MOA_SERVE_ORIGINS (comma-separated)."""
        return cls(
            key=get("MOA_SERVE_KEY"),
            hosts=frozenset(words(get("MOA_SERVE_HOSTS"))),
            origins=frozenset(words(get("MOA_SERVE_ORIGINS"))),
        )

    def check(self, headers: Headers, *, basic: bool) -> None:
        """Refuses a request that its sender may not make. `basic`: ask a browser for the key in its own dialog.

        Raises:
            Problem: 401 without the key, 403 for a foreign web page or host name.
        """
        if self.key is None:
            self._check_host(headers.get("host", ""))
        elif not _same(_sent_key(headers.get("authorization", "")), self.key.encode()):
            challenge = 'Basic realm="moa: the key is the password", charset="UTF-8"' if basic else "Bearer"
            raise Problem(
                401,
                "This server wants its key (MOA_SERVE_KEY) as a bearer token.",
                code="invalid_api_key",
                headers={"www-authenticate": challenge},
            )
        self._check_origin(headers)

    def _check_host(self, host: str) -> None:
        # A web page that points its own name at 127.0.0.1 is same-origin with us, and only the name tells.
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        if name not in LOOPBACK and name not in self.hosts and not name.endswith(".localhost"):
            advice = "set MOA_SERVE_KEY, or name it in MOA_SERVE_HOSTS"
            raise Problem(403, f"Host {name!r} is not served here without a key: {advice}.", code="host_not_allowed")

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        # Browsers name the page that asks; other programs have none.
        if origin and urlsplit(origin).netloc != headers.get("host") and not {origin, "*"} & self.origins:
            message = f"Web pages of {origin!r} may not ask here: name it in MOA_SERVE_ORIGINS if they should."
            raise Problem(403, message, code="origin_not_allowed")


def words(text: str | None) -> list[str]:
    """The parts of a comma-separated setting."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _sent_key(header: str) -> bytes:
    scheme, _, value = header.partition(" ")
    # Header bytes come decoded as Latin-1, whatever they were.
    if scheme.lower() == "bearer":
        return value.strip().encode("latin-1")
    if scheme.lower() == "basic":
        with contextlib.suppress(binascii.Error, ValueError):
            return base64.b64decode(value, validate=True).partition(b":")[2]
    return b""


def _same(given: bytes, wanted: bytes) -> bool:
    """Constant-time, and digests first, so that not even the length shows."""
    return hmac.compare_digest(*(hashlib.sha256(each).digest() for each in (given, wanted)))


class Guard:
    """ASGI middleware of single routes: under the Agent Server an app's own middleware would guard its routes too."""

    def __init__(self, app: ASGIApp, policy: Policy, *, basic: bool = False) -> None:
        self._app, self._policy, self._basic = app, policy, basic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        shared = origin is not None and bool({origin, "*"} & self._policy.origins)
        if shared and scope["method"] == "OPTIONS":
            await _preflight(origin or "")(scope, receive, send)
            return
        try:
            self._policy.check(headers, basic=self._basic)
        except Problem as refusal:
            await refusal.response()(scope, receive, send)
            return
        await self._app(scope, receive, _shared(send, origin or "") if shared else send)


def _preflight(origin: str) -> ASGIApp:
    headers = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "authorization, content-type, *",
        "vary": "origin",
    }
    return Response(status_code=204, headers=headers)


def _shared(send: Send, origin: str) -> Send:
    async def with_header(message: Any) -> None:
        if message["type"] == "http.response.start":
            extra: Iterable[tuple[bytes, bytes]] = [
                (b"access-control-allow-origin", origin.encode()),
                # An MCP client in a browser must read it, to take back its calls.
                (b"access-control-expose-headers", b"mcp-session-id"),
                (b"vary", b"origin"),
            ]
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return with_header


async def json_body(request: Request, limit: int) -> dict[str, Any]:
    """The request's JSON object.

    Raises:
        Problem: 413 when it is larger than `limit` bytes, 415 when it does not say that it is JSON (a form of a
            foreign web page cannot), 400 when it is not.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "Send JSON, with the header Content-Type: application/json.", code="content_type")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise Problem(413, f"The request is larger than {limit:,} bytes.", code="request_too_large")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise Problem(400, f"The request is not valid JSON: {exc}", code="invalid_json") from exc
    if not isinstance(data, dict):
        raise Problem(400, "The request must be a JSON object.", code="invalid_json")
    return data
