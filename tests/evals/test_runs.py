"""Whole runs with the loopback provider: requests, files, costs."""

import asyncio
import html
import json
from pathlib import Path
from typing import Any

import pytest

from moa_graph.costs.file_lock import only_run
from moa_graph.errors import BudgetError
from moa_graph.evals.alpaca_eval import judge as alpaca_judge
from moa_graph.evals.drafts.run_drafts import read_drafts
from moa_graph.evals.engine import ItemOutcome, at_once
from moa_graph.evals.reports import plots
from tests.evals import bench
from tests.evals.bench import final_bytes, mixture, moa, recorded
from tests.provider import Provider

JUDGE = "openai:judge=0.7"


@pytest.fixture(autouse=True)
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.small_assets(tmp_path / "assets", monkeypatch)
    for name in ("OPENAI_API_KEY", "LANGSMITH_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def rows(path: Path) -> list[dict[str, Any]]:
    text = path.read_text()
    loaded = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
    assert isinstance(loaded, list)
    return loaded


def test_alpaca_from_nothing_to_report(tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    """Outputs and annotations in AlpacaEval's format; the seeded order; a verdict has its judge; no duplicates."""
    out = tmp_path / "run"
    args = ("alpaca", "-f", mixture(tmp_path, provider), "--judge", JUDGE, "--judge-url", provider.url, "--out", out)
    assert moa(*args, "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert {**scores, "generation": 0, "judging": 0} == {
        **json.loads((out / "scores.json").read_text()),
        "generation": 0,
        "judging": 0,
    }
    assert (scores["n"], scores["items"], scores["parse_failures"]) == (6, 6, 0)
    assert (scores["generation"]["calls"], scores["judging"]["calls"]) == (18, 6)
    outputs, annotations = rows(out / "model_outputs.json"), rows(out / "annotations.json")
    assert [set(row) for row in outputs] == [{"instruction", "dataset", "output", "generator"}] * 6
    assert [row["instruction"] for row in outputs] == [f"Question {i}?" for i in range(6)]
    for row in annotations:
        switched = alpaca_judge.switched(row["instruction"])
        # The provider's judge gives "M", the answer shown second, 0.7.
        assert row["preference"] == pytest.approx(1.3 if switched else 1.7)
        assert row["is_switched"] is switched
        record = row["judge"]
        assert (record["model"], record["served"]) == (JUDGE, "judge=0.7")
        assert len(record["prompt_sha256"]) == 64
        assert record["parameters"]["top_logprobs"] == 5
    asked = provider.requests("judge=0.7")
    assert all(r.json["logprobs"] and r.json["top_logprobs"] == 5 and r.json["temperature"] == 1 for r in asked)
    page = (out / "report.html").read_text()
    assert page.count("<svg") >= 3
    assert "<script" not in page
    assert "src=" not in page
    before, paid = final_bytes(out), provider.stats()["requests"]
    assert paid == 24 == recorded(out)
    assert moa(*args) == 0
    assert provider.stats()["requests"] == paid
    assert final_bytes(out) == before


@pytest.mark.parametrize("name", ["cheap $$", "$5 and $6", "$\\frac$", "</text><script>"])
def test_a_name_stands_in_a_plot_as_it_is(name: str) -> None:
    """matplotlib reads what stands between dollars as a formula, and a wrong one ended a run that was paid for."""
    points = [plots.Point(name, 1, 0.5, 0.4, 0.6), plots.Point("other", 2, 0.6)]
    skills = {name: {"a": 1.0, "b": 2.0, "c": 3.0}}
    for drawn in (plots.intervals(points, name), plots.scatter(points, name, name), plots.radar(skills, "abc", 0, 5)):
        assert f">{html.escape(name)}</text>" in drawn and "<script" not in drawn


def test_both_orders_and_canary(tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    """A judge that always prefers the second answer is detected: never consistent, a draw in the mean."""
    judge = ("--judge", JUDGE, "--judge-url", provider.url)
    assert (
        moa("alpaca", "-m", "openai:solo", "--base-url", provider.url, *judge, "--both-orders", "--canary", "--json")
        == 0
    )
    scores = json.loads(capsys.readouterr().out)
    assert (scores["consistency"], scores["first_position_share"]) == (0, 0)
    assert scores["first_position_mean"] == pytest.approx(0.3)
    assert scores["win_rate"] == pytest.approx(50)
    assert scores["canary"] == {"n": 6, "win_rate": pytest.approx(50)}
    assert scores["judging"]["calls"] == 24


def test_a_judge_without_logprobs_is_read_by_its_word(tmp_path: Path, provider: Provider) -> None:
    """Any other word is a parse failure with its own count, never a verdict."""
    for said, failures in (("M", 0), ("The%20first", 6)):
        out = tmp_path / said
        judge = ("--judge", f"openai:say={said}", "--judge-url", provider.url)
        code = moa("alpaca", "-m", "openai:solo", "--base-url", provider.url, *judge, "--out", out)
        assert code == (1 if failures else 0)  # without any verdict there is no figure
        scores = json.loads((out / "scores.json").read_text())
        assert scores["parse_failures"] == failures
        assert scores["n"] == 6 - failures


def test_what_a_provider_refuses_is_counted_and_asked_again(tmp_path: Path, provider: Provider) -> None:
    """A judge that fails gives no verdict and no parse failure; the next run requests only the missing ones."""
    out = tmp_path / "run"
    judge = ("--judge", "openai:judge=0.7-err400x1", "--judge-url", provider.url)
    args = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, *judge, "--out", out)
    assert moa(*args) == 1
    first = json.loads((out / "scores.json").read_text())
    assert (first["answered"], first["items_with_failures"]) == (6, 6)
    assert not (out / "annotations.json").exists()
    assert moa(*args) == 0
    second = json.loads((out / "scores.json").read_text())
    assert (second["n"], second["items_with_failures"]) == (6, 0)
    assert provider.stats()["models"]["solo"]["requests"] == 6


def test_a_judge_that_refused_is_asked_again_by_every_further_run(tmp_path: Path, provider: Provider) -> None:
    """A refusal is paid for and kept, and the message says that running again calls the judge."""
    out = tmp_path / "run"
    judge = ("--judge", "openai:judge=0.7-filterx2", "--judge-url", provider.url)
    args = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, *judge, "--out", out)
    assert [moa(*args) for _ in range(3)] == [1, 1, 0]
    assert bench.scores(out)["n"] == 6
    asked = {name: stats["requests"] for name, stats in provider.stats()["models"].items()}
    assert asked == {"solo": 6, "judge=0.7-filterx2": 18}
    assert recorded(out, "role = 'judge'") == 18
    assert moa(*args) == 0
    assert provider.stats()["models"]["judge=0.7-filterx2"]["requests"] == 18


def test_a_cap_keeps_the_verdicts_beside_one_that_it_does_not_ask_for_again(tmp_path: Path, provider: Provider) -> None:
    """The judge's text has a rating in the second turn only. The figures of a further run under a cap are the same."""
    made = [{"question_id": q, "choices": [{"index": 0, "turns": ["plain", "[[7]]"]}]} for q in (81, 111)]
    (tmp_path / "answers.jsonl").write_text(bench.lines(made))
    judge = ("--judge", "openai:echo", "--judge-url", provider.url, "--price", "openai:echo=100,100")
    args = ("mt-bench", "--drafts", tmp_path / "answers.jsonl", *judge, "--out", tmp_path / "run")
    assert moa(*args) == 0
    before = bench.scores(tmp_path / "run")
    assert (before["n"], before["parse_failures"]) == (2, 2)
    assert moa(*args, "--max-cost", 0.000001) == 0
    assert bench.scores(tmp_path / "run") == before
    assert len(provider.requests()) == 4
    assert moa(*args, "--max-cost", 1) == 0
    assert len(provider.requests()) == 6


def test_recorded_parts_of_an_item_are_used_behind_one_that_does_not_fit_under_the_cap() -> None:
    async def refused(done: ItemOutcome) -> None:
        raise BudgetError("too much")

    async def recorded_part(done: ItemOutcome) -> None:
        done.rows["verdicts"] = [{}]

    done = ItemOutcome("1")
    with pytest.raises(BudgetError, match="too much"):
        asyncio.run(at_once(done, [refused, recorded_part]))
    assert done.rows == {"verdicts": [{}]}


def test_a_run_of_some_questions_lacks_no_others(tmp_path: Path, provider: Provider) -> None:
    """A run that chose one of two questions is complete."""
    judge = ("--judge", "openai:say=Rating%3A%20[[7]]", "--judge-url", provider.url)
    args = ("mt-bench", "-m", "openai:solo", "--base-url", provider.url, *judge, "--ids", "111")
    assert moa(*args, "--out", tmp_path / "run") == 0
    assert (bench.scores(tmp_path / "run")["n"], bench.scores(tmp_path / "run")["warnings"]) == (2, [])


def test_mt_bench_two_turns(tmp_path: Path, provider: Provider) -> None:
    """Only the answer enters the history, every model gets the temperature of the category, math has its reference."""
    out = tmp_path / "run"
    judge = ("--judge", "openai:say=Rating%3A%20[[7]]", "--judge-url", provider.url)
    args = ("mt-bench", "-f", mixture(tmp_path, provider), *judge, "--out", out)
    assert moa(*args) == 0
    answers = {row["question_id"]: row["choices"][0]["turns"] for row in rows(out / "model_answer/pair.jsonl")}
    for model in ("one-tok=4", "two-tok=4", "agg-tok=6"):
        sent = provider.requests(model)
        assert sorted(request.json["temperature"] for request in sent) == [0, 0, 0.7, 0.7]
        second = [r.messages for r in sent if any(m["role"] == "assistant" for m in r.messages)]
        assert len(second) == 2
        for messages in second:
            shown = [m["content"] for m in messages if m["role"] == "assistant"]
            assert shown in [[turns[0]] for turns in answers.values()]
    judged = [r.messages[-1]["content"] for r in provider.requests("say=Rating%3A%20[[7]]")]
    assert f"Q 1 + {{question_1}}? R two A {answers[111][0]}" in judged
    assert sum("four" in text for text in judged) == 1
    assert {r.json["temperature"] for r in provider.requests("say=Rating%3A%20[[7]]")} == {0}
    scores = json.loads((out / "scores.json").read_text())
    assert (scores["score"], scores["first_turn"], scores["second_turn"], scores["n"]) == (7, 7, 7, 4)
    before = final_bytes(out)
    assert moa(*args) == 0
    assert final_bytes(out) == before
    assert len(rows(next((out / "model_judgment").glob("*_single.jsonl")))) == 4


def test_mt_bench_pairwise_in_both_orders(tmp_path: Path, provider: Provider) -> None:
    """A judge that always answers A prefers a position, so every pair is a tie."""
    other = tmp_path / "other.jsonl"
    turns = {81: ["w", "w2"], 111: ["2", "4"]}
    made = [{"question_id": q, "model_id": "o", "choices": [{"index": 0, "turns": t}]} for q, t in turns.items()]
    other.write_text(bench.lines(made))
    judge = ("--judge", "openai:say=[[A]]", "--judge-url", provider.url)
    args = ("mt-bench", "-m", "openai:solo", "--base-url", provider.url, *judge, "--pairwise", other)
    assert moa(*args, "--out", tmp_path / "run") == 0
    scores = json.loads((tmp_path / "run/scores.json").read_text())
    wanted = {"opponent": "other", "wins": 0, "losses": 0, "ties": 4, "parse_failures": 0, "adjusted_win_rate": 50}
    assert {**scores["pairwise"], **wanted, "consistency": 0} == scores["pairwise"]
    assert scores["pairwise"]["cautions"] == {"adjusted_win_rate_interval": "2 prompts; below 50 the interval is rough"}
    assert scores["parse_failures"] == 4  # [[A]] is not a rating
    assert not [text for text in scores["warnings"] if "missing" in text]


def test_answers_that_exist_are_judged_against_another_system_later(tmp_path: Path, provider: Provider) -> None:
    """They are not paid for again; with a judge's verdicts in it, the folder belongs to its reference."""
    made = [{"question_id": q, "choices": [{"index": 0, "turns": ["w", "w2"]}]} for q in (81, 111)]
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text(bench.lines(made))
    run = ("mt-bench", "-m", "openai:solo", "--base-url", provider.url, "--out", tmp_path / "run")
    judged = (*run, "--judge", "openai:say=[[A]]", "--judge-url", provider.url)
    assert moa(*run, "--judge", "none") == 0
    assert moa(*judged, "--pairwise", tmp_path / "one.jsonl") == 0
    assert provider.stats()["models"]["solo"]["requests"] == 4
    assert bench.scores(tmp_path / "run")["pairwise"]["ties"] == 4
    assert moa(*judged, "--pairwise", tmp_path / "two.jsonl") == 3


def test_flask_sends_its_temperature_and_joins_by_idx(tmp_path: Path, provider: Provider) -> None:
    review = "Fine.%0A{'logical correctness': 4, 'readability': 2, 'Conciseness': 'N/A'}"
    judge = ("--judge", f"openai:say={review}".replace(",", "%2C").replace("/", "%2F"), "--judge-url", provider.url)
    out = tmp_path / "run"
    assert moa("flask", "-m", "openai:solo", "--base-url", provider.url, *judge, "--out", out) == 0
    scores = json.loads((out / "scores.json").read_text())
    assert scores["skills"] == {"Logical Correctness": 4, "Readability": 2}
    assert (scores["domains"], scores["difficulties"]) == ({"Language": 2, "Math": 4}, {"easy": 4, "hard": 2})
    assert (scores["parse_failures"], scores["skipped"]) == (0, 1)
    judged = [r for r in provider.requests() if r.model.startswith("say=")]
    assert [r.json["temperature"] for r in judged] == [0, 0]
    shown = next(r.messages[-1]["content"] for r in judged if "Explain." in r.messages[-1]["content"])
    assert "Readability: Is it?" in shown
    assert "Logical" not in shown


def test_recorded_drafts_are_joined_by_instruction(tmp_path: Path, provider: Provider) -> None:
    """In any order, with holes and nulls: a missing draft is left out, and never reaches a model as "None"."""
    one = [{"instruction": f"Question {i}?", "output": f"draft {i}", "generator": "a"} for i in (5, 3, 1, 0)]
    two = [{"instruction": f"Question {i}?", "output": None if i == 1 else f"other {i}"} for i in range(6)]
    paths = [tmp_path / "one.json", tmp_path / "two.json"]
    for path, made in zip(paths, (one, two), strict=True):
        path.write_text(json.dumps(made))
    files = ("--drafts", paths[0], "--drafts", paths[1])
    args = ("alpaca", *files, "-f", mixture(tmp_path, provider), "--judge", "none", "--out", tmp_path / "run")
    assert moa(*args) == 0
    # Fenced drafts are at the end of the last user message, after the question.
    sent = [r.messages[-1]["content"] for r in provider.requests("agg-tok=6")]
    shown = {f"Question {i}?": text for i in range(6) for text in sent if f"Question {i}?" in text}
    assert len(shown) == 6
    assert "draft 3" in shown["Question 3?"]
    assert "other 3" in shown["Question 3?"]
    assert "draft 1" in shown["Question 1?"]
    assert "other 1" not in shown["Question 1?"]
    assert "draft 2\n" not in shown["Question 2?"]
    assert not any("None" in text for text in shown.values())
    assert provider.stats()["requests"] == 6
    assert moa("alpaca", "--drafts", paths[0], "--judge", "none", "--out", tmp_path / "asis") == 0
    assert [row["output"] for row in rows(tmp_path / "asis/model_outputs.json")] == [f"draft {i}" for i in (0, 1, 3, 5)]
    assert moa("alpaca", *files, "--judge", "none", "--out", tmp_path / "no") == 2


def test_a_runs_answers_meet_their_drafts_by_instruction(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the order nor the number of the rows joins them: here the answers are shuffled and one is missing."""
    args = ("alpaca", "-f", mixture(tmp_path, provider), "--judge", "none", "--out", tmp_path / "run")
    assert moa(*args) == 0
    outputs = rows(tmp_path / "run/model_outputs.json")
    said = {row["instruction"]: row["output"] for row in outputs}
    (tmp_path / "run/model_outputs.json").write_text(json.dumps(outputs[:0:-1]))
    found = read_drafts(tmp_path / "run")
    assert {found.prompts[item]: text for item, text in found.answers.items()} == {
        text: output for text, output in said.items() if text != "Question 0?"
    }
    assert all(f"Question {item}?" == found.prompts[item] for item in found.drafts)
    capsys.readouterr()
    assert moa("drafts", tmp_path / "run", "--out", tmp_path / "page") == 0
    exported = rows(next((tmp_path / "page").glob("p0-*.json")))
    assert {row["instruction"] for row in exported} == said.keys()


def test_drafts_of_two_turns_are_kept_apart(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """MT-Bench: every turn has its drafts and its answer, and the exported files are FastChat's answers.

    Ratings are compared on their own scale, not as percentages.
    """
    judge = ("--judge", "openai:say=Rating%3A%20[[7]]", "--judge-url", provider.url)
    assert moa("mt-bench", "-f", mixture(tmp_path, provider), *judge, "--out", tmp_path / "run") == 0
    found = read_drafts(tmp_path / "run")
    assert set(found.drafts) == set(found.answers) == {"81", "81/2", "111", "111/2"}
    assert (found.prompts["81"], found.prompts["81/2"]) == ("Write.", "Again.")
    answers = {
        str(row["question_id"]): row["choices"][0]["turns"] for row in rows(tmp_path / "run/model_answer/pair.jsonl")
    }
    assert [found.answers["81"], found.answers["81/2"]] == answers["81"]
    assert moa("drafts", tmp_path / "run", "--out", tmp_path / "page") == 0
    file = next((tmp_path / "page").glob("p0-*.json"))
    assert moa("mt-bench", "--drafts", file, *judge, "--out", tmp_path / "alone") == 0
    capsys.readouterr()
    assert moa("drafts", tmp_path / "run", "--scored", tmp_path / "alone", "--json") == 0
    ensemble = json.loads(capsys.readouterr().out)["ensemble"]
    assert (ensemble["aggregate"], ensemble["aggregate_interval"], ensemble["rank"]) == (7, [7, 7], 1.5)
    alone = {
        str(row["question_id"]): row["choices"][0]["turns"]
        for row in rows(next((tmp_path / "alone/model_answer").iterdir()))
    }
    assert alone == {item: [found.drafts[item][0]["text"], found.drafts[f"{item}/2"][0]["text"]] for item in answers}


def test_a_cap_is_kept_and_a_dry_run_asks_nothing(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    priced = mixture(tmp_path, provider, prices=1000.0)
    judge = ("--judge", JUDGE, "--judge-url", provider.url)
    assert moa("alpaca", "-f", priced, *judge, "--dry-run", "--json") == 0
    expected = json.loads(capsys.readouterr().out)
    assert (expected["items"], expected["calls"]) == (6, 24)
    assert provider.stats()["requests"] == 0
    # Answers a little shorter than the estimate takes them to be.
    dear = ("alpaca", "-m", "openai:solo-tok=600", "--base-url", provider.url, *judge, "--price", f"{JUDGE}=1,1")
    dear = (*dear, "--price", "openai:solo-tok=600=1000,1000")
    assert moa(*dear, "--dry-run", "--json") == 0
    cap = json.loads(capsys.readouterr().out)["cost"] / 2
    assert moa(*dear, "--max-cost", cap, "--concurrency", 3, "--out", tmp_path / "run", "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert 0 < scores["skipped_for_cost"] < 6
    assert scores["generation"]["cost"] + scores["judging"]["cost"] <= cap
    unpriced = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, "--judge", "none", "--max-cost", 1)
    before = provider.stats()["requests"]
    assert moa(*unpriced, "--out", tmp_path / "unpriced") == 3
    for wrong in ("openai:solo", "openai:solo=1", "openai:solo=1,x", "=1,1", "openai:solo=-1,nan"):
        assert moa(*unpriced, "--out", tmp_path / "unpriced", "--price", wrong) == 2
    assert provider.stats()["requests"] == before
    capsys.readouterr()
    assert moa(*unpriced, "--price", "openai:solo=1,2", "--out", tmp_path / "priced", "--json") == 0
    spent = json.loads(capsys.readouterr().out)["generation"]
    assert spent["cost"] == pytest.approx((spent["input_tokens"] + 2 * spent["output_tokens"]) / 1e6)


def test_a_judge_has_the_temperature_that_it_is_given(tmp_path: Path, provider: Provider) -> None:
    solo = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, "--judge", JUDGE, "--judge-url", provider.url)
    sent = []
    for more in ((), ("--judge-temperature", 0.3)):
        assert moa(*solo, "--limit", 1, *more, "--out", tmp_path / f"run{len(more)}") == 0
        sent.append(provider.requests()[-1].json["temperature"])
    assert sent == [1.0, 0.3]


def test_limit_ids_and_seed(tmp_path: Path, provider: Provider) -> None:
    """A higher limit includes the items of a lower one, so paid answers stay useful."""
    solo = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, "--judge", "none", "--out", tmp_path / "run")
    chosen = []
    for limit in (2, 4):
        assert moa(*solo, "--limit", limit) == 0
        chosen.append({row["instruction"] for row in rows(tmp_path / "run/model_outputs.json")})
    assert chosen[0] < chosen[1]
    assert provider.stats()["requests"] == 4
    assert moa(*solo, "--ids", "5, 0") == 0
    assert [row["instruction"] for row in rows(tmp_path / "run/model_outputs.json")] == ["Question 0?", "Question 5?"]
    assert moa(*solo, "--ids", "6") == 2


def test_a_folder_belongs_to_one_run(tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--out", tmp_path / "run", "--judge", "none", "--limit", 1)
    assert moa("alpaca", "-m", "openai:solo", "--base-url", provider.url, *out) == 0
    assert moa("alpaca", "-m", "openai:other", "--base-url", provider.url, *out) == 3
    assert "belongs to another run (different system)" in capsys.readouterr().err


def test_two_runs_do_not_work_in_one_folder(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second would pay for calls that are under way in the first, and neither would see the other's cost."""
    solo = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, "--judge", "none", "--out", tmp_path / "run")
    with only_run(tmp_path / "run"):
        assert moa(*solo) == 3
        assert "another run is working there" in capsys.readouterr().err
        assert provider.stats()["requests"] == 0
    assert moa(*solo) == 0
    assert moa(*solo, "--dry-run") == 0


def test_a_judge_of_the_same_family_is_told(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = ("--judge", "openai:gpt-4.1,judge=0.7", "--judge-url", provider.url, "--limit", 1)
    assert moa("alpaca", "-m", "openai:gpt-4o", "--base-url", provider.url, *judge, "--out", tmp_path / "run") == 0
    assert "of one family (OpenAI)" in capsys.readouterr().err
    assert "of one family" in (tmp_path / "run/report.md").read_text()


def test_compare_says_tied_when_it_is(tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    judge = ("--judge", JUDGE, "--judge-url", provider.url)
    for name in ("a", "b"):
        solo = ("alpaca", "-m", f"openai:{name}", "--base-url", provider.url)
        assert moa(*solo, *judge, "--out", tmp_path / name) == 0
    capsys.readouterr()
    assert moa("compare", tmp_path / "a", tmp_path / "b", "--json", "--out", tmp_path / "page") == 0
    row = json.loads(capsys.readouterr().out)["pairs"][0]
    assert (row["difference"], row["tied"], row["mcnemar_p"], row["n"]) == (0, True, 1, 6)
    assert "tied" in (tmp_path / "page/report.html").read_text()
    assert moa("compare", tmp_path / "a") == 2
