"""The loops of tests.clocks: their clock is that of asyncio and of the package, and no standstill uses it up."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from moa_graph.models import rate_limit
from moa_graph.models.call import Outcome
from tests.clocks import steady_time, virtual_time

REAL, SLEEP = time.perf_counter, time.sleep
"""The true clock: in this module, too, `time` is replaced while a test runs."""


@virtual_time
async def test_virtual_timers_take_no_time_and_keep_their_order() -> None:
    began, order = REAL(), list[int]()

    async def one(seconds: int) -> None:
        await asyncio.sleep(seconds)
        order.append(seconds)

    await asyncio.gather(*(one(seconds) for seconds in (300, 100, 200)))
    assert order == [100, 200, 300] and time.monotonic() == asyncio.get_running_loop().time() == 300
    assert REAL() - began < 100


@virtual_time
async def test_a_virtual_clock_stands_while_a_thread_works() -> None:
    async with asyncio.timeout(0.01):
        await asyncio.to_thread(lambda: [REAL() for _ in range(300_000)])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await asyncio.Event().wait()


@virtual_time
async def test_the_end_waits_for_threads_that_still_work() -> None:
    """From Python 3.12 on asyncio warns when they take longer than five minutes of the loop's clock."""
    begun = threading.Event()

    def work() -> None:
        begun.set()
        SLEEP(0.3)

    left = asyncio.get_running_loop().run_in_executor(None, work)
    begun.wait()
    left.cancel()


@virtual_time
async def test_the_package_reads_the_virtual_clock() -> None:
    await asyncio.sleep(1000)
    assert Outcome().started == 1000 and rate_limit.time.monotonic() == 1000  # type: ignore[attr-defined]


@steady_time
async def test_a_standstill_does_not_use_up_a_steady_deadline() -> None:
    async with asyncio.timeout(1):
        time.sleep(1.5)
        await asyncio.sleep(0.2)
    assert 0.2 <= time.monotonic() < 1


@steady_time
async def test_a_steady_deadline_ends_what_hangs() -> None:
    began = REAL()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await asyncio.Event().wait()
    assert REAL() - began >= 0.29
