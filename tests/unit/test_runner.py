"""`in_order`: order, bounds, and a clean end in every case."""

import asyncio
import random
from collections.abc import Iterator

import pytest

from moa_graph.batch.in_order import in_order


async def test_order_is_the_items_however_long_each_takes() -> None:
    dice = random.Random(7)

    async def work(item: int) -> int:
        for _ in range(dice.randrange(20)):
            await asyncio.sleep(0)
        return item * 2

    async with in_order(range(500), work, concurrency=9) as results:
        assert [r async for r in results] == [n * 2 for n in range(500)]


async def test_at_most_so_many_run_and_so_many_wait() -> None:
    running = peak = begun = handed = lead = 0
    slow = asyncio.Event()

    def items() -> Iterator[int]:
        nonlocal begun
        for n in range(200):
            begun += 1
            yield n

    async def work(item: int) -> int:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        if item == 0:
            await slow.wait()
        await asyncio.sleep(0)
        if begun == 20:
            slow.set()  # no further item can begin: the first one is not finished
        running -= 1
        return item

    async with in_order(items(), work, concurrency=4, ahead=20) as results:
        async for _ in results:
            lead = max(lead, begun - handed)
            handed += 1
    assert (handed, peak) == (200, 4)
    assert lead <= 20 + 1


async def test_a_failure_anywhere_ends_it_at_once_and_nothing_runs_on() -> None:
    ended = 0

    async def work(item: int) -> int:
        nonlocal ended
        if item == 3:
            raise RuntimeError("broken")
        try:
            await asyncio.Event().wait()
        finally:
            ended += 1
        return item

    with pytest.raises(RuntimeError, match="broken"):
        async with in_order(range(100), work, concurrency=5) as results:
            async for _ in results:
                pass
    assert ended == 4
    assert len(asyncio.all_tasks()) == 1


async def test_leaving_early_stops_what_runs() -> None:
    async def work(item: int) -> int:
        if item > 2:
            await asyncio.Event().wait()
        return item

    async with in_order(range(100), work, concurrency=5) as results:
        async for result in results:
            if result == 2:
                break
    assert len(asyncio.all_tasks()) == 1


async def test_no_items() -> None:
    async def work(item: int) -> int:
        return item

    async with in_order([], work, concurrency=5) as results:
        assert [r async for r in results] == []
