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


@pytest.mark.parametrize("form", ["a list", "by model", "a row for each draft", "a folder for the set"])
async def test_other_forms_of_a_set_are_replayed(tmp_path: Path, form: str) -> None:
    """The forms that `moa tune` reads: other names of fields, missing drafts, no grades, minus signs that decide."""
    asked = [
        (n, f"What is {n} - 5?", str(n - 5), [f"The answer is {n - 5}", f"The answer is {5 - n}"]) for n in range(4)
    ]
    if form == "a list":
        texts = [[{"model": "a", "text": t[0]}, {"model": "b", "text": t[1]}] for _, _, _, t in asked]
        rows = [{"uid": n, "question": q, "gold": g, "drafts": t} for (n, q, g, _), t in zip(asked, texts, strict=True)]
        write(tmp_path / "recorded_drafts" / "signs.jsonl", rows)
    elif form == "by model":
        rows = [
            {"problem": q, "answer": f"So {g}.\n#### {g}", "responses": {"a": t[0], "b": t[1]}} for _, q, g, t in asked
        ]
        write(tmp_path / "recorded_drafts" / "signs.json", rows)
    elif form == "a row for each draft":
        rows = [{"id": n, "prompt": q, "target": g, "model_name": m, "output": text}
                for n, q, g, t in asked for m, text in zip("ab", t, strict=True)]  # fmt: skip
        write(tmp_path / "recorded_drafts" / "signs.jsonl.gz", rows)
    else:
        for place, model in enumerate("ab"):
            rows = [{"id": n, "question": q, "gold": g, "response": t[place]} for n, q, g, t in asked]
            write(tmp_path / "recorded_answers" / "signs" / f"{model}.jsonl", rows)
    found = (await replay_all(tmp_path))["signs"]
    assert found["questions"] == 4
    accuracy = table(found)
    assert accuracy["the best single model, known afterwards"] == accuracy["verify with gold"] == 100.0
    assert accuracy["a random draft"] == 50.0


async def test_missing_drafts_and_scores_are_replayed(tmp_path: Path) -> None:
    """A question that a model has no draft of is left out; a judge that left a score out has no verdict there."""
    rows = [{**ROW, "id": n, "question": f"{n}?", "scores_side_by_side": SCORES} for n in range(5)]
    rows[1]["drafts"] = ROW["drafts"][:2]
    rows[1]["scores_side_by_side"] = {"m/one": [9, 1], "two": ["9", 1], "three": {"two": 1, "m/one": 9}}
    rows[2]["drafts"] = [*ROW["drafts"][:2], {"model": "three", "text": None}]
    write(tmp_path / "recorded_drafts" / "gaps.jsonl", rows)
    found = (await replay_all(tmp_path))["gaps"]
    assert (found["questions"], table(found)["select by peers"]) == (4, 100.0)


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
        (["{"], "is not JSON: Expecting property name"),
        (["[1]"], "is not a JSON object"),
        ([changed(drafts=[])], "row 1: `drafts` must be a list of objects"),
        ([changed(drafts=["x"])], "row 1: `drafts` must be a list of objects"),
        ([changed(drafts=[{"text": "x", "correct": True}])], "row 1: every draft must name its `model`"),
        ([changed(drafts=[{"model": "m", "text": [1], "correct": True}])], "row 1: a draft's `text` must be text"),
        ([changed(gold=None, drafts=[{"model": "m", "text": "x"}])], "row 1: a draft has no `correct`"),
        ([changed(scores_side_by_side={"two": [1]})], "row 1: `scores_side_by_side` of two must be one number"),
        ([changed(scores_side_by_side={"two": [1, 2, 11]})], "must be numbers from 0 to 10, or null; it has 11"),
        ([changed(published_pick=3)], "row 1: `published_pick` must be a draft's number from 0 to 2"),
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
        ({"id": 0, "answers": ["1"]}, "it needs `gold` and a list of `answers`"),
        ({"id": 0, "gold": "1", "answers": [["1"]]}, "an answer must be text, a number or null"),
        ({"id": 0, "gold": "1", "answers": ["1"], "correct": ["maybe"]}, "`correct` must be a list of true or false"),
        ({"id": 0, "gold": "1", "answers": ["1"] * 257}, "257 answers; at most 256"),
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
    with pytest.raises(SetError, match="a pointer of Git LFS"):
        draft_sets(tmp_path)


async def test_a_folder_without_sets_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetError, match=r"Give --assets"):
        await replay_all(tmp_path)
