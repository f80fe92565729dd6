"""A judge is any LangChain chat model: here one made by its own class, handed over as an object."""

import asyncio
import json
from pathlib import Path

import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from moa_graph.evals import benchmarks, session
from moa_graph.evals.engine import Options
from moa_graph.evals.family import family, warning
from moa_graph.evals.judging import Judge, how_to_read
from moa_graph.evals.paid import Payer
from moa_graph.evals.systems import ModelSystem
from moa_graph.ledger import Ledger
from moa_graph.mixture import Proposer
from tests.evals import bench
from tests.provider import Provider


def test_a_chat_model_object_judges(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.small_assets(tmp_path / "assets", monkeypatch, items=2)
    model = ChatOpenAI(model="judge=0.7", base_url=provider.url, api_key=SecretStr("x"))
    options = Options(tmp_path / "run", concurrency=2)
    with Ledger(tmp_path / "run/ledger.db", run="test") as ledger:
        payer = Payer(ledger)
        solo = ModelSystem(Proposer(model="openai:solo", base_url=provider.url), payer)
        judge = Judge(Proposer(model=model), payer, how_to_read(model))
        setup = benchmarks.Setup(solo, judge, options)
        outcome = asyncio.run(session.run(benchmarks.alpaca(setup), options))
    assert outcome.scores["n"] == 2
    assert outcome.scores["judge"] == "ChatOpenAI:judge=0.7"
    record = json.loads((tmp_path / "run/annotations.json").read_text())[0]["judge"]
    assert (record["model"], record["served"]) == ("ChatOpenAI:judge=0.7", "judge=0.7")
    assert all(request.json["top_logprobs"] == 5 for request in provider.requests("judge=0.7"))


def test_families() -> None:
    assert family("openai:gpt-4.1-2025-04-14") == family("openrouter:openai/o3-mini") == "OpenAI"
    assert family("together:Qwen/Qwen1.5-72B-Chat") == "Qwen"
    assert family("together:microsoft/WizardLM-2-8x22B") == "Mistral"
    assert family("openai:made-up") is None
    assert warning("openai:gpt-4.1", ["together:Qwen/Qwen3", "anthropic:claude-opus"]) is None
    assert "local:x.gguf" in (warning("local:x.gguf", ["local:x.gguf"]) or "")
