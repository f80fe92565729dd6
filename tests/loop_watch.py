"""How long an event loop stood still, and how much memory the process took."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path


class LoopWatch:
    """Measures between entering and leaving.

    Attributes:
        freeze_ms: the longest time that the event loop's thread worked without a break, in milliseconds of processor
            time. What other processes and threads take from it does not count.
        freeze_wall_ms: the longest time between two turns of the loop by the clock, with all that a busy machine adds.
        growth_mb: the peak of the memory above the beginning.
    """

    freeze_ms = 0.0
    freeze_wall_ms = 0.0
    growth_mb = 0.0

    async def __aenter__(self) -> LoopWatch:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # reset the peak
        self._before = _memory("VmRSS")
        self._task = asyncio.ensure_future(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)
        self._task.cancel()
        self.growth_mb = round(max(_memory("VmHWM") - self._before, 0.0), 1)

    async def _watch(self) -> None:
        while True:
            worked, clock = time.thread_time(), time.perf_counter()
            await asyncio.sleep(0.001)
            self.freeze_ms = max(self.freeze_ms, round((time.thread_time() - worked) * 1000, 1))
            self.freeze_wall_ms = max(self.freeze_wall_ms, round((time.perf_counter() - clock) * 1000, 1))


def _memory(name: str) -> float:
    """Megabytes of this process, on Linux; 0 elsewhere."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
    return 0.0
