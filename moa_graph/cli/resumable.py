"""Runs that end in order on Ctrl-C and on SIGTERM, and keep what was paid for."""

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

__all__ = ["TERMINATED", "Runner", "resumable", "terminable"]

T = TypeVar("T")

TERMINATED = 143
"""The exit code after SIGTERM, as of a process that the signal ends."""


class Runner:
    """Runs a coroutine in an event loop of its own, as `asyncio.run` does, so that SIGTERM can cancel it."""

    def __init__(self) -> None:
        self.terminated = False
        self._task: asyncio.Task[Any] | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine and return its result.

        Raises:
            asyncio.CancelledError: SIGTERM was received.
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
        """Handle SIGTERM: cancel the run. Without a run, or for the second time, interrupt the process."""
        first, self.terminated = not self.terminated, True
        if self._task is None or not first:
            signal.default_int_handler(number, frame)
        else:
            # An exception from here would end whatever step the event loop is in.
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)


@contextmanager
def terminable() -> Iterator[Runner]:
    """Have SIGTERM cancel a run, because supervisors, containers, `timeout` and `kill` send it.

    Outside the main thread, signals are left alone.

    Yields:
        What runs the coroutine.
    """
    runner = Runner()
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, runner.terminate) if main else None
    try:
        yield runner
    finally:
        if main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextmanager
def resumable(way_on: str) -> Iterator[Runner]:
    """End the run in order on Ctrl-C and on SIGTERM, and then print how it is resumed.

    Args:
        way_on: Where the paid calls are and how to resume.

    Yields:
        What runs the coroutine.

    Raises:
        typer.Exit: SIGTERM was received.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    with terminable() as runner:
        try:
            yield runner
        except (KeyboardInterrupt, asyncio.CancelledError):
            message(way_on)
            if runner.terminated:
                raise typer.Exit(TERMINATED) from None
            raise
