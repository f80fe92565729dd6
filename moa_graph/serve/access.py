"""Access control: the key, the host name, the web page's origin, the size of a request."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import ipaddress
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from moa_graph.errors import ConfigError
from moa_graph.serve.bodies import MAX_BYTES
from moa_graph.serve.problems import Problem

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::\d{1,5})?", re.IGNORECASE | re.ASCII)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?P<host>.*)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Policy:
    """The access rules of a server.

    Attributes:
        key: The key that clients must send; None for no key.
        hosts: Names under which the server may be addressed while there is no key, besides loopback names and IP
            addresses. `*.example.com` stands for all names below example.com, `*` for every name.
        origins: Origins of web pages, other than the server's own, that may send requests ("*" for all).
        max_bytes: The largest request body, in bytes.
    """

    key: str | None = field(default=None, repr=False)
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    max_bytes: int = MAX_BYTES

    @classmethod
    def from_environment(cls, get: Callable[[str], str | None] = os.environ.get) -> Policy:
        """Read MOA_SERVE_KEY, MOA_SERVE_HOSTS and MOA_SERVE_ORIGINS (comma-separated).

        Args:
            get: Returns the value of a variable. The default reads the process environment only: a `.env` file
                must not open the server.

        Raises:
            ConfigError: No client can send the key.
        """
        key = get("MOA_SERVE_KEY") or None
        if key and not (key.isprintable() and key == key.strip()):
            # A file of a secret often ends in a line break: every client would be refused with a 401.
            what = "a line break" if "\n" in key or "\r" in key else "spaces at its ends, or control characters"
            raise ConfigError(f"MOA_SERVE_KEY: the key contains {what}. Set the variable to the key alone.")
        hosts = (host.lower().rstrip(".") for host in words(get("MOA_SERVE_HOSTS")))
        return cls(
            key=key,
            hosts=frozenset(host.rpartition(":")[0] if _with_port(host) else host for host in hosts),
            origins=frozenset(
                origin.lower() if origin.endswith("://") else origin.lower().rstrip("/")
                for origin in words(get("MOA_SERVE_ORIGINS"))
            ),
        )

    def check(self, headers: Headers, *, basic: bool) -> None:
        """Refuse a request that is not allowed.

        Args:
            headers: The request's headers.
            basic: Whether a browser shows its own dialog for the key.

        Raises:
            Problem: 400 for a malformed Host or Origin, 401 without the key, 403 for a foreign web page or host name.
        """
        name, origin = host_name(headers), origin_of(headers)
        if self.key is None:
            self.check_host(name)
        elif not any(_same(sent, self.key.encode()) for sent in _sent_keys(headers)):
            challenge = 'Basic realm="moa: the key is the password", charset="UTF-8"' if basic else "Bearer"
            raise Problem(
                401,
                "This server needs its key (MOA_SERVE_KEY): send it as a bearer token, or in the header x-api-key.",
                code="invalid_api_key",
                headers={"www-authenticate": challenge},
            )
        if not self.allows_origin(origin, headers):
            raise foreign_origin(origin)

    def check_host(self, name: str) -> None:
        """Refuse a foreign host name.

        A web page can resolve its name to 127.0.0.1 (DNS rebinding) and then has the same origin as the server. Only
        the Host header shows it. An IP address cannot be rebound.

        Raises:
            Problem: 403; `name` is not a loopback name, an IP address or one of `hosts`.
        """
        parents = name.split(".")
        wildcards = {"*", *(".".join(["*", *parents[i:]]) for i in range(1, len(parents)))}
        if name in LOOPBACK or name.endswith(".localhost") or _is_address(name) or {name, *wildcards} & self.hosts:
            return
        advice = f"set MOA_SERVE_HOSTS={name} to allow requests under this name"
        raise Problem(403, f"Host {name!r} is not served here without a key: {advice}.", code="host_not_allowed")

    def allows_origin(self, origin: str | None, headers: Headers) -> bool:
        """Return whether the request is not from a web page, or from the server's own page or one of `origins`."""
        own = origin is not None and origin.partition("://")[2] == headers.get("host", "").lower()
        return origin is None or own or bool({origin, "*"} & self.origins)


def foreign_origin(origin: str | None) -> Problem:
    """Return the error for a web page of another site."""
    message = f"Web pages of {origin!r} may not send requests to this server. MOA_SERVE_ORIGINS can allow them."
    return Problem(403, message, code="origin_not_allowed")


def host_name(headers: Headers) -> str:
    """Return the name in the Host header: lower case, without port, brackets and trailing dot.

    Raises:
        Problem: 400; the header is missing, sent twice or malformed.
    """
    sent = headers.getlist("host")
    match = _HOST.fullmatch(sent[0]) if len(sent) == 1 else None
    if match is None or (match["name"].startswith("[") and not _is_address(match["name"][1:-1])):
        raise Problem(400, "The request needs one Host header of the form name or name:port.", code="malformed_host")
    return match["name"].strip("[]").lower().rstrip(".")


def origin_of(headers: Headers) -> str | None:
    """Return the origin of the web page that sends the request, in lower case; None if it is not from a page.

    Raises:
        Problem: 400; the header is sent twice or malformed.
    """
    sent = [value.lower() for value in headers.getlist("origin")]
    if not sent or sent == ["null"]:
        return sent[0] if sent else None
    match = _ORIGIN.fullmatch(sent[0]) if len(sent) == 1 else None
    # Pages of Android and Electron apps have the origin `file://`.
    if match is None or not (sent[0] == "file://" or _HOST.fullmatch(match["host"])):
        raise Problem(400, "The Origin header must have the form scheme://host:port.", code="malformed_origin")
    return sent[0]


def _with_port(host: str) -> bool:
    match = _HOST.fullmatch(host.replace("*", "x"))
    return match is not None and len(match["name"]) < len(host)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def words(text: str | None) -> list[str]:
    """Return the parts of a comma-separated setting."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _sent_keys(headers: Headers) -> list[bytes]:
    """Return the keys that a client sent: a bearer token, a basic password, and Anthropic's `x-api-key`.

    One of them may be for another server: Claude Desktop sends its account's token beside `x-api-key`, and a proxy's
    password passes through.
    """
    # Header bytes are always decoded as Latin-1.
    keys = [headers.get("x-api-key", "").encode("latin-1")]
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        keys.append(value.strip().encode("latin-1"))
    elif scheme.lower() == "basic":
        with contextlib.suppress(binascii.Error, ValueError):
            keys.append(base64.b64decode(value, validate=True).partition(b":")[2])
    return keys


def _same(given: bytes, wanted: bytes) -> bool:
    """Compare in constant time. Digests are compared, so that the length is not revealed either."""
    return hmac.compare_digest(*(hashlib.sha256(each).digest() for each in (given, wanted)))


class Guard:
    """ASGI middleware of this app's own routes. `serve/server_guard.py` protects the Agent Server's own routes."""

    def __init__(self, app: ASGIApp, policy: Policy, *, basic: bool = False) -> None:
        self._app, self._policy, self._basic = app, policy, basic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            origin = origin_of(headers)
            if origin is not None and {origin, "*"} & self._policy.origins:
                if scope["method"] == "OPTIONS":
                    await _preflight(origin)(scope, receive, send)
                    return
                # Refusals as well, so that the page can read the reason.
                send = _shared(send, origin)
            elif scope["method"] == "OPTIONS" and not self._policy.allows_origin(origin, headers):
                raise foreign_origin(origin)  # a browser's preflight never has the key
            self._policy.check(headers, basic=self._basic)
            if scope["method"] == "OPTIONS":
                raise Problem(405, "OPTIONS is for web pages that MOA_SERVE_ORIGINS allows.", code="method_not_allowed")
        except Problem as refusal:
            await refusal.response(scope["path"], headers)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _preflight(origin: str) -> ASGIApp:
    headers = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "GET, POST, DELETE",
        "access-control-allow-headers": "authorization, content-type, *",
        "vary": "origin",
    }
    return Response(status_code=204, headers=headers)


def _shared(send: Send, origin: str) -> Send:
    async def with_header(message: Any) -> None:
        if message["type"] == "http.response.start":
            extra: Iterable[tuple[bytes, bytes]] = [
                (b"access-control-allow-origin", origin.encode()),
                # An MCP client in a browser reads it to cancel its calls.
                (b"access-control-expose-headers", b"mcp-session-id"),
                (b"vary", b"origin"),
            ]
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return with_header
