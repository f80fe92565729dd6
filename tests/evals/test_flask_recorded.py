"""`moa eval flask` on recorded reviews and on the hard subset."""

import json
from pathlib import Path

import pytest

from moa_graph.evals.data.files import read_rows
from moa_graph.evals.flask import run as flask_run
from moa_graph.evals.flask import scores as flask
from tests.evals import bench
from tests.evals.bench import lines, moa
from tests.provider import Provider


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.small_assets(tmp_path / "assets", monkeypatch)


@pytest.mark.parametrize(
    ("key", "text"), [("idx", False), ("idx", True), ("question_id", False), ("question_id", True)]
)
def test_reviews(small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, text: bool) -> None:
    """Means, unreadable reviews, omitted skills; ids of this package or of the original's files."""
    said = {5: "Fine. {'Logical Correctness': 4}", 9: "{'readability': 3, 'conciseness': 'N/A'}"}
    rows = [{key: str(idx) if text else idx, "review": review} for idx, review in said.items()]
    (tmp_path / "reviews.jsonl").write_text(lines(rows))
    assert moa("flask", "--reviews", tmp_path / "reviews.jsonl", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["skills"] == {"Logical Correctness": 4, "Readability": 3}
    assert found["domains"] == {"Language": 3, "Math": 4}
    assert found["difficulties"] == {"easy": 4, "hard": 3}
    assert (found["mean"], found["n"], found["parse_failures"], found["skipped"]) == (3.5, 2, 0, 1)


def test_reviews_that_hold_scores_only_and_one_that_holds_nothing(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"question_id": "9", "score": {"readability": 5.0, "conciseness": 1}}, {"question_id": "5", "review": "?"}]
    (tmp_path / "reviews.jsonl").write_text(lines(rows))
    assert moa("flask", "--reviews", tmp_path / "reviews.jsonl") == 0
    printed = capsys.readouterr()
    assert "missing" not in printed.err
    assert "Conciseness" in printed.out
    assert "1 reviews, 1 unreadable, 0 skills left out" in printed.err


def test_a_part_of_the_reviews_says_what_is_missing(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reviews.jsonl").write_text(lines([{"idx": 5, "review": "{'Logical Correctness': 4}"}]))
    assert moa("flask", "--reviews", tmp_path / "reviews.jsonl", "--json") == 0
    assert json.loads(capsys.readouterr().out)["notes"] == ["1 of 2 reviews are missing"]


def test_reviews_of_the_hard_subset(small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--hard joins with the other file: an item that only the whole set has is refused by its id."""
    (tmp_path / "hard.jsonl").write_text(lines([{"idx": 9, "review": "{'Readability': 2, 'Conciseness': 4}"}]))
    assert moa("flask", "--reviews", tmp_path / "hard.jsonl", "--hard", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["mean"], found["n"]) == (3, 1)
    (tmp_path / "easy.jsonl").write_text(lines([{"idx": "5", "review": "{'Logical Correctness': 2}"}]))
    assert moa("flask", "--reviews", tmp_path / "easy.jsonl", "--hard") == 2
    assert "review 1: no item has idx 5" in capsys.readouterr().err
    (tmp_path / "bad.jsonl").write_text(lines([{"review": "x"}]))
    assert moa("flask", "--reviews", tmp_path / "bad.jsonl") == 2
    assert "review 1 has no idx or question_id" in capsys.readouterr().err


def test_a_run_on_the_hard_subset(
    small: None, tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = ("--judge", "openai:say={'Readability'%3A4%2C'Conciseness'%3A2}", "--judge-url", provider.url)
    solo = ("flask", "-m", "openai:solo", "--base-url", provider.url, *judge, "--out", tmp_path / "run", "--json")
    assert moa(*solo, "--hard") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["items"], found["n"], found["mean"]) == (1, 1, 3)
    assert [row["idx"] for row in read_rows(tmp_path / "run/reviews.jsonl")] == [9]
    # The whole set is another run, so it is refused in this folder.
    assert moa(*solo) == 3
    assert "data, settings" in capsys.readouterr().err


def test_the_published_hard_subset_has_89_items(asset_folder: Path) -> None:
    """Every item has its skills by their full names, so that every review of them can be read."""
    hard = flask.items(read_rows(asset_folder / flask_run.HARD))
    assert len(hard) == 89
    assert all(set(item.skills) <= set(flask.SKILLS) and item.skills for item in hard)
