"""Tool calls under way, so that a client can take one back while it keeps the connection."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SESSION = "mcp-session-id"
"""The header that tells one client's request ids from another's."""


def new_session() -> str:
    """An id that no other client can guess: whoever has it can cancel calls."""
    return secrets.token_hex(16)


class Calls:
    """The calls of one process by session and request id.

    A session is a name that the client brings along and nothing that is kept here: what this holds is bounded by the
    calls under way.
    """

    def __init__(self) -> None:
        self._running: dict[tuple[str, str | int], asyncio.Task[Any]] = {}

    def __len__(self) -> int:
        return len(self._running)

    @contextmanager
    def running(self, session: str | None, id_: str | int) -> Iterator[None]:
        """While inside, `cancel` reaches the current task. Without a session the id could be anyone's."""
        task = asyncio.current_task()
        if session is None or task is None:
            yield
            return
        self._running[session, id_] = task
        try:
            yield
        finally:
            # A client that uses an id twice at once reaches the later call.
            if self._running.get((session, id_)) is task:
                del self._running[session, id_]

    def cancel(self, session: str | None, id_: Any) -> None:
        """Ends a call; one that is over, or was never made, needs nothing."""
        if session is not None and isinstance(id_, str | int) and (task := self._running.get((session, id_))):
            task.cancel()
