"""Arena-Hard, JudgeBench and WildBench in their publishers' formats, objective sets as prompts, and juries."""

import json
import random
from pathlib import Path

import pytest

from moa_graph.evals.data.files import Row
from moa_graph.evals.formats.arena_hard import arena_hard_figures
from moa_graph.evals.prompts.questions import own_prompts
from tests.evals.bench import moa
from tests.evals.test_findings import pandalm, printed, write

pytestmark = pytest.mark.usefixtures("small")


def game(question: int, first: str | None, second: str | None, model: str = "org/m") -> Row:
    return {"uid": str(question), "model": model, "judge": "j", "games": [{"score": first}, {"score": second}]}


def test_arena_hard_counts_strong_verdicts_three_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The model is B in the first game and A in the second; an unreadable game leaves its row out."""
    rows = [game(1, "B>>A", "A>B"), game(2, "A>B", "A=B"), game(3, None, "A>B")]
    path = write(tmp_path / "m.jsonl", rows)
    found, _ = printed(capsys, "score", path)
    row = found[str(path)]["m"]
    # Won three times and once; lost once and drawn once.
    assert row["win_rate"] == pytest.approx(100 * (3 + 1 + 0 + 0.5) / 6)
    assert (row["n"], row["parse_failures"]) == (2, 1)
    assert moa("score", write(tmp_path / "bad.jsonl", [game(1, "first", None)])) == 2
    assert "row 1 has the scores ['first', 'None']" in capsys.readouterr().err


def test_style_control_takes_the_part_of_length_out() -> None:
    """Two models of one quality, of which one writes longer, and a judge that likes length."""
    rng = random.Random(5)
    rows, answers = [], []
    for question in range(400):
        base = rng.randint(200, 600)
        answers.append({"uid": str(question), "model": "base", "metadata": {"token_len": base}})
        for name, factor in (("short", 1.0), ("long", 1.6)):
            size = int(base * factor * rng.uniform(0.6, 1.5))
            wins = 1 / (1 + 2.718 ** (-4 * (size - base) / (size + base)))
            ends = ["B>A" if rng.random() < wins else "A>B", "A>B" if rng.random() < wins else "B>A"]
            rows.append(game(question, *ends, model=name))
            answers.append({"uid": str(question), "model": name, "metadata": {"token_len": size}})
    plain = arena_hard_figures(rows)
    held = arena_hard_figures(rows, answers, baseline="base")
    assert plain["long"]["win_rate"] - plain["short"]["win_rate"] > 10
    gap = held["long"]["style_controlled"] - held["short"]["style_controlled"]
    assert abs(gap) < 6
    low, high = held["long"]["style_controlled_interval"]
    assert low < held["long"]["style_controlled"] < high < low + 15


@pytest.mark.parametrize(("first", "second", "rate"), [("B>>A", "A>>B", 100), ("A>>B", "B>>A", 0), ("A=B", "A=B", 50)])
def test_a_rate_without_residuals_keeps_an_honest_interval(first: str, second: str, rate: float) -> None:
    """A model that wins, loses or ties every game: the fit has no error, and the interval is that of 200 coin flips."""
    rng = random.Random(3)
    rows = [game(question, first, second, model="m") for question in range(200)]
    answers = [
        {"uid": str(question), "model": model, "metadata": {"token_len": rng.randint(50, 500)}}
        for question in range(200)
        for model in ("m", "base")
    ]
    found = arena_hard_figures(rows, answers, baseline="base")["m"]
    low, high = found["style_controlled_interval"]
    assert found["style_controlled"] == pytest.approx(rate, abs=0.1)
    assert low <= found["style_controlled"] <= high
    assert high - low > 1.8
    if rate != 50:
        assert "below 10 the interval is rough" in found["cautions"]["style_controlled_interval"]


def test_judgebench_counts_a_verdict_that_both_orders_do_not_contradict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def row(label: str, *ends: str | None, source: str = "mmlu-pro-law") -> Row:
        return {"source": source, "label": label, "judgments": [{"decision": end} for end in ends]}

    rows = [
        row("A>B", "A>B", "B>A"),
        row("A>B", "A>B", "A>B"),
        row("B>A", "B>A", None, source="livecodebench"),
        row("B>A", "A=B", "B>A", source="livebench-math"),
    ]
    path = write(tmp_path / "jb.jsonl", rows)
    found, _ = printed(capsys, "score", path)
    figures = next(iter(found[str(path)].values()))
    assert (figures["accuracy"], figures["consistency"]) == (50, 0.25)
    assert figures["groups"] == {"coding": 100, "knowledge": 50, "math": 0}
    assert moa("score", write(tmp_path / "bad.jsonl", [row("A>B", "first")])) == 2


@pytest.mark.parametrize(
    ("ends", "consistency"),
    [([("A>B",)], None), ([("A>B",), ("A>B", "B>A")], 1), ([("A>B", "B>A"), (None, None)], 0.5)],
)
def test_judgebench_is_consistent_only_where_two_orders_agree(
    ends: list[tuple[str | None, ...]], consistency: float | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One order shows nothing about consistency, and two decisions that cannot be read are not the same one."""
    rows = [{"label": "A>B", "judgments": [{"decision": end} for end in pair]} for pair in ends]
    path = write(tmp_path / "jb.jsonl", rows)
    found, _ = printed(capsys, "score", path)
    assert next(iter(found[str(path)].values()))["consistency"] == consistency


def test_wildbench_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = ["8", "6", "11", None, "7"]
    rows = [{"session_id": str(n), "model_test": "m", "parsed_result": {"score": s}} for n, s in enumerate(scores)]
    path = write(tmp_path / "wb.json", rows)
    found, told = printed(capsys, "score", path)
    figures = found[str(path)]["m"]
    assert (figures["score"], figures["wb_score"], figures["parse_failures"]) == (7, 4, 2)
    assert "row 3 has the score '11'" in told
    assert moa("score", write(tmp_path / "other.json", [{"a": 1}])) == 2
    assert "the first row has a" in capsys.readouterr().err


@pytest.mark.parametrize(
    "row",
    [
        {"parsed_result": {"strengths": "s", "score": "7"}, "meta_data": {"error": None}},
        {"parsed_result": {"strengths": "s", "score": "7"}, "score": "7"},
        {"parsed_result": {"strengths": "s", "weaknesses": "w"}, "score": "7"},
        {"parsed_result": None, "score": 7},
        {"score": "7"},
    ],
)
def test_a_wildbench_rating_may_stand_in_the_parsed_result_or_beside_it(
    row: Row, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The published files of one release differ in it; a rating in both is one rating."""
    rows = [{"session_id": str(n), "model_test": "m", "model_output": "text", **row} for n in range(3)]
    path = write(tmp_path / "wb.json", rows)
    found, _ = printed(capsys, "score", path)
    assert (found[str(path)]["m"]["score"], found[str(path)]["m"]["n"]) == (7, 3)


def test_objective_sets_are_read_as_published() -> None:
    """GSM8K, MATH-500 and MMLU-Pro rows: where the question and the right answer are, and how they are compared."""
    rows: list[Row] = [
        {"question": "How many?", "answer": "3 + 4 = 7\n#### 1,007"},
        {"problem": "Angle?", "solution": "...", "answer": "\\frac{1}{2}", "unique_id": "test/geometry/1.json"},
        {"question_id": 70, "question": "Which?", "options": ["red", "blue"], "answer": "B", "category": "law"},
    ]
    first, second, third = own_prompts(rows, "sets")
    assert (first.gold, first.match) == (("1,007",), "number")
    assert (second.id, second.gold, second.text) == ("test/geometry/1.json", ("\\frac{1}{2}",), "Angle?")
    assert (third.id, third.gold, third.match, third.tags) == ("70", ("B",), "choice", ("law",))
    assert third.text.startswith("Which?\n\nA. red\nB. blue\n\nEnd with a line")


def test_a_jury_of_recorded_judges_is_rated_beside_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three judges against humans who always say 1; each errs on another pair, the majority never."""
    args: list[object] = []
    for judge in range(3):
        humans, path = pandalm(tmp_path, ["2" if n == judge else "1" for n in range(6)])
        args += ["--judge", f"j{judge}={path.rename(tmp_path / f'judge{judge}.json')}"]
    found, _ = printed(capsys, "judge", "--humans", humans, *args)
    assert [found[f"j{n}"]["human_agreement"] for n in range(3)] == [pytest.approx(500 / 6)] * 3
    assert found["jury (majority)"]["human_agreement"] == 100
    assert found["jury (mean)"]["human_agreement"] == pytest.approx(100 * (3 + 3 * 2 / 3) / 6)
    assert json.dumps(found)
