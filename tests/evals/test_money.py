"""The cost of a run: caps, unknown costs, prices that become known later, and no recorded call paid again."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from moa_graph.cli import main
from tests.evals.bench import mixture, moa, scores
from tests.provider import Provider

pytestmark = pytest.mark.usefixtures("small")
JUDGE = "openai:judge=0.7"


def solo(provider: Provider, model: str, out: Path, *, judge: str = "none") -> tuple[object, ...]:
    asked = ("alpaca", "-m", f"openai:{model}", "--base-url", provider.url, "--out", out)
    return (*asked, "--judge", judge, *(() if judge == "none" else ("--judge-url", provider.url)))


def priced(*models: str, rate: float = 1000.0) -> list[str]:
    return [part for model in models for part in ("--price", f"openai:{model}={rate},{rate}")]


def spent(out: Path) -> float:
    found = scores(out)
    return float(found["generation"]["cost"] + found["judging"]["cost"])


def test_the_cap_counts_replies_that_earlier_runs_paid_for_in_vain(tmp_path: Path, provider: Provider) -> None:
    """Empty answers are billed and not recorded, so that every run asks for them again."""
    model, out = "solo-empty-cost=0.1", tmp_path / "run"
    args = (*solo(provider, model, out), *priced(model, rate=1.0), "--max-cost", 1.45)
    for _ in range(4):
        assert moa(*args) == 1
    assert provider.stats()["requests"] == 14
    assert moa(*args, "--max-cost", 2.05) == 1
    assert provider.stats()["requests"] == 20


def test_the_cap_counts_answers_that_are_made_again(tmp_path: Path, provider: Provider) -> None:
    """A draft that failed is asked for again, and then the answer: the first answer is paid for too."""
    pair, out = mixture(tmp_path, provider, two="openai:two-err400x1-cost=0.1", aggregator="openai:agg-cost=0.5"), "run"
    prices = priced("one-tok=4", "two-err400x1-cost=0.1", "agg-cost=0.5", rate=0.0)
    args = ("alpaca", "-f", pair, "--judge", "none", "--out", tmp_path / out, *prices)
    assert moa(*args, "--max-cost", 3.2) == 0
    assert scores(tmp_path / out)["degraded"] == 6
    # The answers of the first run took 3 dollars. The second pays 0.6 for each item, and the cap leaves room for four.
    assert moa(*args, "--max-cost", 5.5, "--concurrency", 1) == 0
    asked = [request.model for request in provider.requests()]
    assert (asked.count("agg-cost=0.5"), asked.count("two-err400x1-cost=0.1")) == (10, 10)
    assert scores(tmp_path / out)["degraded"] == 2
    assert moa(*args, "--max-cost", 6.7, "--concurrency", 1) == 0
    assert scores(tmp_path / out)["degraded"] == 0 and spent(tmp_path / out) == pytest.approx(3.6)


@pytest.mark.parametrize(("two", "first", "more"), [("two-err401", 3.0, 0.0), ("two-empty-cost=0.1", 3.6, 0.6)])
def test_what_is_found_again_is_not_counted_again(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str], two: str, first: float, more: float
) -> None:
    """Where the same draft fails in every run, the answer is found again; only a reply that is not recorded is paid."""
    pair = mixture(tmp_path, provider, two=f"openai:{two}", aggregator="openai:agg-cost=0.5")
    prices = priced("one-tok=4", two, "agg-cost=0.5", rate=0.0)
    for runs in range(3):
        capsys.readouterr()
        args = ("--judge", "none", "--out", tmp_path / "run", *prices, "--max-cost", 9)
        assert moa("alpaca", "-f", pair, *args) == 0
        assert f"6/6 items, ${first + runs * more:.4f}" in capsys.readouterr().err
    assert len(provider.requests("agg-cost=0.5")) == 6


def test_a_combiners_own_calls_count_where_the_aggregator_fails(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are paid for and recorded; a run that is repeated finds them, and counts them once."""
    analyst = {"model": "openai:one-tok=4", "base_url": provider.url}
    fields = {"combine": {"name": "analyze", "analyst": analyst}, "on_failure": "error", "prices": 1000.0}
    pair = mixture(tmp_path, provider, aggregator="openai:agg-err400", **fields)
    (tmp_path / "in.jsonl").write_text('{"id": "q", "prompt": "Why?", "gold": "x"}\n')
    batch = ("batch", tmp_path / "in.jsonl", tmp_path / "out.jsonl", "-f", pair)
    run = ("eval", "run", tmp_path / "in.jsonl", "-f", pair, "--out", tmp_path / "run")
    for command, ledger in ((batch, tmp_path / "out.jsonl.ledger"), (run, tmp_path / "run/ledger.db")):
        for _ in range(3):
            assert main([*map(str, command), "--max-cost", "9"]) == 1
            said = capsys.readouterr().err
            with closing(sqlite3.connect(ledger)) as db:
                paid = db.execute("SELECT sum(cost) FROM calls WHERE role IN ('proposer', 'analyst')").fetchone()[0]
            assert paid > 0 and f"${paid:.4f}" in said, said
    assert len(provider.requests("one-tok=4")) == 4 and len(provider.requests("agg-err400")) == 6


def test_a_call_of_unknown_cost_is_booked_and_ends_no_run(tmp_path: Path, provider: Provider) -> None:
    """Calls that hang until the deadline may be billed: each item counts as the most expensive one."""
    model, out = "solo-hangx1-p=0.5", tmp_path / "run"
    args = (*solo(provider, model, out), "--deadline", 5, *priced(model, rate=1.0), "--max-cost", 1)
    assert moa(*args) == 0
    found = scores(out)
    assert 0 < found["items_of_unknown_cost"] == found["items_with_failures"] == 6 - found["answered"] < 6
    assert (out / "report.md").exists()
    assert moa(*args) == 0
    assert (scores(out)["answered"], scores(out)["items_of_unknown_cost"]) == (6, 0)


def test_a_cap_below_one_item_is_said_and_nothing_is_sent(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every item is left out, so no other items are spoken of."""
    assert moa(*solo(provider, "solo", tmp_path / "run"), *priced("solo"), "--max-cost", 0.001) == 1
    err = capsys.readouterr().err
    assert "--max-cost is less than one item is expected to cost" in err and "--dry-run" in err
    assert "random draw" not in err and not provider.requests()


def test_unknown_costs_count_against_the_cap(tmp_path: Path, provider: Provider) -> None:
    """One at a time, every call unknown, each expected to cost more than a third of the cap: two are asked."""
    out = tmp_path / "run"
    args = (*solo(provider, "solo-hang", out), "--deadline", 1, *priced("solo-hang"), "--concurrency", 1)
    assert moa(*args, "--max-cost", 1.8) == 1
    assert scores(out)["skipped_for_cost"] == 4
    assert len(provider.requests("solo-hang")) == 2


def test_prices_that_come_later_hold_for_what_is_recorded(tmp_path: Path, provider: Provider) -> None:
    out = tmp_path / "model"
    args = solo(provider, "solo", out, judge=JUDGE)
    assert moa(*args) == 0
    assert scores(out)["generation"]["cost"] is None
    paid = provider.stats()["requests"]
    assert moa(*args, *priced("solo", "judge=0.7", rate=2.0), "--max-cost", 1) == 0
    took = scores(out)["generation"]
    assert took["cost"] == pytest.approx(2 * (took["input_tokens"] + took["output_tokens"]) / 1e6)
    pair, names = tmp_path / "mixture", ("one-tok=4", "two-tok=4", "agg-tok=6")
    args = ("alpaca", "-f", mixture(tmp_path, provider), "--judge", "none", "--out", pair)
    assert moa(*args) == 0
    assert scores(pair)["generation"]["cost"] is None
    paid = paid + 18
    assert moa(*args, *priced(*names, rate=3.0), "--max-cost", 1) == 0
    took = scores(pair)["generation"]
    assert took["cost"] == pytest.approx(3 * (took["input_tokens"] + took["output_tokens"]) / 1e6)
    assert provider.stats()["requests"] == paid


def test_a_cost_that_the_provider_named_stays(tmp_path: Path, provider: Provider) -> None:
    args = solo(provider, "solo-cost=0.01", tmp_path / "run")
    for more in ((), priced("solo-cost=0.01")):
        assert moa(*args, *more) == 0
        assert scores(tmp_path / "run")["generation"]["cost"] == pytest.approx(0.06)


def test_a_cap_waits_for_what_is_under_way(tmp_path: Path, provider: Provider) -> None:
    """Two items are expected to fill the cap, and really cost a fraction: all are answered."""
    args = solo(provider, "solo-tok=4-20ms", tmp_path / "run")
    assert moa(*args, *priced("solo-tok=4-20ms"), "--max-cost", 1.5, "--concurrency", 6) == 0
    assert (scores(tmp_path / "run")["skipped_for_cost"], scores(tmp_path / "run")["answered"]) == (0, 6)
    assert spent(tmp_path / "run") < 1.5


def test_what_is_recorded_passes_any_cap(tmp_path: Path, provider: Provider) -> None:
    """Also if judging would exceed it: then the answers stay, and only verdicts are missing."""
    for name, args in (
        ("model", solo(provider, "solo-tok=4", tmp_path / "model")),
        ("mixture", ("alpaca", "-f", mixture(tmp_path, provider, prices=1000.0), "--judge", "none")),
    ):
        out = tmp_path / name
        run = (*args, "--out", out, *priced("solo-tok=4", "judge=0.7"))
        assert moa(*run) == 0
        whole, paid = spent(out), provider.stats()["requests"]
        assert moa(*run, "--max-cost", whole / 2) == 0
        assert (scores(out)["answered"], scores(out)["skipped_for_cost"]) == (6, 0)
        judged = [JUDGE if option == "none" else option for option in run]
        assert moa(*judged, "--judge-url", provider.url, "--max-cost", whole / 2) == 1
        assert (scores(out)["answered"], scores(out)["skipped_for_cost"]) == (6, 6)
        assert len(json.loads((out / "model_outputs.json").read_text())) == 6
        assert provider.stats()["requests"] == paid


@pytest.mark.parametrize("kind", ["mt-bench", "flask", "alpaca"])
def test_another_seed_pays_for_no_answer_again(tmp_path: Path, provider: Provider, kind: str) -> None:
    """A seed chooses the draw and the order shown; only another order is another question."""
    says = {"mt-bench": "[[7]]", "flask": "{'Logical Correctness': 4, 'Readability': 4}", "alpaca": "m"}[kind]
    judge = ("--judge", f"openai:say={quote(says)}", "--judge-url", provider.url)
    args = (kind, "-m", "openai:solo", "--base-url", provider.url, *judge, "--out", tmp_path / "run")
    for seed in (0, 1, 0):
        moa(*args, "--seed", seed)
    generated = {"mt-bench": 4, "flask": 2, "alpaca": 6}[kind]
    assert len(provider.requests("solo")) == generated
    judged = provider.stats()["requests"] - generated
    assert judged <= 2 * generated if kind == "alpaca" else judged == generated


def test_a_degraded_answer_is_kept_where_nothing_more_may_be_asked(tmp_path: Path, provider: Provider) -> None:
    """It would be requested again if the cap allowed it; otherwise the paid answer is kept."""
    file = mixture(tmp_path, provider, two="openai:two-err401", prices=1000.0)
    args = ("alpaca", "-f", file, "--judge", "none", "--out", tmp_path / "run")
    assert moa(*args) == 0
    paid = provider.stats()["requests"]
    assert moa(*args, "--max-cost", spent(tmp_path / "run") / 2) == 0
    found = scores(tmp_path / "run")
    assert (found["answered"], found["degraded"], found["skipped_for_cost"]) == (6, 6, 0)
    assert provider.stats()["requests"] == paid


def test_an_aggregator_that_hangs_may_be_billed(tmp_path: Path, provider: Provider) -> None:
    file = mixture(tmp_path, provider, aggregator="openai:agg-hang", prices=1000.0)
    args = ("alpaca", "-f", file, "--judge", "none", "--deadline", 1, "--limit", 2, "--out", tmp_path / "run")
    assert moa(*args) == 1
    assert (scores(tmp_path / "run")["items_of_unknown_cost"], scores(tmp_path / "run")["items"]) == (2, 2)
