"""`moa batch --batch-api`: a layer is one batch per model, with the answers of direct requests at half the price."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from benchmarks.cheap import batches
from moa_graph import ConfigError
from moa_graph.batch.api import endpoints
from moa_graph.batch.api.store import Store
from moa_graph.cli import main
from tests.batch_server import BatchServer
from tests.provider import Provider

PRICES = {"input": 1.0, "output": 2.0, "batch": 0.5}


def mixture(folder: Path, server: BatchServer, **fields: Any) -> Path:
    def spec(name: str) -> dict[str, Any]:
        return {"model": f"openai:{name}", "base_url": server.url}

    names = ("one", "two", "agg")
    whole = {
        "proposers": [spec("one"), spec("two")],
        "aggregator": spec("agg"),
        "layers": 3,
        "prices": {f"openai:{name}": PRICES for name in names},
        **fields,
    }
    path = folder / "mine.yaml"
    path.write_text(json.dumps(whole))
    return path


def ask(folder: Path, file: Path, name: str, *options: str, questions: int = 6) -> tuple[int, list[dict[str, Any]]]:
    source, target = folder / "in.jsonl", folder / f"{name}.jsonl"
    source.write_text("".join(json.dumps(f"Question {n}?") + "\n" for n in range(questions)))
    code = main(["batch", str(source), str(target), "-f", str(file), "-q", "--drafts", *options])
    rows = [json.loads(line) for line in target.read_text().splitlines()] if target.exists() else []
    return code, rows


def in_batches(server: BatchServer, *more: str) -> tuple[str, ...]:
    return ("--batch-api", "--batch-host", server.host, "--batch-poll", "0.05", *more)


def without_cost(rows: list[dict[str, Any]]) -> list[Any]:
    return [{**row, "cost": None, "drafts": [{**draft, "cost": None} for draft in row["drafts"]]} for row in rows]


def test_a_batch_without_a_batch_api_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with BatchServer() as server:
        file = mixture(tmp_path, server)
        assert ask(tmp_path, file, "direct", "--batch-api", questions=1)[0] == 0
        assert "no model of this run is at a host with a Batch API" in capsys.readouterr().err
        assert ask(tmp_path, file, "batched", *in_batches(server), questions=1)[0] == 0
        assert not capsys.readouterr().err


def test_without_a_batch_api_no_more_questions_run_at_once_than_without_the_option(
    tmp_path: Path, provider: Provider
) -> None:
    model = {"model": "openai:echo-100ms", "base_url": provider.url}
    (tmp_path / "slow.yaml").write_text(json.dumps({"proposers": [model], "aggregator": model, "layers": 1}))
    assert ask(tmp_path, tmp_path / "slow.yaml", "direct", "--batch-api", questions=40)[0] == 0
    assert provider.stats()["peak"] <= 16


@pytest.mark.parametrize("together", [False, True])
def test_the_answers_are_those_of_the_direct_way_at_half_the_price(
    tmp_path: Path, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BatchServer(together=together) as server:
        if together:
            monkeypatch.setattr(endpoints, "_TOGETHER", "127.0.0.1")
        file = mixture(tmp_path, server)
        code, direct = ask(tmp_path, file, "direct")
        assert code == 0 and sum(server.state.direct.values()) == 6 * 5
        server.state.direct.clear()
        code, batched = ask(tmp_path, file, "batched", *in_batches(server))
        assert code == 0 and not server.state.direct
        assert without_cost(batched) == without_cost(direct)
        assert sum(r["cost"] for r in batched) == pytest.approx(sum(r["cost"] for r in direct) / 2)
        # Two models in each of two rounds, and the aggregator: each layer of each model is one batch.
        assert len(server.state.batches) == 5 and set(server.state.run.values()) == {1}


def test_a_model_of_the_responses_api_is_in_the_batch_as_well(tmp_path: Path) -> None:
    """LangChain calls every model whose name has "codex" through it, and a batch takes chat completions."""
    with BatchServer() as server:
        codex = {"model": "openai:codex", "base_url": server.url}
        file = mixture(tmp_path, server, proposers=[codex], aggregator=codex, layers=2)
        code, rows = ask(tmp_path, file, "batched", *in_batches(server))
        assert code == 0 and not server.state.direct and len(server.state.batches) == 2
        assert {draft["status"] for row in rows for draft in row["drafts"]} == {"ok"}


@pytest.mark.parametrize(
    "faults",
    [{"lose": 4}, {"drop": 5}, {"expire": 2}, {"refuse": 6}, {"seconds": 0.6}],
    ids=lambda each: next(iter(each)),
)
def test_unanswered_requests_are_sent_in_another_batch(tmp_path: Path, faults: dict[str, Any]) -> None:
    with BatchServer() as plain:
        _, direct = ask(tmp_path, mixture(tmp_path, plain), "direct")
    with BatchServer(**faults) as server:
        code, batched = ask(tmp_path, mixture(tmp_path, server), "batched", *in_batches(server))
        assert code == 0 and not server.state.direct
        assert [row["answer"] for row in batched] == [row["answer"] for row in direct]
        assert set(server.state.run.values()) == {1}


def test_unanswered_requests_are_sent_directly_if_wanted(tmp_path: Path) -> None:
    with BatchServer(expire=1, lose=3) as server:
        code, rows = ask(tmp_path, mixture(tmp_path, server), "batched", *in_batches(server, "--batch-direct"))
        assert code == 0 and all(row["answer"] for row in rows)
        assert server.state.direct and set(server.state.run.values()) == {1}


def test_a_batch_that_fails_says_why(tmp_path: Path) -> None:
    with BatchServer(fail=100) as server:
        code, rows = ask(tmp_path, mixture(tmp_path, server), "batched", *in_batches(server))
        assert code == 1 and all("a file of one model" in row["error"]["message"] for row in rows)


MALFORMED = {
    "a file without an id": {"POST files": ({"object": "file"},)},
    "a file that is a list": {"POST files": ([],)},
    "a file that is no JSON": {"POST files": (b"<html>",)},
    "a status that is a list": {"GET batch": ([1],)},
    "a status without a state": {"GET batch": ({"id": "b"},)},
    "a state of another type": {"GET batch": ({"status": ["completed"]},)},
    "errors in a list": {"GET batch": ({"status": "failed", "errors": ["no room"]},)},
    "errors in a text": {"GET batch": ({"status": "failed", "errors": "no room"},)},
    "results of another kind": {"GET content": (b'7\n[]\n{"custom_id": []}\n{"custom_id": "x"}\n\xff\n',)},
    "a list without batches": {"GET batches": ({"data": [7, None]},), "POST batches": ({},)},
    "a batch without an id": {"POST batches": ({"object": "batch"},), "GET batches": ("x",)},
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_reply_of_a_batch_api_ends_the_question_with_its_reason(tmp_path: Path, name: str) -> None:
    with BatchServer(instead=MALFORMED[name]) as server:
        code, rows = ask(tmp_path, mixture(tmp_path, server), "batched", *in_batches(server), questions=2)
        assert code == 1 and len(rows) == 2 and all("batch" in row["error"]["message"] for row in rows)


async def test_an_odd_line_costs_no_other_reply() -> None:
    """Statuses that are none, of every kind, beside a reply: each line with a body or an error has a reply."""
    answer, refusal = {"choices": [{"index": 0}]}, {"error": {"message": "no"}}
    odd = [None, 0, -5, "200", "ok", "1e999", [], {}, True, 10**30]
    rows = [{"custom_id": f"{n}", "response": {"status_code": given, "body": answer}} for n, given in enumerate(odd)]
    rows += [{"custom_id": "no", "response": {"status_code": "x", "body": refusal}}, {"custom_id": "none"}, ["x"]]
    content = "\r\n".join(["", *map(json.dumps, rows), "{", "[" * 100_000]).replace('"1e999"', "1e999").encode()
    server = endpoints.Endpoints("http://127.0.0.1:9/v1", {})
    await server.close()
    answers = httpx2.MockTransport(lambda request: httpx2.Response(200, content=content))
    server._http = httpx2.AsyncClient(transport=answers)
    found = await server.replies("file")
    await server.close()
    assert {name: reply.status for name, reply in found.items()} == {
        **{str(n): 200 for n in range(len(odd))}, "no": 500, "none": 500,
    }  # fmt: skip


@pytest.mark.timeout(60)
def test_a_batch_whose_reply_was_lost_is_found(tmp_path: Path) -> None:
    with BatchServer(instead={"POST batches": ({},)}) as server:
        code, rows = ask(tmp_path, mixture(tmp_path, server, layers=1), "batched", *in_batches(server), questions=2)
        assert code == 0 and all(row["answer"] for row in rows) and set(server.state.run.values()) == {1}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", ["failed", "gone", "forgotten file"])
def test_requests_of_an_earlier_batch_that_is_of_no_use_are_sent_again(tmp_path: Path, how: str) -> None:
    with BatchServer(fail=100) as server:
        file = mixture(tmp_path, server, layers=1)
        code, rows = ask(tmp_path, file, "batched", *in_batches(server), questions=2)
        assert code == 1
        server.state.fail = 0
        if how == "gone":
            server.state.batches.clear()
        elif how == "forgotten file":
            for batch in server.state.batches.values():
                batch |= {"ends": "completed", "errors": None, "later_output_file_id": "file-none"}
        code, rows = ask(tmp_path, file, "batched", *in_batches(server), questions=2)
        assert code == 0 and all(row["answer"] for row in rows) and not server.state.direct


@pytest.mark.timeout(60)
def test_a_batch_that_cannot_be_recorded_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*args: Any) -> None:
        raise ConfigError("ledger: the disk is full")

    monkeypatch.setattr(Store, "uploaded", full)
    with BatchServer() as server:
        code, rows = ask(tmp_path, mixture(tmp_path, server), "batched", *in_batches(server), questions=2)
        assert code == 1 and not server.state.run and all("disk is full" in row["error"]["message"] for row in rows)


def test_a_host_without_a_batch_api_is_called_directly(tmp_path: Path) -> None:
    with BatchServer() as server, BatchServer() as other:
        file = mixture(tmp_path, server, aggregator={"model": "openai:agg", "base_url": other.url})
        code, rows = ask(tmp_path, file, "batched", *in_batches(server))
        assert code == 0 and all(row["answer"] for row in rows)
        assert not server.state.direct and sum(other.state.direct.values()) == 6 and not other.state.batches


def test_samples_share_a_request_of_a_batch(tmp_path: Path) -> None:
    with BatchServer() as server:
        one = {"model": "openai:one", "base_url": server.url, "samples": 4, "one_request": True}
        file = mixture(tmp_path, server, proposers=[one])
        code, rows = ask(tmp_path, file, "batched", *in_batches(server))
        assert code == 0 and len(rows[0]["drafts"]) == 8 and len(server.state.batches) == 3
        _, direct = ask(tmp_path, file, "direct")
        assert [row["cost"] for row in rows] == pytest.approx([row["cost"] / 2 for row in direct])


def test_options_that_do_not_go_together_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with BatchServer() as server:
        code, _ = ask(tmp_path, mixture(tmp_path, server), "x", "--batch-direct")
    assert code == 2 and "go with --batch-api" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no open file")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("form", ["http://{}/v1", "{}/v1", ""])
def test_an_address_in_place_of_a_host_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    with BatchServer() as server:
        options = ("--batch-api", "--batch-host", form.format(server.host))
        code, _ = ask(tmp_path, mixture(tmp_path, server), "batched", *options, questions=1)
        assert code == 2 and "--batch-host: expected host:port" in capsys.readouterr().err
        assert not server.state.direct


def test_batches_are_found_again_though_their_ledger_was_removed_while_they_ran(tmp_path: Path) -> None:
    with BatchServer(seconds=1e9) as server:
        file, ledger = mixture(tmp_path, server, layers=1), tmp_path / "l.db"
        options = in_batches(server, "--ledger", str(ledger))
        (tmp_path / "in.jsonl").write_text('"Question 0?"\n')
        command = [sys.executable, "-m", "moa_graph", "batch", "in.jsonl", "x.jsonl", "-f", str(file), "-q", *options]
        run = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        try:
            wait_for(lambda: ledger.exists() and roles(ledger) >= {"batch"})
            for each in tmp_path.glob("l.db*"):
                each.unlink()
            wait_for(ledger.exists)
            wait_for(lambda: roles(ledger) >= {"batch"})
        finally:
            run.kill()
            run.wait()
        server.state.seconds = 0.0
        for batch in server.state.batches.values():
            batch["ready"] = 0.0
        code, rows = ask(tmp_path, file, "x", *options, questions=1)
        assert code == 0 and rows[0]["answer"] and len(server.state.batches) == 1


def roles(ledger: Path) -> set[str]:
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        try:
            return {row[0] for row in db.execute("SELECT role FROM calls")}
        except sqlite3.OperationalError:
            return set()


def wait_for(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_run_waits_for_its_batches_and_pays_no_call_twice(tmp_path: Path) -> None:
    found = batches.measure(tmp_path, prompts=10, kills=3)
    assert found["batch_kills"] >= 2 and found["batch_exit_code"] == 0
    assert (found["batch_lost"], found["batch_paid_twice"], found["batch_price_ratio"]) == (0, 0, 0.5)
    assert found["batch_equal"]
