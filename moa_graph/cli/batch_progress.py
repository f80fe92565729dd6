"""How far a batch is: one line on standard error, rewritten on a terminal, now and then elsewhere."""

from __future__ import annotations

import asyncio
import sys
import time

from moa_graph.batch import Totals

_EVERY_SECONDS = 0.5
_ELSEWHERE_SECONDS = 30.0
"""Between two lines in a log."""


async def watch(totals: Totals) -> None:
    """Tells where the batch is until it is cancelled."""
    begun = told = time.monotonic()
    terminal = sys.stderr.isatty()
    try:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            now = time.monotonic()
            if terminal:
                sys.stderr.write(f"\r\x1b[K{line(totals, now - begun)}")
                sys.stderr.flush()
            elif now - told >= _ELSEWHERE_SECONDS:
                told = now
                sys.stderr.write(f"{line(totals, now - begun)}\n")
    finally:
        if terminal:
            sys.stderr.write("\r\x1b[K")


def line(totals: Totals, seconds: float) -> str:
    """Where the batch is after `seconds`: its rate counts what this run asked, not what an earlier one had."""
    asked = totals.done - totals.resumed
    rate = asked / seconds if seconds > 0 else 0.0
    left = (totals.lines - totals.done) / rate if rate else None
    speed = f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"
    parts = [f"{totals.done}/{totals.lines}", speed, money(totals)]
    parts += [f"{clock(left)} left"] if left is not None else []
    parts += [f"{totals.failed} failed"] if totals.failed else []
    return "  ".join(parts)


def summary(totals: Totals, seconds: float) -> str:
    """What came of it, in one line."""
    parts = [f"{totals.done - totals.failed} answered"]
    parts += [f"{totals.resumed} of them earlier"] if totals.resumed else []
    parts += [f"{totals.failed} failed"] if totals.failed else []
    parts += [f"{totals.bad} of them bad lines"] if totals.bad else []
    return f"{', '.join(parts)}; {money(totals)}; {clock(seconds)}"


def money(totals: Totals) -> str:
    """The cost so far; an unknown part is said to be unknown."""
    unknown = f" and {totals.unpriced} at unknown cost" if totals.unpriced else ""
    return "cost unknown" if unknown and not totals.cost else f"${totals.cost:.4f}{unknown}"


def clock(seconds: float) -> str:
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
