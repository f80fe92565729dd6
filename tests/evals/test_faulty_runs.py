"""Runs that must fail: the errors before anything is paid, and the exit codes."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from moa_graph.costs import ledger_file
from moa_graph.costs.ledger import Ledger
from moa_graph.costs.ledger_file import connect
from moa_graph.evals.reports.run_report import main_score, per_answer
from moa_graph.evals.systems.mixture import ModelSystem
from moa_graph.evals.systems.paid_calls import Payer
from moa_graph.mixture.proposer import Proposer
from tests.evals import bench
from tests.evals.bench import mixture, moa, scores
from tests.provider import Provider

pytestmark = pytest.mark.usefixtures("small")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"instruction": "Question 0?"}, "row 3: same instruction as row 1"),
        ({"generator": None}, "row 3: 'generator' is missing or is not text"),
        ({"output": None}, "row 3: 'output' is missing or is not text"),
        ({"instruction": 7}, "row 3: 'instruction' is missing or is not text"),
    ],
)
def test_a_faulty_reference_file_is_told_before_anything_is_paid(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str], change: dict[str, Any], reason: str
) -> None:
    rows: list[dict[str, Any]] = [{**row} for row in bench.references(3)]
    rows[2] |= change
    file = tmp_path / "reference.json"
    file.write_text(json.dumps([{k: v for k, v in row.items() if v is not None or k == "output"} for row in rows]))
    solo = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, "--judge", "openai:judge=0.7")
    assert moa(*solo, "--judge-url", provider.url, "--reference", file, "--out", tmp_path / "run") == 2
    told = capsys.readouterr().err
    assert f"reference.json, {reason}" in told
    assert "emove" in told
    assert provider.stats()["requests"] == 0


@pytest.mark.parametrize("kind", ["alpaca", "mt-bench", "flask"])
def test_a_judge_that_never_judges_is_an_error(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """A wrong key of the judge is one line, and the exit code shows that there are no figures."""
    judge = ("--judge", "openai:judge=0.7-err401", "--judge-url", provider.url)
    assert moa(kind, "-m", "openai:solo", "--base-url", provider.url, *judge, "--out", tmp_path / "run") == 1
    told = capsys.readouterr().err
    assert told.count("loopback says 401") == 1
    assert "there is no readable verdict of openai:judge=0.7-err401" in told
    assert scores(tmp_path / "run")["answered"] > 0


def full(path: Path, **options: int) -> sqlite3.Connection:
    """Open a ledger that takes no further call."""
    db = connect(path, **options)
    db.execute("CREATE TEMP TRIGGER f BEFORE INSERT ON main.calls BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
    return db


def test_a_ledger_that_cannot_be_written_ends_the_run(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Further calls would be paid for and lost, so the run ends after the first answer."""
    out = tmp_path / "run"
    args = ("alpaca", "-f", mixture(tmp_path, provider), "--judge", "none", "--concurrency", 1, "--out", out)
    assert moa(*args, "--ids", "0") == 0
    monkeypatch.setattr(ledger_file, "connect", full)
    before = provider.stats()["requests"]
    assert moa(*args) == 3
    assert "ledger.db: disk is full" in capsys.readouterr().err
    assert provider.stats()["requests"] - before == 3


def test_a_result_that_cannot_be_written_is_told_with_the_way_out(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a disk that is full at the end of the run: the calls are paid and recorded."""
    out = tmp_path / "run"
    (out / "scores.json").mkdir(parents=True)
    args = ("alpaca", "-f", mixture(tmp_path, provider), "--judge", "none", "--ids", "0", "--out", out)
    assert moa(*args) == 3
    said = capsys.readouterr().err
    assert "scores.json cannot be written: Is a directory. Make room, or choose another folder, and run again" in said
    sent = provider.stats()["requests"]
    (out / "scores.json").rmdir()
    assert moa(*args) == 0
    assert provider.stats()["requests"] == sent


def test_a_folder_of_version_0_1_0_goes_on(tmp_path: Path, provider: Provider) -> None:
    """Its `run.json` has neither a jury nor Batch APIs."""
    out = tmp_path / "run"
    judge = ("--judge", "openai:judge=0.7", "--judge-url", provider.url)
    args = ("alpaca", "-f", mixture(tmp_path, provider), *judge, "--ids", "0", "--out", out)
    assert moa(*args) == 0
    manifest = json.loads((out / "run.json").read_text())
    del manifest["jury"], manifest["batch_api"]
    (out / "run.json").write_text(json.dumps(manifest))
    sent = provider.stats()["requests"]
    assert moa(*args) == 0
    assert provider.stats()["requests"] == sent


def test_a_call_keeps_its_key_whatever_does_not_concern_one_call(tmp_path: Path) -> None:
    """Version 0.1.0 did not know `one_request`: with it in the keys, verdicts and answers would be paid for again."""
    with Ledger(tmp_path / "ledger.db", run="alpaca") as ledger:
        payer = Payer(ledger)
        specs = [Proposer(model="openai:solo"), Proposer(model="openai:solo", samples=4, one_request=True)]
        assert len({payer._key(spec, [], "0", "judge", 0, 0, None, None)[1] for spec in specs}) == 1
        kept: Any = ModelSystem(specs[0], payer).identity["model"]
        assert "one_request" not in kept


def test_files_of_an_earlier_run_do_not_stand_beside_new_scores(tmp_path: Path, provider: Provider) -> None:
    out = tmp_path / "run"
    judge = ("--judge", "openai:judge=0.7-err400x1", "--judge-url", provider.url)
    args = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, *judge, "--out", out)
    for item, code, judged in ((0, 1, False), (0, 0, True), (1, 1, False)):
        assert moa(*args, "--ids", item) == code
        assert (out / "annotations.json").exists() is judged


def test_figures_for_each_answer_leave_out_what_was_not_answered(tmp_path: Path, provider: Provider) -> None:
    """MT-Bench has two answers per item; an item without answers is not counted."""
    judge = ("--judge", "openai:say=[[7]]", "--judge-url", provider.url)
    prices = ("--price", "openai:solo=10,10", "--price", "openai:say=[[7]]=1,1")
    args = ("mt-bench", "-m", "openai:solo", "--base-url", provider.url, *judge, *prices, "--out", tmp_path / "run")
    assert moa(*args) == 0
    found, timing = scores(tmp_path / "run"), json.loads((tmp_path / "run/timing.json").read_text())
    seconds, dollars = per_answer(found, timing)
    assert found["answers"] == 4
    assert dollars == pytest.approx(found["generation"]["cost"] / 4)
    assert seconds == pytest.approx(sum(entry["generation"] for entry in timing.values()) / 4)
    assert per_answer({**found, "answers": 0}, timing) == (None, None)


def test_the_mean_of_flask_has_an_interval(tmp_path: Path, provider: Provider) -> None:
    review = "{'logical correctness': 4, 'readability': 2, 'Conciseness': 3}".replace(",", "%2C")
    judge = ("--judge", f"openai:say={review}", "--judge-url", provider.url)
    out = tmp_path / "run"
    assert moa("flask", "-m", "openai:solo", "--base-url", provider.url, *judge, "--out", out) == 0
    name, value, width = main_score(scores(out)) or ("", 0.0, None)
    assert (name, value, width) == ("mean", 3, [1, 5])  # two items: the interval is the whole scale
    assert "interval" in scores(out)["cautions"]
