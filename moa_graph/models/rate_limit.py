"""How many requests a model gets at once from this process, and when it gets none.

There is one limiter per provider host and model, shared by every run, thread and event loop of the process. It lets
older runs pass first, so that of many questions the first are finished while the last still wait. What it allows at
once is learnt in `request_limit.py`. After a Retry-After, or under many 429s, no call passes until the cool-down ends.
A call that cannot wait that long is sent at once, one at a time, as a probe: a cool-down never delays a run for
nothing.

    async with limiter("api.openai.com", "gpt-x").permit(order=run_started, patience=5.0) as permit:
        ...                              # send one request
        permit.succeeded()               # or permit.refused(retry_after)
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import random
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from moa_graph.costs.forks import after_fork
from moa_graph.errors import ConfigError
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.request_limit import RequestLimit
from moa_graph.models.secrets import keys

__all__ = ["Permit", "RateLimiter", "limiter", "limiter_for"]

START = 128
"""Requests at once before the provider has said anything; far above what one question needs."""
CEILING = 512
_VARIABLE = "MOA_MAX_CONCURRENCY"


@dataclass(order=True, slots=True)
class _Waiter:
    order: tuple[float, str]
    number: int
    loop: asyncio.AbstractEventLoop = field(compare=False)
    woken: asyncio.Future[None] = field(compare=False)
    until: float = field(compare=False)
    """When the patience with a cool-down ends (monotonic seconds)."""
    done: bool = field(compare=False, default=False)
    """Granted or withdrawn; the heap forgets it when it comes to the top."""
    granted: bool = field(compare=False, default=False)


class Permit:
    """Permission to send one request. Report its result with `succeeded` or `refused`; otherwise nothing changes."""

    def __init__(self, limiter: RateLimiter, epoch: int) -> None:
        self._limiter = limiter
        self._epoch = epoch

    def succeeded(self) -> None:
        """Report that the provider answered."""
        self._limiter._succeeded(self._epoch)

    def refused(self, retry_after: float | None = None) -> None:
        """Report a 429, with the seconds of its Retry-After if it had one."""
        self._limiter._refused(self._epoch, retry_after)


class RateLimiter:
    """One model's share of this process. Safe from many threads and event loops; nothing in it belongs to a loop."""

    def __init__(self, name: str, *, start: int = START, ceiling: int = CEILING) -> None:
        self.name = name
        self.peak = 0
        self._learnt = RequestLimit(start, ceiling)
        self._limit = self._learnt.value
        self._running = 0
        self._ready_at = 0.0
        self._waiting: list[_Waiter] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """Requests allowed at once now."""
        return self._limit

    @property
    def running(self) -> int:
        return self._running

    @property
    def waiting(self) -> int:
        with self._lock:
            return sum(not w.done for w in self._waiting)

    def cap(self, ceiling: int) -> None:
        """Never allow more than `ceiling` requests at once from now on."""
        with self._lock:
            self._learnt.cap(ceiling)
            self._limit = self._learnt.value

    def cool_down(self) -> float:
        """Seconds until requests may be sent again (0.0 when they may be)."""
        return max(0.0, self._ready_at - time.monotonic())

    @asynccontextmanager
    async def permit(self, *, order: float = 0.0, group: str = "", patience: float = 10.0) -> AsyncIterator[Permit]:
        """Wait for a turn.

        Args:
            order: The start time of the run; the lowest goes first.
            group: Among equals, calls of one group go together, so that a server with one model at a time seldom
                changes it.
            patience: Seconds for which a cool-down is waited for. A longer one is not waited for at all.
        """
        epoch = self._enter_now()
        if epoch is None:
            epoch = await self._enter_later((order, group), patience)
        try:
            yield Permit(self, epoch)
        finally:
            with self._lock:
                self._running -= 1
                self._pump()

    def _enter_now(self) -> int | None:
        with self._lock:
            self._pump()
            if self._waiting or self._running >= self.limit or time.monotonic() < self._ready_at:
                return None
            self._grant()
            return self._learnt.epoch

    async def _enter_later(self, order: tuple[float, str], patience: float) -> int:
        loop = asyncio.get_running_loop()
        until = time.monotonic() + patience
        waiter = _Waiter(order, next(self._numbers), loop, loop.create_future(), until)
        with self._lock:
            heapq.heappush(self._waiting, waiter)
            self._pump()
        try:
            while not waiter.granted:
                await asyncio.wait({waiter.woken}, timeout=self._nap())
                with self._lock:
                    self._pump()
        except BaseException:
            self._withdraw(waiter)
            raise
        return self._learnt.epoch

    def _nap(self) -> float | None:
        """Return how long to sleep unless woken, in seconds; None for no limit.

        Every waiter has a timer of its own for the end of a cool-down, because the event loop of another waiter may be
        closed by then. A little jitter spreads them.
        """
        left = self.cool_down()
        return left * random.uniform(1.0, 1.1) + 0.001 if left > 0 else None

    def _withdraw(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter.granted:
                self._running -= 1
            waiter.done = True
            self._pump()

    def _grant(self) -> None:
        self._running += 1
        self.peak = max(self.peak, self._running)
        self._learnt.busiest = max(self._learnt.busiest, self._running)

    def _pump(self) -> None:
        """Admit the calls that may start now. The caller holds the lock."""
        while self._waiting:
            head = self._waiting[0]
            if head.done:
                heapq.heappop(self._waiting)
                continue
            next_in = self._next(head)
            if next_in is None:
                return
            next_in.done = True
            if self._wake(next_in):
                next_in.granted = True
                self._grant()

    def _next(self, head: _Waiter) -> _Waiter | None:
        if self._running >= self.limit:
            return None
        if time.monotonic() >= self._ready_at:
            return head
        # In a cool-down: one at a time of those for whom it lasts too long. Waiting would not help them.
        if self._running:
            return None
        return min((w for w in self._waiting if not w.done and w.until < self._ready_at), default=None)

    @staticmethod
    def _wake(waiter: _Waiter) -> bool:
        def settle() -> None:
            if not waiter.woken.done():
                waiter.woken.set_result(None)

        try:
            waiter.loop.call_soon_threadsafe(settle)
        except RuntimeError:
            return False  # its loop was closed while it waited, so that no request will be sent
        return True

    def _succeeded(self, epoch: int) -> None:
        with self._lock:
            if self._learnt.succeeded(epoch, self._running, time.monotonic()):
                self._limit, self._ready_at = self._learnt.value, 0.0
                self._pump()

    def _refused(self, epoch: int, retry_after: float | None) -> None:
        with self._lock:
            now = time.monotonic()
            wait = self._learnt.refused(epoch, retry_after, now, self._running)
            self._limit = self._learnt.value
            if wait > 0:
                self._ready_at = max(self._ready_at, now + wait)


_limiters: dict[tuple[str, str], RateLimiter] = {}
_lock = threading.Lock()


def limiter(host: str, model: str = "") -> RateLimiter:
    """Return the process's limiter for `model` at `host`.

    `MOA_MAX_CONCURRENCY` in the environment caps every limiter made after it is set.
    """
    with _lock:
        key = (host, model)
        if key not in _limiters:
            _limiters[key] = RateLimiter(f"{host} {model}".strip(), ceiling=_ceiling())
        return _limiters[key]


def limiter_for(spec: Proposer) -> RateLimiter | None:
    """Return the limiter of a proposer's calls; None for a model in this process without `max_concurrent`.

    `max_concurrent` is counted per host, over all models there that set it.
    """
    host = keys.host(spec)
    if spec.max_concurrent is not None:
        shared = limiter(host or "local")
        shared.cap(spec.max_concurrent)
        return shared
    return limiter(host, spec.label) if host is not None else None


@after_fork
def _after_fork() -> None:
    """Forget the limiters in a forked child: the requests that they count are the parent's."""
    global _lock
    _lock = threading.Lock()
    _limiters.clear()


def _ceiling() -> int:
    text = os.environ.get(_VARIABLE, "").strip()
    if not text:
        return CEILING
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100_000:
        raise ConfigError(f"{_VARIABLE}={text[:40]!r}: give a whole number of requests from 1 to 100000.")
    return int(text)
