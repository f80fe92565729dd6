"""Protection of every route of a served graph, the Agent Server's own included, against foreign pages and huge bodies.

CORS only hides a reply from a foreign page: the request itself runs and is paid for. Without an `auth`, the server does
not protect itself against simple cross-site requests and DNS rebinding.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moa_graph.serve.access import Policy, foreign_origin, host_name, origin_of
from moa_graph.serve.problems import Problem, too_large

HEALTH_CHECKS = frozenset({"/", "/ok"})
"""Paths whose Host header is not checked, because load balancers and container probes use other names."""

_STUDIO = r"https?://(localhost|127\.0\.0\.1)(:\d+)?|https://([a-z0-9-]+\.)*smith\.langchain\.com"
_JSON = re.compile(r"application/([a-z0-9.-]+\+)?json", re.IGNORECASE)


@dataclass(frozen=True)
class AllowedPages:
    """The web pages that may use the server's routes.

    Attributes:
        origins: Allowed origins; "*" allows all.
        pattern: A regular expression that allowed origins match as a whole; None for none.
    """

    origins: frozenset[str] = frozenset()
    pattern: str | None = _STUDIO

    @classmethod
    def of_server(cls, cors: Mapping[str, Any] | None) -> AllowedPages:
        """Return the pages that the server's CORS settings allow, or else Studio and pages of this machine.

        Args:
            cors: The field `http.cors` of langgraph.json; None where it is not set.
        """
        if cors is None and (listed := os.environ.get("CORS_ALLOW_ORIGINS")):
            cors = {"allow_origins": [origin.strip() for origin in listed.split(",")]}
        if cors is None:
            return cls()
        return cls(frozenset(cors.get("allow_origins") or ()), cors.get("allow_origin_regex"))

    def __contains__(self, origin: str) -> bool:
        matches = self.pattern is not None and re.fullmatch(self.pattern, origin) is not None
        return bool({origin, "*"} & self.origins) or matches


class ServerGuard:
    """ASGI middleware that refuses foreign Host and Origin headers, simple cross-site POSTs and large bodies.

    Args:
        app: The application to protect.
        policy: The owner's hosts and origins.
        pages: Further web pages that may use the server.
        own: Routes that check their callers themselves (by key or by `policy`).
    """

    def __init__(
        self, app: ASGIApp, *, policy: Policy, pages: AllowedPages | None = None, own: Iterable[BaseRoute] = ()
    ) -> None:
        self._app, self._policy, self._pages, self._own = app, policy, pages or AllowedPages(), tuple(own)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or _in_process(scope):
            await self._app(scope, receive, send)
            return
        own = any(route.matches(scope)[0] is not Match.NONE for route in self._own)
        try:
            self._check(scope, own)
        except Problem as refusal:
            await _refuse(refusal, scope, receive, send)
            return
        if own or scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await _Bounded(scope, receive, send, self._policy.max_bytes).run(self._app)

    def _check(self, scope: Scope, own: bool) -> None:
        headers = Headers(scope=scope)
        origin = origin_of(headers)
        if own:
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        health = scope.get("method") in ("GET", "HEAD") and path in HEALTH_CHECKS
        if "host" in headers or not health:
            name = host_name(headers)
            if not health:
                self._policy.check_host(name)
        if not (self._policy.allows_origin(origin, headers) or (origin is not None and origin in self._pages)):
            raise foreign_origin(origin)
        if scope.get("method") == "POST" and _has_body(headers) and not _is_json(headers):
            raise Problem(415, "Send JSON, with the header Content-Type: application/json.", code="content_type")
        size = headers.get("content-length", "")
        if size.isdecimal() and int(size[:20]) > self._policy.max_bytes:
            raise too_large(self._policy.max_bytes)


class _Bounded:
    """One request with a body of unknown length. If it is too large, the app sees a disconnected client."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self._scope, self._receive, self._send, self._limit = scope, receive, send, limit
        self._size, self._started = 0, False

    async def run(self, app: ASGIApp) -> None:
        """Run `app`. If the body is too large, send the answer instead of it."""
        try:
            await app(self._scope, self._bounded_receive, self._noted_send)
        except Exception:
            # Errors of the app after the disconnect are a consequence of the refusal.
            if not self._refused:
                raise
        if self._refused and not self._started:
            await _refuse(too_large(self._limit), self._scope, self._receive, self._send)

    @property
    def _refused(self) -> bool:
        return self._size > self._limit

    async def _bounded_receive(self) -> Message:
        if not self._refused:
            message = await self._receive()
            self._size += len(message.get("body", b""))
            if not self._refused:
                return message
        return {"type": "http.disconnect"}

    async def _noted_send(self, message: Message) -> None:
        if self._refused and not self._started:
            return
        self._started = True
        await self._send(message)


def _in_process(scope: Scope) -> bool:
    """Return whether the server's own SDK client sends the request inside the process.

    `root_path` is the server's, never the request's, and the server reserves `/noauth`. A mount appends to it.
    """
    root = str(scope.get("root_path") or "")
    return root == "/noauth" or root.startswith("/noauth/")


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers or "content-type" in headers


def _is_json(headers: Headers) -> bool:
    # A form or a simple request of a foreign page cannot have this content type without a preflight request.
    kinds = [value.partition(";")[0].strip() for value in headers.getlist("content-type")]
    return len(kinds) == 1 and _JSON.fullmatch(kinds[0]) is not None


async def _refuse(refusal: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": str(refusal)[:120]})
        return
    # The server's own error shape.
    response = JSONResponse({"detail": str(refusal), "code": refusal.code}, refusal.status)
    await response(scope, receive, send)
