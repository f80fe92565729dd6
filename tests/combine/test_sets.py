"""Other recorded sets of the same format are replayed; a bad one is refused with the file and the line."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.combine.__main__ import replay_all
from benchmarks.combine.sets import SetError, answer_sets, draft_sets

ROW: dict[str, Any] = {
    "id": "a",
    "gold": "4",
    "drafts": [
        {"model": "m/one", "text": "<think>2 + 2</think>The answer is 4", "correct": True},
        {"model": "two", "text": "The answer is 5", "correct": False},
        {"model": "three", "text": "", "correct": False},
    ],
}
SCORES = {"m/one": [9, 1, 0], "two": [5.5, 5.5, None], "three": [10, 0, 0]}


def write(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def table(found: dict[str, Any]) -> dict[str, float]:
    return {row["combiner"]: row["accuracy"] for row in found["table"]}


async def test_another_set_of_drafts_is_replayed(tmp_path: Path) -> None:
    rows = [{**ROW, "id": n, "scores_side_by_side": SCORES, "published_pick": 0} for n in range(4)]
    rows[3] = {**rows[3], "drafts": [{**draft, "correct": False} for draft in ROW["drafts"]]}
    write(tmp_path / "recorded_drafts" / "other250.jsonl.gz", rows)
    found = (await replay_all(tmp_path))["other"]
    accuracy = table(found)
    assert accuracy["select by peers"] == accuracy["verify with gold"] == 75.0
    assert accuracy["a random draft"] == 25.0 and found["questions"] == 4
    assert found["checks"]["published_picks"] == found["checks"]["published_picks_among_winners"] == 4
    assert found["checks"]["in_flight_after_pass"] == 0


async def test_a_set_without_judges_is_replayed_without_select(tmp_path: Path) -> None:
    write(tmp_path / "recorded_drafts" / "plain.jsonl", [ROW])
    accuracy = table((await replay_all(tmp_path))["plain"])
    assert not any(name.startswith("select") for name in accuracy) and accuracy["verify with gold"] == 100.0


async def test_another_set_of_answers_is_replayed(tmp_path: Path) -> None:
    answers = {
        "one": (["7", "7.0", "8", None], ["", None]),
        "two": (["8", "8", "8"], ["x"]),
        "three": (["7"], ["1/2", "\\frac{1}{2}"]),
    }
    for model, (first, second) in answers.items():
        rows = [{"id": 0, "gold": "7", "answers": first}, {"id": 1, "gold": "0.5", "answers": second, "tokens": [5]}]
        write(tmp_path / "recorded_answers" / "sums" / f"{model}.jsonl.gz", rows)
    found = (await replay_all(tmp_path))["sums"]
    votes = {row["model"]: row["accuracy"] for row in found["table"] if row["combiner"] == "vote on all"}
    assert votes == {"one": 50.0, "two": 0.0, "three": 50.0}
    assert not any(value for check, value in found["checks"].items() if "differs" in check)


def changed(**fields: Any) -> dict[str, Any]:
    return {**ROW, **fields}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no rows"),
        (["{"], "line 1: not JSON (Expecting property name"),
        (["[1]"], "line 1: expected a JSON object, got list"),
        ([ROW, ROW], "line 2: `id` 'a' is that of line 1 as well"),
        ([changed(id=None)], "line 1: `id` is missing"),
        ([changed(drafts=[])], "`drafts` must be a list of 1 to 256 drafts"),
        ([changed(drafts=["x"])], "draft 0: expected an object"),
        ([changed(drafts=[{"text": "x", "correct": True}])], "draft 0: `model` must be the model's name"),
        ([changed(drafts=[{"model": "m", "text": 1, "correct": True}])], "draft 0: `text` must be a text"),
        ([changed(drafts=[{"model": "m", "text": "x", "correct": None}])], "draft 0: `correct` must be true or false"),
        ([changed(drafts=[ROW["drafts"][0]] * 2)], "two drafts of m/one"),
        ([changed(scores_side_by_side={"two": [1]})], "judge two: expected 3 scores"),
        ([changed(scores_side_by_side={"two": [1, 2, 11]})], "a score must be a number from 0 to 10 or null, got 11"),
        ([changed(published_pick=3)], "`published_pick` must be a draft's number from 0 to 2"),
        ([ROW, changed(id="b", drafts=ROW["drafts"][:2])], "question b: drafts of"),
    ],
)
def test_a_bad_set_of_drafts_is_refused(tmp_path: Path, rows: list[Any], words: str) -> None:
    path = write(tmp_path / "recorded_drafts" / "bad.jsonl.gz", rows)
    with pytest.raises(SetError) as caught:
        draft_sets(tmp_path)
    assert words in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"id": 0, "answers": ["1"]}, "`gold` must be the right answer"),
        ({"id": 0, "gold": "1", "answers": "1"}, "`answers` must be a list"),
        ({"id": 0, "gold": "1", "answers": [["1"]]}, "an answer must be a text, a number or null"),
        ({"id": 0, "gold": "1", "answers": ["1"], "tokens": ["9"]}, "`tokens` must be a list of whole numbers"),
    ],
)
def test_a_bad_set_of_answers_is_refused(tmp_path: Path, row: Any, words: str) -> None:
    write(tmp_path / "recorded_answers" / "sums" / "m.jsonl", [row])
    with pytest.raises(SetError, match=words):
        answer_sets(tmp_path)


def test_a_file_that_is_not_compressed_or_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "recorded_drafts" / "cut.jsonl.gz", [ROW])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SetError, match=r"cut\.jsonl\.gz"):
        draft_sets(tmp_path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(SetError, match="gzipped"):
        draft_sets(tmp_path)


async def test_a_folder_without_sets_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetError, match=r"Give --assets"):
        await replay_all(tmp_path)
