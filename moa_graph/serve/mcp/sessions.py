"""The open sessions of `/mcp`, of which the one that is unused for the longest is ended when there are too many.

The `mcp` package keeps a session for half an hour and refuses new ones while there are too many: one client could lock
the others out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moa_graph.serve.problems import Problem

__all__ = ["MOST", "Sessions"]

MOST = 2_000
"""Sessions that are kept. Each takes 40 kB."""

_HEADER = "mcp-session-id"


class Sessions:
    """Forwards requests to the package's app, and ends sessions as a client would."""

    def __init__(self) -> None:
        # The ids of the requests that are under way in each session; the one that was used last stands last.
        self._open: OrderedDict[str, set[str]] = OrderedDict()

    async def forward(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, request_id: str | None = None
    ) -> None:
        """Answer a message with `app`.

        Args:
            app: The package's app.
            scope: The message's scope.
            receive: Gives its body.
            send: Takes the answer.
            request_id: The id of the request; None for a message that has no answer.

        Raises:
            Problem: 400; a request with this id is under way in the session.
        """
        given = Headers(scope=scope).get(_HEADER)

        async def noting(message: Message) -> None:
            if given is None and message["type"] == "http.response.start":
                opened = Headers(raw=list(message.get("headers", ()))).get(_HEADER)
                if opened is not None:
                    self._open[opened] = set()
            await send(message)

        with self._used(given, request_id):
            await app(scope, receive, noting)
        if given is not None and scope["method"] == "DELETE":
            self._open.pop(given, None)
        while (unused := self._too_many()) is not None:
            await _end(app, scope, unused)

    @contextmanager
    def _used(self, session: str | None, request_id: str | None) -> Iterator[None]:
        under_way = None if session is None else self._open.get(session)
        if session is None or under_way is None:
            yield
            return
        if request_id is not None:
            if request_id in under_way:
                # The package would send both answers to the later request, and keep the earlier one's connection.
                raise Problem(400, f"id: a request with the id {request_id[:60]!r} is under way in this session.")
            under_way.add(request_id)
        try:
            yield
        finally:
            if request_id is not None:
                under_way.discard(request_id)
            if session in self._open:
                self._open.move_to_end(session)

    def _too_many(self) -> str | None:
        """Forget a session that is to be ended, and return its id."""
        if len(self._open) <= MOST:
            return None
        found = next((session for session, under_way in self._open.items() if not under_way), None)
        if found is not None:
            del self._open[found]
        return found


async def _end(app: ASGIApp, scope: Scope, session: str) -> None:
    async def no_body() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def unread(message: Message) -> None:
        pass

    headers = [(name, value) for name, value in scope["headers"] if name == b"host"]
    headers.append((_HEADER.encode(), session.encode()))
    await app({**scope, "method": "DELETE", "headers": headers}, no_body, unread)
