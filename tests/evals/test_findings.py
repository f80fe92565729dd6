"""Recorded files as their publishers wrote them, and as users bring them: what is read, refused, counted and reported.

Each test is one way in which figures were wrong, or an error did not name its cause.
"""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from moa_graph.evals.data.files import Row
from moa_graph.evals.mt_bench.figures import single_figures
from moa_graph.evals.systems.recorded import RecordedOutputs
from tests.evals import bench
from tests.evals.bench import lines, moa, references, scores
from tests.evals.test_comparisons import annotations, compared, files
from tests.provider import Provider

pytestmark = pytest.mark.usefixtures("small")


def printed(capsys: pytest.CaptureFixture[str], *args: object, code: int = 0) -> tuple[Any, str]:
    """Return a command's JSON and its standard error."""
    capsys.readouterr()
    assert moa(*args, "--json") == code, capsys.readouterr().err
    found = capsys.readouterr()
    return (json.loads(found.out) if code == 0 else None), found.err


def write(path: Path, rows: list[Row]) -> Path:
    path.write_text(lines(rows) if path.suffix == ".jsonl" else json.dumps(rows))
    return path


# F1: comparisons of many systems.


def test_a_leaderboard_of_many_systems_has_winners(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """34 systems are 561 pairs: a clear difference survives the correction, and equal systems stay tied."""
    rng = random.Random(3)
    wins = {"best": [min(1.0, 0.5 + rng.random()) for _ in range(200)]}
    wins |= {f"s{n:02}": [rng.random() for _ in range(200)] for n in range(33)}
    paths = files(tmp_path, {f"{name}.json": annotations(name, values) for name, values in wins.items()})
    found = compared(capsys, *paths)
    assert len(found["pairs"]) == 561
    against_best = [row for row in found["pairs"] if row["a"] == "best"]
    assert all(not row["tied"] and row["p_holm"] < 1e-6 for row in against_best)
    assert sum(not row["tied"] for row in found["pairs"] if row["a"] != "best") <= 3
    assert {row["name"]: row["cost"] for row in found["systems"]}.keys() == wins.keys()


# F2, F16: judges' files, and files of which nothing can be read.


def pandalm(folder: Path, verdicts: list[Any], name: str = "gpt_result") -> tuple[Path, Path]:
    """PandaLM's two files: humans' votes on as many pairs as there are verdicts, and a judge's file."""
    human = [
        {"idx": n, "cmp_key": f"s{n % 3}", "response1": "x" * 50, "response2": "y", "annotator1": 1, "annotator2": 1}
        for n in range(len(verdicts))
    ]
    return (
        write(folder / "humans.json", human),
        write(folder / "judge.json", [{"idx": n, name: verdict} for n, verdict in enumerate(verdicts)]),
    )


def test_a_judges_verdicts_may_be_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """PandaLM's published GPT-3.5 file has "1", "2", "Tie" and garbage."""
    humans, judge = pandalm(tmp_path, ["1", "2", "Tie", "1", "Response 1 is", "1.0"])
    found, told = printed(capsys, "judge", "--humans", humans, "--judge", f"j={judge}")
    assert (found["j"]["parsed"], found["j"]["parse_failures"]) == (5, 1)
    assert found["j"]["human_agreement"] == pytest.approx(100 * (3 + 0.5) / 5)
    assert "row 5 has gpt_result 'Response 1 is'" in told


def test_a_judge_of_which_nothing_can_be_read_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    humans, judge = pandalm(tmp_path, ["first", "second"])
    _, told = printed(capsys, "judge", "--humans", humans, "--judge", f"j={judge}", code=2)
    assert "row 1 has gpt_result 'first'" in told
    _, strangers = pandalm(tmp_path, ["1"])
    strangers = write(tmp_path / "strangers.json", [{"idx": 900, "gpt_result": "1"}])
    _, told = printed(capsys, "judge", "--humans", humans, "--judge", f"j={strangers}", code=2)
    assert "no verdict of this judge is about these pairs" in told
    assert "900" in told


@pytest.mark.parametrize(
    ("command", "rows", "told"),
    [
        (("alpaca", "--annotations"), [{"instruction": "i", "output_1": "x", "output_2": "y", "preference": "B"}],
         "annotation 1 has the preference 'B'"),
        (("mt-bench", "--judgments"), [{"question_id": 81, "model": "x", "turn": 1, "score": -1}],
         "question 81, turn 1 has the rating -1"),
        (("mt-bench", "--judgments"), [{"question_id": 81, "model": "x", "turn": 1, "score": None}], "the rating None"),
        (("mt-bench", "--judgments"), [], "there are no judgments"),
        (("mt-bench", "--judgments"), [{"question_id": 1, "model_1": "a", "model_2": "b", "g1_winner": "?",
                                        "g2_winner": "model_1"}], "winners ('?', 'model_1')"),
        (("flask", "--reviews"), [{"idx": 5, "review": "I cannot say."}], "item 5 ends with 'I cannot say.'"),
        (("flask", "--reviews"), [], "there are no reviews"),
    ],
)  # fmt: skip
def test_nothing_readable_is_an_error_that_names_the_first_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, str], rows: list[Row], told: str
) -> None:
    path = write(tmp_path / "recorded.jsonl", rows)
    _, said = printed(capsys, *command, path, code=2)
    assert told in said
    assert "recorded.jsonl" in said
    assert moa("compare", path, path) == 2


def test_a_preference_may_be_a_number_in_quotes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(annotations("m", [0.2, 1.0, 0.5]))
    for row in rows:
        row["preference"] = str(row["preference"])
    found, _ = printed(capsys, "alpaca", "--annotations", write(tmp_path / "a.json", rows))
    assert (found["n"], found["win_rate"]) == (3, pytest.approx(100 * 1.7 / 3))


# F3, F17: MT-Bench.


def rating(question: int | str, turn: int, score: Any, *, model: str = "m", prompt: str | None = None) -> Row:
    row: Row = {"question_id": question, "model": model, "judge": ["gpt-4", "single-v1"], "turn": turn, "score": score}
    return row if prompt is None else {**row, "user_prompt": prompt}


def test_two_sets_of_answers_are_not_duplicates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """FastChat appends: a second generation is judged beside the first. The same prompt again is a duplicate."""
    first = [rating(q, t, 5, prompt=f"old {q} {t}") for q in (81, 111) for t in (1, 2)]
    second = [rating(q, t, 8, prompt=f"new {q} {t}") for q in (81, 111) for t in (1, 2)]
    second[-1]["score"] = -1
    path = write(tmp_path / "a.jsonl", [*first, *second, first[0]])
    found, told = printed(capsys, "mt-bench", "--judgments", path)
    assert list(found) == ["m (answers 1)", "m (answers 2)"]
    one, two = found.values()
    assert (one["score"], one["n"], one["duplicates"], one["parse_failures"]) == (5, 4, 1, 0)
    assert (two["score"], two["n"], two["duplicates"], two["parse_failures"]) == (8, 3, 0, 1)
    assert "several sets of answers" in told
    assert moa("compare", path, path) == 2
    assert "select one with #: m (answers 1), m (answers 2)" in capsys.readouterr().err
    assert compared(capsys, f"{path}#m (answers 1)", f"{path}#m (answers 2)")["pairs"][0]["difference"] < 0


@pytest.mark.parametrize("value", [76, 98989, 0, 0.5, 10.5, True, None, "good", [7], {"a": 1}, 1e400])
def test_a_rating_outside_the_scale_is_unreadable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: Any
) -> None:
    rows = [rating(81, 1, 8), rating(81, 2, "7"), rating(111, 1, value)]
    found, told = printed(capsys, "mt-bench", "--judgments", write(tmp_path / "a.jsonl", rows))
    assert (found["m"]["score"], found["m"]["n"], found["m"]["parse_failures"]) == (7.5, 2, 1)
    assert "question 111, turn 1 has the rating" in told


def test_half_a_file_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, told = printed(capsys, "mt-bench", "--judgments", write(tmp_path / "a.jsonl", [rating("81", 1, 8)]))
    assert "3 of 4 judgments are missing: 1 of 2 questions have a first turn, 0 a second" in told


def test_missing_judgments_of_a_run_are_those_of_the_questions_that_it_chose() -> None:
    notes = single_figures([rating(81, 1, 8)], chosen={81})["m"]["notes"]
    assert notes == ["1 of 2 judgments are missing: 1 of 1 questions have a first turn, 0 a second"]


@pytest.mark.parametrize(("judge", "told"), [("gpt-4", True), ("expert_1", False)])
def test_half_a_file_of_pairs_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], judge: str, told: bool
) -> None:
    """People vote on some of the questions only, so no judgment is missing."""
    path = write(tmp_path / "a.jsonl", [{**pairs(1)[0], "judge": [judge, "pair-v2"]}])
    said = printed(capsys, "mt-bench", "--judgments", path)[1]
    missing = "3 of 4 pairwise judgments are missing: 1 of 2 questions have a first turn, 0 a second"
    assert (missing in said) is told


def test_a_question_id_in_quotes_keeps_its_category(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [rating(q, t, 8) for q in ("81", "111") for t in (1, 2)]
    found, told = printed(capsys, "mt-bench", "--judgments", write(tmp_path / "a.jsonl", rows))
    assert found["m"]["categories"] == {"math": 8, "writing": 8}
    assert "missing" not in told


# F4, F12, F18: FLASK.


def flask_sets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full set of 89 items and more, and a hard set of 89 that is a part of it under other numbers."""
    full = [{**bench.FLASK_ITEMS[0], "idx": n, "instruction": f"Task {n}?"} for n in range(1, 101)]
    hard = [{**bench.FLASK_ITEMS[0], "idx": n, "instruction": f"Task {n + 11}?"} for n in range(1, 90)]
    monkeypatch.setattr(bench, "FLASK_ITEMS", full)
    bench.small_assets(folder / "assets", monkeypatch)
    (folder / "assets/flask/flask_hard_evaluation.jsonl").write_text(lines(hard))
    found = {entry.name: entry for entry in bench.assets.catalog()}
    entry = found["flask/flask_hard_evaluation.jsonl"]
    renewed = [bench.Asset(e.name, e.licence, note=e.note) if e is entry else e for e in found.values()]
    monkeypatch.setattr(bench.assets, "catalog", lambda: renewed)


def test_outputs_for_the_full_set_answer_the_hard_set_by_instruction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sets are numbered from 1, and the published outputs have numbers only: those of the full set."""
    flask_sets(tmp_path, monkeypatch)
    outputs = write(tmp_path / "vicuna.jsonl", [{"question_id": n, "text": f"answer {n}"} for n in range(1, 101)])
    args = ("flask", "--hard", "--drafts", outputs, "--judge", "none", "--out", tmp_path / "run")
    assert moa(*args) == 0
    said = [json.loads(line) for line in (tmp_path / "run/outputs.jsonl").read_text().splitlines()]
    assert len(said) == 89
    assert all(row["text"] == f"answer {row['idx'] + 11}" for row in said)
    assert {row["set"] for row in said} == {"hard"}


def test_numbers_of_the_hard_set_alone_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flask_sets(tmp_path, monkeypatch)
    outputs = write(tmp_path / "mine.jsonl", [{"idx": n, "text": f"answer {n}"} for n in range(1, 90)])
    assert moa("flask", "--drafts", outputs, "--judge", "none", "--out", tmp_path / "run") == 2
    assert "numbers are those of FLASK's hard set" in capsys.readouterr().err


def test_reviews_of_the_other_set_are_refused(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the set named in rows of this package, or by the skills in other rows. A comparison refuses them as well."""
    review = "{'Readability': 4, 'Conciseness': 2, 'Logical Correctness': 3}".replace(",", "%2C")
    judge = ("--judge", f"openai:say={review}", "--judge-url", provider.url)
    solo = ("flask", "-m", "openai:solo", "--base-url", provider.url, *judge)
    assert moa(*solo, "--hard", "--out", tmp_path / "hard") == 0
    assert moa(*solo, "--out", tmp_path / "full") == 0
    assert moa("flask", "--reviews", tmp_path / "hard/reviews.jsonl") == 2
    assert "belongs to FLASK's hard set, not to the full set: use --hard" in capsys.readouterr().err
    assert moa("compare", tmp_path / "hard", tmp_path / "full") == 2
    assert "the hard set; the full set" in capsys.readouterr().err
    other = write(tmp_path / "r.jsonl", [{"idx": 5, "skill": ["Harmlessness"], "review": "{'Harmlessness': 3}"}])
    assert moa("flask", "--reviews", other) == 2
    assert "its skills (Harmlessness) are not those of item 5" in capsys.readouterr().err


def test_flask_sets_without_names_are_told_by_their_skills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = {}
    for name, skill in (("a", "Factuality"), ("b", "Readability")):
        rows = [{"idx": n, "skill": [skill], "review": f"{{'{skill}': 3}}"} for n in range(20)]
        made[name] = write(tmp_path / f"{name}.jsonl", rows)
    assert moa("compare", *made.values()) == 2
    assert "they are of different sets: 20 of 20 shared prompts differ" in capsys.readouterr().err


def test_flask_reviews_that_stand_twice_count_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"idx": 5, "review": "{'Logical Correctness': 4}"}, {"idx": 9, "review": "{'Readability': 2}"}]
    found, _ = printed(capsys, "flask", "--reviews", write(tmp_path / "r.jsonl", [*rows, rows[0], rows[0]]))
    assert (found["n"], found["duplicates"], found["mean"]) == (2, 2, 3)


@pytest.mark.parametrize(
    "review",
    [
        '{"Readability": 4, "Conciseness": null}',
        "{'Readability': '4/5', 'Conciseness': 'N/A'}",
        "{'Readability': {'score': 4, 'reason': 'plain {words}'}, 'Conciseness': None}",
        "{'Readability': 4, 'Conciseness': None}\nI hope {this} helps. {'note': 1}",
        "\\frac{1}{2} { {'Readability': 4.0, 'Conciseness': 'n/a'}",
    ],
)
def test_flask_dictionaries_as_judges_write_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], review: str
) -> None:
    found, _ = printed(
        capsys, "flask", "--reviews", write(tmp_path / "r.jsonl", [{"idx": 9, "review": f"Good.\n{review}"}])
    )
    assert (found["skills"], found["skipped"], found["parse_failures"]) == ({"Readability": 4}, 1, 0)


# F5: several systems in one file.


def test_two_judges_of_one_model_are_two_systems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [rating(q, t, 6) for q in (81, 111) for t in (1, 2)]
    path = write(tmp_path / "a.jsonl", [*rows, *({**row, "judge": ["claude-3", "x"], "score": 10} for row in rows)])
    found, _ = printed(capsys, "mt-bench", "--judgments", path)
    assert {name: row["score"] for name, row in found.items()} == {"m judged by gpt-4": 6, "m judged by claude-3": 10}
    assert moa("compare", f"{path}#m judged by gpt-4", f"{path}#m judged by claude-3") == 2
    assert "different judges (gpt-4; claude-3)" in capsys.readouterr().err


@pytest.mark.parametrize("field", ["generator_2", "annotator", "generator_1"])
def test_annotations_of_several_systems_are_kept_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str
) -> None:
    rows = json.loads(annotations("m", [0.0] * 10 + [1.0] * 10))
    for row in rows[10:]:
        row[field] = "other"
    path = write(tmp_path / "a.json", rows)
    found, told = printed(capsys, "alpaca", "--annotations", path)
    assert [row["win_rate"] for row in found["systems"]] == [0, 100]
    assert [row["n"] for row in found["systems"]] == [10, 10]
    assert "has 2 systems" in told


def test_flask_models_in_one_file_are_kept_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"idx": 5, "model_id": m, "review": f"{{'Logical Correctness': {s}}}"} for m, s in (("a", 1), ("b", 5))]
    found, _ = printed(capsys, "flask", "--reviews", write(tmp_path / "r.jsonl", rows))
    assert {name: row["mean"] for name, row in found["systems"].items()} == {"a": 1, "b": 5}


def test_one_system_names_its_judge_model_and_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{**row, "generator_1": "gpt4"} for row in json.loads(annotations("m", [0.0, 1.0], judge="j"))]
    found, _ = printed(capsys, "alpaca", "--annotations", write(tmp_path / "a.json", rows))
    assert (found["model"], found["judge"], found["reference"]) == ("m", "j", "gpt4")


# F6: what cannot be compared.


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"annotator": "another"}, "different judges"),
        ({"generator_1": "another"}, "different references"),
        ({"output_1": "another text"}, "different reference outputs: 20 of 20 shared prompts differ"),
        ({"orders": [{"preference": 1, "is_switched": True}]}, "judged in different ways (one order; both orders)"),
    ],
)
def test_pairs_that_cannot_be_compared_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Row, told: str
) -> None:
    rows = [{**row, "generator_1": "ref"} for row in json.loads(annotations("m", [0.0, 1.0] * 10))]
    a, b = write(tmp_path / "a.json", rows), write(tmp_path / "b.json", rows)
    c = write(tmp_path / "c.json", [{**row, **change} for row in rows])
    assert moa("compare", a, c) == 2
    assert told in capsys.readouterr().err
    found = compared(capsys, a, b, c)
    assert [(row["a"], row["b"]) for row in found["pairs"]] == [("a", "b")]
    assert [(row["a"], row["b"]) for row in found["refused"]] == [("a", "c"), ("b", "c")]


def test_another_reference_is_another_run(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also a file of the same name: its bytes are compared."""
    judge = ("--judge", "openai:judge=0.7", "--judge-url", provider.url)
    args = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, *judge, "--out", tmp_path / "run")
    path = write(tmp_path / "ref.json", references(3))
    assert moa(*args, "--reference", path) == 0
    before = (tmp_path / "run/annotations.json").read_bytes()
    write(path, [{**row, "output": "another"} for row in references(3)])
    assert moa(*args, "--reference", path) == 3
    assert "belongs to another run (different data)" in capsys.readouterr().err
    assert (tmp_path / "run/annotations.json").read_bytes() == before


# F7: a cost cap measures a random part.


def test_a_cost_cap_measures_a_random_part(tmp_path: Path, provider: Provider) -> None:
    """Items run in the order the seed draws, so the items that fit are those of a `--limit` of that size."""
    rows = [{**row, "dataset": f"part {n // 20}"} for n, row in enumerate(references(60))]
    reference = write(tmp_path / "ref.json", rows)
    price = ("--price", "openai:solo-tok=10=0,1000")
    args = ("alpaca", "-m", "openai:solo-tok=10", "--base-url", provider.url, "--judge", "none", *price,
            "--reference", reference, "--max-tokens", 10)  # fmt: skip
    assert moa(*args, "--out", tmp_path / "capped", "--max-cost", 0.12) == 0
    found = json.loads((tmp_path / "capped/model_outputs.json").read_text())
    assert 8 <= len(found) <= 12
    assert len({row["dataset"] for row in found}) == 3
    assert moa(*args, "--out", tmp_path / "limited", "--limit", len(found)) == 0
    assert found == json.loads((tmp_path / "limited/model_outputs.json").read_text())
    assert any("a random draw" in text for text in scores(tmp_path / "capped")["warnings"])


# F8 and F9 have tests of their own: test_intervals.py and `make coverage`.


def test_small_samples_carry_a_caution(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fewer than 50 prompts, or few wins: the interval says so, and a unanimous judge's is not a point."""
    found, _ = printed(capsys, "alpaca", "--annotations", files(tmp_path, {"a.json": annotations("m", [1.0] * 20)})[0])
    low, high = found["win_rate_interval"]
    assert high - low > 10
    assert found["cautions"]["win_rate_interval"] == "20 prompts; below 50 the interval is rough"
    few = annotations("m", [1.0] * 3 + [0.0] * 197)
    found, _ = printed(capsys, "alpaca", "--annotations", files(tmp_path, {"b.json": few})[0])
    assert found["cautions"]["win_rate_interval"] == "about 3 wins in 200 prompts; below 10 the interval is rough"
    capsys.readouterr()
    assert moa("alpaca", "--annotations", tmp_path / "b.json") == 0
    assert "caution: about 3 wins in 200 prompts" in " ".join(capsys.readouterr().out.split())


# F10: pairwise files, the canary, both orders.


def pairs(n: int = 10) -> list[Row]:
    return [
        {"question_id": 81 + q, "model_1": "a", "model_2": "b", "g1_winner": "model_1",
         "g2_winner": "model_1" if q % 2 else "model_2", "judge": ["gpt-4", "pair-v2"], "turn": 1}
        for q in range(n)
    ]  # fmt: skip


def test_fastchats_pair_files_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "gpt-4_pair.jsonl", pairs())
    found, _ = printed(capsys, "mt-bench", "--judgments", path)
    row = found["a against b"]
    assert (row["wins"], row["losses"], row["ties"], row["adjusted_win_rate"]) == (5, 0, 5, 75)
    assert row["consistency"] == 0.5
    pair = compared(capsys, f"{path}#a", f"{path}#b")["pairs"][0]
    assert (pair["mean_a"], pair["mean_b"], pair["n"]) == (75, 25, 10)


def test_our_own_pair_file_is_read_and_pairs_are_in_the_table(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = {81: ["w", "w2"], 111: ["2", "4"]}
    rows = [{"question_id": q, "model_id": "o", "choices": [{"index": 0, "turns": t}]} for q, t in turns.items()]
    other = write(tmp_path / "other.jsonl", rows)
    judge = ("--judge", "openai:say=[[A]] [[7]]", "--judge-url", provider.url)
    args = ("mt-bench", "-m", "openai:solo", "--base-url", provider.url, *judge, "--pairwise", other)
    assert moa(*args, "--out", tmp_path / "run") == 0
    assert "pairwise: ties" in capsys.readouterr().out
    report = (tmp_path / "run/report.md").read_text()
    assert "| pairwise: ties | 4 |" in report
    assert "{'" not in report
    (pair_file,) = (tmp_path / "run/model_judgment").glob("*_pair.jsonl")
    found, _ = printed(capsys, "mt-bench", "--judgments", pair_file)
    assert next(iter(found.values()))["ties"] == 4


def test_recorded_annotations_in_both_orders_keep_their_figures(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = ("--judge", "openai:judge=0.9", "--judge-url", provider.url, "--canary", "--both-orders")
    args = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, *judge, "--out", tmp_path / "run")
    assert moa(*args) == 0
    assert "canary: win_rate" in capsys.readouterr().out
    assert "{'" not in (tmp_path / "run/report.md").read_text()
    found, told = printed(capsys, "alpaca", "--annotations", tmp_path / "run/annotations.json")
    assert (found["consistency"], found["first_position_share"]) in ((0, 0), (0, 1))
    assert "the judge depends on the order" in told  # F21
    assert any("depends on the order" in text for text in scores(tmp_path / "run")["warnings"])


# F11: what was measured.


def test_a_finished_run_says_what_was_measured(tmp_path: Path, provider: Provider) -> None:
    judge = ("--judge", "openai:judge=0.7", "--judge-url", provider.url)
    file = bench.mixture(tmp_path, provider)
    assert moa("alpaca", "-f", file, *judge, "--limit", 2, "--out", tmp_path / "run") == 0
    manifest = json.loads((tmp_path / "run/run.json").read_text())
    assert [model["model"] for model in manifest["models"]] == [
        "openai:one-tok=4", "openai:two-tok=4", "openai:agg-tok=6",
    ]  # fmt: skip
    assert (manifest["reference"], manifest["judge"]["model"]) == ("ref", "openai:judge=0.7")
    assert manifest["versions"][0].startswith("moa_graph ")
    assert manifest["selection"] == {"items": 2, "limit": 2, "ids": [], "seed": 0}
    assert len(manifest["started"]) == len("2026-01-01")
    assert {len(digest) for digest in manifest["data"].values()} == {64}
    for name in ("report.md", "report.html"):
        text = (tmp_path / "run" / name).read_text()
        for fact in ("openai:two-tok=4", "moa_graph 0", manifest["started"], *manifest["data"].values()):
            assert fact in text, (name, fact)
    assert provider.url not in (tmp_path / "run/report.md").read_text()


# F13, F14, F15: incomplete and damaged data.


def test_a_file_that_lacks_prompts_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"instruction": row["instruction"], "output_1": "r", "output_2": "m", "preference": 1.0 + n % 2}
        for n, row in enumerate(references(6)[:5])
    ]
    found, told = printed(capsys, "alpaca", "--annotations", write(tmp_path / "a.json", rows))
    assert found["missing"] == 1
    assert "1 of 6 prompts are missing" in told


def test_a_comparison_on_few_shared_prompts_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = annotations("a", [0.0, 1.0] * 50), annotations("b", [1.0, 0.5] * 10)
    found = compared(capsys, *files(tmp_path, {"a.json": one, "b.json": two}))
    assert (found["pairs"][0]["n"], found["pairs"][0]["n_a"]) == (20, 100)
    assert found["warnings"] == ["a and b share 20 prompts of 100 and 20: the difference is on these alone"]


@pytest.mark.parametrize("text", ["<!doctype html><html>", "index,instruction_difficulty\n0,1\n", ""])
def test_a_damaged_table_of_gamed_baselines_costs_the_length_control_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "assets/alpaca_eval/df_gamed.csv").write_text(text)
    found, told = printed(
        capsys, "alpaca", "--annotations", files(tmp_path, {"a.json": annotations("m", [0.0, 1.0] * 60)})[0]
    )
    assert found["win_rate"] == 50
    assert found["length_controlled_winrate"] is None
    assert "df_gamed.csv" in found["length_controlled_note"]
    assert "damaged" in told
    assert "KeyError: 0" not in told


# F19: drafts.


def test_drafts_with_an_instruction_twice_are_refused_unless_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"instruction": "Question 0?", "output": "FIRST"}
    args = ("alpaca", "--judge", "none", "--limit", 6)
    twice = write(tmp_path / "dr.json", [row, {**row, "output": "SECOND"}])
    assert moa(*args, "--drafts", twice, "--out", tmp_path / "a") == 2
    assert "rows 1 and 2 have different outputs for 'Question 0?'" in capsys.readouterr().err
    equal = write(tmp_path / "eq.json", [row, row])
    assert moa(*args, "--drafts", equal, "--out", tmp_path / "b") == 0


# F20: judges without humans, and the published table alone.


def test_judges_are_compared_with_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = files(tmp_path, {"a.json": annotations("m", [0.0, 1.0] * 30)})[0]
    two = files(tmp_path, {"b.json": annotations("m", [0.2, 0.9] * 27 + [1.0, 0.0] * 3, judge="other")})[0]
    found, _ = printed(capsys, "judge", "--judge", f"one={one}", "--judge", f"two={two}", "--out", tmp_path / "page")
    row = found["one and two"]
    assert (row["n"], row["agreement"], row["kappa"]) == (60, pytest.approx(90), pytest.approx(0.8))
    assert row["agreement_interval"][0] < 90 < row["agreement_interval"][1]
    assert "one and two" in (tmp_path / "page/report.md").read_text()
    assert moa("judge", "--judge", one) == 2


# F21: families.


def test_a_judge_of_the_references_or_the_drafts_family_is_told(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = ("--judge", "openai:gpt-4.1,judge=0.7", "--judge-url", provider.url, "--limit", 1)
    reference = write(tmp_path / "r.json", [{**row, "generator": "gpt4_1106_preview"} for row in references(3)])
    args = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, *judge, "--reference", reference)
    assert moa(*args, "--out", tmp_path / "run") == 0
    assert "gpt4_1106_preview are of one family (OpenAI)" in capsys.readouterr().err
    rows = [{"instruction": f"Question {n}?", "output": "x", "generator": "gpt-3.5-turbo-0301"} for n in range(6)]
    drafts = write(tmp_path / "drafts.json", rows)
    assert moa("alpaca", "--drafts", drafts, *judge, "--out", tmp_path / "drafted") == 0
    assert "gpt-3.5-turbo-0301" in capsys.readouterr().err


# F22: files that are meant to hurt.


def test_hostile_files_are_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000 + "]" * 100_000)
    assert moa("alpaca", "--annotations", deep) == 2
    assert "nested too deeply" in capsys.readouterr().err
    monkeypatch.setattr("moa_graph.evals.data.files.LARGEST", 1 << 20)
    bomb = tmp_path / "bomb.json.gz"
    bomb.write_bytes(gzip.compress(b" " * (1 << 22)))
    assert moa("alpaca", "--annotations", bomb) == 2
    assert "it has more than 1 MiB" in capsys.readouterr().err


# Unreadable verdicts are requested again, once a run.


@pytest.mark.parametrize("kind", ["alpaca", "mt-bench", "flask"])
def test_running_again_asks_for_unreadable_verdicts(tmp_path: Path, provider: Provider, kind: str) -> None:
    """Each run asks for them once more; a finished verdict is never asked for again."""
    args = (kind, "-m", "openai:solo", "--base-url", provider.url, "--judge", "openai:say=nothing", "--judge-url",
            provider.url, "--out", tmp_path / "run")  # fmt: skip
    asked = []
    for _ in range(3):
        assert moa(*args) == 1
        asked.append(len(provider.requests("say=nothing")))
    assert asked == [asked[0], 2 * asked[0], 3 * asked[0]]
    assert json.loads((tmp_path / "run/run.json").read_text())["passes"] == 3


def test_impossible_tokens_have_no_log_probability() -> None:
    from moa_graph.evals.alpaca_eval.judge import first_share

    assert first_share([{"token": "M", "logprob": -0.1}, {"token": "m", "logprob": None}]) == 0
    assert first_share([{"token": "m", "logprob": -0.1}, {"token": "M", "logprob": float("nan")}]) == 1
    assert first_share([{"token": "m"}, {"token": "M", "logprob": None}]) is None


# Numbers and names that no table can hold.


@pytest.mark.parametrize("digits", ["9" * 400, "9" * 3900])
def test_numbers_of_thousands_of_digits_are_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], digits: str
) -> None:
    file = tmp_path / "one.jsonl"
    for field, value in (("idx", digits), ("idx", f'"{digits}"'), ("result", digits)):
        row = {"idx": "1", "result": '"2"', field: value}
        file.write_text("".join(f'{{"idx": {n}, "result": 1}}\n' for n in (7, 8)))
        with file.open("a") as out:
            out.write("{" + ", ".join(f'"{name}": {text}' for name, text in row.items()) + "}\n")
        code = moa("judge", "--judge", f"a={file}", "--judge", f"b={file}", "--json")
        said = capsys.readouterr()
        named_in_error = f"{file}, row 3: `idx` is inf; it must be a number or text" in said.err
        assert (code, named_in_error) == ((2, True) if field == "idx" and value == digits else (0, False)), said.err
        if field == "result":
            assert f"{file}, row 3 has result inf" in said.err


def test_a_damaged_row_of_a_judges_second_file_is_named_by_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files of one judge are its runs; a row's number is that of its own file, also where annotators are mixed."""
    first = write(tmp_path / "first.json", [{"idx": 1, "result": 1, "annotator": name} for name in ("x", "y")])
    second = write(tmp_path / "second=2.json", [{"idx": 1, "result": 1}, {"idx": True, "result": 1}])
    assert moa("judge", "--judge", f"j={first}", "--judge", f"j={second}") == 2
    assert f"{second}, row 2: `idx` is True" in capsys.readouterr().err
    mixed = write(tmp_path / "mixed.json", [{"idx": 1, "result": 1, "annotator": "x"}, {"result": 1, "annotator": "y"}])
    assert moa("judge", "--judge", mixed) == 2
    assert f"judge 'y', {mixed}, row 2 has no text" in capsys.readouterr().err


def test_a_folder_may_have_the_sign_that_selects_a_system(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "C#"
    folder.mkdir()
    rows = [{"question_id": n, "model": name, "turn": 1, "score": 5 + n % 2, "judge": "g"} for n in range(81, 87)
            for name in ("a", "b#2")]  # fmt: skip
    both = write(folder / "both.json", rows)
    one = write(folder / "one=1#.json", [row for row in rows if row["model"] == "a"])
    assert moa("compare", one, f"{both}#b#2", "--json") == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["systems"]] == ["one=1#", "b#2"]


# Recorded outputs that belong to something else.


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"instruction": "Question {}?", "draft": "x"},
            "no row has an output, which is text under output, text, response",
        ),
        ({"instruction": "Question {}?", "output": None}, "no row has an output"),
        ({"id": "{}", "choices": []}, "no row has an output"),
        ({"id": "{}", "choices": ["a", "b"], "answer": 1}, "no row has an output"),
        ({"instruction": "Other {}?", "output": "x"}, "it has no output for any of the 6 items, which are joined by"),
    ],
)
@pytest.mark.parametrize("model", [False, True])
def test_outputs_that_answer_nothing_end_before_anything_is_paid(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str], row: Row, message: str, *, model: bool
) -> None:
    """A model would write answers without drafts, and a judge would rate them."""
    rows = [{name: text.format(n) if isinstance(text, str) else text for name, text in row.items()} for n in range(6)]
    drafts = write(tmp_path / "d.json", rows)
    writer = ("-m", "openai:solo", "--base-url", provider.url) if model else ()
    judge = ("--judge", "openai:judge", "--judge-url", provider.url)
    assert moa("alpaca", "--drafts", drafts, *writer, *judge, "--out", tmp_path / "run") == 2
    assert f"{drafts}: {message}" in capsys.readouterr().err
    assert not provider.requests()


def test_outputs_have_the_names_that_other_tools_give_them(tmp_path: Path) -> None:
    """`answer` is the right answer where the row has another text."""
    rows = [{"id": 1, "response": "one", "answer": "gold"}, {"id": 2, "completion": "two"},
            {"id": 3, "answer": "three"}, {"id": 4, "choices": ["a", "b"], "generation": "four"}]  # fmt: skip
    found = RecordedOutputs.read(write(tmp_path / "d.jsonl", rows))
    assert found.turns == {"1": ["one"], "2": ["two"], "3": ["three"], "4": ["four"]}


@pytest.mark.parametrize("command", [("mt-bench", "--pairwise"), ("mt-bench", "--drafts"), ("flask", "--drafts")])
def test_outputs_of_another_benchmark_end_before_anything_is_paid(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str], command: tuple[str, str]
) -> None:
    other = write(tmp_path / "o.json", [{"instruction": "Other?", "output": "x"}])
    args = (*command, other, "-m", "openai:solo", "--base-url", provider.url, "--judge", "openai:judge", "--judge-url")
    assert moa(*args, provider.url, "--out", tmp_path / "run") == 2
    assert f"{other}: it has no output for any of the 2 items" in capsys.readouterr().err
    assert not provider.requests()


def test_outputs_for_other_prompts_end_before_anything_is_paid(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = write(tmp_path / "p.jsonl", [{"id": "a", "prompt": "2 + 2?", "gold": "4"}])
    other = write(tmp_path / "o.jsonl", [{"id": "b", "answer": "4"}])
    args = (
        "run",
        prompts,
        "--drafts",
        other,
        "-m",
        "openai:solo",
        "--base-url",
        provider.url,
        "--out",
        tmp_path / "run",
    )
    assert moa(*args) == 2
    assert "the first item is 'a'. Its first row is 'b'" in capsys.readouterr().err
    assert not provider.requests()


def test_damaged_orders_of_a_verdict_are_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A preference in quotes is read in each order, as it is beside them."""
    orders: list[Row] = [{"preference": "1.8"}, {"preference": 1.7, "is_switched": True}]
    texts = {"output_1": "r", "output_2": "o", "preference": "1.8"}
    rows: list[Row] = [{"instruction": f"Q{n}", **texts, "orders": [dict(o) for o in orders]} for n in range(20)]
    found, _ = printed(capsys, "alpaca", "--annotations", write(tmp_path / "good.json", rows))
    assert (found["consistency"], found["first_position_share"]) == (1, 0.5)
    for share in ("high", [1], 7, True):
        rows[3]["orders"][1]["first_share"] = share
        bad = write(tmp_path / "bad.json", rows)
        assert moa("alpaca", "--annotations", bad) == 2
        assert f"{bad}: annotation 4: `first_share` of an order is {share!r}" in capsys.readouterr().err
