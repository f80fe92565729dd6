"""How many requests a provider gets at once from this process, and when it gets none.

One gate per provider host, shared by every run, thread and event loop of the process. A gate lets older
runs pass first, so that of many questions the first are finished while the last still wait, instead of all
being late together. It halves its limit when the provider answers 429 and grows by about one request per
round of successes. After a 429 nobody passes until the cool-down ends; a call whose patience ends sooner
passes alone, as a probe, so that a cool-down delays answers and never loses them.

    async with gate("api.openai.com").slot(order=run_started, patience=5.0) as slot:
        ...                              # send one request
        slot.fine()                      # or slot.limited(retry_after)
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

from moa_graph.errors import ConfigError

__all__ = ["Gate", "Slot", "clear", "gate"]

START = 128
"""Requests at once before the provider has said anything; far above what one question needs."""
CEILING = 512
FLOOR = 4
"""Fewer than a small round at once would make every answer late; beyond that, cool-downs do the limiting."""
LONGEST_COOL_DOWN = 60.0
"""Seconds. A provider that asks for more is asked again after this."""
_VARIABLE = "MOA_MAX_CONCURRENCY"


@dataclass(order=True, slots=True)
class _Waiter:
    order: float
    number: int
    loop: asyncio.AbstractEventLoop = field(compare=False)
    woken: asyncio.Future[None] = field(compare=False)
    until: float = field(compare=False)
    """When patience with a cool-down ends (monotonic seconds)."""
    done: bool = field(compare=False, default=False)
    """Granted or withdrawn; the heap forgets it when it comes to the top."""
    granted: bool = field(compare=False, default=False)


class Slot:
    """Leave to send one request. Say how it went with `fine` or `limited`; saying nothing changes nothing."""

    def __init__(self, gate: Gate, epoch: int) -> None:
        self._gate = gate
        self._epoch = epoch

    def fine(self) -> None:
        """The provider answered."""
        self._gate._fine(self._epoch)

    def limited(self, retry_after: float | None = None) -> None:
        """The provider said 429, and perhaps for how many seconds."""
        self._gate._limited(self._epoch, retry_after)


class Gate:
    """One host's share of this process. Safe from many threads and loops; nothing in it belongs to a loop."""

    def __init__(self, host: str, *, start: int = START, ceiling: int = CEILING) -> None:
        self.host = host
        self.peak = 0
        self._floor = float(min(FLOOR, start, ceiling))
        self._limit = float(min(start, ceiling))
        self._ceiling = ceiling
        self._running = 0
        self._ready_at = 0.0
        self._strikes = 0
        self._epoch = 0
        self._waiting: list[_Waiter] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """Requests allowed at once just now."""
        return int(self._limit)

    @property
    def running(self) -> int:
        return self._running

    @property
    def waiting(self) -> int:
        with self._lock:
            return sum(not w.done for w in self._waiting)

    def cool_down(self) -> float:
        """Seconds until requests may be sent again (0.0 when they may be)."""
        return max(0.0, self._ready_at - time.monotonic())

    @asynccontextmanager
    async def slot(self, *, order: float = 0.0, patience: float = 10.0) -> AsyncIterator[Slot]:
        """Wait for a turn; the lowest `order` goes first. `patience` is how long to heed a cool-down."""
        epoch = self._enter_now()
        if epoch is None:
            epoch = await self._enter_later(order, patience)
        try:
            yield Slot(self, epoch)
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
            return self._epoch

    async def _enter_later(self, order: float, patience: float) -> int:
        loop = asyncio.get_running_loop()
        until = time.monotonic() + patience
        waiter = _Waiter(order, next(self._numbers), loop, loop.create_future(), until)
        with self._lock:
            heapq.heappush(self._waiting, waiter)
            self._pump()
        try:
            while not waiter.granted:
                await asyncio.wait({waiter.woken}, timeout=self._nap(waiter))
                with self._lock:
                    self._pump()
        except BaseException:
            self._withdraw(waiter)
            raise
        return self._epoch

    def _nap(self, waiter: _Waiter) -> float | None:
        """How long to sleep unless woken. Every waiter has its own alarm for the end of a cool-down,
        because the loop
        that set another's may be gone; a little jitter spreads them."""
        with self._lock:
            left = min(self._ready_at, waiter.until) - time.monotonic()
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

    def _pump(self) -> None:
        """Let in whoever may come in now. The lock is held."""
        while self._waiting:
            head = self._waiting[0]
            if head.done:
                heapq.heappop(self._waiting)
                continue
            if self._running >= self.limit:
                return
            now = time.monotonic()
            # In a cool-down only those whose patience has ended may go, the oldest first.
            ready = now >= self._ready_at
            next_in = head if ready else min((w for w in self._waiting if not w.done and w.until <= now), default=None)
            if next_in is None:
                return
            next_in.done = True
            if self._wake(next_in):
                next_in.granted = True
                self._grant()

    @staticmethod
    def _wake(waiter: _Waiter) -> bool:
        def settle() -> None:
            if not waiter.woken.done():
                waiter.woken.set_result(None)

        try:
            waiter.loop.call_soon_threadsafe(settle)
        except RuntimeError:
            return False  # its loop was closed while it waited: nobody is there to send a request
        return True

    def _fine(self, epoch: int) -> None:
        with self._lock:
            if epoch != self._epoch:
                return  # sent before the last 429: says nothing about now
            self._strikes = 0
            self._ready_at = 0.0
            if self._running * 2 >= self.limit:
                self._limit = min(self._ceiling, self._limit + 1.0 / self._limit)
            self._pump()

    def _limited(self, epoch: int, retry_after: float | None) -> None:
        with self._lock:
            if epoch == self._epoch:
                # Only the first of a burst counts: the rest were sent under the same limit.
                self._epoch += 1
                self._strikes += 1
                self._limit = max(self._floor, min(self._limit, self._running) / 2)
            own = min(15.0, 0.25 * 2.0 ** min(self._strikes, 10))
            wait = min(own if retry_after is None else retry_after, LONGEST_COOL_DOWN)
            self._ready_at = max(self._ready_at, time.monotonic() + wait)


_gates: dict[str, Gate] = {}
_gates_lock = threading.Lock()


def gate(host: str) -> Gate:
    """The process's gate for `host`. `MOA_MAX_CONCURRENCY` in the environment caps every gate made after it
    is set."""
    with _gates_lock:
        if host not in _gates:
            _gates[host] = Gate(host, ceiling=_ceiling())
        return _gates[host]


def clear(host: str | None = None) -> None:
    """Forget what was learnt about `host`, or about every host; calls in flight keep their gate."""
    with _gates_lock:
        if host is None:
            _gates.clear()
        else:
            _gates.pop(host, None)


def _after_fork() -> None:
    """The requests that the gates count are the parent's."""
    global _gates_lock
    _gates_lock = threading.Lock()
    _gates.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _ceiling() -> int:
    text = os.environ.get(_VARIABLE, "").strip()
    if not text:
        return CEILING
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100_000:
        raise ConfigError(f"{_VARIABLE}={text[:40]!r}: give a whole number of requests from 1 to 100000.")
    return int(text)
