"""One gate per host: never too many at once, oldest first, safe from threads and loops, never stuck."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from moa_graph.errors import ConfigError
from moa_graph.models import rate_limit
from moa_graph.models.rate_limit import Gate


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    rate_limit.clear()
    yield
    rate_limit.clear()


async def test_never_more_at_once_than_the_limit_and_all_get_through() -> None:
    gate = Gate("h", start=3)
    done = 0

    async def one() -> None:
        nonlocal done
        async with gate.slot():
            await asyncio.sleep(0.001)
            done += 1

    await asyncio.gather(*(one() for _ in range(50)))
    assert (done, gate.peak, gate.running, gate.waiting) == (50, 3, 0, 0)


async def test_older_runs_go_first() -> None:
    gate = Gate("h", start=1)
    finished: list[float] = []

    async def one(order: float) -> None:
        async with gate.slot(order=order):
            await asyncio.sleep(0)
            finished.append(order)

    async with gate.slot():
        tasks = [asyncio.create_task(one(o)) for o in (5.0, 3.0, 4.0, 1.0, 2.0)]
        await asyncio.sleep(0.01)
    await asyncio.gather(*tasks)
    assert finished == [1.0, 2.0, 3.0, 4.0, 5.0]


async def test_many_questions_finish_in_turn() -> None:
    """100 questions of 4 calls and then 1, at 8 at once: they end in the order in which they began."""
    gate = Gate("h", start=8)
    finished: list[int] = []

    async def call(order: int) -> None:
        async with gate.slot(order=order):
            await asyncio.sleep(0)

    async def question(order: int) -> None:
        await asyncio.gather(*(call(order) for _ in range(4)))
        await call(order)
        finished.append(order)

    await asyncio.gather(*(question(o) for o in reversed(range(100))))
    # All but the first few, which got in before the older ones arrived, finish in the order they began.
    late = [o for o in finished if o < 90]
    assert sum(abs(o - i) for i, o in enumerate(late)) / len(late) < 4


async def test_a_429_halves_once_per_burst_and_success_grows_slowly() -> None:
    gate = Gate("h", start=16)

    async def one(status: int) -> None:
        async with gate.slot() as slot:
            await asyncio.sleep(0.001)
            slot.limited(0.0) if status == 429 else slot.fine()

    await asyncio.gather(*(one(429) for _ in range(16)))
    assert gate.limit == 8
    await asyncio.gather(*(one(200) for _ in range(8)))
    assert gate.limit == 8
    for _ in range(3):
        await asyncio.gather(*(one(200) for _ in range(8)))
    assert 9 <= gate.limit <= 12


async def test_all_wait_for_a_cool_down_that_one_was_told() -> None:
    gate = Gate("h")
    loop = asyncio.get_running_loop()
    async with gate.slot() as slot:
        slot.limited(0.2)
    start = loop.time()

    async def one() -> float:
        async with gate.slot():
            return loop.time() - start

    waits = await asyncio.gather(*(one() for _ in range(5)))
    assert min(waits) >= 0.15


async def test_patience_lets_a_probe_through_and_its_success_ends_the_cool_down() -> None:
    gate = Gate("h")
    async with gate.slot() as slot:
        slot.limited(30.0)
    assert gate.cool_down() > 25
    async with asyncio.timeout(5), gate.slot(patience=0.02) as slot:
        slot.fine()
    assert gate.cool_down() == 0.0
    async with asyncio.timeout(5), gate.slot(patience=30.0):
        pass


async def test_a_full_gate_in_a_cool_down_lets_the_patient_in_one_after_the_other() -> None:
    gate = Gate("h", start=1)
    async with gate.slot() as slot:
        slot.limited(30.0)

    async def one() -> None:
        async with gate.slot(patience=0.01):
            await asyncio.sleep(0.02)

    async with asyncio.timeout(5):
        await asyncio.gather(*(one() for _ in range(5)))
    assert (gate.peak, gate.running, gate.waiting) == (1, 0, 0)


async def test_one_model_that_is_limited_does_not_starve_its_siblings() -> None:
    gate = Gate("h")

    async def limited() -> None:
        for _ in range(5):
            async with gate.slot(patience=0.01) as slot:
                slot.limited(30.0)

    async def healthy() -> None:
        async with gate.slot(patience=0.01):
            await asyncio.sleep(0.05)

    async with asyncio.timeout(5):
        await asyncio.gather(limited(), *(healthy() for _ in range(3)))
    assert gate.limit >= 4


async def test_a_success_from_before_the_429_does_not_end_the_cool_down() -> None:
    gate = Gate("h")
    async with gate.slot() as old:
        async with gate.slot() as slot:
            slot.limited(10.0)
        old.fine()
    assert gate.cool_down() > 5


async def test_a_cancelled_waiter_leaves_nothing_behind() -> None:
    gate = Gate("h", start=1)

    async def one() -> None:
        async with gate.slot():
            await asyncio.sleep(0)

    async with gate.slot():
        tasks = [asyncio.create_task(one()) for _ in range(10)]
        await asyncio.sleep(0.01)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (gate.running, gate.waiting) == (0, 0)


async def test_cancelled_at_the_moment_of_the_grant() -> None:
    gate = Gate("h", start=1)

    async def one() -> None:
        async with gate.slot():
            await asyncio.sleep(0)

    async with gate.slot():
        task = asyncio.create_task(one())
        await asyncio.sleep(0.01)
    task.cancel()  # granted by the exit above, but it has not run since
    await asyncio.gather(task, return_exceptions=True)
    assert gate.running == 0
    async with asyncio.timeout(5), gate.slot():
        pass


def test_a_waiter_whose_loop_died_does_not_block_the_rest() -> None:
    gate = Gate("h", start=1)

    async def holder() -> None:
        async with gate.slot():
            await asyncio.sleep(0.05)

    async def waiter() -> None:
        async with gate.slot():
            pass

    dead = asyncio.new_event_loop()
    hold = asyncio.new_event_loop()
    held = hold.create_task(holder())
    hold.run_until_complete(asyncio.sleep(0.01))
    left = dead.create_task(waiter())
    dead.run_until_complete(asyncio.sleep(0.01))
    left.cancel()
    dead.run_until_complete(asyncio.gather(left, return_exceptions=True))
    dead.close()
    hold.run_until_complete(held)
    hold.run_until_complete(asyncio.wait_for(waiter(), 5))
    hold.close()
    assert (gate.running, gate.waiting) == (0, 0)


def test_one_gate_for_eight_threads_with_loops_of_their_own() -> None:
    gate = rate_limit.gate("api.example.com")
    assert gate is rate_limit.gate("api.example.com")
    assert gate is not rate_limit.gate("other.example.com")
    small = Gate("h", start=4)
    done: list[int] = []

    async def one() -> None:
        async with small.slot() as slot:
            await asyncio.sleep(0.0005)
            slot.fine()
        done.append(1)

    async def many() -> None:
        await asyncio.gather(*(one() for _ in range(50)))

    threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 400
    assert (small.running, small.waiting) == (0, 0)
    assert small.peak <= small.limit


@pytest.mark.parametrize("text", ["0", "-1", "many", "1e9", "999999999", "٣"])
def test_a_silly_cap_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOA_MAX_CONCURRENCY", text)
    with pytest.raises(ConfigError, match="MOA_MAX_CONCURRENCY"):
        rate_limit.gate("capped.example.com")


def test_the_cap_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOA_MAX_CONCURRENCY", "2")
    assert rate_limit.gate("capped.example.com").limit == 2
