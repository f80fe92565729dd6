"""An asyncio event loop whose clock is a number: timers cost no time, and computing takes as long as it is told to."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar
from unittest import mock

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs callbacks at once, and advances to the next timer when none is ready.

    Attributes:
        now: The clock, in seconds.
    """

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        return self.now

    def compute(self, seconds: float) -> None:
        """Take processor time: the loop runs nothing else until it is over."""
        self.now += seconds

    def _write_to_self(self) -> None:
        """Do nothing: only one thread uses this loop."""


class _Jump(selectors.SelectSelector):
    """Waits for no file: it moves the clock by the time that it should wait."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("every task waits for something that no timer brings")
        self._loop.now += timeout
        return []


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]], *modules: ModuleType) -> T:
    """Return what `main` returns on a virtual loop.

    Args:
        main: Called with the loop.
        *modules: Modules whose name `time` is the loop's clock meanwhile.
    """
    loop = VirtualLoop()
    with _clocks(loop, modules), asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main(loop))


@contextmanager
def _clocks(loop: VirtualLoop, modules: tuple[ModuleType, ...]) -> Iterator[None]:
    clock = mock.Mock(monotonic=loop.time, perf_counter=loop.time, spec=("monotonic", "perf_counter"))
    patches = [mock.patch.object(module, "time", clock) for module in modules]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()
