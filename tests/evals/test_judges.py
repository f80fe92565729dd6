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
        setup = benchmarks.Setup(solo, judge, options, payer)
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
    """Once: the refusal is remembered, also by the next process; what a verdict was asked with is recorded."""
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


def test_other_faults_do_not_change_how_a_judge_is_asked(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal that names no parameter, or a prompt that is too long, fails its own verdict and no other one."""
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
