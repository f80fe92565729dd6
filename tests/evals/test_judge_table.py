"""The judge table on small cases: unreadable verdicts, several runs, intervals, both file formats."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from moa_graph.evals.data.files import Row
from moa_graph.evals.figures import formatted
from moa_graph.evals.judge_table import table as meta
from moa_graph.evals.judge_table import votes as meta_data
from moa_graph.evals.judge_table.figures import judge_figures
from moa_graph.evals.judge_table.votes import Humans, Pair, RecordedJudge
from moa_graph.evals.reports import comparison_report as compare_pages
from tests.evals.bench import moa
from tests.evals.test_findings import printed, write


def four_pairs() -> Humans:
    """Four pairs whose humans agree on 1, 1, 2, 2; the first output is the longer one."""
    return Humans(
        {(str(n),): Pair((str(n),), "x" * 90, "y", [vote] * 3) for n, vote in enumerate((1.0, 1.0, 2.0, 2.0))}, runs=3
    )


def judged(*verdicts: list[float | None]) -> RecordedJudge:
    return RecordedJudge("j", {(str(n),): runs for n, runs in enumerate(verdicts)})


def test_one_unreadable_verdict_costs_its_pair_and_nothing_else() -> None:
    """Two runs over four pairs, one verdict unreadable: bias and variance are those of the other three pairs."""
    row = meta.rate(judged([1, None], [1, 1], [1, 1], [2, 1]), four_pairs())
    assert (row.n, row.runs, row.parsed, row.parse_failures) == (4, 2, 7, 1)
    assert row.columns["bias"] == pytest.approx(100 / 3)  # only the third pair's majority is wrong
    assert row.columns["variance"] == pytest.approx(100 / 3)  # only the last pair's runs differ
    assert row.columns["human_agreement"] == pytest.approx(100 * (1 + 1 + 0 + 0.5) / 4)
    assert set(row.reasons) == {"price_per_1000", "time_per_1000", "spearman", "pearson"}


def test_the_reason_for_no_bias_is_the_true_one() -> None:
    """One run is too few; two runs in which no pair has two readable verdicts get another reason."""
    assert meta.rate(judged([1], [1], [2], [2]), four_pairs()).reasons["bias"] == meta.NO_RUNS
    apart = meta.rate(judged([1, None], [None, 1], [None, None], [2, None]), four_pairs())
    assert (apart.n, apart.runs, apart.parse_failures) == (3, 2, 5)
    assert apart.reasons["bias"] == apart.reasons["variance"] == meta.NO_REPEATS
    # A pair whose texts occur twice in the file does not make one run two.
    assert meta.rate(judged([1, 1], [1], [2], [2]), four_pairs()).runs == 1
    assert meta.rate(RecordedJudge("none", {}), four_pairs()).reasons["human_agreement"] == meta.NO_VERDICTS


def test_a_judge_of_ties_is_not_told_that_the_outputs_are_of_one_length() -> None:
    """The outputs of these pairs do differ: by 89 characters."""
    row = meta.rate(judged([1.5], [1.5], [1.5], [1.5]), four_pairs())
    assert row.reasons["prefer_longer"].startswith("no verdict is for one of two outputs")
    # A judge that was asked now has no file.
    assert row.reasons["time_per_1000"] == "the verdicts have no times"


def test_kappa_with_weighted_votes_rounds_both_sides() -> None:
    """A weighted judge as the reference: votes between 1 and 2 stand for the nearer side, as verdicts do."""
    votes = (1.1, 1.2, 1.9, 1.8)
    humans = Humans({(str(n),): Pair((str(n),), "x", "y", [vote]) for n, vote in enumerate(votes)}, runs=1)
    assert meta.rate(judged([1], [1], [2], [2]), humans).kappa == {"majority": 1, "human 1": 1}


def many_pairs(*, right: float, seed: int = 1) -> tuple[Humans, RecordedJudge]:
    """Five systems of 60 pairs, better from one to the next; a judge with two runs that is `right` that often."""
    rng = random.Random(seed)
    humans = Humans({}, runs=3)
    verdicts: dict[meta_data.Key, list[float | None]] = {}
    for number in range(300):
        system, key = number // 60, (str(number),)
        vote = 2.0 if rng.random() < 0.2 + 0.15 * system else 1.0
        humans.pairs[key] = Pair(key, "x" * rng.choice((10, 90)), "y" * 40, [vote] * 3, f"s{system}")
        verdicts[key] = [vote if rng.random() < right else 3 - vote for _ in range(2)]
    return humans, RecordedJudge("j", verdicts, price=0.01)


def test_every_column_has_an_interval_or_a_reason() -> None:
    humans, judge = many_pairs(right=0.8)
    row = meta.rate(judge, humans)
    estimated = {"human_agreement", "bias", "variance", "prefer_longer"}
    for name in estimated:
        width, value = row.intervals[name], row.columns[name]
        assert width is not None and value is not None
        assert width.low <= value <= width.high, name
        assert width.low < width.high, name
    assert row.intervals["kappa majority"] and row.intervals["kappa human 3"]
    assert row.interval_reasons == {
        "price_per_1000": meta.NOT_ESTIMATED,
        "time_per_1000": meta.NO_TIME,
        "spearman": meta.NO_RANK_INTERVAL,
        "pearson": meta.NO_RANK_INTERVAL,
    }
    own = meta.rate_humans(humans)
    assert own.interval_reasons["spearman"] == "1 by definition"
    assert own.interval_reasons["bias"] == "0 by definition"
    agreement, variance = own.intervals["human_agreement"], own.intervals["variance"]
    assert agreement and variance
    assert agreement.low + variance.high == pytest.approx(100)
    alone = meta.rate(judged([1]), four_pairs())
    assert alone.intervals["human_agreement"] is None
    assert alone.interval_reasons["human_agreement"] == meta.FEW_PAIRS


def test_intervals_narrow_with_more_pairs() -> None:
    """A quarter of the pairs gives about twice the width."""
    humans, judge = many_pairs(right=0.6)
    few = Humans(dict(list(humans.pairs.items())[:75]), runs=3)
    wide, narrow = (meta.rate(judge, found).intervals["human_agreement"] for found in (few, humans))
    assert wide and narrow
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(2, rel=0.2)
    assert meta.rate(judge, humans) == meta.rate(judge, humans)


def test_the_page_shows_intervals_and_unreadable_verdicts(tmp_path: Path) -> None:
    humans, judge = many_pairs(right=0.8)
    judge.verdicts["0",] = [None, 1.0]
    figures = judge_figures(humans, [judge])
    assert figures["j"]["parse_failures"] == 1
    compare_pages.judge_page(figures, {}).write(tmp_path)
    page = (tmp_path / "report.md").read_text()
    for column in ("human_agreement", "bias", "variance", "prefer_longer"):
        low, high = (formatted(value) for value in figures["j"]["intervals"][column])
        assert f"{formatted(figures['j'][column])} [{low}, {high}]" in page, column
    assert "j: 599 readable verdicts on 300 pairs, 1 unreadable" in page
    assert "humans: no interval of Bias: 0 by definition" in page


def alpaca_farm() -> tuple[list[Row], list[Row]]:
    """Human votes and one judge's run in the form that alpaca-eval 0.6.6 writes, its last fields prefixed."""
    texts = [{"instruction": f"i{n}", "output_1": "x" * 50, "output_2": "y"} for n in range(3)]
    votes: list[Row] = [
        {**text, "preference": vote, "preference_price_per_example": 0.3, "preference_time_per_example": 36.8}
        for text in texts
        for vote in (1, 1, 2, 1)
    ]
    own = {"preference_price_per_example": 0.02, "preference_time_per_example": 0.5, "preference_version": "0.6.6",
           "preference_date": "2024-12-01T00:00:00", "preference_raw_completion": "m"}  # fmt: skip
    run = [{**text, "annotator": "judge", "preference": p, **own} for text, p in zip(texts, (1, 2, None), strict=True)]
    return votes, run


def test_judge_files_of_the_prefixed_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Price and time are read as `preference_price_per_example` too; two files of one name are two runs."""
    votes, run = alpaca_farm()
    (tmp_path / "humans.json").write_text(json.dumps(votes))
    (tmp_path / "run.json").write_text(json.dumps(run))
    judge = ("--judge", f"mine={tmp_path / 'run.json'}") * 2
    assert moa("judge", "--humans", tmp_path / "humans.json", *judge, "--json") == 0
    row: dict[str, Any] = json.loads(capsys.readouterr().out)["mine"]
    assert (row["price_per_1000"], row["time_per_1000"]) == (pytest.approx(20), pytest.approx(500))
    assert (row["n"], row["runs"], row["parsed"], row["parse_failures"]) == (2, 2, 4, 2)
    assert (row["bias"], row["variance"]) == (50, 0)
    humans = meta_data.humans(votes)
    assert meta.rate_humans(humans).columns["price_per_1000"] == pytest.approx(300)


@pytest.mark.parametrize("strange", [float("nan"), float("inf"), True, "0.5", None])
def test_prices_that_are_no_numbers_do_not_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], strange: Any
) -> None:
    votes, run = alpaca_farm()
    prices = [strange, *[0.25] * (len(run) - 1)]
    rows = [{**row, "preference_price_per_example": price} for row, price in zip(run, prices, strict=True)]
    paths = write(tmp_path / "humans.json", votes), write(tmp_path / "run.json", rows)
    found, _ = printed(capsys, "judge", "--humans", paths[0], "--judge", f"mine={paths[1]}")
    assert found["mine"]["price_per_1000"] == 250


def rewardbench(n: int) -> list[Row]:
    """Pairs of RewardBench; every second row has messages, as other preference sets have."""
    rows: list[Row] = []
    for number in range(n):
        chosen, rejected = f"good {number}", f"poor answer that is much longer than the good one {number}"
        row: Row = {"id": number % 5, "prompt": f"Q{number}?", "chosen": chosen, "rejected": rejected, "subset": "x"}
        if number % 2:
            turn = {"role": "user", "content": row.pop("prompt")}
            row |= {name: [turn, {"role": "assistant", "content": row[name]}] for name in ("chosen", "rejected")}
        rows.append(row)
    return rows


def test_pairs_of_rewardbench_are_votes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The chosen answer is in either place, so a judge that names the first one has no agreement beyond chance."""
    humans = write(tmp_path / "rb.json", rewardbench(200))
    pairs = list(meta_data.humans(rewardbench(200)).pairs.values())
    right = [{"instruction": p.instruction, "output_1": p.output_1, "output_2": p.output_2,
              "preference": 1 if p.output_1.startswith("good") else 2} for p in pairs]  # fmt: skip
    good = write(tmp_path / "good.json", right)
    first = write(tmp_path / "first.json", [{**row, "preference": 1} for row in right])
    found, _ = printed(capsys, "judge", "--humans", humans, "--judge", good, "--judge", first)
    assert (found["good"]["human_agreement"], found["good"]["kappa"]["majority"]) == (100, 1)
    assert found["good"]["prefer_longer"] == 0
    assert 40 < found["first"]["human_agreement"] < 60
    assert found["first"]["kappa"]["majority"] == pytest.approx(0)
    assert [p.instruction for p in pairs[:2]] == ["Q0?", "Q1?"]


def test_pairs_of_judgelm_are_votes_and_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = ([9, 2], [1.0, 10.0], [5, 5], [-1, 7])
    rows = [{"question_id": n, "question_body": f"Q{n}?", "answer1_body": "a", "answer2_body": "b", "score": score,
             "answer1_model_id": "x", "answer2_model_id": "y"} for n, score in enumerate(scores)]  # fmt: skip
    assert [pair.votes for pair in meta_data.humans(rows).pairs.values()] == [[1], [2], [1.5]]
    file = write(tmp_path / "judgelm.json", rows)
    found, said = printed(capsys, "judge", "--humans", file, "--judge", f"j={file}")
    assert (found["j"]["human_agreement"], found["j"]["n"]) == (100, 3)
    assert f"{file}, row 4 has preference None" in said


def test_a_file_of_judgelms_judge_has_its_verdicts_in_the_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The judge's rows keep the set's fields, so that `score` is what the verdict is compared with."""
    texts = ["2 9\nThe second is better.", "1.5, 7", "5 5", "8 3 and more", "Sorry, 1 2", "10 1"]
    rows = [{"question_id": n, "question_body": f"Q{n}?", "answer1_body": "a", "answer2_body": "b", "score": [7, 5]}
            for n in range(len(texts))]  # fmt: skip
    judged = [{**row, "pred_text": text, "pred_model_id": "j"} for row, text in zip(rows, texts, strict=True)]
    humans, judge = write(tmp_path / "humans.json", rows), write(tmp_path / "judge.json", judged)
    found, said = printed(capsys, "judge", "--humans", humans, "--judge", f"j={judge}")
    # Two verdicts for the second answer, a tie, one for the first; two without two scores in the first line.
    assert (found["j"]["human_agreement"], found["j"]["n"], found["j"]["parse_failures"]) == (37.5, 4, 2)
    assert f"{judge}, row 4 has preference None" in said


def test_another_raters_choices_are_joined_by_the_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rater who prefers the other answer has it under `chosen`; no such pair may be left out."""
    rows = rewardbench(100)
    swapped = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    other = [swapped[n] if n % 4 == 0 else row for n, row in enumerate(rows)]
    paths = write(tmp_path / "rb.json", rows), write(tmp_path / "other.json", other)
    found, _ = printed(capsys, "judge", "--humans", paths[0], "--judge", f"j={paths[1]}")
    assert (found["j"]["human_agreement"], found["j"]["n"]) == (75, 100)


def test_a_file_with_votes_and_verdicts_is_read_as_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Judges' files keep the fields of the set, so one file may be given as the humans' and as the judge's."""
    scores = [(0.9, 0.1), (0.1, 0.9), (0.5, 0.5), (0.8, float("nan"))]
    scored = [{**row, "scores_chosen": a, "scores_rejected": b} for row, (a, b) in
              zip(rewardbench(4), scores, strict=True)]  # fmt: skip
    results = [{**row, "results": right} for row, right in zip(rewardbench(4), (1, 0, 0.5, None), strict=True)]
    texts = [{"question_id": n, "question_body": f"Q{n}?", "answer1_body": "a", "answer2_body": "b", "score": [7, 5],
              "pred_text": text} for n, text in enumerate(("8 3", "3 8", "5 5", "Sorry"))]  # fmt: skip
    for name, rows in (("scored", scored), ("results", results), ("texts", texts)):
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(rows))
        found, _ = printed(capsys, "judge", "--humans", file, "--judge", f"j={file}")
        assert (found["j"]["human_agreement"], found["j"]["n"], found["j"]["parse_failures"]) == (50, 3, 1), name


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": "Q?", "chosen": ["a"], "rejected": ["b", "c"]},
            "row 2: `chosen` is .'a'.; it must be one text, or",
        ),
        ({"chosen": "a", "rejected": "b"}, "row 2 has no text under prompt"),
        ({"prompt": "Q?", "chosen": "a"}, "row 2: `rejected` is None"),
    ],
)
def test_a_damaged_pair_is_named_before_a_judge_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: Row, message: str
) -> None:
    humans = write(tmp_path / "rb.json", [rewardbench(1)[0], row])
    assert moa("judge", "--humans", humans, "--model", "openai:x", "--judge-url", "http://127.0.0.1:9/v1") == 2
    assert re.search(re.escape(str(humans)) + ": " + message, capsys.readouterr().err)
