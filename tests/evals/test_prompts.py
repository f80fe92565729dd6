"""`moa eval run`: own prompts with right answers, checks, judges and juries; baselines, repeats, drafts, the matrix."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from moa_graph.evals.data import assets
from moa_graph.evals.data.catalog import Asset
from moa_graph.evals.data.files import Row
from moa_graph.evals.prompts.grade import Match, is_right
from moa_graph.evals.prompts.run import last_rating
from tests.evals.bench import lines, mixture, moa, recorded, scores
from tests.evals.test_findings import printed, write
from tests.provider import Provider

pytestmark = pytest.mark.usefixtures("small")


def prompts(folder: Path, rows: list[Row], name: str = "prompts.jsonl") -> Path:
    return write(folder / name, rows)


def solo(provider: Provider, says: str) -> tuple[str, ...]:
    """A model that always says the same."""
    return ("-m", f"openai:say={quote(says, safe='')}", "--base-url", provider.url)


RIGHT = [
    {"id": "sum", "prompt": "2 + 3?", "gold": 5, "match": "number", "tags": ["math"]},
    {"id": "word", "prompt": "Say five.", "gold": ["vijf", "The answer is 5"]},
    {"id": "wrong", "prompt": "2 + 2?", "gold": "4", "tags": ["math"]},
    {"id": "free", "messages": [{"role": "system", "content": "Short."}, {"role": "user", "content": "Hello?"}]},
]


def test_right_answers_are_counted(tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers, final answers, lists of right answers; a prompt without one is answered and not graded."""
    args = ("run", prompts(tmp_path, RIGHT), *solo(provider, "The answer is 5"), "--out", tmp_path / "run")
    found, said = printed(capsys, *args)
    assert "4/4 items, cost unknown of 4 items\n" in said and "$" not in said
    assert (found["n"], found["right"], found["wrong"], found["ungraded"]) == (3, 2, 1, 1)
    assert found["score"] == pytest.approx(200 / 3)
    assert found["tags"] == {"math": 50}
    assert "interval" in found["cautions"]
    rows = {row["id"]: row for row in map(json.loads, (tmp_path / "run/results.jsonl").read_text().splitlines())}
    assert [rows[name]["score"] for name in ("sum", "word", "wrong", "free")] == [1, 1, 0, None]
    assert provider.requests()[-1].messages[0] == {"role": "system", "content": "Short."}
    page = (tmp_path / "run/report.md").read_text()
    assert "only generated answers" not in page
    assert "| judge | none |" in page and "| reference | none |" in page and "| setting: check | none |" in page


@pytest.mark.parametrize(
    ("match", "gold", "right", "wrong"),
    [
        ("exact", "Lima", ["Lima", " lima. "], ["The answer is Lima", "Limas"]),
        ("final", "Lima", ["Lima", "So the answer is Lima.", "\\boxed{Lima}"], ["Lima or Quito", "Not Lima, Quito"]),
        ("number", "1,000", ["It is 1000.0", "\\boxed{1000}", "so 10 * 100 = 1000"], ["1000 plus 1 is 1001", "none"]),
        ("number", "1/2", ["0.5", "\\frac{1}{2}"], ["2"]),
        ("number", "1.5", ["1 1/2", "about 1\u00bd cups", "1\\frac{1}{2}"], ["11/2", "1 12"]),
        ("final", "102", ["102"], ["The answer is 10\u00b2."]),
        ("choice", "B", ["The answer is (B)", "B", "**B.** because"], ["A", "The answer is C"]),
        ("regex", r"\b\d{4}\b", ["in 1999 it was"], ["in 99"]),
    ],
)
def test_ways_of_matching(match: Match, gold: str, right: list[str], wrong: list[str]) -> None:
    assert [text for text in right if not is_right(text, [gold], match)] == []
    assert [text for text in wrong if is_right(text, [gold], match)] == []


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "is empty"),
        ([{"gold": "x"}], "row 1 has no text under prompt"),
        ([{"prompt": "a", "gold": "("}], ""),
        ([{"prompt": "a", "gold": "(", "match": "regex"}], "'(' is not a regular expression"),
        ([{"prompt": "a", "gold": "five", "match": "number"}], "'five' is not a number"),
        ([{"prompt": "a", "gold": "AB", "match": "choice"}], "'AB' is not an option letter"),
        ([{"prompt": "a", "options": ["x", "y"], "answer": "C"}], "'C' is not one of the 2 options"),
        ([{"prompt": "a", "gold": "x", "match": "like"}], "`match` is 'like'"),
        ([{"prompt": "a", "gold": "x", "id": "1"}, {"prompt": "b", "gold": "y", "id": 1}], "the id '1' is used by an"),
        ([{"prompt": "a", "gold": {"a": 1}}], "the right answer must be"),
        ([{"messages": [{"role": "assistant", "content": "x"}], "gold": "x"}], "must have the role user"),
        ([{"prompt": "a", "cop": 2}], "no right answers: the first row has prompt, cop. Name the right answer `gold`"),
    ],
)
def test_bad_prompts_are_refused_before_anything_is_sent(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str], rows: list[Row], told: str
) -> None:
    args = ("run", prompts(tmp_path, rows), *solo(provider, "x"), "--out", tmp_path / "run")
    assert moa(*args) == (2 if told else 0)
    assert told in capsys.readouterr().err
    assert not told or provider.stats()["requests"] == 0


def test_a_regression_against_a_baseline_ends_with_1(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    path = prompts(tmp_path, [{"id": f"q{n}", "prompt": f"{n} + 0?", "gold": n} for n in range(5)])
    base = ("run", path, *solo(provider, "The answer is 3"), "--name", "m")
    assert moa(*base, "--out", tmp_path / "base") == 0
    assert moa(*base, "--out", tmp_path / "same", "--baseline", tmp_path / "base") == 0
    worse = ("run", path, *solo(provider, "The answer is 9"), "--name", "m", "--out", tmp_path / "worse")
    capsys.readouterr()
    assert moa(*worse, "--baseline", tmp_path / "base") == 1
    told = capsys.readouterr().err
    assert "regression: the score is 0.00 %, the baseline's on the same prompts 20.00 %" in told
    assert "worse than the baseline: q3" in told
    assert moa(*base, "--out", tmp_path / "same", "--fail-under", 20) == 0
    assert moa(*base, "--out", tmp_path / "same", "--fail-under", 20.1) == 1
    assert moa(*base, "--out", tmp_path / "same", "--baseline", tmp_path / "worse") == 0
    assert moa(*base, "--out", tmp_path / "same", "--baseline", tmp_path / "nowhere") == 2
    # The limit is for all prompts of the run, also where the baseline has only some of them.
    some = prompts(tmp_path, [{"id": "q3", "prompt": "3 + 0?", "gold": 3}], "some.jsonl")
    assert moa("run", some, *base[2:], "--out", tmp_path / "some") == 0
    assert moa(*base, "--out", tmp_path / "same", "--baseline", tmp_path / "some", "--fail-under", 50) == 1
    assert "regression: the score is 20.00 %, under --fail-under 50" in capsys.readouterr().err


def test_runs_with_other_numbers_of_repetitions_are_compared_by_prompt(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """A baseline of three answers for each prompt, two of them right, against one wrong answer: all of them count."""
    path = prompts(tmp_path, [{"id": f"q{n}", "prompt": f"{n}?", "gold": "5"} for n in range(3)])
    row = {"gold": ["5"], "match": "final", "model_id": "old"}
    kept = [
        {**row, "id": f"q{n}", "prompt": f"{n}?", "repeat": repeat, "answer": str(5 * score), "score": score}
        for n in range(3)
        for repeat, score in enumerate((0, 1, 1))
    ]
    (tmp_path / "old").mkdir()
    write(tmp_path / "old/results.jsonl", kept)
    asked = ("run", path, *solo(provider, "The answer is 9"), "--out", tmp_path / "new", "--name", "new")
    assert moa(*asked, "--baseline", tmp_path / "old") == 1
    told = capsys.readouterr().err
    assert "regression: the score is 0.00 %, the baseline's on the same prompts 66.67 %" in told
    assert "worse than the baseline: q0, q1, q2" in told
    found, _ = printed(capsys, "compare", tmp_path / "old", tmp_path / "new")
    pair = found["pairs"][0]
    assert (pair["n"], pair["mean_a"], pair["mean_b"]) == (3, pytest.approx(200 / 3), 0)
    assert pair["difference"] == pytest.approx(200 / 3)


def test_prompts_that_failed_count_as_0_for_the_lowest_score(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two prompts one has no answer. The score is that of the other; a run of which half failed does not pass."""
    path = prompts(
        tmp_path, [{"prompt": "2?", "gold": "5"}, {"prompt": "3?", "gold": "5"}, {"prompt": "Free."}, {"prompt": "No."}]
    )
    said = write(
        tmp_path / "said.jsonl",
        [{"prompt": "2?", "id": "a", "output": "5"}, {"prompt": "Free.", "id": "b", "output": "x"}],
    )
    args = ("run", path, "--drafts", said, "--out", tmp_path / "run")
    assert moa(*args, "--fail-under", 50) == 0
    assert scores(tmp_path / "run")["score"] == 100
    capsys.readouterr()
    assert moa(*args, "--fail-under", 51) == 1
    told = "the score is 50.00 %, under --fail-under 51: 1 of 2 prompts have no grade and count as 0"
    assert told in capsys.readouterr().err


def test_a_prompt_that_lost_its_answer_is_a_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The other prompts have the baseline's score, so that the mean alone would not show it."""
    path = prompts(tmp_path, [{"id": f"q{n}", "prompt": f"{n} + 0?", "gold": "x"} for n in range(3)])
    outputs = [{"id": f"q{n}", "output": "x"} for n in range(3)]
    whole, part = write(tmp_path / "whole.json", outputs), write(tmp_path / "part.json", outputs[:2])
    assert moa("run", path, "--drafts", whole, "--out", tmp_path / "base") == 0
    now = ("run", path, "--drafts", part, "--out", tmp_path / "now")
    assert moa(*now) == 0
    capsys.readouterr()
    assert moa(*now, "--baseline", tmp_path / "base") == 1
    assert "prompts with a grade in the baseline and none now (1): q2" in capsys.readouterr().err
    # Prompts outside of this run's selection are not missing.
    assert moa(*now[:4], "--ids", "q0,q1", "--out", tmp_path / "some", "--baseline", tmp_path / "base") == 0


def test_outputs_are_joined_by_the_question_before_a_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A prompt without an id is known by its place. Numbers in a file of outputs may count from 0."""
    rows: list[Row] = [{"prompt": f"{n} + 1?", "gold": str(n + 1)} for n in range(4)]
    path = prompts(tmp_path, rows)
    outputs = [{"id": n, "instruction": f"{n} + 1?", "output": str(n + 1)} for n in range(4)]
    file = write(tmp_path / "outputs.json", outputs)
    found, _ = printed(capsys, "run", path, "--drafts", file, "--out", tmp_path / "run")
    assert (found["right"], found["wrong"]) == (4, 0)
    # A new row moves the places of the others; none has the answer to another question.
    more = prompts(tmp_path, [{"prompt": "New?", "gold": "x"}, *rows], "more.jsonl")
    results = tmp_path / "run/results.jsonl"
    found, said = printed(capsys, "run", more, "--drafts", results, "--out", tmp_path / "more")
    assert (found["right"], found["wrong"], found["answers"]) == (4, 0, 4)
    assert "there is no recorded output for it" in said
    # Outputs without a question are those of the prompts' names in results.
    bare = write(tmp_path / "bare.json", [{"id": n + 1, "output": str(n + 1)} for n in range(4)])
    found, _ = printed(capsys, "run", path, "--drafts", bare, "--out", tmp_path / "bare")
    assert found["right"] == 4


def test_outputs_to_one_text_in_two_conversations_are_kept_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[Row] = [
        {"messages": [{"role": "system", "content": city}, {"role": "user", "content": "Where?"}], "gold": city}
        for city in ("Lima", "Quito")
    ]
    results = [{"id": str(n), "repeat": 0, "prompt": "Where?", "answer": city, "score": 0.0}
               for n, city in enumerate(("Lima", "Quito"), 1)]  # fmt: skip
    file = write(tmp_path / "results.jsonl", results)
    found, _ = printed(capsys, "run", prompts(tmp_path, rows), "--drafts", file, "--out", tmp_path / "run")
    assert (found["right"], found["wrong"]) == (2, 0)


@pytest.mark.parametrize(
    ("rows", "options", "told"),
    [
        (
            [{"gold": 1, "match": "exact"}],
            (),
            "they were graded differently (`match`): 1 of 2 shared prompts, first q0",
        ),
        ([{"gold": 2}], (), "they were graded differently (right answers): 1 of 2 shared prompts, first q0"),
        ([{"gold": 1}], ("--check", "true"), "they were graded differently (a check): 2 of 2 shared prompts, first q0"),
        ([{"gold": 1, "prompt": "Other?"}], (), "they have different prompts under the same ids: 1 of 2 shared"),
        ([{"gold": 1, "id": "other"}], ("--ids", "other"), "the runs share no prompts"),
    ],
)
def test_a_baseline_that_was_graded_differently_is_refused_before_anything_is_sent(
    tmp_path: Path,
    provider: Provider,
    capsys: pytest.CaptureFixture[str],
    rows: list[Row],
    options: tuple[str, ...],
    told: str,
) -> None:
    old = [{"id": f"q{n}", "prompt": f"{n}?", "gold": 1} for n in range(2)]
    base = ("run", prompts(tmp_path, old), *solo(provider, "The answer is 1"), "--out", tmp_path / "base")
    assert moa(*base) == 0
    sent = provider.stats()["requests"]
    new = prompts(tmp_path, [{**row, **change} for row, change in zip(old, [*rows, {}], strict=True)], "new.jsonl")
    now = ("run", new, *solo(provider, "The answer is 2"), *options, "--out", tmp_path / "now")
    assert moa(*now, "--baseline", tmp_path / "base") == 2
    assert told in capsys.readouterr().err
    assert provider.stats()["requests"] == sent
    # Its own answers, graded as the run is, can be compared.
    if "graded" in told:
        again = ("run", new, "--drafts", tmp_path / "base/results.jsonl", *options, "--out", tmp_path / "again")
        assert moa(*again) == 0
        assert moa(*now, "--baseline", tmp_path / "again") == 1 - (told.count("right answers"))
        assert moa("compare", tmp_path / "base", tmp_path / "now") == 2
        assert told in capsys.readouterr().err


def test_runs_with_other_criteria_or_another_verdict_of_a_jury_are_not_compared(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    path = prompts(tmp_path, [{"id": f"q{n}", "prompt": f"{n}?"} for n in range(2)])
    judges = [option for n in "45" for option in ("--judge", f"openai:say={quote(f'[[{n}]]', safe='')}")]
    base = ("run", path, *solo(provider, "x"), *judges, "--judge-url", provider.url)
    assert moa(*base, "--criteria", "Short.", "--out", tmp_path / "short") == 0
    assert moa(*base, "--criteria", "Long.", "--out", tmp_path / "long") == 0
    assert moa(*base, "--criteria", "Short.", "--majority", "--out", tmp_path / "most") == 0
    capsys.readouterr()
    for other, what in (("long", "criteria"), ("most", "majority")):
        assert moa("compare", tmp_path / "short", tmp_path / other) == 2
        assert f"they were graded differently ({what}): 2 of 2 shared prompts" in capsys.readouterr().err
    # Rows of an earlier version do not say it.
    rows = [json.loads(line) for line in (tmp_path / "long/results.jsonl").read_text().splitlines()]
    old = write(tmp_path / "old.jsonl", [{k: v for k, v in row.items() if k != "criteria"} for row in rows])
    assert moa("compare", tmp_path / "short", old) == 0


def test_a_check_command_runs_without_a_shell(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the answer, knows the prompt, sees no secret, and is ended at its time limit."""
    monkeypatch.setenv("SOME_API_KEY", "hidden")
    code = "import os, sys; text = sys.stdin.read(); assert 'SOME_API_KEY' not in os.environ; "
    (tmp_path / "check.py").write_text(code + "print(text, os.environ['MOA_ID']); sys.exit('five' not in text)")
    path = prompts(tmp_path, [{"id": "a", "prompt": "Say five; $(touch oops)"}])
    args = ("run", path, *solo(provider, "five; $(touch oops)"))
    check = f"{sys.executable} {tmp_path / 'check.py'} ';' $(touch oops)"
    found, _ = printed(capsys, *args, "--check", check, "--out", tmp_path / "run")
    assert (found["score"], found["right"]) == (100, 1)
    assert not (tmp_path / "oops").exists()
    row = json.loads((tmp_path / "run/results.jsonl").read_text())
    assert row["check"] == "five; $(touch oops) a"
    slow = f"{sys.executable} -c 'import time; time.sleep(60)'"
    found, _ = printed(capsys, *args, "--check", slow, "--check-timeout", 0.5, "--out", tmp_path / "slow")
    assert found["score"] == 0
    assert json.loads((tmp_path / "slow/results.jsonl").read_text())["check"] == "it took longer than 0.5 s"
    assert moa(*args, "--check", "no-such-program", "--out", tmp_path / "no") == 2


def test_a_check_runs_for_a_prompt_that_no_environment_can_hold(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "check.py").write_text("import os; print(repr(os.environ.get('MOA_PROMPT')), os.environ['MOA_GOLD'])")
    rows = [{"id": "long", "prompt": "x" * 200_000}, {"id": "odd", "prompt": "a\0b \ud83d", "gold": "\0 5 \udfff"}]
    args = (
        "run",
        prompts(tmp_path, rows),
        *solo(provider, "5"),
        "--check",
        f"{sys.executable} {tmp_path / 'check.py'}",
    )
    printed(capsys, *args, "--out", tmp_path / "run")
    said = {
        row["id"]: row["check"] for row in map(json.loads, (tmp_path / "run/results.jsonl").read_text().splitlines())
    }
    assert said == {"long": "None", "odd": "'ab \ufffd'  5 \ufffd"}


@pytest.mark.parametrize(
    ("judgment", "found"),
    [
        ("A [[10]] names its sources; this does not.\n\n[[4]]", 4),
        ("It follows [1] and [9].\n\nRating: **[7]**.", 7),
        ("[[7/10]]", 7),
        ("It follows [1] and [9], which is good", -1),
        ("[[4]], no: [[40]]", -1),
    ],
)
def test_the_last_rating_of_a_judgment_counts(judgment: str, found: float) -> None:
    """A judge explains before it rates: earlier ratings are examples, and single brackets are citations."""
    assert last_rating(judgment) == found


@pytest.mark.parametrize(("says", "told"), [("The capital is Lima.", True), ("Quito", False), ("Limassol", False)])
def test_answers_that_are_compared_in_the_wrong_way_are_told(
    tmp_path: Path, provider: Provider, says: str, told: bool
) -> None:
    path = prompts(tmp_path, [{"prompt": f"Capital {n}?", "gold": "Lima"} for n in range(5)])
    assert moa("run", path, *solo(provider, says), "--out", tmp_path / "run") == 0
    found = scores(tmp_path / "run")
    assert found["score"] == 0
    told_so = [text for text in found["warnings"] if "5 of 5 answers that count as wrong contain a right" in text]
    assert bool(told_so) == told


def test_an_earlier_rating_in_a_judgment_does_not_count(tmp_path: Path, provider: Provider) -> None:
    path = prompts(tmp_path, [{"prompt": "Write.", "criteria": "Sources."}])
    says = quote("A [[10]] names its sources; this does not.\n\n[[4]]", safe="")
    judge = ("--judge", f"openai:say={says}", "--judge-url", provider.url)
    assert moa("run", path, *solo(provider, "a text"), *judge, "--out", tmp_path / "run") == 0
    assert json.loads((tmp_path / "run/results.jsonl").read_text())["score"] == pytest.approx((4 - 1) / 9)


def test_a_judge_is_shown_the_whole_conversation(tmp_path: Path, provider: Provider) -> None:
    said = ["Answer in verse.", "Capital of Peru?", "Lima it is.", "And of Chile?"]
    roles = ("system", "user", "assistant", "user")
    turns = [{"role": role, "content": text} for role, text in zip(roles, said, strict=True)]
    path = prompts(tmp_path, [{"messages": turns, "criteria": "Verse.", "gold": ["Santiago", "Santiago de Chile"]}])
    judge = ("--judge", "openai:say=[[7]]", "--judge-url", provider.url)
    assert moa("run", path, *solo(provider, "Santiago"), *judge, "--out", tmp_path / "run") == 0
    shown = provider.requests("say=[[7]]")[0].messages[-1]["content"]
    assert [text for text in said if text not in shown] == []
    assert "\nSantiago\nSantiago de Chile\n" in shown


def test_a_jury_rates_by_the_users_criteria(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mean or majority of several judges, their agreement, and criteria in the prompt."""
    path = prompts(tmp_path, [{"prompt": f"Write {n}.", "criteria": "Rhymes."} for n in range(3)])
    says = [f"openai:say={quote(text, safe='')}" for text in ("[[10]]", "[[7]]", "[[1]]")]
    judges = [part for name in says for part in ("--judge", name)]
    args = ("run", path, *solo(provider, "a poem"), *judges, "--judge-url", provider.url)
    found, _ = printed(capsys, *args, "--out", tmp_path / "mean")
    assert found["score"] == pytest.approx(100 * (6 - 1) / 9)
    assert sorted(found["jury"]["means"].values()) == [1, 7, 10]
    assert found["jury"]["mean_intervals"] == {name: [mean, mean] for name, mean in found["jury"]["means"].items()}
    alike = found["jury"][f"{says[0]} and {says[1]}"]
    low = 3 / (3 + 4.303**2)  # Wilson's interval of 3 of 3, with Student's t of two degrees of freedom
    assert alike["same_verdict"] == 100 and alike["same_verdict_interval"] == pytest.approx([100 * low, 100], abs=0.1)
    assert "3 prompts" in alike["cautions"]["same_verdict"]
    assert found["jury"][f"{says[0]} and {says[2]}"]["same_verdict"] == 0
    found, _ = printed(capsys, *args, "--majority", "--out", tmp_path / "majority")
    assert found["score"] == 100
    shown = next(r for r in provider.requests() if r.model == says[0].removeprefix("openai:"))
    assert "Rhymes." in shown.messages[-1]["content"]
    manifest = json.loads((tmp_path / "mean/run.json").read_text())
    assert [judge["model"] for judge in [manifest["judge"], *manifest["jury"]]] == says
    assert moa("run", path, *solo(provider, "x"), "--criteria", "Rhymes.", "--out", tmp_path / "no") == 2


@pytest.mark.parametrize(("criteria", "verdicts"), [((), 1), (("--criteria", "Short."), 3)])
def test_the_dry_run_counts_the_verdicts_that_are_asked_for(
    tmp_path: Path,
    provider: Provider,
    capsys: pytest.CaptureFixture[str],
    criteria: tuple[str, ...],
    verdicts: int,
) -> None:
    """A judge is not asked about a prompt that has right answers and no criteria."""
    rows: list[Row] = [{"prompt": f"{n}?", "gold": "5"} for n in range(2)]
    path = prompts(tmp_path, [*rows, {"prompt": "Rain?", "criteria": "Wet."}])
    judge = ("--judge", "openai:say=[[7]]", "--judge-url", provider.url)
    args = ("run", path, "-m", "openai:solo", "--base-url", provider.url, *judge, *criteria, "--repeats", 2)
    expected, _ = printed(capsys, *args, "--dry-run")
    printed(capsys, *args, "--out", tmp_path / "run")
    assert expected["calls"] == len(provider.requests()) == 2 * (3 + verdicts)


def test_the_drafts_of_all_repetitions_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three answers to each of two prompts are six answers, and two prompts for intervals; files have the first one."""
    said = {("q0", 0): "554", ("q0", 1): "545", ("q0", 2): "444", ("q1", 0): "545", ("q1", 1): "455", ("q1", 2): "555"}
    place = {"turn": 1, "layer": 1, "status": "ok", "model": "m"}
    drafts: list[Row] = [
        {**place, "item": item, "repeat": repeat, "prompt": item, "slot": slot, "proposer": f"p{slot}", "text": text}
        for (item, repeat), texts in said.items()
        for slot, text in enumerate(texts[:2])
    ]
    results: list[Row] = [
        {"id": item, "repeat": repeat, "answer": texts[2], "gold": ["5"], "match": "final", "score": texts[2] == "5"}
        for (item, repeat), texts in said.items()
    ]
    (tmp_path / "run").mkdir()
    write(tmp_path / "run/drafts.jsonl", drafts)
    write(tmp_path / "run/results.jsonl", results)
    figures, _ = printed(capsys, "drafts", tmp_path / "run", "--out", tmp_path / "out")
    assert (figures["prompts"], figures["repetitions"], figures["drafts"]) == (2, 3, 12)
    ensemble = figures["ensemble"]
    assert (ensemble["n"], len(ensemble["by_prompt"]), ensemble["by_prompt"]["q1 (repetition 2)"]["aggregate"]) == (
        2,
        6,
        100,
    )
    right = {"aggregate": 4, "oracle": 5, "majority_vote": 4}
    assert {name: ensemble[name] for name in right} == pytest.approx({k: 100 * n / 6 for k, n in right.items()})
    assert ensemble["proposers"] == pytest.approx({"p0": 400 / 6, "p1": 300 / 6})
    # By prompt: 1 and 3 right answers of 3 against 2 and 2 of p0.
    assert "2 prompts" in ensemble["against_best"]["cautions"]["interval"]
    assert len(json.loads((tmp_path / "out/p0.json").read_text())) == 2


def test_repeats_have_a_mean_and_a_deviation(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    path = prompts(tmp_path, [{"id": n, "prompt": f"{n}?", "gold": n} for n in range(4)])
    found, _ = printed(capsys, "run", path, *solo(provider, "1"), "--repeats", 3, "--out", tmp_path / "run")
    assert (found["n"], found["answered"], found["score"]) == (4, 12, 25)
    assert found["repeats"] == {"means": [25, 25, 25], "mean": 25, "deviation": 0, "prompts_always_alike": 4}
    assert provider.stats()["requests"] == 12
    assert recorded(tmp_path / "run") == 12


def test_a_published_set_is_run_by_its_name(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """GSM8K's own rows from the asset folder, checked by SHA-256; a file of the user takes precedence."""
    rows = [{"question": f"{n}?", "answer": f"It is {n}.\n#### {n}"} for n in (5, 6)]
    (tmp_path / "assets/objective").mkdir()
    data = write(tmp_path / "assets/objective/gsm8k.jsonl", rows).read_bytes()
    known = Asset("objective/gsm8k.jsonl", "MIT", sha256=hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(assets, "catalog", lambda: [known])
    args = ("run", "objective/gsm8k.jsonl", *solo(provider, "The answer is 5"))
    found, _ = printed(capsys, *args, "--out", tmp_path / "run")
    assert (found["n"], found["score"]) == (2, 50)
    manifest = json.loads((tmp_path / "run/run.json").read_text())
    assert manifest["data"] == {"objective/gsm8k.jsonl": known.sha256}
    (tmp_path / "objective").mkdir()
    prompts(tmp_path / "objective", rows[:1], "gsm8k.jsonl")
    found, _ = printed(capsys, *args, "--out", tmp_path / "own")
    assert (found["n"], found["score"]) == (1, 100)
    assert moa("run", "objective/none.jsonl", *solo(provider, "5")) == 2


def test_drafts_of_a_run_are_data(tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    """Proposers scored as systems, the oracle, the majority, rank, help and hurt; files that other runs take."""
    path = prompts(tmp_path, [{"id": f"q{n}", "prompt": f"{n}?", "gold": gold} for n, gold in enumerate((7, 7, 8, 9))])
    names = {"two": "openai:say=8", "aggregator": "openai:say=7"}
    data: Any = mixture(tmp_path, provider, **names)
    text = data.read_text().replace("openai:one-tok=4", "openai:say=7")
    data.write_text(text)
    assert moa("run", path, "-f", data, "--out", tmp_path / "run") == 0
    found, _ = printed(capsys, "drafts", tmp_path / "run", "--out", tmp_path / "drafts")
    ensemble = found["ensemble"]
    first, second = ensemble["proposers"]
    assert ensemble["proposers"] == {first: 50, second: 25}
    assert (ensemble["aggregate"], ensemble["best_single"], ensemble["oracle"]) == (50, first, 75)
    assert (ensemble["helped"], ensemble["hurt"], ensemble["majority_vote"]) == (0, 0, 50)
    each = ensemble["by_prompt"]
    assert len(each) == ensemble["n"] == 4 and {row["effect"] for row in each.values()} == {"same"}
    assert sum(row["rank"] for row in each.values()) == pytest.approx(4 * ensemble["rank"])
    assert "rank of the answer" in (tmp_path / "drafts/report.md").read_text()
    # Alike on two prompts with one right draft (rank 1.5), behind one (2.5), all wrong (2).
    assert ensemble["rank"] == pytest.approx((1.5 + 1.5 + 2.5 + 2) / 4)
    assert ensemble["against_best_draft"] == pytest.approx(100 * (0.5 * 3) / 4)
    assert found["diversity"]["agreement"] == 0
    assert 1 < found["diversity"]["vendi"] <= 2
    files = sorted((tmp_path / "drafts").glob("p*.json"))
    assert len(files) == 2
    assert moa("run", path, "--drafts", files[0], "--out", tmp_path / "alone") == 0
    assert scores(tmp_path / "alone")["score"] == 50
    assert moa("drafts", tmp_path / "alone") == 2
    assert moa("matrix", tmp_path / "run", tmp_path / "alone", "--out", tmp_path / "page") == 0
    page = (tmp_path / "page/report.md").read_text()
    assert "| q2 | 0 | 0 |" in page


def test_the_majority_vote_is_of_the_same_prompts_as_the_other_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prompts without a readable answer count, with the first draft; those that lack a proposer's draft do not."""
    texts = [
        ["Answer: A", "Answer: A", "Answer: B"],
        ["I cannot tell.", "No idea.", "Both?"],
        ["Answer: B", "Answer: A", "Answer: B"],
        ["Answer: A", None, "Answer: A"],
    ]
    place = {"turn": 1, "repeat": 0, "layer": 1, "status": "ok", "model": "m"}
    drafts: list[Row] = [
        {**place, "item": f"q{n}", "prompt": f"{n}?", "slot": slot, "proposer": f"p{slot}", "text": text}
        for n, found in enumerate(texts)
        for slot, text in enumerate(found)
        if text is not None
    ]
    results = [
        {"id": f"q{n}", "repeat": 0, "answer": "Answer: A", "gold": ["A"], "match": "choice", "options": 2, "score": 1}
        for n in range(4)
    ]
    (tmp_path / "run").mkdir()
    write(tmp_path / "run/drafts.jsonl", drafts)
    write(tmp_path / "run/results.jsonl", results)
    found, _ = printed(capsys, "drafts", tmp_path / "run")
    ensemble = found["ensemble"]
    assert (ensemble["n"], ensemble["oracle"], ensemble["majority_vote"]) == (
        3,
        pytest.approx(200 / 3),
        pytest.approx(100 / 3),
    )


def test_a_killed_run_of_own_prompts_goes_on(tmp_path: Path, provider: Provider) -> None:
    """Killed when a third is recorded, then finished: nothing recorded is sent again, and nothing is missing."""
    import os
    import signal
    import subprocess
    import time

    path = prompts(tmp_path, [{"id": n, "prompt": f"{n}?", "gold": n} for n in range(30)])
    file = mixture(tmp_path, provider)
    command = [sys.executable, "-m", "moa_graph", "eval", "run", path, "-f", file, "--out", tmp_path / "run",
               "--concurrency", "2"]  # fmt: skip
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "run/ledger.db").exists() or recorded(tmp_path / "run") < 20:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept, sent = recorded(tmp_path / "run"), provider.stats()["requests"]
    assert kept < 90
    assert subprocess.run(list(map(str, command)), capture_output=True).returncode == 0
    assert recorded(tmp_path / "run") == 90
    assert provider.stats()["requests"] - sent == 90 - kept
    assert len((tmp_path / "run/results.jsonl").read_text().splitlines()) == 30
    assert lines([]) == ""
