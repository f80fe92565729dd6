"""Event loops whose clock does not depend on the machine, so that a test of a deadline cannot fail by bad luck.

A test that expects "this call ends in time and that one does not" fails when the machine stands still for longer than
the deadline. `virtual_time` and `steady_time` run such a test on a loop whose clock excludes that. The clock also
replaces `time.monotonic` and `time.perf_counter` in the modules of `moa_graph` and of the tests.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
import sys
import time
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, ParamSpec
from unittest import mock

P = ParamSpec("P")
Test = Callable[P, Coroutine[Any, Any, None]]

_SLICE = 0.05
"""Seconds that a steady loop waits before it looks at its clock again."""

_MOST = 0.1
"""Seconds that a steady clock advances at most between two looks at it."""


def virtual_time(test: Test[P]) -> Callable[P, None]:
    """Run a test on a loop whose clock jumps to the next timer when nothing else can run.

    Timers take no time, and their order is exact. It is for tests without a network: a loop that waits only for a
    socket would jump as well.
    """
    return _on(_Virtual, test)


def steady_time(test: Test[P]) -> Callable[P, None]:
    """Run a test on a loop for whose clock a standstill of the process lasts a tenth of a second.

    It is for tests with the loopback provider: time passes, but a stopped machine does not use up a deadline.
    """
    return _on(_Steady, test)


class _Clock(selectors.DefaultSelector):
    """A selector that is also the clock of its loop. Other attributes are those of the module `time`."""

    threads = 0
    """Calls of the loop that run in threads now."""

    @abstractmethod
    def monotonic(self) -> float:
        """Return the loop's time in seconds."""

    def perf_counter(self) -> float:
        return self.monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class _Virtual(_Clock):
    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None or self.threads:
            return super().select(timeout and _SLICE)
        self._now += timeout
        return []


class _Steady(_Clock):
    def __init__(self) -> None:
        super().__init__()
        self._base, self._mark = 0.0, time.perf_counter()

    def monotonic(self) -> float:
        return self._base + min(time.perf_counter() - self._mark, _MOST)

    def select(self, timeout: float | None = None) -> list[Any]:
        end = None if timeout is None else self._tick() + timeout
        while True:
            left = _SLICE if end is None else min(max(end - self._tick(), 0.0), _SLICE)
            ready = super().select(left)
            if (self._tick() >= (end or 0.0) and end is not None) or ready:
                return ready

    def _tick(self) -> float:
        self._base, self._mark = self.monotonic(), time.perf_counter()
        return self._base


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: _Clock) -> None:
        self.clock = clock
        super().__init__(clock)

    def time(self) -> float:
        return self.clock.monotonic()

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = super().run_in_executor(executor, func, *args)
        self.clock.threads += 1
        future.add_done_callback(self._left)
        return future

    def _left(self, _: object) -> None:
        self.clock.threads -= 1

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        """Wait for the threads in true time: from Python 3.12 on there is a limit, which would be over at once."""
        self.clock.threads += 1
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self.clock.threads -= 1


def _on(kind: type[_Clock], test: Test[P]) -> Callable[P, None]:
    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        clock = kind()
        clocks = [mock.patch.object(module, "time", clock) for module in _modules()]
        for each in clocks:
            each.start()
        try:
            with asyncio.Runner(loop_factory=lambda: _Loop(clock)) as runner:
                runner.run(test(*args, **kwargs))
        finally:
            for each in clocks:
                each.stop()

    return run


def _modules() -> list[Any]:
    """The modules that read a clock, this one excepted."""
    ours = [module for name, module in sys.modules.items() if name.partition(".")[0] in ("moa_graph", "tests")]
    return [module for module in ours if vars(module).get("time") is time and module.__name__ != __name__]
