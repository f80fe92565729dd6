"""`moa eval judge --model`: judge models asked about pairs that humans voted on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moa_graph.evals.data.files import Row
from tests.evals.bench import final_bytes, moa, recorded
from tests.evals.scripted_judge import ScriptedJudge, scripted_judge
from tests.evals.test_findings import printed, write
from tests.provider import Provider

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture
def judge() -> Iterator[ScriptedJudge]:
    with scripted_judge() as server:
        yield server


def human_votes(folder: Path, n: int = 20) -> Path:
    """PandaLM's form: the good answer is in either place by turns; two of three humans see it in all but two pairs."""
    rows: list[Row] = []
    for idx in range(n):
        good = 1 + idx % 2
        texts = {f"response{place}": f"a {'good' if place == good else 'poor'} answer {idx}" for place in (1, 2)}
        says = good if idx > 1 else 3 - good
        people = {"annotator1": says, "annotator2": says, "annotator3": 3 - says if idx % 5 == 4 else says}
        rows.append({"idx": idx, "instruction": f"Q{idx}?", "input": "", "cmp_key": f"s{idx % 3}", **texts, **people})
    return write(folder / "humans.json", rows)


def asked(
    judge: ScriptedJudge, humans: Path, out: Path, *more: object, name: str = "openai:good"
) -> tuple[object, ...]:
    return ("judge", "--humans", humans, "--model", name, "--judge-url", judge.url, "--out", out, *more)


def test_a_judge_model_is_rated_against_humans(
    tmp_path: Path, judge: ScriptedJudge, capsys: pytest.CaptureFixture[str]
) -> None:
    """Agreement, both orders without position bias, verdicts as a file that is read again, and everything paid once."""
    humans = human_votes(tmp_path)
    found, _ = printed(capsys, *asked(judge, humans, tmp_path / "run"))
    row = found["openai:good"]
    # A weighted verdict of 0.9: right for 18 pairs, wrong for 2.
    assert row["human_agreement"] == pytest.approx(100 * (18 * 0.9 + 2 * 0.1) / 20)
    assert (row["n"], row["parsed"], row["parse_failures"]) == (20, 20, 0)
    assert row["position"]["consistency"] == 1
    assert row["position"]["first_position_share"] == 0.5
    assert row["kappa"]["majority"] == pytest.approx(0.8)
    assert len(judge.prompts) == 40
    before = final_bytes(tmp_path / "run")
    assert printed(capsys, *asked(judge, humans, tmp_path / "run"))[0] == found
    assert len(judge.prompts) == 40
    assert final_bytes(tmp_path / "run") == before
    (verdicts,) = (tmp_path / "run/verdicts").iterdir()
    again, _ = printed(capsys, "judge", "--humans", humans, "--judge", f"openai:good={verdicts}")
    assert again["openai:good"]["human_agreement"] == row["human_agreement"]
    manifest = json.loads((tmp_path / "run/run.json").read_text())
    assert (manifest["benchmark"], manifest["judge"]["model"]) == ("judges", "openai:good")
    assert manifest["settings"] == {"runs": 1, "both_orders": True}
    assert "humans.json" in manifest["data"]
    assert "Judges against humans" in (tmp_path / "run/report.html").read_text()


def test_an_interrupted_run_of_a_judge_goes_on(
    tmp_path: Path, judge: ScriptedJudge, capsys: pytest.CaptureFixture[str]
) -> None:
    """The provider goes down after 15 verdicts; the next run asks only for the others."""
    humans = human_votes(tmp_path)
    judge.fails_after = 15
    args = asked(judge, humans, tmp_path / "run", "--concurrency", 1, "--deadline", 1)
    found, told = printed(capsys, *args)
    assert found["openai:good"]["n"] == 7
    assert "13 of 20 pairs have no readable verdict" in found["openai:good"]["notes"]
    assert "failed: judge openai:good" in told
    assert recorded(tmp_path / "run") == 15
    judge.fails_after = None
    whole, _ = printed(capsys, *args)
    assert whole["openai:good"]["n"] == 20
    assert len(judge.prompts) == 40
    assert len(set(judge.prompts)) == 40


def test_a_judge_that_looks_at_the_position_is_told(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("judge", "--humans", human_votes(tmp_path), "--model", "openai:judge=0.9", "--judge-url", provider.url)
    found, told = printed(capsys, *args, "--out", tmp_path / "run")
    assert found["openai:judge=0.9"]["position"]["consistency"] == 0
    assert "the judge depends on the order" in told
    assert found["openai:judge=0.9"]["human_agreement"] == pytest.approx(50)


def test_bias_and_variance_of_several_runs(
    tmp_path: Path, judge: ScriptedJudge, capsys: pytest.CaptureFixture[str]
) -> None:
    humans = human_votes(tmp_path)
    args = asked(judge, humans, tmp_path / "run", "--runs", 2, "--one-order", "--limit", 10)
    row = printed(capsys, *args)[0]["openai:good"]
    assert (row["runs"], row["n"], row["parsed"]) == (2, 10, 20)
    assert row["variance"] == pytest.approx(0)
    assert row["bias"] is not None
    assert row["position"] == {}
    assert len(judge.prompts) == 20


def test_several_judge_models_and_their_juries(
    tmp_path: Path, judge: ScriptedJudge, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a recorded judge beside them, in one table."""
    humans = human_votes(tmp_path)
    other = write(tmp_path / "other.json", [{"idx": n, "x_result": "1"} for n in range(20)])
    args = asked(judge, humans, tmp_path / "run", "--model", "openai:second", "--judge", f"first={other}")
    found, _ = printed(capsys, *args)
    assert list(found) == ["humans", "openai:good", "openai:second", "jury (mean)", "jury (majority)", "first"]
    assert found["openai:good"]["human_agreement"] == found["openai:second"]["human_agreement"]
    scores: dict[str, Any] = json.loads((tmp_path / "run/scores.json").read_text())
    assert scores["agreement"]["openai:good and openai:second"]["kappa"] == 1


def test_recorded_judges_are_rated_on_the_pairs_that_the_models_were_asked_about(
    tmp_path: Path, judge: ScriptedJudge, capsys: pytest.CaptureFixture[str]
) -> None:
    """One table has one sample, also for the humans; the jury is that of all judges in it."""
    humans = human_votes(tmp_path)
    rows: list[Row] = [{"idx": n, "x_result": 1 + n % 2} for n in range(20)]
    other = write(tmp_path / "other.json", rows)
    args = asked(judge, humans, tmp_path / "run", "--limit", 8)
    alone, _ = printed(capsys, *args)
    found, _ = printed(capsys, *args, "--judge", f"first={other}")
    assert {name: row["n"] for name, row in found.items()} == dict.fromkeys(found, 8)
    assert list(found) == ["humans", "openai:good", "jury (mean)", "jury (majority)", "first"]
    assert (found["humans"], found["openai:good"]) == (alone["humans"], alone["openai:good"])
    assert found["jury (majority)"]["human_agreement"] == pytest.approx(found["first"]["human_agreement"])
    assert len(judge.prompts) == 16


@pytest.mark.parametrize(
    ("name", "first", "told"),
    [
        ("openai:good", 0, "--model openai:good and a recorded judge have the same name"),
        ("first", 20, "judge 'first': no verdict of this judge is about these pairs"),
    ],
)
def test_a_recorded_judge_that_cannot_stand_in_the_table_is_refused_before_anything_is_sent(
    tmp_path: Path, judge: ScriptedJudge, capsys: pytest.CaptureFixture[str], name: str, first: int, told: str
) -> None:
    other = write(tmp_path / "other.json", [{"idx": first + n, "x_result": 1} for n in range(20)])
    args = asked(judge, human_votes(tmp_path), tmp_path / "run", "--judge", f"{name}={other}")
    assert told in printed(capsys, *args, code=2)[1]
    assert not judge.prompts


def test_a_refusal_is_no_verdict_whatever_its_text(
    tmp_path: Path, judge: ScriptedJudge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The filter stops the first reply to each prompt behind its first token, which looks like a verdict."""
    said = judge.reply

    def stopped(request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        again = request["messages"][-1]["content"] in judge.prompts
        status, answer = said(request)
        answer["choices"][0]["finish_reason"] = "stop" if again else "content_filter"
        return status, answer

    monkeypatch.setattr(judge, "reply", stopped)
    args = asked(judge, human_votes(tmp_path), tmp_path / "run", "--one-order")
    assert moa(*args) == 1
    assert printed(capsys, *args)[0]["openai:good"]["n"] == 20
    assert len(judge.prompts) == 40


def test_what_a_judge_would_cost(tmp_path: Path, judge: ScriptedJudge, capsys: pytest.CaptureFixture[str]) -> None:
    """The dry run asks nothing; the cap ends a run; other pairs in the same folder are another run."""
    humans = human_votes(tmp_path)
    price = ("--price", "openai:good=100,100")
    found, _ = printed(capsys, *asked(judge, humans, tmp_path / "dry", "--dry-run", *price))
    assert (found["items"], found["calls"]) == (20, 40)
    assert not judge.prompts
    capped, _ = printed(capsys, *asked(judge, humans, tmp_path / "capped", *price, "--max-cost", 0.5))
    assert 1 <= capped["openai:good"]["n"] < 20
    moved = write(tmp_path / "moved.json", json.loads(humans.read_text())[:5])
    assert moa(*asked(judge, moved, tmp_path / "capped", *price)) == 3


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--model", "openai:a"), "--model asks a judge about pairs that humans voted on: give --humans"),
        (("--model", "openai:a", "--model", "openai:a", "--humans", "humans.json"), "--model openai:a is given twice"),
        (("--model", "openai:a", "--humans", "nowhere.json"), "cannot read nowhere.json"),
    ],
)
def test_judge_models_that_cannot_be_asked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: tuple[str, ...],
    told: str,
) -> None:
    human_votes(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert moa("judge", *args) == 2
    assert told in capsys.readouterr().err
