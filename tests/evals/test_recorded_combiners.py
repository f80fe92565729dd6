"""Recorded drafts go through any combiner: what it calls is called, and the drafts' own models are not."""

import json
from pathlib import Path
from typing import Any

import pytest

from moa_graph import ConfigError, Mixture
from moa_graph.costs.ledger import Ledger
from moa_graph.errors import InputError
from moa_graph.evals.systems.mixture import SystemAnswer, SystemRequest
from moa_graph.evals.systems.recorded import RecordedOutputs, SynthesisSystem
from tests.provider import Provider

ASK = SystemRequest("q", ("Question?",), [("user", "Question?")])
SAY = "openai:say=%7B%22scores%22%3A%7B%221%22%3A1%2C%222%22%3A9%2C%223%22%3A2%7D%7D"


def files(folder: Path, *texts: str) -> list[RecordedOutputs]:
    found = []
    for number, text in enumerate(texts):
        path = folder / f"file{number}.json"
        path.write_text(json.dumps([{"instruction": "Question?", "output": text}]))
        found.append(RecordedOutputs.read(path))
    return found


async def answered(
    folder: Path, provider: Provider, combine: Any, texts: tuple[str, ...], *, proposers: int = 2, **fields: Any
) -> SystemAnswer:
    def spec(model: str) -> dict[str, Any]:
        return {"model": model if ":" in model else f"openai:{model}", "base_url": provider.url}

    mixture = Mixture(
        proposers=[spec(f"tok=4-own{n}") for n in range(proposers)],
        aggregator=spec("tok=4-writer"),
        combine=combine,
        **fields,
    )
    with Ledger(folder / "l.db", run="r") as ledger:
        return await SynthesisSystem(files(folder, *texts), mixture, ledger).answer(ASK)


def requests(provider: Provider) -> list[str]:
    return sorted(request.model for request in provider.requests())


async def test_a_vote_on_recorded_drafts_calls_nothing(tmp_path: Path, provider: Provider) -> None:
    combine = {"name": "vote", "batch": 1}
    found = await answered(tmp_path, provider, combine, ("#### 1", "The answer is 2", "#### 2"), layers=3)
    assert (found.text, found.calls, requests(provider)) == ("The answer is 2", 0, [])
    assert [draft["proposer"] for draft in found.drafts] == ["file0", "file1", "file2"]


async def test_a_judge_chooses_among_recorded_drafts(tmp_path: Path, provider: Provider) -> None:
    combine = {"name": "select", "judge": {"model": SAY, "base_url": provider.url}}
    texts = ("first", "second", "third")
    found = await answered(tmp_path, provider, combine, texts)
    assert found.text in texts and found.calls == 1 and len(requests(provider)) == 1
    assert not found.degraded


async def test_an_analyst_and_the_writer_are_called(tmp_path: Path, provider: Provider) -> None:
    combine = {"name": "analyze", "analyst": {"model": "openai:tok=4-analyst", "base_url": provider.url}}
    found = await answered(tmp_path, provider, combine, ("first", "second"))
    assert requests(provider) == ["tok=4-analyst", "tok=4-writer"] and found.calls == 2


async def test_only_the_strong_round_is_called_where_recorded_drafts_differ(tmp_path: Path, provider: Provider) -> None:
    combine = {"name": "escalate", "strong": [{"model": "openai:tok=4-strong", "base_url": provider.url}]}
    agreed = await answered(tmp_path, provider, combine, ("#### 1", "\\boxed{1}"), layers=2)
    assert agreed.text in ("#### 1", "\\boxed{1}") and requests(provider) == []
    found = await answered(tmp_path, provider, combine, ("#### 1", "#### 2"), layers=2)
    assert found.text and requests(provider) == ["tok=4-strong"]


async def test_a_check_chooses_among_recorded_drafts(tmp_path: Path, provider: Provider) -> None:
    combine = {"name": "verify", "check": {"command": ["grep", "-q", "second"]}}
    found = await answered(tmp_path, provider, combine, ("first", "second", "third"))
    assert (found.text, requests(provider)) == ("second", [])


async def test_authors_revise_their_recorded_drafts(tmp_path: Path, provider: Provider) -> None:
    problem = "openai:say=%7B%22problems%22%3A%5B%7B%22kind%22%3A%22wrong%22%2C%22what%22%3A%22all%22%7D%5D%7D"
    combine = {"name": "critique", "reviewers": [{"model": problem, "base_url": provider.url}]}
    found = await answered(tmp_path, provider, combine, ("first", "second"), layers=3)
    assert found.calls == 5 and len(requests(provider)) == 5
    assert {"tok=4-own0", "tok=4-own1", "tok=4-writer"} < set(requests(provider))
    with pytest.raises(InputError, match="3 files of drafts are given for 2 proposers"):
        await answered(tmp_path, provider, combine, ("first", "second", "third"))


async def test_a_combiner_that_does_not_fit_the_files_is_refused(tmp_path: Path, provider: Provider) -> None:
    with pytest.raises(ConfigError, match="3 drafts to keep, but the last round has 2"):
        await answered(tmp_path, provider, {"name": "select", "keep": 3}, ("first", "second"), proposers=3)
    assert requests(provider) == []


def test_the_dry_run_counts_what_the_combiner_calls(tmp_path: Path) -> None:
    aggregator = {"model": "openai:gpt-4o", "base_url": "http://127.0.0.1:9/v1"}
    for combine, calls in (("synthesize", 1), ("vote", 0), ({"name": "select", "judges": 3, "keep": "all"}, 4)):
        mixture = Mixture(proposers=[aggregator], aggregator=aggregator, combine=combine)
        with Ledger(tmp_path / "l.db", run="r") as ledger:
            system = SynthesisSystem(files(tmp_path, "first", "second"), mixture, ledger)
        assert len(system.planned()) == calls
