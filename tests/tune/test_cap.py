"""The cap on cost holds where the calls of a later stage cost more, and where calls of one prompt run at once."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from moa_graph.costs.spending_cap import SpendingCap
from moa_graph.errors import BudgetError, MoAError
from moa_graph.evals import engine
from moa_graph.evals.engine import ItemOutcome
from moa_graph.evals.systems.paid_calls import await_permission
from moa_graph.evals.tune.shared_ledger import SharedLedger
from tests.clocks import virtual_time
from tests.provider import Provider
from tests.tune.test_command import golds, moa, say, write_pool, write_prompts

__all__ = ["moa"]

Printed = tuple[int, str, str]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_writer_that_costs_more_than_all_drafts_stays_under_the_cap(
    tmp_path: Path, provider: Provider, moa: Callable[..., Printed]
) -> None:
    """An answer costs up to a hundred times what the drafts of a prompt cost, and six prompts run at once."""
    path = write_prompts(tmp_path / "mine.jsonl", golds(30))
    models = [say("The answer is 5"), say("The answer is 6")]
    dear = {"model": "openai:10ms-tok=300", "base_url": provider.url, "name": "dear"}
    prices = {model.partition(":")[2]: [1.0, 1.0] for model in models} | {"10ms-tok=300": [50.0, 50.0]}
    pool = write_pool(tmp_path / "pool.yaml", provider, *models, aggregators=[dear], prices=prices)
    code, _, err = moa(path, "--pool", pool, "--max-cost", 0.1, "--concurrency", 6, "--ledger", "drafts.db")
    assert code == 0, err
    with closing(sqlite3.connect(tmp_path / "drafts.db")) as db:
        rows = dict(
            db.execute("SELECT model, total(cost) FROM calls WHERE role NOT IN ('open', 'lost') GROUP BY model")
        )
    assert rows[dear["model"]] > 2 * sum(cost for model, cost in rows.items() if model != dear["model"])
    assert 0.05 < sum(rows.values()) <= 0.1
    assert "measured because of the cap on cost" in err


@virtual_time
async def test_a_call_that_comes_after_a_refusal_reserves_nothing() -> None:
    """One of two calls of a prompt comes late, when the cap was raised: the prompt is skipped, and no money is held."""
    cap = SpendingCap(1.0, expected=2.0)
    ended: list[str] = []

    async def call(seconds: float) -> None:
        await asyncio.sleep(seconds)
        try:
            await await_permission()
            ended.append("permitted")
        except MoAError as error:
            ended.append(type(error).__name__)
            raise

    async def work(item: str, done: ItemOutcome) -> None:
        await engine.all_of([call(0), raise_the_cap(), call(0.05)])

    async def raise_the_cap() -> None:
        await asyncio.sleep(0.02)
        # The first pass takes only what is recorded.
        cap.limit = 10.0 if len(ended) == 3 else cap.limit

    found = await engine.run(["q"], str, work, concurrency=2, cap=cap)
    assert found[0].skipped
    assert ended == ["UnrecordedError", "UnrecordedError", "BudgetError", "BudgetError"]
    async with asyncio.timeout(60), cap.reserve() as left:
        assert left == 10.0


async def test_the_first_question_runs_alone_and_a_new_kind_has_its_own_cost() -> None:
    """An estimate that is far too low costs one question, not as many as run at once."""
    cap, running, peaks = SpendingCap(10.0, expected=0.1), 0, []

    async def question(cost: float) -> bool:
        nonlocal running
        try:
            async with cap.reserve():
                running += 1
                peaks.append(running)
                await asyncio.sleep(0)
                cap.pay(cost)
                running -= 1
        except BudgetError:
            return False
        return True

    first = await asyncio.gather(*(question(4.0) for _ in range(8)))
    assert sum(first) == 2
    assert peaks[0] == 1
    assert cap.spent == 8.0
    cap.expect(0.5)
    assert sum(await asyncio.gather(*(question(0.5) for _ in range(8)))) == 4
    assert cap.spent == 10.0


async def sent(ledger: SharedLedger, number: int) -> str:
    """Ask a ledger for a call that it does not have, so that it is sent."""
    key = ledger.call_key(
        item="", layer=1, slot=number, role="judge", repeat=0, model="m", params={}, messages=[{"role": "user"}]
    )
    assert await ledger.get(key) is None
    return key


async def test_calls_that_kills_left_under_way_count_once_though_the_clock_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    for process, now in enumerate((1_000.0, 900.0, 900.0, 500.0)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        ledger = SharedLedger(tmp_path / "drafts.db", run="run")
        ledger.expected = {"m": 1.0}
        counted.append(await ledger.spent())
        recorded = await sent(ledger, 2 * process)
        await ledger.put(recorded, {"cost": 10.0}, model="m", role="judge", cost=10.0)
        await sent(ledger, 2 * process + 1)
        ledger.close()
    # Each call that is not recorded counts as much as the most expensive recorded one.
    assert counted == [0.0, 20.0, 40.0, 60.0]


async def test_a_run_hides_no_call_of_another_process_and_its_own_end_with_it(tmp_path: Path) -> None:
    one, two, three = (SharedLedger(tmp_path / "drafts.db", run="run") for _ in range(3))
    for ledger in (one, two, three):
        ledger.expected = {"m": 1.0}
    await sent(one, 0)
    assert await two.spent() == 1.0
    await sent(one, 1)
    await sent(two, 2)
    await two.finish()
    assert await three.spent() == 2.0
    for ledger in (one, two, three):
        ledger.close()
