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
