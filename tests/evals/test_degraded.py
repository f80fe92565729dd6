"""Degraded answers of mixtures: counted, reported, and requested again if that can help."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.evals.bench import final_bytes, mixture, moa, scores
from tests.provider import Provider

pytestmark = pytest.mark.usefixtures("small")


def asked(provider: Provider, model: str) -> int:
    return len(provider.requests(model))


def test_a_missing_proposer_is_counted_told_once_and_asked_again(
    tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """Existing drafts are not paid again, and a second run writes the same bytes."""
    out = tmp_path / "run"
    args = ("alpaca", "-f", mixture(tmp_path, provider, two="openai:two-err401"), "--judge", "none", "--out", out)
    assert moa(*args) == 0
    found, told = scores(out), capsys.readouterr().err
    assert (found["answered"], found["answers"], found["degraded"], found["items_with_failures"]) == (6, 6, 6, 0)
    assert any("6 of 6 answers are degraded" in warning for warning in found["warnings"])
    assert told.count("loopback says 401") == 1
    assert "(6 times)" in told
    assert "loopback says 401" in (out / "report.md").read_text()
    before = final_bytes(out)
    assert moa(*args) == 0
    assert [asked(provider, model) for model in ("one-tok=4", "two-err401", "agg-tok=6")] == [6, 12, 6]
    assert final_bytes(out) == before


def test_a_proposer_that_comes_back_makes_the_answers_whole(tmp_path: Path, provider: Provider) -> None:
    out = tmp_path / "run"
    args = ("alpaca", "-f", mixture(tmp_path, provider, two="openai:two-err400x1"), "--judge", "none", "--out", out)
    assert moa(*args) == 0
    assert scores(out)["degraded"] == 6
    assert moa(*args) == 0
    assert (scores(out)["degraded"], scores(out)["warnings"]) == (0, [])
    # The answers are made again from two drafts, one of which was paid for before.
    assert [asked(provider, model) for model in ("one-tok=4", "two-err400x1", "agg-tok=6")] == [6, 12, 12]
    paid = provider.stats()["requests"]
    assert moa(*args) == 0
    assert provider.stats()["requests"] == paid


def test_what_asking_again_cannot_mend_is_finished(tmp_path: Path, provider: Provider) -> None:
    """A refusal and a draft that was late for the quorum are reported, and not paid for again."""
    for name, more in (("refused", {"two": "openai:two-refuse"}), ("late", {"two": "openai:two-hang", "quorum": 1})):
        out, file = tmp_path / name, mixture(tmp_path, provider, **more)
        args = ("alpaca", "-f", file, "--judge", "none", "--out", out)
        assert moa(*args) == 0
        assert scores(out)["degraded"] == 6
        before, paid = final_bytes(out), provider.stats()["requests"]
        assert moa(*args) == 0
        assert (provider.stats()["requests"], final_bytes(out)) == (paid, before)


def test_what_a_setting_cuts_is_no_degraded_answer(tmp_path: Path, provider: Provider) -> None:
    file = mixture(tmp_path, provider, two="openai:two-length", draft_tokens=16)
    assert moa("alpaca", "-f", file, "--judge", "none", "--out", tmp_path / "run") == 0
    assert (scores(tmp_path / "run")["degraded"], scores(tmp_path / "run")["warnings"]) == (0, [])


def drafts(folder: Path) -> tuple[object, ...]:
    """Two files of long drafts for every instruction; the second lacks the last."""
    made = []
    for name, number in (("first", 6), ("second", 5)):
        texts = [f"{name} draft {i} " + "word " * 100 for i in range(number)]
        rows = [{"instruction": f"Question {i}?", "output": text} for i, text in enumerate(texts)]
        (folder / f"{name}.json").write_text(json.dumps(rows))
        made += ["--drafts", folder / f"{name}.json"]
    return tuple(made)


def test_recorded_drafts_go_through_the_mixtures_own_last_step(tmp_path: Path, provider: Provider) -> None:
    """Its system prompt, shuffling, draft limit and fallbacks apply; its proposers are not called."""
    fields: dict[str, Any] = {
        "system": "Speak like a pirate.",
        "shuffle": True,
        "draft_tokens": 16,
        "fallbacks": [{"model": "openai:spare-tok=6", "base_url": provider.url}],
    }
    file = mixture(tmp_path, provider, aggregator="openai:agg-err400", **fields)
    out = tmp_path / "run"
    args = ("alpaca", *drafts(tmp_path), "-f", file, "--judge", "none", "--out", out)
    assert moa(*args) == 0
    assert not asked(provider, "one-tok=4") + asked(provider, "two-tok=4")
    sent = [request.messages for request in provider.requests("spare-tok=6")]
    assert len(sent) == 6 == asked(provider, "agg-err400")
    assert all(messages[0]["content"].startswith("Speak like a pirate.") for messages in sent)
    # Fenced drafts are at the end of the request.
    shown = [messages[-1]["content"] for messages in sent]
    assert all("[cut here:" in text for text in shown)
    both = [text for text in shown if "second draft" in text]
    assert len(both) == 5
    orders = {text.index("first draft") < text.index("second draft") for text in both}
    assert scores(out)["degraded"] == 6  # a fallback answered
    assert "second: skipped, no output is recorded for it" in (out / "report.md").read_text()
    # The order depends on the ledger's random key: one ledger in sixteen has one order for all five.
    for number in range(20):
        assert moa(*args[:-1], tmp_path / f"again{number}") == 0
        shown = [request.messages[-1]["content"] for request in provider.requests("spare-tok=6")]
        orders |= {text.index("first draft") < text.index("second draft") for text in shown if "second draft" in text}
        if len(orders) == 2:
            break
    assert len(orders) == 2, "never shuffled"
    # Another system prompt is another run.
    assert moa("alpaca", *drafts(tmp_path), "-f", mixture(tmp_path, provider), "--judge", "none", "--out", out) == 3
