"""Files of other people's: damaged, mixed, in other encodings, with ids of other kinds, several systems, duplicates.

Each is scored rightly, or is one error that ends with 2 and names the file and what is wrong in it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from moa_graph.evals.data.files import Row
from tests.evals.bench import moa
from tests.evals.test_comparisons import annotations, compared
from tests.evals.test_findings import pairs, pandalm, printed, rating, write

pytestmark = pytest.mark.usefixtures("small")

ANNOTATIONS = ("alpaca", "--annotations")
JUDGMENTS = ("mt-bench", "--judgments")
REVIEWS = ("flask", "--reviews")
SCORE = ("score",)


def annotated(n: int = 20, **fields: Any) -> list[Row]:
    rows: list[Row] = json.loads(annotations("m", [0.0, 1.0] * (n // 2)))
    return [{**row, **fields} for row in rows]


def rated(**fields: Any) -> list[Row]:
    return [{**rating(q, t, 8), **fields} for q in (81, 111) for t in (1, 2)]


def results(n: int = 5, **fields: Any) -> list[Row]:
    row: Row = {"repeat": 0, "prompt": "p", "tags": [], "answer": "a", "score": 1.0, "model_id": "m"}
    return [{"id": f"q{number}", **row, **fields} for number in range(n)]


def arena(n: int = 10, first: Any = "B>A", second: Any = "A>B", **fields: Any) -> list[Row]:
    games = [{"score": first}, {"score": second}]
    return [{"uid": f"u{number}", "model": "m", "judge": "j", "games": games, **fields} for number in range(n)]


def judgebench(n: int = 10, *ends: str, **fields: Any) -> list[Row]:
    judgments = [{"decision": end} for end in ends or ("A>B", "B>A")]
    row: Row = {"source": "mmlu-pro-law", "label": "A>B", "judge_name": "j", "judgments": judgments}
    return [{"pair_id": f"p{number}", **row, **fields} for number in range(n)]


def wildbench(n: int = 10, score: Any = "7", **fields: Any) -> list[Row]:
    row: Row = {"model_test": "m", "model_output": "text", "parsed_result": {"score": score}}
    return [{"session_id": f"s{number}", **row, **fields} for number in range(n)]


@pytest.mark.parametrize(
    ("args", "rows", "told"),
    [
        (JUDGMENTS, [*rated(), rating(82, 1, 76)], "m: 1 rating could not be read; question 82, turn 1"),
        (SCORE, [*wildbench(), {**wildbench()[0], "session_id": "odd", "parsed_result": {"score": "?"}}],
         "1 score could not be read; row 11"),
    ],
)  # fmt: skip
def test_one_that_cannot_be_read_is_counted_in_the_singular(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], rows: list[Row], told: str
) -> None:
    assert moa(*args, write(tmp_path / "a.jsonl", rows)) == 0
    assert told in capsys.readouterr().err


# Encodings and containers.


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(annotated()).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(annotated()).encode(),
        "\r".join(map(json.dumps, annotated())).encode(),
        "\r\n\r\n".join(map(json.dumps, annotated())).encode(),
        json.dumps({"annotations": annotated(), "version": None}, indent=2).encode(),
        "\n".join(json.dumps({**row, "note": "a\u2028b\x85c"}, ensure_ascii=False) for row in annotated()).encode(),
    ],
    ids=["utf-16", "byte order mark", "CR", "CRLF and blank lines", "a list in an object", "separators in a text"],
)
def test_encodings_and_containers_that_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    found, _ = printed(capsys, *ANNOTATIONS, path)
    assert (found["n"], found["win_rate"]) == (20, 50)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"<!DOCTYPE html><html></html>", "is not JSON but a web page: download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\noid x", "a pointer of Git LFS"),
        (b"PK\x03\x04rest", "a zip archive"),
        (b"\x28\xb5\x2f\xfdrest", "a zstd file"),
        (b"PAR1\x15\x04", "is a damaged Parquet file"),
        ('[{"instruction": "caf\xe9"}]'.encode("latin-1"), "is not UTF-8 text"),
        (json.dumps(annotated()).encode()[:500], "is not JSON: "),
        (b"instruction,output_1\na,b\n", "is not JSON"),
        (b"null", "is not a JSON object"),
        (b"[[1, 2]]", "entry 1 is not a JSON object"),
        (b'{"a": 1,\n "b": 2}', "'instruction' is missing"),
        (b"", "there are no annotations"),
        (b'[{"preference": ' + b"9" * 5000 + b"}]", "is not JSON"),
    ],
)
def test_files_that_are_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, told: str
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    _, said = printed(capsys, *ANNOTATIONS, path, code=2)
    assert told in said
    assert "a.json" in said
    assert said.count("moa eval:") == 1


# Fields of the wrong kind.


@pytest.mark.parametrize(
    ("command", "rows", "told"),
    [
        (ANNOTATIONS, annotated(orders=[{"a": 1}]), "annotation 1: `orders` is [{'a': 1}]"),
        (ANNOTATIONS, annotated(orders="both"), "annotation 1: `orders` is 'both'"),
        (ANNOTATIONS, annotated(generator_2=["m"]), "`generator_2` is ['m']"),
        (ANNOTATIONS, [*annotated(), *rated()], "annotation 21: 'instruction' is missing"),
        (ANNOTATIONS, [*annotated(), {**annotated()[0], "output_2": "x"}], "rows 1 and 21 have different answers"),
        (JUDGMENTS, rated(question_id=[81]), "judgment 1: `question_id` is [81]"),
        (JUDGMENTS, rated(question_id=None), "judgment 1: `question_id` is None"),
        (JUDGMENTS, rated(turn=True), "judgment 1: `turn` is True"),
        (JUDGMENTS, rated(turn=3), "judgment 1: the turn is 3"),
        (JUDGMENTS, rated(judge={"name": "x"}), "judgment 1: `judge` is {'name': 'x'}"),
        (JUDGMENTS, [*pairs(), *rated()], "judgment 11 is not a pairwise row"),
        (JUDGMENTS, [*rated(), *pairs()], "judgment 5 is a pairwise row"),
        (JUDGMENTS, [{**row, "model_1": {}} for row in pairs()], "judgment 1: `model_1` is {}"),
        (REVIEWS, [{"idx": None, "review": "{'Readability': 3}"}], "review 1: `idx` is None"),
        (REVIEWS, [{"idx": "x1", "review": "{'Readability': 3}"}], "review 1 has no idx or question_id"),
        (SCORE, arena(games="x"), "row 1 has no uid, model and games"),
        (SCORE, arena(uid={}), "row 1: `uid` is {}"),
        (SCORE, arena(first=["B>A"]), "row 1 has the scores"),
        (SCORE, judgebench(label=["A>B"]), "row 1 has no `label` with `judgments`"),
        (SCORE, [*judgebench(1), *judgebench(1, "B>A", "A>B")], "rows 1 and 2 have different answers to pair p0"),
        (SCORE, wildbench(session_id=["s"]), "row 1: `session_id` is ['s']"),
        (SCORE, [*wildbench(2), *wildbench(2, model_output="other")], "rows 1 and 3 have different answers"),
        (SCORE, results(score=7), "result 1: `score` is 7; it must be null or a number from 0 to 1"),
        (SCORE, results(score="1"), "result 1: `score` is '1'"),
        (SCORE, results(repeat="x"), "result 1: `repeat` is 'x'"),
        (SCORE, results(ratings=5), "result 1: `ratings` is 5"),
        (SCORE, results(tags=5), "result 1: `tags` is 5"),
        (SCORE, results(id=["q"]), "result 1: `id` is ['q']"),
        (SCORE, [*results(2), *results(2, answer="b")], "rows 1 and 3 have different answers to prompt q0"),
    ],
)
def test_fields_of_the_wrong_kind_are_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], rows: list[Row], told: str
) -> None:
    path = write(tmp_path / "recorded.jsonl", rows)
    _, said = printed(capsys, *command, path, code=2)
    assert told in said
    assert "recorded.jsonl" in said
    assert moa("compare", path, path) == 2


@pytest.mark.parametrize(
    ("vote", "told"),
    [
        ({"best": 2}, "vote 1: `best` is 2; it must be the place of one of 2 drafts"),
        ({"best": "a"}, "vote 1: `best` is 'a'"),
        ({"drafts": ["a", "b"]}, "vote 1 has no `prompt` with `drafts`"),
    ],
)
def test_votes_that_name_no_draft(tmp_path: Path, capsys: pytest.CaptureFixture[str], vote: Row, told: str) -> None:
    row = {"prompt": "p", "drafts": [{"model": "a"}, {"model": "b"}], "best": 0}
    path = write(tmp_path / "votes.jsonl", [{**row, **vote}])
    assert moa("compare", f"{path}#a", f"{path}#b") == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"idx": None}, "row 1: `idx` is None"),
        ({"annotator2": "first"}, "no pair has a readable vote of every human"),
    ],
)
def test_damaged_human_votes(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Row, told: str) -> None:
    humans, judge = pandalm(tmp_path, ["1", "2", "Tie"])
    write(humans, [{**row, **change} for row in json.loads(humans.read_text())])
    _, said = printed(capsys, "judge", "--humans", humans, "--judge", f"j={judge}", code=2)
    assert told in said
    assert "humans.json" in said


def test_human_votes_and_verdicts_in_the_wrong_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    humans, judge = pandalm(tmp_path, ["1", "2"])
    assert moa("judge", "--humans", judge, "--judge", humans) == 2
    assert "no verdict of judge 'humans' could be read" in capsys.readouterr().err
    rows = json.loads(humans.read_text())
    write(humans, [*rows, {**rows[0], "response1": "another"}])
    assert moa("judge", "--humans", humans, "--judge", judge) == 2
    assert "rows 1 and 3 have different answers to idx 0" in capsys.readouterr().err


# Ids as numbers and as texts.


def test_ids_are_the_same_as_numbers_and_as_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a.jsonl", [{**row, "id": n} for n, row in enumerate(results())])
    b = write(tmp_path / "b.jsonl", [{**row, "id": str(n)} for n, row in enumerate(results(score=0.0))])
    assert compared(capsys, a, b)["pairs"][0]["n"] == 5
    whole = write(tmp_path / "whole.jsonl", [{**row, "question_id": float(row["question_id"])} for row in rated()])
    found, _ = printed(capsys, *JUDGMENTS, whole)
    assert found["m"]["categories"] == {"math": 8, "writing": 8}
    humans, judge = pandalm(tmp_path, ["1", "2", "1"])
    write(judge, [{**row, "idx": float(row["idx"])} for row in json.loads(judge.read_text())])
    found, _ = printed(capsys, "judge", "--humans", humans, "--judge", f"j={judge}")
    assert found["j"]["n"] == 3


# Several systems, and duplicates.


def test_judges_and_categories_of_arena_hard_are_kept_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", [*arena(), *arena(), *arena(judge="k", first="[[A>>B]]", second=" B>>A ")])
    found = printed(capsys, *SCORE, path)[0][str(path)]
    assert {name: (row["win_rate"], row["n"], row["duplicates"]) for name, row in found.items()} == {
        "m judged by j": (100, 10, 10),
        "m judged by k": (0, 10, 0),
    }
    rows = [*arena(category="hard_prompt"), *arena(category="creative_writing", first="A>B", second="B>A")]
    found = printed(capsys, *SCORE, write(path, rows))[0][str(path)]
    assert {name: row["win_rate"] for name, row in found.items()} == {"m (hard_prompt)": 100, "m (creative_writing)": 0}


def test_judges_and_models_of_other_formats_are_kept_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", [*judgebench(), *judgebench(10, "B>A", "A>B", judge_name="k"), *judgebench()])
    found = printed(capsys, *SCORE, path)[0][str(path)]
    assert [(row["accuracy"], row["n"], row["duplicates"]) for row in found.values()] == [(100, 10, 10), (0, 10, 0)]
    path = write(tmp_path / "a.jsonl", [*wildbench(), *wildbench(score=3, model_test="n"), *wildbench()])
    found = printed(capsys, *SCORE, path)[0][str(path)]
    assert {name: (row["score"], row["duplicates"]) for name, row in found.items()} == {"m": (7, 10), "n": (3, 0)}
    path = write(tmp_path / "a.jsonl", [*results(), *results(score=0.0, model_id="n"), *results()])
    found = printed(capsys, *SCORE, path)[0][str(path)]
    assert {name: (row["score"], row["right"]) for name, row in found.items()} == {"m": (100, 5), "n": (0, 0)}


def test_baselines_of_arena_hard_are_kept_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows name their baseline. The figures have it; the systems' names have it where it decides."""
    rows = [
        *arena(category="math", baseline="org/x"),
        *arena(category="coding", baseline="y", first="A>B", second="B>A"),
    ]
    path = write(tmp_path / "a.jsonl", rows)
    found = printed(capsys, *SCORE, path)[0][str(path)]
    assert {name: (row["win_rate"], row["baseline"]) for name, row in found.items()} == {
        "m (math)": (100, "x"), "m (coding)": (0, "y"),
    }  # fmt: skip
    rows = [*arena(baseline="x"), *arena(baseline="y", first="A>B", second="B>A")]
    found = printed(capsys, *SCORE, write(path, rows))[0][str(path)]
    assert {name: row["win_rate"] for name, row in found.items()} == {"m against x": 100, "m against y": 0}


def test_conversations_of_chatbot_arena(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Any number of turns, and thousands of people who are one group of judges."""
    rows = [
        {"question_id": f"{n:032x}", "model_a": "a", "model_b": "b", "judge": f"arena_user_{n}", "turn": n + 1,
         "winner": ("model_a", "tie (bothbad)", "model_b", "model_a")[n % 4]}
        for n in range(8)
    ]  # fmt: skip
    found, _ = printed(capsys, *JUDGMENTS, write(tmp_path / "a.jsonl", rows))
    row = found["a against b"]
    assert (row["judge"], row["wins"], row["ties"], row["losses"]) == ("humans", 4, 2, 2)


@pytest.mark.parametrize(("a", "b", "tie"), [("A", "B", "C"), ("[[A]]", "[[B]]", "[[C]]"), ("x", "y", "Tie")])
def test_winners_in_other_words(tmp_path: Path, capsys: pytest.CaptureFixture[str], a: str, b: str, tie: str) -> None:
    rows = [{"question_id": n, "model_a": "x", "model_b": "y", "winner": winner, "judge": "j"}
            for n, winner in enumerate([a, a, b, tie, None])]  # fmt: skip
    row = printed(capsys, *JUDGMENTS, write(tmp_path / "a.jsonl", rows))[0]["x against y"]
    assert (row["wins"], row["losses"], row["ties"], row["parse_failures"]) == (2, 1, 1, 1)


def test_a_system_of_which_nothing_can_be_read_does_not_hide_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.jsonl"
    bad = [{**row, "generator_2": "n"} for row in annotated(preference=None)]
    found, said = printed(capsys, *ANNOTATIONS, write(path, [*bad, *annotated()]))
    assert (found["model"], found["win_rate"]) == ("m", 50)
    assert "n against not recorded, judged by openai:judge: no verdict could be read" in said
    for good, other in (
        (judgebench(), judgebench(10, "?", "?", judge_name="k")),
        (wildbench(), wildbench(score="?", model_test="k")),
    ):
        found, said = printed(capsys, *SCORE, write(path, [*other, *good]))
        assert len(found[str(path)]) == 1 and "k" in said and "could be read" in said


def test_a_failed_call_of_a_judge_belongs_to_its_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = {"judgment": {"judge_model": "gpt"}, "decision": "A>B"}
    other = {"judgment": {"judge_model": "gpt"}, "decision": "B>A"}
    rows = judgebench(6, judgments=[made, other])
    for row, judgments in zip(rows, ([None, other], [None, None]), strict=False):
        row["judgments"] = judgments
    path = write(tmp_path / "a.jsonl", rows)
    found = printed(capsys, *SCORE, path)[0][str(path)]
    row = found["j gpt on JudgeBench"]
    assert len(found) == 1 and (row["n"], row["parse_failures"], round(row["accuracy"], 2)) == (6, 1, 83.33)


def test_outputs_of_null_are_empty_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = annotated()
    rows[0]["output_2"] = None
    found, _ = printed(capsys, *ANNOTATIONS, write(tmp_path / "a.json", rows))
    assert (found["n"], found["win_rate"]) == (20, 50)


def test_the_same_annotation_twice_counts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = printed(capsys, *ANNOTATIONS, write(tmp_path / "a.json", [*annotated(), *annotated()[:5]]))
    assert (found["n"], found["duplicates"], found["win_rate"]) == (20, 5, 50)


def test_a_pair_in_both_directions_is_one_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second half of the file names the models the other way round: "a" wins 4 of 8 questions, and loses none."""
    rows = pairs(8)
    names = {"model_1": "model_2", "model_2": "model_1"}
    turned = [
        {
            **row,
            "model_1": "b",
            "model_2": "a",
            "g1_winner": names[row["g1_winner"]],
            "g2_winner": names[row["g2_winner"]],
        }
        for row in rows[4:]
    ]
    found, _ = printed(capsys, *JUDGMENTS, write(tmp_path / "p.jsonl", [*rows[:4], *turned]))
    assert {name: (row["wins"], row["ties"], row["losses"]) for name, row in found.items()} == {
        "a against b": (4, 4, 0)
    }


def test_human_votes_on_mt_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """FastChat's human votes have one winner a row and a person as the judge; people are one judge together."""
    winners = ["model_a", "model_b", "tie", "tie (bothbad)", "model_a"]
    rows = [
        {"question_id": 81 + n, "model_a": "x", "model_b": "y", "winner": winner, "judge": f"expert_{n}", "turn": 1}
        for n, winner in enumerate(winners)
    ]
    path = write(tmp_path / "human.jsonl", rows)
    found, _ = printed(capsys, *JUDGMENTS, path)
    row = found["x against y"]
    assert (row["judge"], row["wins"], row["losses"], row["ties"], row["consistency"]) == ("humans", 2, 1, 2, None)
    assert compared(capsys, f"{path}#x", f"{path}#y")["pairs"][0]["mean_a"] == 60


def test_what_a_judge_left_out_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pairs without a verdict, and pairs without a vote of every human."""
    humans, judge = pandalm(tmp_path, ["1"] * 6)
    rows = json.loads(humans.read_text())
    del rows[0]["annotator2"]
    rows[0]["annotator2"] = None
    write(humans, rows)
    write(judge, json.loads(judge.read_text())[:4])
    found, _ = printed(capsys, "judge", "--humans", humans, "--judge", f"j={judge}")
    assert found["j"]["notes"] == [
        "pairs left out because a human's vote is missing or unreadable: 1",
        "2 of 5 pairs have no readable verdict",
    ]


@pytest.mark.parametrize("field", ["preference", "result", "verdict", "winner", "gpt-4o_result"])
@pytest.mark.parametrize(
    "words", [("A", "B", "C"), ("[[A]]", "[[B]]", "[[C]]"), ("model_a", "model_b", "tie"), (1, 2, 0)]
)
def test_verdicts_of_judges_in_other_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str, words: tuple[Any, ...]
) -> None:
    humans, judge = pandalm(tmp_path, ["1", "2", "1"])
    write(
        judge,
        [{"idx": row["idx"], field: word} for row, word in zip(json.loads(judge.read_text()), words, strict=True)],
    )
    found, _ = printed(capsys, "judge", "--humans", humans, "--judge", f"j={judge}")
    assert (found["j"]["parsed"], found["j"]["parse_failures"]) == (3, 0)


def test_one_human_is_enough_to_rate_a_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The agreement of a judge needs one label a pair; that of humans with each other needs two."""
    rows = [{"instruction": f"q{n}", "output_1": "a", "output_2": "b", "preference": 1 + n % 2} for n in range(10)]
    humans = write(tmp_path / "humans.json", rows)
    judge = write(tmp_path / "judge.json", [{**row, "preference": 1} for row in rows])
    found, _ = printed(capsys, "judge", "--humans", humans, "--judge", f"j={judge}")
    assert found["j"]["human_agreement"] == 50
    assert found["humans"]["human_agreement"] is None
    assert found["humans"]["reasons"]["human_agreement"] == "needs at least two humans"
