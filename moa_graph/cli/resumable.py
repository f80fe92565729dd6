"""Runs that end in order on Ctrl-C, SIGTERM and SIGHUP, and keep what was paid for."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

import typer

from moa_graph.cli.output.messages import message

__all__ = ["HUNG_UP", "TERMINATED", "Runner", "resumable", "terminable"]

T = TypeVar("T")

TERMINATED, HUNG_UP = 143, 129
"""The exit codes after SIGTERM, and after SIGHUP, as of a process that the signal ends."""

_HANGUP: int | None = getattr(signal, "SIGHUP", None)
"""The signal of a terminal that is closed. Windows has none."""


class Runner:
    """Runs a coroutine in an event loop of its own, as `asyncio.run` does, so that a signal can cancel it.

    Attributes:
        terminated: The exit code after SIGTERM or SIGHUP; 0 without either.
    """

    def __init__(self) -> None:
        self.terminated = 0
        self._task: asyncio.Task[Any] | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine and return its result.

        Raises:
            asyncio.CancelledError: SIGTERM or SIGHUP was received.
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        return asyncio.run(self._watched(work))

    async def _watched(self, work: Coroutine[Any, Any, T]) -> T:
        self._task = asyncio.current_task()
        try:
            return await work
        finally:
            self._task = None

    def terminate(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: cancel the run. Without a run, or at a second SIGTERM, interrupt the process."""
        first = not self.terminated
        if not first and number == _HANGUP:
            return  # the kernel and the shell each send one when a terminal is closed
        self.terminated = HUNG_UP if number == _HANGUP else TERMINATED
        if self._task is None or not first:
            signal.default_int_handler(number, frame)
        else:
            # An exception from here would end whatever step the event loop is in.
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)


@contextmanager
def terminable() -> Iterator[Runner]:
    """Have SIGTERM and SIGHUP cancel a run.

    Supervisors, containers, `timeout` and `kill` send SIGTERM. A terminal that is closed sends SIGHUP, which `nohup`
    makes a process ignore. Outside the main thread, signals are left alone.

    Yields:
        What runs the coroutine.
    """
    runner = Runner()
    numbers = [signal.SIGTERM] if threading.current_thread() is threading.main_thread() else []
    if numbers and _HANGUP is not None and signal.getsignal(_HANGUP) is signal.SIG_DFL:
        numbers.append(signal.Signals(_HANGUP))
    before = {number: signal.signal(number, runner.terminate) for number in numbers}
    try:
        yield runner
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextmanager
def resumable(way_on: str) -> Iterator[Runner]:
    """End the run in order on Ctrl-C, SIGTERM and SIGHUP, and then print how it is resumed.

    Args:
        way_on: Where the paid calls are and how to resume.

    Yields:
        What runs the coroutine.

    Raises:
        typer.Exit: SIGTERM or SIGHUP was received.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    with terminable() as runner:
        try:
            yield runner
        except (KeyboardInterrupt, asyncio.CancelledError):
            message(way_on)
            if runner.terminated:
                raise typer.Exit(runner.terminated) from None
            raise
