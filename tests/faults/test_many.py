"""Many runs, event loops and cancellations at once: results are not mixed up, and nothing is left behind."""

import asyncio
import gc
import threading
from typing import Any

import pytest

from moa_graph import create_moa
from moa_graph.models import rate_limit
from tests.faults import LONG
from tests.live import live_runs, open_latches
from tests.provider import Provider


def question(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def _limiters(host: str) -> list[rate_limit.RateLimiter]:
    return [limiter for (at, _), limiter in rate_limit._limiters.items() if at == host]


def _running(host: str) -> int:
    return sum(limiter.running for limiter in _limiters(host))


def _peak(host: str) -> int:
    return max(limiter.peak for limiter in _limiters(host))


def _cool_down(host: str) -> float:
    return max(limiter.cool_down() for limiter in _limiters(host))


def moa(provider: Provider, *proposers: str, aggregator: str = "prompt", **fields: Any) -> Any:
    specs = [{"model": f"openai:{model}", "base_url": provider.url} for model in proposers]
    return create_moa(proposers=specs, aggregator={"model": f"openai:{aggregator}", "base_url": provider.url}, **fields)


@pytest.mark.timeout(300)
async def test_many_runs_of_one_graph_do_not_cross(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOA_MAX_CONCURRENCY", "64")
    rate_limit._limiters.clear()
    # The published form: an answer that repeats fenced drafts is cut at their boundaries.
    graph = moa(provider, "echo-a", "echo-b", deadline=250.0, prompt="paper")

    async def one(number: int) -> bool:
        mark = f"question {number:04d}!"
        result = await graph.ainvoke(question(mark))
        shown = result["messages"][-1].content
        # The aggregator repeats its prompt: the question and drafts of this run, and of no other.
        return all(d["text"] == mark for d in result["drafts"]) and shown.count("question ") == shown.count(mark) == 3

    runs = 1000 if LONG else 250
    results = await asyncio.gather(*(one(number) for number in range(runs)))
    stats = provider.stats()
    assert all(results) and len(results) == runs
    assert stats["requests"] == stats["answered"] == 3 * runs
    assert _peak(provider.host) <= 64
    assert live_runs() == 0 and _running(provider.host) == 0
    rate_limit._limiters.clear()


@pytest.mark.timeout(300)
def test_a_hundred_loops_one_after_the_other(provider: Provider) -> None:
    graph = moa(provider, "tok=4-a", aggregator="tok=4-agg")
    texts = [asyncio.run(graph.ainvoke(question(f"{n}")))["messages"][-1].content for n in range(100)]
    assert all(text.startswith("[tok=4-agg]") for text in texts)
    assert provider.stats()["requests"] == 200 and provider.wait(lambda s: s["in_flight"] == 0)["in_flight"] == 0


@pytest.mark.timeout(300)
def test_eight_threads_with_their_own_loops_and_sync_callers(provider: Provider) -> None:
    graph = moa(provider, "tok=4-a", "hangx1-b", quorum=1, aggregator="tok=4-agg", deadline=60.0)
    answers: list[str] = []

    def own_loop(number: int) -> None:
        async def several() -> None:
            for each in range(5):
                result = await graph.ainvoke(question(f"loop {number} {each}"))
                answers.append(result["messages"][-1].content)

        asyncio.run(several())

    def sync(number: int) -> None:
        for each in range(5):
            answers.append(graph.invoke(question(f"sync {number} {each}"))["messages"][-1].content)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8) for work in (own_loop, sync)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(answers) == 80 and all(text.startswith("[tok=4-agg]") for text in answers)
    gc.collect()
    assert open_latches() == 0 and live_runs() == 0
    assert _running(provider.host) == 0


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("where", ["proposers", "aggregator", "stream"])
@pytest.mark.timeout(120)
async def test_cancelling_closes_every_request_and_task(provider: Provider, where: str) -> None:
    graph = moa(provider, *(("hang-a", "hang-b", "hang-c") if where == "proposers" else ("tok=4-a",)),
                aggregator="tok=4-agg" if where == "proposers" else "hangmid-tok=9", deadline=100.0)  # fmt: skip
    calls = 3 if where == "proposers" else 2
    tasks_before = len(asyncio.all_tasks())
    mode = "messages" if where == "stream" else "updates"

    async def run() -> None:
        async for _ in graph.astream(question("hi"), stream_mode=mode):
            pass

    for _ in range(20):
        provider.reset()
        task = asyncio.create_task(run())
        while provider.stats()["requests"] < calls:
            await asyncio.sleep(0.005)
        await _cancelled(task)
        stats = await asyncio.to_thread(provider.wait, lambda s: s["in_flight"] == 0)
        assert stats["in_flight"] == 0 and stats["disconnected"] == (3 if where == "proposers" else 1)
    gc.collect()
    assert len(asyncio.all_tasks()) == tasks_before
    assert open_latches() == 0 and live_runs() == 0 and _running(provider.host) == 0


@pytest.mark.timeout(120)
async def test_closing_a_stream_early_closes_its_requests(provider: Provider) -> None:
    graph = moa(provider, "tok=4-a", aggregator="tok=200-tps=20", deadline=100.0)
    stream = graph.astream(question("hi"), stream_mode="messages")
    async for _ in stream:
        break
    await stream.aclose()
    stats = await asyncio.to_thread(provider.wait, lambda s: s["in_flight"] == 0)
    assert (stats["in_flight"], stats["disconnected"]) == (0, 1)
    assert live_runs() == 0


@pytest.mark.timeout(120)
def test_a_sync_caller_waits_at_most_the_deadline_and_leaves_no_thread(provider: Provider) -> None:
    graph = moa(provider, "hang-a", "tok=4-b", aggregator="tok=4-agg", deadline=4.0)
    graph.invoke(question("warm"))
    before = threading.active_count()
    for _ in range(2):
        assert graph.invoke(question("hi"))["record"]["degraded"]
    assert threading.active_count() <= before
    assert provider.wait(lambda s: s["in_flight"] == 0)["in_flight"] == 0


@pytest.mark.timeout(120)
async def test_one_host_that_is_limited_does_not_slow_another() -> None:
    with Provider() as slow, Provider() as quick:
        specs = [{"model": "openai:err429-ra=30", "base_url": slow.url}, {"model": "openai:a", "base_url": quick.url}]
        graph = create_moa(proposers=specs, aggregator={"model": "openai:b", "base_url": quick.url}, deadline=20.0)
        async with asyncio.timeout(15):
            result = await graph.ainvoke(question("hi"))
        assert [d["status"] for d in result["drafts"]] == ["failed", "ok"]
        assert "429 loopback says 429" in result["drafts"][0]["error"]
        assert _cool_down(slow.host) > 10 and _cool_down(quick.host) == 0.0
        rate_limit._limiters.clear()
