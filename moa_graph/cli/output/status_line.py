"""One line of progress on standard error: rewritten on a terminal, written at intervals into a log."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from moa_graph.models.terminal_text import for_terminal

__all__ = ["StatusLine", "watch_line"]

_EVERY_SECONDS = 0.5
_LOG_SECONDS = 30.0
_CLEAR = "\r\x1b[K"


class StatusLine:
    """A line of progress.

    Args:
        log_seconds: Seconds between two lines where standard error is not a terminal.
    """

    def __init__(self, log_seconds: float) -> None:
        self._log_seconds = log_seconds
        self._written = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def show(self, text: str, *, last: bool = False) -> None:
        """Show a text. A log has it only if it is the last one, or if the one before is old enough."""
        text, now = for_terminal(text), time.monotonic()  # it may name models
        if self._terminal:
            sys.stderr.write(f"{_CLEAR}{text}")
            sys.stderr.flush()
        elif last or now - self._written >= self._log_seconds:
            self._written = now
            sys.stderr.write(f"{text}\n")

    def clear(self) -> None:
        """Remove the line from a terminal."""
        if self._terminal:
            sys.stderr.write(_CLEAR)


async def watch_line(line: Callable[[float], str]) -> None:
    """Show the text of `line`, called with the seconds since the start, until cancelled."""
    begun, status = time.monotonic(), StatusLine(_LOG_SECONDS)
    try:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            status.show(line(time.monotonic() - begun))
    finally:
        status.clear()
