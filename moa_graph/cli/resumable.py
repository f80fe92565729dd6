"""Runs that the same command continues after Ctrl-C and after SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from moa_graph.cli.messages import message

__all__ = ["TERMINATED", "resumable"]


TERMINATED = 143
"""The exit code after SIGTERM, as of a process that the signal ends."""


@contextmanager
def resumable(way_on: str) -> Iterator[None]:
    """End the run in order on Ctrl-C and on SIGTERM, and then print how it is resumed.

    SIGTERM does what Ctrl-C does, because supervisors, containers and `kill` send it. Outside the main thread, signals
    are left alone.

    Args:
        way_on: Where the paid calls are and how to resume.

    Raises:
        typer.Exit: SIGTERM was received.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    terminated = False

    def terminate(number: int, frame: FrameType | None) -> None:
        nonlocal terminated
        terminated = True
        # The event loop's handler cancels the run. A shell lets background jobs ignore SIGINT; then there is none.
        interrupt = signal.getsignal(signal.SIGINT)
        (interrupt if callable(interrupt) else signal.default_int_handler)(number, frame)

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, terminate) if main else None
    try:
        yield
    except KeyboardInterrupt:
        message(way_on)
        if terminated:
            raise typer.Exit(TERMINATED) from None
        raise
    finally:
        if main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
