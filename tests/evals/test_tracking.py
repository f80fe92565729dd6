"""With a LangSmith key, a run becomes a dataset and an experiment; without one, nothing is sent."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.evals import bench
from tests.evals.bench import moa
from tests.evals.langsmith_server import LangSmith
from tests.provider import Provider


def test_a_run_becomes_a_dataset_and_an_experiment(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Per-example feedback holds the verdict and the cost; a second run adds an experiment and no examples."""
    bench.small_assets(tmp_path / "assets", monkeypatch)
    out = tmp_path / "run"
    judge = ("--judge", "openai:judge=0.7", "--judge-url", provider.url)
    args = ("alpaca", "-m", "openai:solo", "--base-url", provider.url, *judge, "--out", out, "--limit", 3, "--json")
    with LangSmith() as langsmith:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", langsmith.url)
        monkeypatch.setenv("LANGSMITH_API_KEY", "lsv2_test")
        monkeypatch.delenv("LANGSMITH_TRACING", raising=False)
        assert moa(*args) == 0
        printed = capsys.readouterr()
        assert json.loads(printed.out)["n"] == 3
        assert "LangSmith experiment: alpaca-openai-solo-" in printed.err
        assert len(langsmith.datasets) == 1
        assert {e["inputs"]["instruction"] for e in langsmith.examples} == {
            row["instruction"] for row in json.loads((out / "model_outputs.json").read_text())
        }
        assert len(langsmith.sessions) == 1
        scores = [f["score"] for f in langsmith.feedback if f["key"] == "preference"]
        assert sorted(scores) == sorted(row["preference"] for row in json.loads((out / "annotations.json").read_text()))
        assert {f["key"] for f in langsmith.feedback} >= {"preference", "latency"}
        paid = provider.stats()["requests"]
        assert moa(*args) == 0
        assert (len(langsmith.datasets), len(langsmith.examples), len(langsmith.sessions)) == (1, 3, 2)
        assert provider.stats()["requests"] == paid
        monkeypatch.delenv("LANGSMITH_API_KEY")
        before = len(langsmith.seen)
        assert moa(*args) == 0
        assert len(langsmith.seen) == before


QUESTION = {"question_id": 111, "category": "math", "turns": ["1 + {question_1}?", "And twice?"]}
EXPLAIN = {"idx": 9, "instruction": "Explain.", "skills": ["Readability", "Conciseness"]}


@pytest.mark.parametrize(
    ("name", "says", "inputs", "feedback"),
    [
        ("alpaca", "M", {"instruction": "Question 0?", "dataset": "made"}, {"preference"}),
        ("mt-bench", "[[7]]", QUESTION, {"turn_1", "turn_2"}),
        ("flask", "{'Readability': 4, 'Conciseness': 3}", EXPLAIN, {"readability", "conciseness"}),
    ],
)
def test_every_benchmarks_examples_hold_the_question(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch,
    name: str, says: str, inputs: dict[str, Any], feedback: set[str],
) -> None:  # fmt: skip
    """An id alone is not readable in the dataset; each example has its answer and its scores as well."""
    bench.small_assets(tmp_path / "assets", monkeypatch)
    judge = ("--judge", f"openai:say={quote(says)}", "--judge-url", provider.url)
    item = str(inputs.get("question_id", inputs.get("idx", 0)))
    args = (name, "-m", "openai:solo", "--base-url", provider.url, *judge, "--out", tmp_path / "run")
    with LangSmith() as langsmith:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", langsmith.url)
        monkeypatch.setenv("LANGSMITH_API_KEY", "lsv2_test")
        monkeypatch.delenv("LANGSMITH_TRACING", raising=False)
        assert moa(*args, "--ids", item) == 0
    assert [example["inputs"] for example in langsmith.examples] == [{"id": item, **inputs}]
    found = {entry["key"]: entry.get("score") for entry in langsmith.feedback}
    assert feedback <= found.keys()
    assert all(found[key] is not None for key in feedback)


def test_an_experiment_says_what_was_measured_and_has_pairwise_verdicts(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metadata names the mixture, its models, the judge, the data and the version; every turn's pair is feedback."""
    bench.small_assets(tmp_path / "assets", monkeypatch)
    other = tmp_path / "other.jsonl"
    turns = {"index": 0, "turns": ["w", "w2"]}
    other.write_text(bench.lines([{"question_id": 81, "model_id": "o", "choices": [turns]}]))
    judge = ("--judge", "openai:say=[[A]]", "--judge-url", provider.url)
    args = ("mt-bench", "-f", bench.mixture(tmp_path, provider), *judge, "--pairwise", other, "--ids", 81)
    with LangSmith() as langsmith:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", langsmith.url)
        monkeypatch.setenv("LANGSMITH_API_KEY", "lsv2_test")
        monkeypatch.delenv("LANGSMITH_TRACING", raising=False)
        # [[A]] is a verdict of a pair, not a rating.
        assert moa(*args, "--out", tmp_path / "run") == 0
    manifest = json.loads((tmp_path / "run/run.json").read_text())
    metadata = langsmith.sessions[0]["extra"]["metadata"]
    assert metadata["system"] == manifest["system"]
    assert metadata["system"]["mixture"]
    assert [model["model"] for model in metadata["models"]] == [model["model"] for model in manifest["models"]]
    assert metadata["judge"]["model"] == "openai:say=[[A]]"
    assert metadata["versions"] == manifest["versions"]
    assert metadata["data"]["other.jsonl"] == manifest["data"]["other.jsonl"]
    found = {entry["key"]: entry.get("score") for entry in langsmith.feedback}
    # The judge always says A, so both orders disagree: a tie.
    assert (found["pairwise_turn_1"], found["pairwise_turn_2"]) == (0.5, 0.5)


def test_what_langsmith_does_never_costs_a_run(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.small_assets(tmp_path / "assets", monkeypatch)
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("LANGSMITH_API_KEY", "lsv2_test")
    solo = ("-m", "openai:solo", "--base-url", provider.url, "--judge", "none", "--limit", 1)
    assert moa("alpaca", *solo, "--out", tmp_path / "run") == 0
    assert "the LangSmith experiment was not published" in capsys.readouterr().err
    assert (tmp_path / "run/report.html").exists()
