"""Recorded sets of other models and questions: what is read, and what is refused with one clear error."""

import asyncio
import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moa_graph import Mixture
from moa_graph.errors import InputError
from moa_graph.evals.tune import TuneResult
from moa_graph.evals.tune.decide import Decider
from moa_graph.evals.tune.files import read_result
from moa_graph.evals.tune.recorded.models import recorded_pool
from moa_graph.evals.tune.recorded.read import read_recorded
from moa_graph.evals.tune.recorded.run import tune_recorded
from moa_graph.evals.tune.report import page
from moa_graph.evals.tune.settings import Options

Rows = list[dict[str, Any]]


def lines(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def draft(model: str, text: str | None, correct: Any = None) -> dict[str, Any]:
    return {"model": model, "text": text, "correct": correct}


def drafts(many: int = 6) -> Rows:
    """Two models: one is always right, the other on every second question."""
    return [
        {
            "id": n, "question": f"Question number {n}?", "gold": str(n),
            "drafts": [draft("org/a", f"The answer is {n}", True), draft("b:1", f"It is {n + n % 2}", n % 2 == 0)],
        }
        for n in range(many)
    ]  # fmt: skip


def answers(many: int = 6, **fields: Any) -> Rows:
    return [{"id": n, "gold": "5", "answers": ["5", "5", "6"], "tokens": [10, 20, 30], **fields} for n in range(many)]


def run(path: Path, **options: Any) -> TuneResult:
    return asyncio.run(tune_recorded(path, Options(**options)))


def test_a_set_of_drafts_with_other_models(tmp_path: Path) -> None:
    path = lines(tmp_path / "mine.jsonl.gz", drafts())
    found = run(path, out=tmp_path / "run")
    assert (found.best_single.plan.name, found.ceiling.best_single) == ("org/a", 100)
    assert found.replayed["same"] == found.replayed["prompts"] == 6
    assert Mixture.load(tmp_path / "run/mixture.yaml").hash == found.mixture.hash


def test_what_may_differ_between_rows_of_drafts(tmp_path: Path) -> None:
    """The order of models, labels as words or numbers, several drafts of a model, missing drafts, ids, no label."""
    rows = drafts(8)
    rows[0]["drafts"].reverse()
    rows[1]["drafts"][0]["correct"], rows[2]["drafts"][0]["correct"] = "True", 1
    rows[3]["drafts"].append(draft("b:1", "It is 3", "yes"))
    rows[4]["drafts"][1] = draft("b:1", None)
    rows[5]["drafts"].pop()
    rows[6]["id"] = rows[7]["id"] = None
    del rows[7]["drafts"][0]["correct"]
    found = read_recorded(lines(tmp_path / "mine.jsonl", rows))
    assert found.models == ["b:1", "org/a"]
    assert [prompt.id for prompt in found.prompts] == ["0", "1", "2", "3", "4", "7", "8"]
    assert found.dropped == 1
    own = found.samples
    assert own.scores[1, :, 0].tolist() == [1.0] * 7
    assert [row.score for row in found.rows[0][3]] == [0.0, 1.0]
    assert (own.missing, own.counts, own.depth) == (1, [1, 1], 2)
    result = run(tmp_path / "mine.jsonl")
    assert {"questions left out because a model has no answer to them: 1", "missing drafts, which score 0: 1"} <= set(
        result.cautions
    )


def test_a_question_in_several_rows_is_one_question(tmp_path: Path) -> None:
    """The same row again changes nothing; other drafts of it are further drafts; an id may name two questions."""
    rows = drafts(5)
    more = {**rows[0], "drafts": [draft("org/a", "The answer is 9", False), draft("b:1", "It is 9", False)]}
    other = {**rows[1], "question": "Another one?"}
    found = read_recorded(lines(tmp_path / "mine.jsonl", [*rows, rows[2], more, other]))
    assert [prompt.id for prompt in found.prompts] == ["0", "1", "2", "3", "4", "1 (row 8)"]
    assert [len(each) for each in found.rows[0]] == [2, 1, 1, 1, 1, 1]
    assert found.repeated == 2


def test_equal_samples_in_rows_of_their_own_are_samples(tmp_path: Path) -> None:
    """A model that says the same three times, in a row for each draft, has three drafts. A whole row twice is one."""
    said = ["5", "5", "6", "6", "5"]
    about = [{"question": f"Add {n}.", "gold": "5"} for n in range(4)]
    long = [{**each, "model": model, "text": text} for each in about for model in "ab" for text in said]
    wide = [{**each, "run": n, "outputs": {"a": text, "b": text}} for each in about for n, text in enumerate(said)]
    for model in "ab":
        lines(tmp_path / f"texts/{model}.jsonl", [{**each, "text": text} for each in about for text in said])
        rows = [{"id": n, "gold": "5", "answers": [text]} for n in range(4) for text in said]
        lines(tmp_path / f"answers/{model}.jsonl", rows)
    places = [lines(tmp_path / "long.jsonl", long), lines(tmp_path / "wide.jsonl", [*wide, *wide])]
    for path in [*places, tmp_path / "texts", tmp_path / "answers"]:
        found = read_recorded(path)
        assert [[draft.text for draft in each] for model in found.rows for each in model] == [said] * 8, path


def test_an_instruction_with_other_input_is_another_question(tmp_path: Path) -> None:
    """Alpaca's form: the same instruction on six inputs is six questions, and none of them has two right answers."""
    rows = [
        {"instruction": "Add one.", "input": str(n), "gold": str(n + 1), "model": model, "output": f"It is {n + 1}"}
        for n in range(6)
        for model in ("org/a", "b:1")
    ]
    found = read_recorded(lines(tmp_path / "mine.jsonl", rows))
    assert [prompt.text for prompt in found.prompts] == [f"Add one.\n\n{n}" for n in range(6)]
    assert found.samples.scores.min() == 1


def test_verdicts_follow_their_drafts(tmp_path: Path) -> None:
    """Scores stand in the row's own order of drafts; the recorded judges choose by them."""
    rows = drafts(6)
    for place, row in enumerate(rows):
        row["scores_side_by_side"] = {"org/a": [9, 1], "b:1": [8, 2]}
        if place % 2:
            row["drafts"].reverse()
            row["scores_side_by_side"] = {"org/a": [1, 9], "b:1": [2, 8]}
    found = run(lines(tmp_path / "mine.jsonl", rows))
    peers = next(each for each in found.measured if each.plan.name.startswith("select by peers"))
    assert (peers.status, peers.scores.tolist()) == ("measured", [1.0] * 6)


@pytest.mark.parametrize("many", [1, 2])
def test_one_model_alone(tmp_path: Path, many: int) -> None:
    """One draft of one model leaves nothing to combine; several can vote."""
    rows = [{**row, "drafts": [row["drafts"][1]] * 1} for row in drafts()]
    found = run(lines(tmp_path / "one.jsonl", rows))
    reason = "no mixture was measured; several drafts of the model (--samples), or more models, can be combined"
    assert (found.verdict, found.choice.reason) == ("cannot tell", reason)
    assert found.figures()["hidden_gain"] is None
    page(found.figures(), found.by_prompt()).write(tmp_path / "page")
    assert "rule out a gain" not in (tmp_path / "page/report.md").read_text()
    folder = lines(tmp_path / "answers/only.jsonl", answers(tokens=None)).parent
    voted = run(folder)
    assert voted.best_single.plan.name == "only"
    assert any(each.plan.kind == "self-vote" for each in voted.measured)


def test_a_set_of_answers_with_numbers_ties_and_gaps(tmp_path: Path) -> None:
    """Numbers equal texts, an answer that is missing is wrong, a question without answers is left out."""
    lines(tmp_path / "set/a.jsonl", [*answers(5), {"id": "x", "gold": 7, "answers": [7, 7.0, "7", None]}])
    rows = [{"id": n, "gold": 5, "answers": [5, "6"]} for n in range(5)]
    lines(tmp_path / "set/b.jsonl.gz", [*rows, {"id": "x", "gold": "7", "answers": []}])
    found = read_recorded(tmp_path / "set")
    assert (found.models, len(found.prompts), found.dropped) == (["a", "b"], 5, 1)
    assert found.samples.counts == [3, 2]
    assert found.samples.scores[1, 0].tolist()[:2] == [1.0, 0.0]
    alone = read_recorded(lines(tmp_path / "alone/a.jsonl", [*answers(3), *[
        {"id": "x", "gold": True, "answers": [True, "True", None, False]}]]).parent)  # fmt: skip
    assert alone.samples.scores[0, 3].tolist() == [1.0, 1.0, 0.0, 0.0]
    tied = run(tmp_path / "set")
    assert tied.best_single.scores.mean() == pytest.approx(2 / 3)


def test_rows_of_one_question_are_further_answers(tmp_path: Path) -> None:
    found = read_recorded(
        lines(tmp_path / "set/a.jsonl", [*answers(4), *answers(4), {"id": 0, "gold": "5", "answers": ["8"]}]).parent
    )
    assert [len(each) for each in found.rows[0]] == [4, 3, 3, 3]
    assert found.repeated == 5


def named(n: int) -> dict[str, Any]:
    own = [{"model_name": "a", "response": f"So it is {n}."}, {"model_name": "b", "response": f"It is {n + n % 2}!"}]
    return {"uid": f"u{n}", "instruction": f"Add {n}.", "reference": n, "responses": own}


OTHER_FORMS: dict[str, Rows] = {
    "names": [named(n) for n in range(6)],
    "by model": [
        {"id": n, "question": f"Größe {n}?", "gold": n, "outputs": {"a": [f"{n}", f"{n}"], "b": {"text": n + n % 2}}}
        for n in range(6)
    ],
    "one draft a row": [
        {"question": f"Größe {n}?", "model": model, "output": str(n + wrong), "is_correct": "no" if wrong else "yes"}
        for n in range(6)
        for model, wrong in (("a", 0), ("b", n % 2))
    ],
    "letters": [
        {
            "id": n, "question": f"{n}?", "expected": "B",
            "drafts": [draft("a", "I choose (B)"), draft("b", "I choose (C)" if n % 2 else "B")],
        }
        for n in range(6)
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_FORMS)
def test_other_forms_of_drafts(tmp_path: Path, name: str) -> None:
    """Other names of the fields, drafts by model, a row for each draft; drafts without a grade are compared."""
    found = read_recorded(lines(tmp_path / "mine.jsonl", OTHER_FORMS[name]))
    assert (found.models, len(found.prompts)) == (["a", "b"], 6)
    assert found.samples.scores[:, :, 0].mean(axis=1).tolist() == [1.0, 0.5]
    if name == "names":
        assert [prompt.id for prompt in found.prompts][:2] == ["u0", "u1"]
        assert found.prompts[0].text == "Add 0."


def test_tables_are_recorded_sets_too(tmp_path: Path) -> None:
    """CSV: a row for each draft, or a folder of a table for each model, where an empty cell is a missing answer."""
    rows = [f"Größe {n}?,{m},{n + w},{n}" for n in range(6) for m, w in (("数", 0), ("b", n % 2))]
    (tmp_path / "long.csv").write_text("question,model,text,gold\n" + "\n".join(rows) + "\n", encoding="utf-8")
    found = read_recorded(tmp_path / "long.csv")
    assert (found.models, found.samples.scores[:, :, 0].mean(axis=1).tolist()) == (["数", "b"], [1.0, 0.5])
    (tmp_path / "set").mkdir()
    for file, wrong in (("a.csv", 0), ("b.CSV", 1)):
        cells = [f"{n},{n},{'' if n == 3 else n + wrong}" for n in range(6)]
        (tmp_path / "set" / file).write_text("id,gold,answer\n" + "\n".join(cells) + "\n")
    found = read_recorded(tmp_path / "set")
    assert (found.models, found.samples.scores[:, :, 0].sum(axis=1).tolist()) == (["a", "b"], [5.0, 0.0])
    assert found.rows[0][3][0].text == ""


FORMS_OF_A_FOLDER: dict[str, Any] = {
    "texts": lambda text: {"response": text},
    "answer": lambda text: {"answer": text},
    "several": lambda text: {"outputs": [text, text]},
    "long answers": lambda text: {"answers": [text + " because of this and that and more of it, as was to be shown."]},
}


@pytest.mark.parametrize("form", FORMS_OF_A_FOLDER)
def test_a_folder_of_texts_holds_drafts(tmp_path: Path, form: str) -> None:
    """A file for each model with whole texts: their final answers are compared, not the texts letter by letter."""
    for model, wrong in (("a", 0), ("b", 1)):
        rows = [{"id": n, "question": f"Add {n}.", "gold": f"{n}",
                 **FORMS_OF_A_FOLDER[form](f"So the sum is {n + wrong * (n % 2)}")} for n in range(6)]  # fmt: skip
        lines(tmp_path / f"set/{model}.jsonl", rows)
    found = read_recorded(tmp_path / "set")
    assert (found.models, found.texts, found.prompts[0].text) == (["a", "b"], True, "Add 0.")
    assert found.samples.scores[:, :, 0].mean(axis=1).tolist() == [1.0, 0.5]


def test_answers_with_recorded_grades_keep_them(tmp_path: Path) -> None:
    rows = [
        {"id": n, "gold": "1/2", "answers": ["\\frac12", "0.7", None], "correct": [True, "no", None]} for n in range(4)
    ]
    found = read_recorded(lines(tmp_path / "set/a.jsonl", rows).parent)
    assert found.samples.scores[0].tolist() == [[1.0, 0.0, 0.0]] * 4


def test_gaps_of_judges_words_of_grades_and_values_of_tables(tmp_path: Path) -> None:
    """A judge may leave a score out or write it as text; NaN is what tables have for null; ids may be floats."""
    rows = drafts(5)
    for row in rows:
        row["id"] = float(row["id"])
        row["scores_side_by_side"] = {"org/a": ["9", None], "b:1": {"b:1": 2, "org/a": 8.5}, "none": None}
        row["drafts"][0]["correct"] = "T"
    rows[1]["drafts"][1]["correct"] = float("nan")
    found = read_recorded(lines(tmp_path / "mine.jsonl", rows))
    assert found.judges == {
        "org/a": {str(n): [9.0, None] for n in range(5)},
        "b:1": {str(n): [8.5, 2.0] for n in range(5)},
    }
    assert found.samples.scores[:, :, 0].sum(axis=1).tolist() == [5.0, 3.0]
    measured = run(tmp_path / "mine.jsonl").measured
    assert next(each for each in measured if each.plan.name.startswith("select by peers")).scores.tolist() == [1.0] * 5


def test_thoughts_are_no_part_of_a_draft(tmp_path: Path) -> None:
    """They are left out as in a run, and the graph repeats what was computed. Thoughts alone are a missing draft."""
    rows = drafts()
    for n, row in enumerate(rows):
        for each in row["drafts"]:
            each["text"] = f"<think>Is the answer {n + 7}? No.</think>\n{each['text']}"
    rows[5]["drafts"][1]["text"] = "<think>I do not know.</think>\n"
    found = run(lines(tmp_path / "mine.jsonl", rows))
    assert found.replayed["same"] == found.replayed["prompts"] == 6
    read = read_recorded(tmp_path / "mine.jsonl")
    assert read.rows[0][1][0].text == "The answer is 1" and read.samples.missing == 1


def test_models_beside_their_texts(tmp_path: Path) -> None:
    rows = [{"id": n, "question": f"{n}?", "gold": "4", "models": ["a", "b"], "responses": ["It is 4", "It is 5"]}
            for n in range(4)]  # fmt: skip
    assert read_recorded(lines(tmp_path / "mine.jsonl", rows)).samples.scores[:, :, 0].mean(axis=1).tolist() == [1, 0]
    rows = [{**row, "correct": [False, True]} for row in rows]
    assert read_recorded(lines(tmp_path / "mine.jsonl", rows)).samples.scores[:, :, 0].mean(axis=1).tolist() == [0, 1]


def test_rows_of_one_draft_each_are_no_repetitions(tmp_path: Path) -> None:
    found = read_recorded(lines(tmp_path / "mine.jsonl", OTHER_FORMS["one draft a row"]))
    assert found.repeated == 0


def test_seconds_that_no_clock_gives_are_unknown(tmp_path: Path) -> None:
    rows = drafts()
    for row, seconds in zip(rows, (10**400, float("nan"), -5, "soon", 2.5, None), strict=True):
        row["drafts"][0]["seconds"] = seconds
    run(lines(tmp_path / "mine.jsonl", rows), out=tmp_path / "run")
    assert [row[0].seconds for row in read_recorded(tmp_path / "mine.jsonl").rows[0]] == [0, 0, 0, 0, 2.5, 0]


def test_ids_with_a_line_separator_are_shown_again(tmp_path: Path) -> None:
    rows = [{**row, "id": f"q\u2028{n}"} for n, row in enumerate(drafts())]
    run(lines(tmp_path / "mine.jsonl", rows), out=tmp_path / "run")
    assert [row["prompt"] for row in read_result(tmp_path / "run")[1]] == [row["id"] for row in rows]


def test_solutions_of_gsm8k_are_right_answers(tmp_path: Path) -> None:
    rows = [{**row, "gold": f"{n} + 0 = <<{n}>>{n}\n#### {n}"} for n, row in enumerate(drafts())]
    for row in rows:
        row["drafts"] = [draft(each["model"], each["text"]) for each in row["drafts"]]
    found = read_recorded(lines(tmp_path / "mine.jsonl", rows))
    assert found.samples.scores[:, :, 0].mean(axis=1).tolist() == [1.0, 0.5]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", json.dumps({"name": "mine", "data": drafts()})),
        ("a.json", json.dumps({f"q{n}": {**row, "id": None} for n, row in enumerate(drafts())})),
        (
            "a.tsv",
            "question\tmodel\ttext\tgold\n" + "".join(f"{n}?\t{m}\tIt is 5, yes\t5\n" for n in range(4) for m in "ab"),
        ),
        ("a.csv", "question;model;text;gold\n" + "".join(f"{n}?;{m};It is 5;5\n" for n in range(4) for m in "ab")),
    ],
)
def test_other_containers(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert len(read_recorded(tmp_path / name).models) == 2


def changed(rows: Rows, place: int, **fields: Any) -> Rows:
    rows[place] |= fields
    return rows


BAD_DRAFTS = {
    "empty": ([], "is empty"),
    "too few": (drafts(3), "3 questions are too few"),
    "no drafts": (changed(drafts(), 2, drafts=None), "row 3: `drafts` must be a list"),
    "no names": (changed(drafts(), 1, drafts=[{"text": "5"}]), "row 2: every draft must name its `model`"),
    "text": (changed(drafts(), 1, drafts=[draft("a", [5])]), "row 2: a draft's `text` must be text"),  # type: ignore[arg-type]  # wrong on purpose
    "label": (changed(drafts(), 0, drafts=[draft("a", "5", "maybe")]), "row 1: `correct` must be .* 'maybe'"),
    "score": (changed(drafts(), 0, drafts=[draft("a", "5", 7)]), "row 1: `correct` must be"),
    "no gold": (changed(drafts(), 0, gold=None, drafts=[draft("a", "5")]), "row 1: a draft has no `correct`"),
    "gold": (changed(drafts(), 0, gold={"a": 1}), "row 1: `gold` must be"),
    "other gold": ([*drafts(), {**drafts()[0], "gold": "9"}], "row 7: its question is that of 0"),
    "verdicts": (changed(drafts(), 3, scores_side_by_side={"x": [1]}), "row 4: `scores_side_by_side` of x"),
    "disjoint": (
        [{**row, "drafts": [row["drafts"][n % 2]]} for n, row in enumerate(drafts())],
        "no question has a draft of every model",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_DRAFTS)
def test_a_bad_file_of_drafts_is_one_error(tmp_path: Path, name: str) -> None:
    rows, told = BAD_DRAFTS[name]
    with pytest.raises(InputError, match=told):
        read_recorded(lines(tmp_path / "mine.jsonl", rows))


BAD_ANSWERS = {
    "no file": ({}, "has no file of recorded answers"),
    "no gold": ({"a": changed(answers(), 1, gold=None)}, "row 2: it needs `gold`"),
    "no answers": ({"a": changed(answers(), 1, answers={"a": 5})}, "row 2: it needs `gold` and a list of `answers`"),
    "other gold": ({"a": [*answers(), *answers(1, gold="6")]}, "row 7: its id is that of an earlier row"),
    "disagree": ({"a": answers(), "b": answers(gold="6")}, "disagree on the right answer to 0: 5, 6"),
    "disjoint": ({"a": answers(), "b": [{**row, "id": f"x{row['id']}"} for row in answers()]}, "answer of every model"),
    "too few": ({"a": answers(3)}, "3 questions are too few"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_bad_folder_of_answers_is_one_error(tmp_path: Path, name: str) -> None:
    files, told = BAD_ANSWERS[name]
    (tmp_path / "set").mkdir()
    for model, rows in files.items():
        lines(tmp_path / f"set/{model}.jsonl", rows)
    with pytest.raises(InputError, match=told):
        read_recorded(tmp_path / "set")


def test_two_files_of_one_model_are_refused(tmp_path: Path) -> None:
    for ending in ("jsonl", "jsonl.gz"):
        lines(tmp_path / f"set/a.{ending}", answers())
    with pytest.raises(InputError, match="two files are named a"):
        read_recorded(tmp_path / "set")


def sample(number: int, text: str, right: float, filter: str = "strict-match", **fields: Any) -> dict[str, Any]:
    """A row as lm-eval writes it with `--log_samples`."""
    return {
        "doc_id": number, "doc": {"question": f"How many are {number}?", "answer": f"It is {number}.\n#### {number}"},
        "target": f"It is {number}.\n#### {number}",
        "arguments": {"gen_args_0": {"arg_0": f"Q: How many are {number}?\nA:", "arg_1": {"until": ["Q:"]}}},
        "resps": [[text]], "filtered_resps": [text.split()[-1]], "filter": filter, "metrics": ["exact_match"],
        "doc_hash": "a", "prompt_hash": "b", "target_hash": "c", "exact_match": right, **fields,
    }  # fmt: skip


SAMPLES = "samples_gsm8k_2026-11-20T10-11-12.345678.jsonl"


def lm_eval_folder(folder: Path, many: int = 6) -> Path:
    """What lm-eval leaves of two models: `b` is right on every second question, its strict filter reads nothing."""
    for name in ("org__a", "b"):
        rows = []
        for n in range(many):
            right = name == "org__a" or n % 2 == 0
            text = f"I count. The answer is {n if right else n + 100}"
            rows += [sample(n, text, 0.0 if name == "b" else 1.0), sample(n, text, float(right), "flexible-extract")]
        lines(folder / name / SAMPLES, rows)
        (folder / name / "results_2026-11-20T10-11-12.345678.json").write_text("{}")
    return folder


def test_samples_of_lm_eval(tmp_path: Path) -> None:
    found = run(lm_eval_folder(tmp_path / "out"))
    assert found.figures()["n"] == 6
    assert (found.best_single.plan.name, found.ceiling.best_single) == ("org/a", 100)
    read = read_recorded(tmp_path / "out")
    assert [prompt.text for prompt in read.prompts][:2] == ["gsm8k 0: How many are 0?", "gsm8k 1: How many are 1?"]
    scores = dict(zip(read.models, read.samples.scores[:, :, 0].mean(axis=1), strict=True))
    assert scores == {"org/a": 1.0, "b": 0.5}
    assert read.samples.votable
    # Under the names of their models, the same files are the same set.
    for name in ("org__a", "b"):
        lines(
            tmp_path / f"renamed/{name}.jsonl",
            [json.loads(row) for row in (tmp_path / "out" / name / SAMPLES).read_text().splitlines()],
        )
    again = read_recorded(tmp_path / "renamed")
    assert again.samples.scores.mean() == read.samples.scores.mean() == 0.75


BAD_SAMPLES = {
    "keep one run": {"org__a/samples_gsm8k_2026-11-21T10-11-12.345678.jsonl": [sample(0, "5", 1.0)]},
    "cannot be mixed": {f"b/{SAMPLES}": [sample(0, "5", 1.0, resps=[[["-1.5", "True"]], [["-2.5", "False"]]])]},
    "none of the metrics (bleu, ter)": {f"b/{SAMPLES}": [sample(0, "5", 1.0, metrics=["bleu", "ter"], bleu=31.5)]},
    "doc_id is that of an earlier row": {f"b/{SAMPLES}": [sample(0, "5", 1.0), sample(0, "6", 1.0)]},
}


@pytest.mark.parametrize("said", BAD_SAMPLES)
def test_samples_that_are_no_graded_texts_are_one_error(tmp_path: Path, said: str) -> None:
    folder = lm_eval_folder(tmp_path / "out")
    for name, rows in BAD_SAMPLES[said].items():
        lines(folder / name, rows)
    with pytest.raises(InputError) as error:
        read_recorded(folder)
    assert said in str(error.value)


def test_what_can_be_won_is_over_the_model_that_it_names(tmp_path: Path) -> None:
    """Of two models within half a point, the cheaper one is the best single model; its own score is shown."""
    right = {"dear": lambda n: n % 10 > 0, "cheap": lambda n: n % 10 > 0 and n != 5}
    rows = [
        {
            "id": n, "question": f"Question number {n}?", "gold": str(n),
            "drafts": [
                draft(name, f"{'So. ' * 90 * (name == 'dear')}The answer is {n + (not known(n))}", known(n))
                for name, known in right.items()
            ],
        }
        for n in range(400)
    ]  # fmt: skip
    found = run(lines(tmp_path / "mine.jsonl", rows))
    score = 100 * float(found.best_single.scores.mean())
    assert f"{found.best_single.plan.name} ({score:.2f} %)" in found.figures()["ceiling"]["sentence"]
    assert found.ceiling.gain == pytest.approx(found.ceiling.oracle - score)


def test_what_can_be_won_is_on_the_prompts_that_decide(tmp_path: Path) -> None:
    """Most grades of one model are missing, as when its judge fails: the gain is not that of other questions."""
    known = read_recorded(lines(tmp_path / "mine.jsonl", drafts(60)))
    scores = known.samples.scores.copy()
    scores[0, 1::2] = np.nan
    decider = Decider(replace(known.samples, scores=scores), known.prompts, recorded_pool(known), Options())
    found = asyncio.run(decider.decide("run", settings={}))
    assert found.ceiling.n == 30 and found.ceiling.gain == 0 and found.ceiling.best_single == 100
