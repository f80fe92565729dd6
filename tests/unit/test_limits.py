"""One rate limiter per host: a limit of requests at once, oldest run first, across threads and loops."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator

import pytest

from moa_graph import Proposer
from moa_graph.errors import ConfigError
from moa_graph.models import rate_limit, request_limit
from moa_graph.models.rate_limit import RateLimiter


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    rate_limit._limiters.clear()
    yield
    rate_limit._limiters.clear()


async def test_never_more_at_once_than_the_limit_and_all_get_through() -> None:
    gate = RateLimiter("h", start=3)
    done = 0

    async def one() -> None:
        nonlocal done
        async with gate.permit():
            await asyncio.sleep(0.001)
            done += 1

    await asyncio.gather(*(one() for _ in range(50)))
    assert (done, gate.peak, gate.running, gate.waiting) == (50, 3, 0, 0)


async def test_older_runs_go_first() -> None:
    gate = RateLimiter("h", start=1)
    finished: list[float] = []

    async def one(order: float) -> None:
        async with gate.permit(order=order):
            await asyncio.sleep(0)
            finished.append(order)

    async with gate.permit():
        tasks = [asyncio.create_task(one(o)) for o in (5.0, 3.0, 4.0, 1.0, 2.0)]
        await asyncio.sleep(0.01)
    await asyncio.gather(*tasks)
    assert finished == [1.0, 2.0, 3.0, 4.0, 5.0]


async def test_many_questions_finish_in_turn() -> None:
    """100 questions of 4 calls and then 1, at 8 at once: they end in the order in which they began."""
    gate = RateLimiter("h", start=8)
    finished: list[int] = []

    async def call(order: int) -> None:
        async with gate.permit(order=order):
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
    gate = RateLimiter("h", start=16)

    async def one(status: int) -> None:
        async with gate.permit() as permit:
            await asyncio.sleep(0.001)
            permit.refused(0.0) if status == 429 else permit.succeeded()

    await asyncio.gather(*(one(429) for _ in range(16)))
    assert gate.limit == 8
    await asyncio.gather(*(one(200) for _ in range(8)))
    assert 8 <= gate.limit <= 10
    for _ in range(3):
        await asyncio.gather(*(one(200) for _ in range(8)))
    assert 9 <= gate.limit <= 14


async def test_all_calls_wait_for_the_cool_down_of_one() -> None:
    gate = RateLimiter("h")
    loop = asyncio.get_running_loop()
    async with gate.permit() as permit:
        permit.refused(0.2)
    start = loop.time()

    async def one() -> float:
        async with gate.permit():
            return loop.time() - start

    waits = await asyncio.gather(*(one() for _ in range(5)))
    assert min(waits) >= 0.15


async def test_patience_lets_a_probe_through_and_its_success_ends_the_cool_down() -> None:
    gate = RateLimiter("h")
    async with gate.permit() as permit:
        permit.refused(30.0)
    assert gate.cool_down() > 25
    async with asyncio.timeout(20), gate.permit(patience=0.02) as permit:
        permit.succeeded()
    assert gate.cool_down() == 0.0
    async with asyncio.timeout(20), gate.permit(patience=30.0):
        pass


async def test_a_full_gate_in_a_cool_down_lets_the_patient_in_one_after_the_other() -> None:
    gate = RateLimiter("h", start=1)
    async with gate.permit() as permit:
        permit.refused(30.0)

    async def one() -> None:
        async with gate.permit(patience=0.01):
            await asyncio.sleep(0.02)

    async with asyncio.timeout(20):
        await asyncio.gather(*(one() for _ in range(5)))
    assert (gate.peak, gate.running, gate.waiting) == (1, 0, 0)


async def test_one_model_that_is_limited_does_not_starve_its_siblings() -> None:
    gate = RateLimiter("h")

    async def limited() -> None:
        for _ in range(5):
            async with gate.permit(patience=0.01) as permit:
                permit.refused(30.0)

    async def healthy() -> None:
        async with gate.permit(patience=0.01):
            await asyncio.sleep(0.05)

    async with asyncio.timeout(20):
        await asyncio.gather(limited(), *(healthy() for _ in range(3)))
    assert gate.limit >= 4


async def test_a_success_from_before_the_429_does_not_end_the_cool_down() -> None:
    gate = RateLimiter("h")
    async with gate.permit() as old:
        async with gate.permit() as permit:
            permit.refused(10.0)
        old.succeeded()
    assert gate.cool_down() > 5


async def test_a_cancelled_waiter_leaves_nothing_behind() -> None:
    gate = RateLimiter("h", start=1)

    async def one() -> None:
        async with gate.permit():
            await asyncio.sleep(0)

    async with gate.permit():
        tasks = [asyncio.create_task(one()) for _ in range(10)]
        await asyncio.sleep(0.01)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (gate.running, gate.waiting) == (0, 0)


async def test_cancelled_at_the_moment_of_the_grant() -> None:
    gate = RateLimiter("h", start=1)

    async def one() -> None:
        async with gate.permit():
            await asyncio.sleep(0)

    async with gate.permit():
        task = asyncio.create_task(one())
        await asyncio.sleep(0.01)
    task.cancel()  # granted by the exit above, but it has not run since
    await asyncio.gather(task, return_exceptions=True)
    assert gate.running == 0
    async with asyncio.timeout(60), gate.permit():
        pass


def test_a_waiter_of_a_closed_loop_does_not_block_the_rest() -> None:
    gate = RateLimiter("h", start=1)

    async def holder() -> None:
        async with gate.permit():
            await asyncio.sleep(0.05)

    async def waiter() -> None:
        async with gate.permit():
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
    hold.run_until_complete(asyncio.wait_for(waiter(), 60))
    hold.close()
    assert (gate.running, gate.waiting) == (0, 0)


def test_one_limiter_serves_eight_threads_with_their_own_loops() -> None:
    gate = rate_limit.limiter("api.example.com")
    assert gate is rate_limit.limiter("api.example.com")
    assert gate is not rate_limit.limiter("other.example.com")
    small = RateLimiter("h", start=4)
    done: list[int] = []

    async def one() -> None:
        async with small.permit() as permit:
            await asyncio.sleep(0.0005)
            permit.succeeded()
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
        rate_limit.limiter("capped.example.com")


def test_the_cap_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOA_MAX_CONCURRENCY", "2")
    assert rate_limit.limiter("capped.example.com").limit == 2


async def _many(gate: RateLimiter, count: int, refuses: Callable[[int], bool]) -> int:
    """Send `count` requests; returns how many were refused. `refuses` is given how many run at the server."""
    at_once = refused = 0

    async def one(order: int) -> None:
        nonlocal at_once, refused
        async with gate.permit(order=order) as permit:
            at_once += 1
            bad = refuses(at_once)
            await asyncio.sleep(0)
            at_once -= 1
            refused += bad
            permit.refused() if bad else permit.succeeded()

    await asyncio.gather(*(one(order) for order in range(count)))
    return refused


@pytest.mark.parametrize("seed", range(5))
async def test_random_429s_do_not_lower_the_limit_for_long(seed: int) -> None:
    """One request in ten is refused at random, under any load: the limit does not control that."""
    chance = random.Random(seed)
    gate = RateLimiter("h")
    async with asyncio.timeout(60):
        await _many(gate, 3000, lambda at_once: chance.random() < 0.1)
    assert gate.limit >= 64


async def test_a_full_server_lowers_the_limit_to_about_its_capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limit, "LONGEST_COOL_DOWN", 0.0)
    gate = RateLimiter("h")
    async with asyncio.timeout(60):
        refused = await _many(gate, 3000, lambda at_once: at_once > 16)
    assert 8 <= gate.limit <= 40
    assert refused < 1000


async def test_a_cool_down_longer_than_the_patience_delays_no_call() -> None:
    """A spent daily quota says Retry-After for hours: each call is refused at once, one probe after the other."""
    gate = RateLimiter("h")
    async with gate.permit() as permit:
        permit.refused(1e9)
    at_once = peak = 0

    async def one() -> None:
        nonlocal at_once, peak
        async with gate.permit(patience=30.0) as permit:
            at_once += 1
            peak = max(peak, at_once)
            await asyncio.sleep(0.001)
            at_once -= 1
            permit.refused(1e9)

    async with asyncio.timeout(20):
        await asyncio.gather(*(one() for _ in range(20)))
    assert peak == 1


def test_a_limiter_belongs_to_one_host_and_model_or_to_a_host_that_takes_few_at_once() -> None:
    a, b = Proposer(model="openai:a"), Proposer(model="openai:b")
    assert rate_limit.limiter_for(a) is rate_limit.limiter_for(a)
    assert rate_limit.limiter_for(a) is not rate_limit.limiter_for(b)
    assert rate_limit.limiter_for(Proposer(model="local:smollm2")) is None
    url = "http://localhost:1234/v1"
    small = [Proposer(model=f"lmstudio:{name}", base_url=url, max_concurrent=1) for name in "ab"]
    shared = rate_limit.limiter_for(small[0])
    assert shared is not None and shared is rate_limit.limiter_for(small[1]) and shared.limit == 1


async def test_calls_of_one_model_go_together_where_a_host_takes_one_at_a_time() -> None:
    gate = RateLimiter("h", start=1)
    served: list[str] = []

    async def one(model: str) -> None:
        async with gate.permit(order=1.0, group=model):
            await asyncio.sleep(0)
            served.append(model)

    async with gate.permit():
        tasks = [asyncio.create_task(one(model)) for model in "abcabc"]
        await asyncio.sleep(0.01)
    await asyncio.gather(*tasks)
    assert served == list("aabbcc")


@pytest.mark.parametrize(("refused", "left"), [(10, 100), (40, 50)])
def test_refusals_before_the_first_answer_count_among_what_was_sent(refused: int, left: int) -> None:
    """A 429 comes at once and an answer later: ten refusals of a hundred requests are a tenth, not all replies."""
    limit = request_limit.RequestLimit(100, 1000)
    limit.busiest = 100
    for before in range(refused):
        limit.refused(0, None, 0.0, 100 - before)
    assert limit.value == left
