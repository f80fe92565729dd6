"""`tune` in Python: real graphs on models in this process."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmarks.combine.models import recorded
from moa_graph import ConfigError, InputError, MoAError, create_moa
from moa_graph.evals.tune import Pool, TuneResult, atune, tune
from tests.tune.fakes import CALLS, Sums, prompts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def pool(right: tuple[float, ...] = (0.8, 0.7, 0.6), **fields: Any) -> Pool:
    models = [Sums(model=f"m{n}", right=share) for n, share in enumerate(right)]
    return Pool(models=models, prices={f"m{n}": [100.0, 100.0] for n in range(len(right))}, **fields)


def run(tmp_path: Path, many: int = 60, **given: Any) -> TuneResult:
    CALLS.clear()
    options: dict[str, Any] = {"ledger": tmp_path / "drafts.db", "paid": False, "samples": 3, **given}
    return tune(prompts(many), pool=options.pop("pool", None) or pool(), **options)


def paid(tmp_path: Path) -> int:
    with closing(sqlite3.connect(tmp_path / "drafts.db")) as db:
        return int(db.execute("SELECT count(*) FROM calls").fetchone()[0])


def test_drafts_are_paid_once_for_all_runs_and_folders(tmp_path: Path) -> None:
    """Another folder, other options, a larger file and more drafts ask only for what is new."""
    first = run(tmp_path, out=tmp_path / "one")
    assert sum(CALLS.values()) == paid(tmp_path) == 60 * 3 * 3
    again = run(tmp_path, out=tmp_path / "two", seed=5, worth=2.0)
    assert sum(CALLS.values()) == 0
    assert again.ceiling.oracle == pytest.approx(first.ceiling.oracle)
    run(tmp_path, many=70)
    assert sum(CALLS.values()) == 10 * 3 * 3
    run(tmp_path, samples=4)
    assert sum(CALLS.values()) == 60 * 3


def test_folders_and_files_may_be_texts(tmp_path: Path) -> None:
    """As docs/tune.md writes them."""
    found = run(tmp_path, many=8, samples=1, out=str(tmp_path / "runs/mine"), ledger=str(tmp_path / "drafts.db"))
    assert found.folder == tmp_path / "runs/mine"
    assert (tmp_path / "runs/mine/report.html").exists()


def test_only_the_last_step_of_a_candidate_is_paid(tmp_path: Path) -> None:
    """Every call beside the drafts is an aggregator's, a judge's, an analyst's, a reviewer's or a second round's."""
    found = run(tmp_path, many=24, paid=True)
    with closing(sqlite3.connect(tmp_path / "drafts.db")) as db:
        roles = dict(db.execute("SELECT role, count(*) FROM calls GROUP BY role").fetchall())
        again = db.execute("SELECT count(*) FROM calls WHERE role = 'proposer' AND layer = 1").fetchone()[0]
    assert again == 24 * 3 * 3
    assert {"aggregator", "judge", "analyst"} <= set(roles)
    kinds = {each.plan.kind for each in found.measured}
    assert {"single", "vote", "medoid", "escalate", "synthesize", "select", "analyze", "critique", "layers"} <= kinds
    assert all(each.status in ("measured", "stopped") for each in found.measured)
    # The writer copies its first draft, so its answers are that model's.
    assert sum(CALLS.values()) == sum(roles.values())
    run(tmp_path, many=24, paid=True)
    assert sum(CALLS.values()) == 0


def test_the_computed_answers_are_those_of_the_graph(tmp_path: Path) -> None:
    found = run(tmp_path)
    assert found.replayed["prompts"] == found.replayed["same"] == 60
    assert sum(CALLS.values()) == 60 * 9


def test_self_votes_win_where_errors_are_luck(tmp_path: Path) -> None:
    """One model that is right in 7 of 10 drafts, wrong ones all different: a vote of its own drafts is far better."""
    found = run(tmp_path, many=150, pool=pool((0.7,)), samples=9)
    assert found.verdict == "mixture"
    assert "vote: m0" in found.winner.plan.name
    assert found.winner.scores.mean() > 0.9 > found.best_single.scores.mean()
    graph = create_moa(found.mixture)
    question = {"messages": "What is 400 + 401?"}
    record = graph.invoke(question)["record"]
    assert record["mixture"] == found.mixture.hash
    assert record["calls"] > 1


def test_equal_models_that_never_err_need_no_mixture(tmp_path: Path) -> None:
    found = run(tmp_path, many=100, pool=pool((1.0, 1.0, 0.2)))
    assert found.verdict == "single"
    assert found.ceiling.gain == 0
    assert found.mixture.calls() == 1
    assert found.sentence.startswith("Do not use a mixture; use m")


def test_a_check_in_python_grades(tmp_path: Path) -> None:
    """Of the prompt and the text, or the text alone, async too; its scores may lie between 0 and 1."""

    async def near(prompt: Any, text: str) -> float:
        return 1.0 if prompt.gold[0] in text else 0.25

    found = run(tmp_path, check=near)
    assert found.best_single.scores.min() + 0.3 > 0.25
    short = run(tmp_path, check=lambda text: len(text) < 100)
    assert short.best_single.scores.mean() == 1
    with pytest.raises(InputError, match="returned the score 7"):
        run(tmp_path, check=lambda text: 7)
    with pytest.raises(InputError, match=r"must take \(prompt, text\)"):
        run(tmp_path, check=lambda: True)


def test_a_sweep_is_a_grid(tmp_path: Path) -> None:
    sweep = {"layers": [2, 3], "prompt": ["paper", "fenced"], "aggregator": ["m0", "m2"]}
    found = run(tmp_path, many=12, sweep=sweep)
    names = [each.plan.name for each in found.measured if each.plan.kind not in ("single",)]
    assert "layers=3, prompt=fenced, aggregator=m2" in names
    assert len([name for name in names if name.startswith("layers=")]) == 8
    assert [(row["field"], row["value"]) for row in found.effects] == [
        ("layers", "2"), ("layers", "3"), ("prompt", "paper"), ("prompt", "fenced"), ("aggregator", "m0"),
        ("aggregator", "m2"),
    ]  # fmt: skip
    assert all("p_holm" in row for row in found.effects[1::2])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"many": 2}, "2 prompts are too few"),
        ({"samples": 0}, "samples"),
        ({"samples": 65}, "samples"),
        ({"worth": -1.0}, "worth"),
        ({"colour": 1}, "unknown option 'colour'"),
        ({"limit": 2}, "limit"),
        ({"limit": "5"}, "limit"),
        ({"max_cost": "5"}, "max_cost"),
        ({"seed": 1.5}, "seed: 1.5 is not a whole number"),
        ({"concurrency": 1.5}, "concurrency: 1.5 is not a whole number"),
        ({"limit": True}, "limit"),
        ({"out": 5}, "out: 5 is not a path"),
        ({"judge": 5}, "judge: 5 is not a model"),
        ({"criteria": 5}, "criteria: 5 is not text"),
        ({"pool": 3}, "pool: give a file, a `Pool` or a list of models, not 3"),
        ({"paid": "no"}, "paid"),
        ({"check": 3}, "check: 3 is neither a command nor a function"),
        ({"sweep": ["layers=2"]}, "sweep"),
        ({"sweep": {"layers": 2}}, "sweep: 'layers' is not a field with a list"),
        ({"sweep": {"colour": [1]}}, "sweep: 'colour'"),
        ({"sweep": {"aggregator": ["nobody"]}}, "nobody"),
        ({"sweep": {"layers": [2, 3, 2]}}, "sweep: layers: a value is given twice"),
        ({"sweep": {"draft_tokens": list(range(100, 167)), "layers": [2, 3, 4]}}, "201 mixtures are too many"),
    ],
)
def test_bad_options_are_refused_before_any_call(tmp_path: Path, given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        run(tmp_path, **given)
    assert sum(CALLS.values()) == 0


def test_bad_pools_and_prompts_are_refused_before_any_call(tmp_path: Path) -> None:
    CALLS.clear()
    same = Sums(model="m", right=1.0)
    for models, told in (([], "empty"), ([same, same], "listed twice"), (["nothing"], "provider:model")):
        with pytest.raises((InputError, ConfigError), match=told):
            tune(prompts(9), pool=models, ledger=tmp_path / "drafts.db")
    rows = [*prompts(9), {"id": "open", "prompt": "Why?"}]
    with pytest.raises(InputError, match=r"nothing says what is right for 1 of 10 prompts \(open\)"):
        tune(rows, pool=[same], ledger=tmp_path / "drafts.db")
    with pytest.raises(ConfigError, match="the price of Sums:m is unknown"):
        tune(prompts(9), pool=[same], max_cost=1, ledger=tmp_path / "drafts.db")
    assert sum(CALLS.values()) == 0


def test_models_that_hold_functions_are_tuned_too(tmp_path: Path) -> None:
    """No ledger can tell a closure from another one, and these models count their calls in a field."""

    def saying(text: str) -> Any:
        return lambda messages: text

    models = [recorded("a", saying("5")), recorded("b", saying("6"))]
    rows = [{"prompt": f"{n}?", "gold": "5"} for n in range(8)]
    found = tune(rows, pool=models, samples=1, paid=False, ledger=tmp_path / "drafts.db")
    assert found.best_single.plan.name == "a"
    assert found.ceiling.best_single == 100
    assert [len(model.calls) for model in models] == [8, 8]


def test_a_repeated_prompt_counts_once(tmp_path: Path) -> None:
    rows = [*prompts(9), {**prompts(1)[0], "id": "again"}]
    found = tune(rows, pool=pool(), samples=1, paid=False, ledger=tmp_path / "drafts.db")
    assert len(found.prompts) == 9
    assert "prompts that are in the file twice, counted once: 1" in found.cautions


async def test_inside_an_event_loop_the_async_form_is_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="await atune"):
        run(tmp_path)
    found = await atune(prompts(8), pool=pool(), samples=1, paid=False, ledger=tmp_path / "drafts.db")
    assert len(found.prompts) == 8


def test_the_cap_holds_over_all_stages_and_beginnings(tmp_path: Path) -> None:
    """A draft costs 0.3 cents. The run is begun three times under one cap, which its drafts and candidates share."""
    for _ in range(3):
        found = run(tmp_path, many=40, paid=True, samples=2, max_cost=1.0, concurrency=4)
    with closing(sqlite3.connect(tmp_path / "drafts.db")) as db:
        spent = db.execute("SELECT total(cost) FROM calls WHERE role != 'open'").fetchone()[0]
    assert 0.5 < spent <= 1.0
    assert found.spent["dollars"] == pytest.approx(spent)
    assert any(each.status == "unpaid" for each in found.measured)
    assert any("the cap on cost" in text for text in found.cautions)


def test_a_check_that_raises_refuses_its_answer(tmp_path: Path) -> None:
    """As `verify` takes it. One that raises on every answer stops the run with its words, and the drafts are kept."""

    def strict(prompt: Any, text: str) -> bool:
        if prompt.id in ("q1", "q2"):
            raise ValueError("no number")
        return True

    found = run(tmp_path, many=8, samples=1, check=strict)
    assert found.best_single.scores.sum() == 6
    assert "answers that count as wrong because the check raised an error (ValueError: no number): " in " ".join(
        found.cautions
    )
    with pytest.raises(MoAError, match=r"the check refused every draft\. It wrote: ZeroDivisionError"):
        run(tmp_path, many=8, samples=1, check=lambda prompt, text: 1 / 0)
    assert sum(CALLS.values()) == 0


def test_an_unknown_price_of_a_call_that_is_not_made_is_no_warning(tmp_path: Path) -> None:
    """Votes that stop early, of models without a price: their cost is unknown, and numpy warns of nothing."""
    found = run(tmp_path, many=12, pool=[Sums(model=f"m{n}", right=0.9) for n in range(3)])
    assert {each.cost for each in found.measured} == {None}
