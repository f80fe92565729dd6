"""`moa eval --batch-api`: answers and verdicts through a Batch API, also after kills and under a cap."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from moa_graph.batch.api import BatchApi
from moa_graph.cli.batch_options import AT_ONCE
from moa_graph.cli.eval.options import Choice
from moa_graph.cli.eval.run import items_at_once
from moa_graph.costs.ledger import Ledger
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.batching import call_key
from tests.batch_server import BatchServer
from tests.evals.bench import final_bytes, moa, scores

PRICES = {"input": 1.0, "output": 2.0, "batch": 0.5}
PROMPTS = 5
ROUNDS = 5
"""Batches of an answer: two models in two rounds, and the aggregator."""


def mixture(folder: Path, server: BatchServer, **fields: Any) -> Path:
    def spec(name: str) -> dict[str, Any]:
        return {"model": f"openai:{name}", "base_url": server.url}

    whole = {
        "name": "pair",
        "proposers": [spec("one"), spec("two")],
        "aggregator": spec("agg"),
        "layers": 3,
        "prices": {f"openai:{name}": PRICES for name in ("one", "two", "agg", "judge")},
        **fields,
    }
    path = folder / "pair.yaml"
    path.write_text(json.dumps(whole))
    return path


def prompts(folder: Path, count: int = PROMPTS) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Question {n}?", "gold": "x"}) + "\n" for n in range(count)))
    return path


def arguments(folder: Path, server: BatchServer, *more: object, **fields: Any) -> list[object]:
    return ["run", prompts(folder), "-f", mixture(folder, server, **fields), *more]


def in_batches(server: BatchServer, *more: object) -> list[object]:
    return ["--batch-api", "--batch-host", server.host, "--batch-poll", "0.05", *more]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_a_run_has_the_answers_of_the_direct_way_at_half_the_price(tmp_path: Path) -> None:
    direct, batched = tmp_path / "direct", tmp_path / "batched"
    with BatchServer() as server:
        judge = ["--judge", "openai:judge", "--judge-url", server.url, "--criteria", "Be brief."]
        given = [*arguments(tmp_path, server), *judge]
        assert moa(*given, "--out", direct) == 0
        assert sum(server.state.direct.values()) == PROMPTS * 6 and not server.state.batches
        server.state.direct.clear()
        assert moa(*given, *in_batches(server), "--out", batched) == 0
        assert not server.state.direct and len(server.state.batches) == ROUNDS + 1
        assert set(server.state.run.values()) == {1} and len(server.state.run) == PROMPTS * 6
        assert rows(batched) == rows(direct)
        for part in ("generation", "judging"):
            costs = [scores(folder)[part]["cost"] for folder in (batched, direct)]
            assert costs[0] == pytest.approx(costs[1] / 2)
        assert json.loads((batched / "run.json").read_text())["batch_api"] == [server.host]
        assert json.loads((direct / "run.json").read_text())["batch_api"] == []
        assert "went through its Batch API" in (batched / "report.md").read_text()
        # The recorded costs are those of batches, also for a run that continues without them.
        before = final_bytes(batched)
        assert moa(*given, "--out", batched) == 0
        assert final_bytes(batched) == before and not server.state.direct


def test_an_estimate_has_the_price_of_batches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with BatchServer() as server:
        given = [*arguments(tmp_path, server), "--dry-run", "--json"]
        assert moa(*given) == 0
        direct = json.loads(capsys.readouterr().out)
        assert moa(*given, *in_batches(server)) == 0
        assert json.loads(capsys.readouterr().out)["cost"] == pytest.approx(direct["cost"] / 2)
        assert not server.state.seen and not server.state.direct


def test_repeats_and_juries_take_no_further_days(tmp_path: Path) -> None:
    with BatchServer(vary=True) as server:
        judges = ["--judge", "openai:judge-a", "--judge", "openai:judge-b", "--judge-url", server.url]
        prices = ["--price", "openai:judge-a=1,1", "--price", "openai:judge-b=1,1"]
        more = [*judges, *prices, "--criteria", "Be brief.", "--repeats", "3"]
        given = ["run", prompts(tmp_path), "--model", "openai:one", "--base-url", server.url, *more]
        assert moa(*given, *in_batches(server), "--out", tmp_path / "run") == 0
        # One batch of answers, and one for each judge.
        assert len(server.state.batches) == 3 and not server.state.direct
        found = rows(tmp_path / "run")
        assert len({row["answer"] for row in found}) == len(found) == 3 * PROMPTS
        assert [row["repeat"] for row in found] == [0, 1, 2] * PROMPTS
        assert all(rating["rating"] for row in found for rating in row["ratings"])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("kind", "judge", "options", "batches"),
    [
        # Answers, then all verdicts; MT-Bench answers two turns, one after the other.
        ("alpaca", "chooser", ("--both-orders", "--canary"), 2),
        ("mt-bench", "judge", (), 3),
        ("flask", "judge", (), 2),
    ],
)
def test_benchmarks_take_one_batch_for_answers_and_one_for_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, judge: str, options: tuple[str, ...], batches: int
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with BatchServer() as server:
        model = ["--model", "openai:one", "--base-url", server.url]
        judging = ["--judge", f"openai:{judge}", "--judge-url", server.url]
        code = moa(kind, *model, *judging, *options, *in_batches(server), "--out", tmp_path / "run")
        # The test judge does not answer in FLASK's form.
        assert code == (1 if kind == "flask" else 0)
        assert len(server.state.batches) == batches and not server.state.direct
        assert scores(tmp_path / "run")["answers"] == {"alpaca": 6, "mt-bench": 4, "flask": 2}[kind]


def test_a_host_without_a_batch_api_is_called_directly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with BatchServer() as server, BatchServer() as other:
        judge = ["--judge", "openai:judge", "--judge-url", other.url, "--criteria", "Be brief."]
        given = ["run", prompts(tmp_path), "--model", "openai:one", "--base-url", server.url, *judge]
        assert moa(*given, *in_batches(server), "--out", tmp_path / "run") == 0
        assert len(server.state.batches) == 1 and not server.state.direct
        assert sum(other.state.direct.values()) == PROMPTS and not other.state.batches
        capsys.readouterr()
        assert moa(*given, "--batch-api", "--out", tmp_path / "none") == 0
        assert "no model of this run is at a host with a Batch API" in capsys.readouterr().err


def test_all_items_run_at_once_only_where_a_batch_takes_them() -> None:
    own = [Proposer(model="openai:one", base_url="http://127.0.0.1:8000/v1")]
    assert items_at_once(Choice(batch_api=True), own) == items_at_once(Choice(), own) == 8
    assert items_at_once(Choice(batch_api=True, batch_host=["127.0.0.1:8000"]), own) == AT_ONCE
    assert items_at_once(Choice(batch_api=True), [*own, Proposer(model="openai:gpt-6.1-sol")]) == AT_ONCE
    assert items_at_once(Choice(batch_api=True, concurrency=3), own) == 3


def test_a_cap_holds_and_items_that_wait_for_it_delay_no_batch(tmp_path: Path) -> None:
    with BatchServer() as server:
        given = ["run", prompts(tmp_path, 10), "-f", mixture(tmp_path, server, draft_tokens=20), "--max-tokens", "8"]
        assert moa(*given, "--out", tmp_path / "whole", *in_batches(server)) == 0
        whole = scores(tmp_path / "whole")["generation"]["cost"]
        cap = 0.7 * whole
        capped = [*given, "--out", tmp_path / "capped", *in_batches(server), "--max-cost", str(cap)]
        assert moa(*capped) == 0
        found = scores(tmp_path / "capped")
        assert 0 < found["generation"]["cost"] <= cap
        assert found["answers"] > 2 < found["skipped_for_cost"] and found["skipped_for_cost"] + found["answers"] == 10


@pytest.mark.parametrize(
    "faults", [{"lose": 4}, {"drop": 5}, {"expire": 2}, {"refuse": 6}], ids=lambda each: next(iter(each))
)
def test_what_a_batch_does_not_answer_is_sent_again(tmp_path: Path, faults: dict[str, Any]) -> None:
    with BatchServer(**faults) as server:
        assert moa(*arguments(tmp_path, server), *in_batches(server), "--out", tmp_path / "run") == 0
        assert scores(tmp_path / "run")["answers"] == PROMPTS and not server.state.direct
        assert set(server.state.run.values()) == {1}


def test_options_that_have_no_effect_alone_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with BatchServer() as server:
        assert moa(*arguments(tmp_path, server), "--batch-direct", "--out", tmp_path / "run") == 2
        assert "go with --batch-api" in capsys.readouterr().err and not server.state.direct


async def test_a_resumed_call_gets_its_own_reply_among_equal_requests(tmp_path: Path) -> None:
    """Two repetitions send the same bytes. The first is recorded before the kill; the second must not get its reply."""
    body = json.dumps({"model": "one", "messages": [{"role": "user", "content": "Question?"}]}).encode()

    async def ask(api: BatchApi, key: str) -> str:
        with api.run():
            call_key.set(key)
            reply = await api.send(server.url, {"authorization": "Bearer none"}, body)
        assert reply is not None
        return str(reply.body["choices"][0]["message"]["content"])

    with BatchServer(vary=True) as server:
        options: dict[str, Any] = {"hosts": frozenset({server.host}), "quiet": 0.05, "poll": 0.02}
        with Ledger(tmp_path / "calls.db", run="test") as ledger:
            async with BatchApi(ledger, **options).running() as api:
                both = await asyncio.gather(ask(api, "first"), ask(api, "second"))
        assert both[0] != both[1]
        with Ledger(tmp_path / "calls.db", run="test") as ledger:
            async with BatchApi(ledger, **options).running() as api:
                assert await ask(api, "second") == both[1]
        assert sum(server.state.run.values()) == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_run_waits_for_its_batches(tmp_path: Path) -> None:
    """Killed after each few requests to the Batch API: uploads, batches, looks and downloads."""
    with BatchServer(seconds=0.4, pause=0.1) as server:
        judge = ["--judge", "openai:judge", "--judge-url", server.url, "--criteria", "Be brief."]
        given = [*arguments(tmp_path, server), *judge, *in_batches(server)]
        command = [sys.executable, "-c", "import sys; from moa_graph.cli import main; sys.exit(main())", "eval"]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OPENAI_API_KEY": "sk-none"}
        kills = 0
        for _ in range(8):
            seen = server.state.seen
            process = subprocess.Popen(
                [*command, *map(str, given), "--out", str(tmp_path / "killed")],
                env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            while process.poll() is None and server.state.seen < seen + 1 + kills % 4:
                time.sleep(0.005)
            if process.poll() is not None:
                break
            process.kill()
            process.wait()
            kills += 1
        assert kills >= 3
        assert moa(*given, "--out", tmp_path / "killed") == 0
        assert set(server.state.run.values()) == {1} and not server.state.direct
        assert len(server.state.run) == PROMPTS * 6
        assert moa(*given, "--out", tmp_path / "whole") == 0
        assert final_bytes(tmp_path / "killed") == final_bytes(tmp_path / "whole")
