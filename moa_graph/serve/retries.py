"""A client's retry of a request that failed takes the replies that the failed run has paid for.

SDKs send a request again by themselves when it fails or takes too long. A second run from the start would buy every
draft again. So the replies of a run that failed are kept for a minute, in memory. A request is the retry if it has the
same body and the same `Idempotency-Key`, if any. A run that succeeded is never repeated: the same question asked twice
gets two answers.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

__all__ = ["Attempt", "FailedRuns", "RecentCalls"]

SECONDS = 60.0
"""How long the replies of a failed run are kept."""

MOST = 1_000
"""Failed runs that are kept at once."""


@dataclass
class Attempt:
    """The replies of one request's runs.

    Attributes:
        id: Part of the runs' fence codes, so that they are those of this request only.
        calls: Recorded replies by key.
        until: When they are forgotten.
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    until: float = math.inf


_current: ContextVar[Attempt | None] = ContextVar("attempt", default=None)


_UTF8 = ("utf-8", "surrogatepass")


class RecentCalls:
    """A call log in memory: it records the calls of the request that is being answered."""

    def __init__(self) -> None:
        self._key = uuid.uuid4().bytes

    def call_key(
        self,
        *,
        item: str,
        layer: int,
        slot: int,
        role: str,
        repeat: int,
        model: str,
        params: Mapping[str, Any],
        messages: Sequence[Any],
    ) -> str:
        """Return the key of a call within its request: its place, its parameters and every message that is sent."""
        found = hashlib.sha256(repr((layer, slot, role, repeat, model, sorted(params.items()))).encode(*_UTF8))
        for message in messages:
            found.update(f"{message.type} ".encode())
            for data in _pieces(message.content):
                found.update(f"{len(data)} ".encode())
                found.update(data)
        return found.hexdigest()

    async def check(self, *, wait: float = math.inf) -> None:
        """Accept: memory needs no disk."""

    async def get(self, key: str, *, wait: float = math.inf) -> dict[str, Any] | None:
        """Return the recorded reply, or None."""
        attempt = _current.get()
        return attempt.calls.get(key) if attempt is not None else None

    async def fence_key(self) -> bytes:
        """Return this process's key for the codes of boundaries."""
        return self._key

    async def keep(self, key: str, value: Mapping[str, Any], *, wait: float = math.inf, **columns: Any) -> None:
        """Record a reply."""
        attempt = _current.get()
        if attempt is not None:
            attempt.calls[key] = dict(value)


def _pieces(content: Any) -> Iterator[bytes]:
    """Yield the texts and the structure of a message's content. `repr` would take 60 ms for an image of 18 MB."""
    if isinstance(content, str):
        yield b"text"
        yield content.encode(*_UTF8)
    elif isinstance(content, Mapping):
        yield f"object of {len(content)}".encode()
        for name, value in content.items():
            yield from _pieces(name)
            yield from _pieces(value)
    elif isinstance(content, list):
        yield f"list of {len(content)}".encode()
        for value in content:
            yield from _pieces(value)
    else:
        yield repr(content).encode(*_UTF8)


class FailedRuns:
    """The requests whose last run failed."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Attempt] = OrderedDict()

    def attempt(self, request: Request, body: Mapping[str, Any]) -> Attempt:
        """Return the replies of the failed run that this request repeats, or none."""
        now = time.monotonic()
        while self._kept and next(iter(self._kept.values())).until < now:
            self._kept.popitem(last=False)
        # The usual request pays nothing for this: no run has failed lately.
        return self._kept.pop(_identity(request, body), Attempt()) if self._kept else Attempt()

    @contextmanager
    def recording(self, attempt: Attempt, request: Request, body: Mapping[str, Any]) -> Iterator[None]:
        """Record the calls inside. If the run fails or is cancelled, they are kept for a retry."""
        _current.set(attempt)
        try:
            yield
        except BaseException:
            if attempt.calls:
                attempt.until = time.monotonic() + SECONDS
                self._kept[_identity(request, body)] = attempt
                if len(self._kept) > MOST:
                    self._kept.popitem(last=False)
            raise
        finally:
            # A stream that its client left may be closed in another context.
            if _current.get() is attempt:
                _current.set(None)


def _identity(request: Request, body: Mapping[str, Any]) -> str:
    """Return what a retry has in common with the request: who asks, where, the client's key, and the body."""
    names = ("authorization", "x-api-key", "idempotency-key")
    parts = [request.url.path, *(request.headers.get(name, "") for name in names)]
    text = json.dumps([*parts, body], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
