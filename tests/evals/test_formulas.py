"""Formulas on cases computed by hand, and hostile input to the parsers."""

import gzip
import json
import math
from pathlib import Path

import pytest

from moa_graph.errors import InputError
from moa_graph.evals import stats
from moa_graph.evals.alpaca_eval import judge as alpaca_judge
from moa_graph.evals.alpaca_eval import scores as alpaca
from moa_graph.evals.data.files import inside, json_bytes, read_rows, slug, write
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.judge_table import table as meta
from moa_graph.evals.judge_table import votes as meta_data
from moa_graph.evals.mt_bench import pairs
from moa_graph.evals.mt_bench import scores as mt_bench
from moa_graph.evals.mt_bench.figures import pair_figures


def test_preferences_become_wins_or_parse_failures() -> None:
    assert [alpaca.win(p) for p in (1, 2, 1.5, 0, 1.25)] == [0, 1, 0.5, 0.5, 0.25]
    assert [alpaca.win(p) for p in (None, -1, 3, "2", True, math.nan)] == [None] * 6


def test_win_rate_counts_what_it_could_not_read() -> None:
    rate = alpaca.win_rate([1, 0, 0.5, None])
    assert (rate.n, rate.win_rate, rate.parse_failures, rate.draws) == (3, 50, 1, 1)
    assert rate.standard_error == pytest.approx(100 * 0.5 / math.sqrt(3))
    assert alpaca.bounds([1, 0, None, None]) == (25, 75)
    assert alpaca.win_rate([1]).standard_error is None
    with pytest.raises(InputError, match="no verdict"):
        alpaca.win_rate([None])


def test_ties_in_both_orders_show_no_bias_of_position() -> None:
    """A jury that decides by majority gives ties; which of two systems comes second must not matter."""

    def figures(*pairs: tuple[float, float]) -> dict[str, float]:
        orders = [[{"is_switched": n == 1, "preference": each} for n, each in enumerate(pair)] for pair in pairs]
        return alpaca.position_figures([{"orders": pair} for pair in orders])

    tied = figures((1.5, 1.5))
    assert tied == {"consistency": 1, "first_position_share": 0.5, "first_position_mean": 0.5}
    assert alpaca.position_warning(tied) is None
    assert figures((1.5, 1.0))["consistency"] == figures((1.5, 2.0))["consistency"] == 0
    assert figures((1.0, 2.0))["first_position_share"] == 1


def test_two_runs_of_one_model_are_compared_side_by_side() -> None:
    """FastChat's row names both sides alike; half of the pairs are won by the first."""
    rows = [
        {"question_id": n, "model_1": "m", "model_2": "m", "g1_winner": side, "g2_winner": side, "judge": "j"}
        for n in range(60)
        for side in [f"model_{n % 2 + 1}"]
    ]
    (found,) = pair_figures(rows).values()
    low, high = found["adjusted_win_rate_interval"]
    assert low < found["adjusted_win_rate"] == 50 < high


def test_an_instruction_judged_twice_is_a_duplicate_or_refused() -> None:
    row = {"instruction": "i", "output_1": "a", "output_2": "b", "preference": None}
    assert [item.win for item in alpaca.read_annotations([row, {**row, "preference": 2}])] == [1]
    with pytest.raises(InputError, match="different answers"):
        alpaca.read_annotations([row, {**row, "output_2": "c"}])
    with pytest.raises(InputError, match="'output_2' is missing"):
        alpaca.read_annotations([{"instruction": "i", "output_1": "a"}])


def test_the_judges_template_is_filled_in_one_pass() -> None:
    """A field name inside an answer stays text, whereas sequential replacing would insert the other answer."""
    template = (
        "<|im_start|>system\nJudge.\n<|im_end|>\n<|im_start|>user\n{instruction}|{output_1}|{output_2}\n<|im_end|>"
    )
    shown = alpaca_judge.messages(template, instruction="see {output_1}", first="{output_2}", second="B")
    assert shown == [("system", "Judge."), ("user", "see {output_1}|{output_2}|B")]
    with pytest.raises(InputError, match="template"):
        alpaca_judge.messages("{instruction}", instruction="", first="", second="")


def test_first_share_reads_only_the_two_names() -> None:
    half = [{"token": t, "logprob": -1.0} for t in ("m", "M", "The")]
    assert alpaca_judge.first_share(half) == 0.5
    assert alpaca_judge.first_share([{"token": "M", "logprob": -9.0}]) == 0
    assert alpaca_judge.first_share([{"token": "The", "logprob": 0.0}]) is None
    # Where neither token is exact: the first token of local models may have a space before the word.
    assert alpaca_judge.first_share([{"token": " M", "logprob": -1.0}, {"token": "\u2581m", "logprob": -1.0}]) == 0.5
    assert alpaca_judge.first_share([{"token": "M", "logprob": -1.0}, {"token": " m", "logprob": -1.0}]) == 0
    assert alpaca_judge.top_logprobs({"logprobs": None}) == alpaca_judge.top_logprobs(None) == []
    assert [alpaca_judge.text_share(t) for t in (" m\n", "**M**", "model m", "")] == [1, 0, None, None]
    assert alpaca_judge.preference(0.9, switched=False) == pytest.approx(1.1)
    assert alpaca_judge.preference(0.9, switched=True) == pytest.approx(1.9)


def test_mt_bench_ratings() -> None:
    assert [mt_bench.rating(t) for t in ("[[7.5]] [[2]]", "see [1]", "Rating: 7", "")] == [7.5, 1, -1, -1]
    assert [pairs.verdict(t) for t in ("[[A]]", "[[B]] [[B]]", "[[A]] or [[B]]", "A")] == ["A", "B", None, None]
    assert pairs.winner_of(["model_1", "model_1"]) == "model_1"
    assert pairs.winner_of(["model_1", "model_2"]) == "tie"
    assert pairs.winner_of(["tie", "tie"]) == "tie"
    assert pairs.winner_of(["model_1", None]) is None
    assert pairs.adjusted_win_rate(["model_1", "tie", "model_2", "model_1", None]) == 62.5


def test_a_failed_rating_is_counted_and_a_second_run_does_not_double() -> None:
    row = {"question_id": 81, "model": "x", "judge": ["j", "p"], "turn": 1, "score": -1}
    rows = [row, {**row, "score": 8}, {**row, "score": 8}, {**row, "turn": 2}]
    score = mt_bench.score(mt_bench.judgments(rows), categories={})
    assert (score.score, score.first_turn, score.second_turn) == (8, 8, None)
    assert (score.n, score.duplicates, score.parse_failures) == (1, 2, 1)
    with pytest.raises(InputError, match="judgment 1"):
        mt_bench.judgments([{"question_id": 81, "winner": "A"}])


SKILLS = ("Logical Correctness", "Commonsense Understanding", "Readability")


@pytest.mark.parametrize(
    ("review", "scores"),
    [
        ("{'Logical Correctness': 5, 'Readability': 'N/A'}", {"Logical Correctness": 5, "Readability": None}),
        ("{'a': 1} then {'logical_correctness': '4', 'commonsense': 3}",
         {"Logical Correctness": 4, "Commonsense Understanding": 3}),
        ("{'Readability': 9}", None),
        ("{'Readability': __import__('os')}", None),
        ("{[}", None),
        ("no dictionary", None),
    ],
)  # fmt: skip
def test_flask_reviews(review: str, scores: dict[str, float | None] | None) -> None:
    assert flask.parse(review, SKILLS) == scores


def test_flask_means_join_by_idx() -> None:
    rows = [
        {"idx": 7, "instruction": "q", "answer": "", "skill": list(SKILLS), "domain": ["Math"], "difficulty": "hard"},
        {"idx": 3, "instruction": "r", "answer": "", "skill": ["Readability"], "domain": ["-1"], "difficulty": "-1"},
    ]
    reviews = [
        flask.Review(3, {"Readability": 1.0}),
        flask.Review(7, {"Logical Correctness": 5.0, "Readability": None}),
        flask.Review(3, None),
    ]
    report = flask.report(reviews, flask.items(rows))
    assert report.skills == {"Logical Correctness": 5, "Readability": 1}
    assert (report.domains, report.difficulties) == ({"Math": 5}, {"hard": 5})
    assert (report.n, report.parse_failures, report.missing, report.skipped) == (2, 1, 1, 1)


def test_votes_of_alpaca_farms_form_and_runs_of_a_judge() -> None:
    """Bias and variance on a small case: two runs that disagree on one of two pairs."""
    texts = {"instruction": "i", "output_1": "x" * 50, "output_2": "y"}
    humans = meta_data.humans(
        [{**texts, "preference": p} for p in (1, 1, 1, 2)]
        + [{**texts, "instruction": "j", "preference": p} for p in (2, 2, 2, 2)]
    )
    judge = meta_data.judge(
        "two", [{**texts, "preference": p} for p in (1, 2)] + [{**texts, "instruction": "j", "preference": 2}] * 2
    )
    row = meta.rate(judge, humans)
    assert row.columns["human_agreement"] == 75
    assert row.columns["variance"] == 50
    assert row.columns["bias"] == 50  # 1 and 2 are resolved to 2, as the published code does
    assert row.columns["prefer_longer"] == 0.5
    assert "spearman" in row.reasons
    assert meta.rate_humans(humans).columns["human_agreement"] == pytest.approx(100 * 7 / 8)


def test_votes_that_tie_are_resolved_as_published() -> None:
    assert [meta.estimate(v) for v in ([1, 2], [1, 1.5], [1, 1.5, 2], [1, 1, 2, 2])] == [2, 1.5, 1, 2]
    assert meta.estimate([1.2, 1.9, 1.4]) == 1.4


def test_statistics() -> None:
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.mcnemar([True] * 10 + [False], [False] * 10 + [True]) == pytest.approx(24 / 2**11)
    assert stats.mcnemar([True], [True]) == 1
    assert stats.kappa([1, 1, 2, 2], [1, 2, 2, 2]) == pytest.approx(0.5)
    assert math.isnan(stats.kappa([1, 1], [1, 1]))
    assert stats.correlation([1, 2, 3], [2, 4, 6.1], ranks=False) == pytest.approx(1, abs=1e-3)
    assert stats.correlation([1, 2, 3], [5, 5, 5], ranks=True) is None
    assert stats.mean_interval([1.0]) is None


def test_a_paired_comparison_sees_what_an_unpaired_one_cannot() -> None:
    a = [float(i % 7) for i in range(200)]
    apart = stats.paired([x + 0.5 + (i % 2) * 0.1 for i, x in enumerate(a)], a)
    assert not apart.tied
    assert apart.low > 0.5
    assert stats.paired(a, a).tied
    flipped = stats.paired([0.0, 1.0] * 50, [1.0, 0.0] * 50)
    assert (flipped.difference, flipped.tied) == (0, True)


def test_clusters_widen_an_interval() -> None:
    """Two rows of one question are one draw: treating them as two would claim too much."""
    values = [float(i // 2 % 2) for i in range(100)]
    apart, together = stats.mean_interval(values), stats.mean_interval(values, clusters=[i // 2 for i in range(100)])
    assert apart and together
    assert together.high - together.low > 1.3 * (apart.high - apart.low)


def test_files_are_read_by_content_and_written_whole(tmp_path: Path) -> None:
    rows = [{"a": "ü"}, {"a": math.pi}]
    (tmp_path / "list.json").write_bytes(gzip.compress(json_bytes(rows)))
    (tmp_path / "lines.txt").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    assert read_rows(tmp_path / "list.json") == read_rows(tmp_path / "lines.txt") == rows
    write(tmp_path / "out.json", b"1")
    write(tmp_path / "out.json", b"2")
    assert (tmp_path / "out.json").read_bytes() == b"2"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lines.txt", "list.json", "out.json"]
    for text in ("[1]", "{", '{"a": 1}\n2'):
        (tmp_path / "bad").write_text(text)
        with pytest.raises(InputError, match="bad"):
            read_rows(tmp_path / "bad")
    with pytest.raises(InputError, match="cannot read"):
        read_rows(tmp_path / "absent")


def test_output_names_cannot_leave_their_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hosts")
    for name in ("../x", "/etc/x", "a/b", "..", "", "link"):
        with pytest.raises(InputError, match="plain file name"):
            inside(tmp_path, name)
    assert inside(tmp_path, "scores.json") == tmp_path / "scores.json"
    assert slug("../../etc/passwd") == "etc-passwd"
    assert slug("openai:gpt 4/x") == "openai-gpt-4-x"
