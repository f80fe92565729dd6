"""A judge is any LangChain chat model, also one passed as an object."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from moa_graph.costs.ledger import Ledger
from moa_graph.evals import benchmarks, session
from moa_graph.evals.engine import RunOptions
from moa_graph.evals.judge import Judge, how_to_read
from moa_graph.evals.judge_family import family, warning
from moa_graph.evals.systems.mixture import ModelSystem
from moa_graph.evals.systems.paid_calls import Payer
from moa_graph.mixture.proposer import Proposer
from tests.evals import bench
from tests.provider import Provider


def test_a_chat_model_object_judges(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.small_assets(tmp_path / "assets", monkeypatch, items=2)
    model = ChatOpenAI(model="judge=0.7", base_url=provider.url, api_key=SecretStr("x"))
    options = RunOptions(tmp_path / "run", concurrency=2)
    with Ledger(tmp_path / "run/ledger.db", run="test") as ledger:
        payer = Payer(ledger)
        solo = ModelSystem(Proposer(model="openai:solo", base_url=provider.url), payer)
        judge = Judge(Proposer(model=model), payer, how_to_read(model))
        setup = benchmarks.Setup(solo, [judge], options, payer)
        outcome = asyncio.run(session.run(benchmarks.alpaca(setup), options))
    assert outcome.scores["n"] == 2
    assert outcome.scores["judge"] == "ChatOpenAI:judge=0.7"
    record = json.loads((tmp_path / "run/annotations.json").read_text())[0]["judge"]
    assert (record["model"], record["served"]) == ("ChatOpenAI:judge=0.7", "judge=0.7")
    assert all(request.json["top_logprobs"] == 5 for request in provider.requests("judge=0.7"))


def judged_by(folder: Path, provider: Provider, judge: str, *more: object) -> list[dict[str, Any]]:
    """Annotations of four items that one judge rated, one item at a time."""
    solo = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, "--limit", 4, "--concurrency", 1)
    assert bench.moa(*solo, "--judge", f"openai:{judge}", "--judge-url", provider.url, "--out", folder, *more) == 0
    found: list[dict[str, Any]] = json.loads((folder / "annotations.json").read_text())
    return found


def test_a_judge_that_refuses_logprobs_is_asked_for_a_word(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once: the refusal is remembered, also by the next process. The parameters of a verdict are recorded."""
    bench.small_assets(tmp_path / "assets", monkeypatch)
    name = "judge=0.7,nologprobs"
    rows = judged_by(tmp_path / "run", provider, name)
    assert {abs(row["preference"] - 1.5) for row in rows} == {0.5}  # a word: "M", all of it
    assert [row["judge"]["parameters"] for row in rows] == [{"temperature": 0.0, "max_tokens": 2048}] * 4
    asked = [request.json for request in provider.requests(name)]
    assert [bool(each.get("logprobs")) for each in asked] == [True] + [False] * 4
    assert not any("top_logprobs" in each for each in asked[1:])
    before = bench.final_bytes(tmp_path / "run")
    judged_by(tmp_path / "run", provider, name)
    assert len(provider.requests(name)) == 5
    assert bench.final_bytes(tmp_path / "run") == before


def test_a_judge_that_takes_only_its_own_temperature(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.small_assets(tmp_path / "assets", monkeypatch)
    rows = judged_by(tmp_path / "run", provider, "judge=0.7,nologprobs,warm")
    assert [row["judge"]["parameters"] for row in rows] == [{"temperature": 1.0, "max_tokens": 2048}] * 4
    assert len(provider.requests("judge=0.7,nologprobs,warm")) == 2 + 4
    # A temperature that the user set is never changed.
    monkeypatch.setenv("MOA_ASSETS", str(tmp_path / "assets"))
    rows = judged_by(tmp_path / "set", provider, "judge=0.7,nologprobs", "--judge-temperature", 0.5)
    assert {row["judge"]["parameters"]["temperature"] for row in rows} == {0.5}


def test_a_judge_of_the_responses_api_is_asked_for_a_word(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenAI's SDK refuses `logprobs` there. LangChain calls every model whose name has "codex" through it."""
    bench.small_assets(tmp_path / "assets", monkeypatch)
    rows = judged_by(tmp_path / "run", provider, "judge=0.7,codex")
    assert [row["judge"]["parameters"] for row in rows] == [{"temperature": 0.0, "max_tokens": 2048}] * 4
    assert len(provider.requests("judge=0.7,codex")) == 4


def test_other_faults_do_not_change_how_a_judge_is_asked(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal that names no parameter, or a prompt that is too long, fails only its own verdict."""
    bench.small_assets(tmp_path / "assets", monkeypatch)
    for name in ("judge=0.7,err400x1", "judge=0.7,overflowx1"):
        provider.reset()
        solo = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, "--limit", 2, "--judge", f"openai:{name}")
        folder = tmp_path / name
        assert bench.moa(*solo, "--judge-url", provider.url, "--out", folder) == 1  # nothing was judged
        assert all(request.json["logprobs"] for request in provider.requests(name))
        assert len(provider.requests(name)) == 2


def test_families() -> None:
    assert family("openai:gpt-4.1-2025-04-14") == family("openrouter:openai/o3-mini") == "OpenAI"
    assert family("together:Qwen/Qwen1.5-72B-Chat") == "Qwen"
    assert family("together:microsoft/WizardLM-2-8x22B") == "Mistral"
    assert family("openai:made-up") is None
    assert warning("openai:gpt-4.1", ["together:Qwen/Qwen3", "anthropic:claude-opus"]) is None
    assert "local:x.gguf" in (warning("local:x.gguf", ["local:x.gguf"]) or "")


# Juries.


def jury(provider: Provider, *names: str) -> list[object]:
    """The options of a jury on the provider."""
    return [*(part for name in names for part in ("--judge", f"openai:{name}")), "--judge-url", provider.url]


def test_a_jury_judges_alpaca_eval(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mean or its majority, each member's own verdict, their agreement, in both orders, and paid once."""
    bench.small_assets(tmp_path / "assets", monkeypatch, items=4)
    solo = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, "--both-orders")
    members = jury(provider, "judge=0.9", "judge=0.6", "judge=0.2")
    assert bench.moa(*solo, *members, "--out", tmp_path / "mean") == 0
    rows = json.loads((tmp_path / "mean/annotations.json").read_text())
    # The provider's judges look at the position alone, so both orders of each cancel out.
    assert [row["preference"] for row in rows] == pytest.approx([1.5] * 4)
    assert {row["annotator"] for row in rows} == {"jury of openai:judge=0.9, openai:judge=0.6, openai:judge=0.2"}
    assert [len(row["jury"]) for row in rows] == [3] * 4
    first = [order["preference"] for order in rows[0]["orders"]]
    share = (0.9 + 0.6 + 0.2) / 3
    assert sorted(first) == pytest.approx(sorted([1 + share, 2 - share]))
    found = bench.scores(tmp_path / "mean")
    assert found["judge"] == rows[0]["annotator"]
    assert found["jury"]["means"] == pytest.approx({f"openai:judge={share}": 1.5 for share in (0.9, 0.6, 0.2)})
    assert found["jury"]["openai:judge=0.9 and openai:judge=0.6"]["n"] == 4
    manifest = json.loads((tmp_path / "mean/run.json").read_text())
    assert [judge["model"] for judge in [manifest["judge"], *manifest["jury"]]] == list(found["jury"]["means"])
    before, asked = bench.final_bytes(tmp_path / "mean"), provider.stats()["requests"]
    assert bench.moa(*solo, *members, "--out", tmp_path / "mean") == 0
    assert provider.stats()["requests"] == asked
    assert bench.final_bytes(tmp_path / "mean") == before
    assert bench.moa(*solo, *members, "--majority", "--out", tmp_path / "mean") == 3  # another run
    assert bench.moa(*solo, *members, "--majority", "--out", tmp_path / "most") == 0
    rows = json.loads((tmp_path / "most/annotations.json").read_text())
    assert {order["preference"] for row in rows for order in row["orders"]} == {1, 2}
    assert bench.moa("alpaca", "--annotations", tmp_path / "mean/annotations.json") == 0


def test_a_jury_rates_mt_bench(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ratings by mean or median, pairs by the side that most judges name; a member that fails is left out."""
    bench.small_assets(tmp_path / "assets", monkeypatch)
    turns = {81: ["w", "w2"], 111: ["2", "4"]}
    answers = [{"question_id": q, "model_id": "o", "choices": [{"index": 0, "turns": t}]} for q, t in turns.items()]
    (tmp_path / "other.jsonl").write_text(bench.lines(answers))
    solo = ("mt-bench", "-m", "openai:solo", "--base-url", provider.url, "--pairwise", tmp_path / "other.jsonl")
    members = jury(provider, "say=[[9]] [[C]]", "say=[[8]] [[C]]", "say=[[1]] [[A]]")
    assert bench.moa(*solo, *members, "--out", tmp_path / "mean") == 0
    found = bench.scores(tmp_path / "mean")
    assert (found["score"], found["n"]) == (6, 4)
    assert (found["pairwise"]["ties"], found["pairwise"]["consistency"]) == (4, 0)  # [[A]] leads in both games
    assert found["jury"]["openai:say=[[9]] [[C]] and openai:say=[[1]] [[A]]"]["same_verdict"] == 0
    assert bench.moa(*solo, *members, "--majority", "--out", tmp_path / "most") == 0
    found = bench.scores(tmp_path / "most")
    assert (found["score"], found["pairwise"]["ties"], found["pairwise"]["consistency"]) == (8, 4, 1)
    (file,) = (tmp_path / "most/model_judgment").glob("*_single.jsonl")
    assert bench.moa("mt-bench", "--judgments", file) == 0
    failing = jury(provider, "say=[[9]] [[C]]", "say=[[5]] [[C]]", "err401")
    assert bench.moa(*solo, *failing, "--out", tmp_path / "failing") == 0
    found = bench.scores(tmp_path / "failing")
    assert (found["score"], found["items_with_failures"]) == (7, 2)


def test_a_jury_reviews_flask(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.small_assets(tmp_path / "assets", monkeypatch)
    solo = ("flask", "-m", "openai:solo", "--base-url", provider.url)
    members = jury(provider, *(f"say={{'Readability': {score}}}" for score in (5, 4, 1)))
    assert bench.moa(*solo, *members, "--ids", "9", "--out", tmp_path / "mean") == 0
    assert bench.scores(tmp_path / "mean")["skills"]["Readability"] == pytest.approx(10 / 3)
    assert bench.moa(*solo, *members, "--ids", "9", "--majority", "--out", tmp_path / "most") == 0
    assert bench.scores(tmp_path / "most")["skills"]["Readability"] == 4
    assert bench.moa("flask", "--reviews", tmp_path / "most/reviews.jsonl") == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--judge", "openai:a", "--judge", "openai:a"], "--judge openai:a is given twice"),
        (["--judge", "openai:a", "--judge", "none"], "--judge none is given beside other judges"),
        (["--judge", "openai:a", "--majority"], "--majority needs several judges"),
    ],
)
def test_juries_that_cannot_be(
    tmp_path: Path,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    told: str,
) -> None:
    bench.small_assets(tmp_path / "assets", monkeypatch)
    solo = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, "--judge-url", provider.url)
    assert bench.moa(*solo, *options, "--out", tmp_path / "run") == 2
    assert told in capsys.readouterr().err
    assert provider.stats()["requests"] == 0
