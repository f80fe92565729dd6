"""A batch against the loopback provider: order, errors as data, resuming, shards, money."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from moa_graph import ConfigError, create_moa
from moa_graph.batch import Batch, Shard, Totals
from moa_graph.costs.ledger import Ledger
from moa_graph.errors import ServerError
from moa_graph.graph.remote import RemoteMoA
from moa_graph.mixture.mixture import Mixture
from tests.provider import Provider


def mixture(provider: Provider, *models: str, aggregator: str = "agg-echo", **fields: Any) -> Mixture:
    def model(name: str) -> dict[str, Any]:
        return {"model": f"openai:{name}", "base_url": provider.url}

    return Mixture(proposers=[model(m) for m in models], aggregator=model(aggregator), max_attempts=1, **fields)


class Bench:
    """Batches in one folder. Each `run` uses new objects with the same files, like a new process."""

    def __init__(self, folder: Path, provider: Provider) -> None:
        self.folder, self.provider = folder, provider
        self.source = folder / "in.jsonl"

    def questions(self, *values: Any) -> None:
        """Write one line each; bytes are written unchanged."""
        self.source.write_bytes(b"".join(v if isinstance(v, bytes) else json.dumps(v).encode() + b"\n" for v in values))

    async def run(self, mix: Mixture, out: str = "out.jsonl", **options: Any) -> Totals:
        with Ledger(self.folder / f"{out}.ledger", run="batch") as ledger:
            graph = create_moa(mix, ledger=ledger)
            target = self.folder / out
            batch = Batch(graph=graph, source=self.source, target=target, ledger=ledger, who=mix.hash, **options)
            return await batch.run()

    def rows(self, out: str = "out.jsonl") -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / out).read_text().splitlines()]

    def asked(self) -> Counter[tuple[str, str]]:
        """How often the provider was asked each question by each model."""
        return Counter((r.model, r.messages[-1]["content"]) for r in self.provider.requests() if r.model)


@pytest.fixture
async def bench(tmp_path: Path, provider: Provider) -> AsyncIterator[Bench]:
    yield Bench(tmp_path, provider)


def prompts(count: int) -> list[dict[str, Any]]:
    return [{"id": f"q{n}", "prompt": f"question {n}"} for n in range(count)]


async def test_results_stand_in_the_order_of_the_questions(bench: Bench, provider: Provider) -> None:
    bench.questions(*prompts(60))
    # The models' latencies vary by question, so that questions end in another order than they began.
    totals = await bench.run(mixture(provider, "a-p50=20-p99=300-echo", "b-p50=20-p99=300-echo"), concurrency=20)
    rows = bench.rows()
    assert [(r["line"], r["id"], r["answer"]) for r in rows] == [(n + 1, f"q{n}", f"question {n}") for n in range(60)]
    assert (totals.lines, totals.done, totals.failed, totals.resumed) == (60, 60, 0, 0)
    assert provider.stats()["peak"] <= 40
    assert all(r["error"] is None and r["calls"] == 3 and r["usage"]["output_tokens"] for r in rows)
    assert "drafts" not in rows[0] and "seconds" not in json.dumps(rows)
    assert not (bench.folder / "out.jsonl.part").exists()


async def test_bad_lines_and_failed_questions_are_data_and_the_rest_goes_on(bench: Bench, provider: Provider) -> None:
    bench.questions("one", b"{broken\n", {"prompt": " "}, "two")
    totals = await bench.run(mixture(provider, "a-err400", "b-echo"))
    rows = bench.rows()
    assert [r["line"] for r in rows] == [1, 2, 3, 4]
    assert [r["answer"] for r in rows] == ["one", None, None, "two"]
    assert [(r["error"] or {}).get("type") for r in rows] == [None, "InputError", "InputError", None]
    assert rows[0]["degraded"] and rows[0]["unused"][0]["status"] == "failed"
    assert (totals.failed, totals.bad) == (2, 2)
    assert totals.problems[0].startswith("line 2: not JSON")
    totals = await bench.run(mixture(provider, "b-echo", aggregator="agg-err400"), "dead.jsonl", keep_drafts=True)
    row = bench.rows("dead.jsonl")[0]
    assert (row["answer"], row["error"]["type"], row["drafts"][0]["text"]) == (None, "AggregationError", "one")
    assert (totals.failed, totals.bad) == (4, 2)


async def test_a_stopped_batch_continues_and_pays_no_call_twice(bench: Bench, provider: Provider) -> None:
    mix = mixture(provider, "a-5ms-echo", "b-5ms-echo", layers=3)
    bench.questions(*prompts(80))
    await bench.run(mix, "whole.jsonl")
    provider.reset()
    task = asyncio.create_task(bench.run(mix, concurrency=8))
    while provider.stats()["answered"] < 150 and not task.done():
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (bench.folder / "out.jsonl").exists()
    kept = Counter(call[:3] for call in recorded(bench.folder / "out.jsonl.ledger"))
    before = bench.asked()
    totals = await bench.run(mix)
    again = bench.asked()
    assert totals.resumed > 5 and totals.failed == 0
    assert (bench.folder / "out.jsonl").read_bytes() == (bench.folder / "whole.jsonl").read_bytes()
    for (model, prompt), times in again.items():
        calls = 1 if model.startswith("agg") else 2
        unrecorded = calls - sum(kept[prompt.replace("question ", "q"), f"openai:{model}", n] for n in (1, 2, 3))
        assert times <= before[model, prompt] + unrecorded
    provider.reset()
    assert (await bench.run(mix)).resumed == 80
    assert provider.stats()["requests"] == 0


def recorded(path: Path) -> list[tuple[str, str, int, str]]:
    """The ledger's calls: item, model, layer, role."""
    import sqlite3

    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT item, model, layer, role FROM calls WHERE role != 'item'").fetchall()
    db.close()
    return rows


async def test_failed_questions_are_repeated_with_the_paid_drafts(bench: Bench, provider: Provider) -> None:
    bench.questions(*prompts(4))
    mix = mixture(provider, "a-echo", aggregator="agg-echo-err500x1")
    assert (await bench.run(mix)).failed == 4
    totals = await bench.run(mix)
    assert (totals.failed, totals.resumed) == (0, 0)
    assert {times for (model, _), times in bench.asked().items() if model == "a-echo"} == {1}


async def test_shards_make_the_whole(bench: Bench, provider: Provider) -> None:
    mix = mixture(provider, "a-echo")
    bench.questions(*prompts(10), b"{\n", *prompts(12)[10:])
    await bench.run(mix, "whole.jsonl")
    for number in (1, 2, 3):
        await bench.run(mix, f"part{number}.jsonl", shard=Shard(number, 3))
    parts = [row for number in (1, 2, 3) for row in bench.rows(f"part{number}.jsonl")]
    assert sorted(parts, key=lambda r: r["line"]) == bench.rows("whole.jsonl")


async def test_max_cost_counts_what_failed_questions_cost_in_earlier_runs(bench: Bench, provider: Provider) -> None:
    """An empty answer is billed and not recorded, so every run asks for it again. Drafts are paid for once."""
    names = ("a-echo-cost=0.01", "agg-empty-cost=0.05")
    mix = mixture(provider, names[0], aggregator=names[1], prices={f"openai:{name}": [0.0, 0.0] for name in names})
    bench.questions(*prompts(4))
    spent = [(await bench.run(mix, max_cost=0.75, concurrency=1)).cost for _ in range(6)]
    asked = Counter(request.model for request in provider.requests())
    paid = 0.01 * asked[names[0]] + 0.05 * asked[names[1]]
    assert asked[names[0]] == 4
    assert spent[:2] == pytest.approx([0.24, 0.44])
    assert spent[3:] == pytest.approx([paid] * 3) == [pytest.approx(0.74)] * 3


async def test_max_cost_is_kept_and_more_money_goes_on(bench: Bench, provider: Provider) -> None:
    names = ("a-echo-cost=0.01", "b-echo-cost=0.01")
    prices = {f"openai:{name}": [0.0, 0.0] for name in (*names, "agg-echo-cost=0.01")}
    mix = mixture(provider, *names, aggregator="agg-echo-cost=0.01", prices=prices)
    bench.questions(*prompts(30))
    totals = await bench.run(mix, max_cost=0.30, concurrency=8)
    answers = [r for r in bench.rows() if not r["error"]]
    assert len(answers) == 10 and totals.cost == pytest.approx(0.30)
    assert {r["error"]["type"] for r in bench.rows() if r["error"]} == {"BudgetError"}
    assert provider.stats()["requests"] == 30
    totals = await bench.run(mix, max_cost=1.0, concurrency=8)
    assert (totals.failed, totals.resumed) == (0, 10) and totals.cost == pytest.approx(0.90)
    assert provider.stats()["requests"] == 90
    # What earlier runs paid is counted before new questions are asked, though these come before it.
    bench.questions(*({"id": f"new{n}", "prompt": f"new {n}"} for n in range(5)), *prompts(30))
    totals = await bench.run(mix, max_cost=0.96, concurrency=1)
    assert (totals.failed, totals.resumed) == (3, 30) and totals.cost == pytest.approx(0.96)
    assert provider.stats()["requests"] == 96


async def test_an_error_of_all_questions_ends_the_batch_at_once(
    bench: Bench, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOWHERE_KEY", raising=False)
    bench.questions(*prompts(10))
    lacking = Mixture(
        proposers=[{"model": "openai:a", "base_url": provider.url, "api_key_env": "NOWHERE_KEY"}],
        aggregator={"model": "openai:b", "base_url": provider.url},
    )
    with pytest.raises(ConfigError, match="NOWHERE_KEY"):
        await bench.run(lacking)
    assert not (bench.folder / "out.jsonl").exists()
    assert provider.stats()["requests"] == 0


async def test_two_runs_do_not_write_one_file(bench: Bench, provider: Provider) -> None:
    bench.questions(*prompts(3))
    mix = mixture(provider, "a-echo-500ms")
    first = asyncio.create_task(bench.run(mix))
    while not provider.stats()["requests"]:
        await asyncio.sleep(0.005)
    with pytest.raises(ConfigError, match="another run"):
        await bench.run(mix)
    assert (await first).failed == 0


async def test_a_server_that_comes_back_is_asked_again_and_one_that_does_not_ends_the_batch(
    bench: Bench, provider: Provider
) -> None:
    bench.questions(*prompts(5))
    mix = mixture(provider, "a-echo")
    local = create_moa(mix)
    away = 3

    class Restarting:
        """The graph behind a server that is unreachable for the first requests."""

        async def ainvoke(self, input: Any, config: Any = None, *, context: Any = None) -> Any:
            nonlocal away
            if away:
                away -= 1
                raise ServerError("restarting")
            return await local.ainvoke(input, context=context)

    async def run(graph: Any, patience: tuple[float, ...]) -> Totals:
        out = bench.folder / "out.jsonl"
        with Ledger(bench.folder / "l.ledger", run="batch") as ledger:
            return await Batch(graph, bench.source, out, ledger, "there", patience=patience, concurrency=1).run()

    assert (await run(Restarting(), (0, 0, 0))).failed == 0
    (bench.folder / "l.ledger").unlink()
    (bench.folder / "out.jsonl").unlink()
    async with RemoteMoA("http://127.0.0.1:9") as nobody:
        with pytest.raises(ServerError, match="did not answer"):
            await run(nobody, (0, 0))
    assert not (bench.folder / "out.jsonl").exists()
