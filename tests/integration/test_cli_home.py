"""The user's folder: the log of questions and own presets; and `moa cost`."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from moa_graph import ChatMoA, Mixture, create_moa
from moa_graph.cli import main
from moa_graph.errors import ConfigError
from tests.integration.test_cli import clean as clean
from tests.integration.test_cli import mixture, moa
from tests.provider import Provider


def rows(capsys: pytest.CaptureFixture[str], *command: str) -> list[dict[str, object]]:
    """The output of a command with --json."""
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_questions_are_logged_searched_and_shown(
    provider: Provider, capsys: pytest.CaptureFixture[str], own_home: Path
) -> None:
    file = mixture(provider, "say=drafted", aggregator="say=answered")
    assert main(["ask", "-f", file, "Why 100%?"]) == 0
    assert main(["ask", "-f", file, "How?"]) == 0
    assert [row["question"] for row in rows(capsys, "logs", "list")] == ["Why 100%?", "How?"]
    assert [row["question"] for row in rows(capsys, "logs", "list", "-n", "1")] == ["How?"]
    assert [row["question"] for row in rows(capsys, "logs", "search", "100%", "DRAFTED")] == ["Why 100%?"]
    assert rows(capsys, "logs", "search", "_hy") == []
    assert main(["logs", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["1", "2"]
    assert main(["logs", "show", "1", "--drafts"]) == 0
    out = capsys.readouterr().out
    assert out.index("Why 100%?") < out.index("drafted") < out.index("answered")
    assert main(["logs", "show", "7"]) == 2
    assert "no question 7" in capsys.readouterr().err
    assert main(["logs", "path"]) == 0
    log = own_home / "logs.db"
    assert capsys.readouterr().out == f"{log}\n" and log.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", ["0", "-1", str(2**63), "9" * 400])
def test_a_number_that_the_log_cannot_have_is_a_usage_error(
    number: str, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", "-f", mixture(provider, "a"), "What?"]) == 0
    capsys.readouterr()
    assert main(["logs", "show", "--", number]) == 2
    assert "the log has no question" in capsys.readouterr().err
    assert len(rows(capsys, "logs", "list", "-n", str(2**70))) == 1


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("drafts", "[{"),
        ("drafts", "5"),
        ("drafts", b"\xff\xfe"),
        ("drafts", "[" * 100_000),
        ("models", "{}"),
        ("models", ""),
        ("record", "{"),
        ("record", "[]"),
        ("answer", b"\xff\xfe"),
        ("question", b"\xff\xfe"),
        ("drafts", '[{"text": "drafted"}]'),
        ("mixture", b"\xff"),
        ("cost", "much"),
        ("asked", "yesterday"),
        ("asked", 1e300),
        ("asked", float("inf")),
    ],
)
def test_a_damaged_entry_of_the_log_hides_no_other(
    column: str, value: object, provider: Provider, capsys: pytest.CaptureFixture[str], own_home: Path
) -> None:
    file = mixture(provider, "say=drafted", aggregator="say=answered")
    for question in ("First?", "Second?"):
        assert main(["ask", "-f", file, question]) == 0
    with closing(sqlite3.connect(own_home / "logs.db")) as db, db:
        db.execute(f"UPDATE questions SET {column} = ? WHERE id = 2", (value,))
    first, second = rows(capsys, "logs", "list")
    assert (first["question"], first["answer"]) == ("First?", "answered")
    assert "damaged" in str(second["error"]) and column in str(second["error"])
    assert main(["logs", "list"]) == 0
    assert main(["logs", "show"]) == 0
    assert main(["logs", "show", "2", "--drafts"]) == 0
    assert main(["logs", "show", "--json"]) == 0
    # A cast, because a text that is not UTF-8 is stored as bytes and as a text.
    with closing(sqlite3.connect(own_home / "logs.db")) as db, db:
        db.execute(f"UPDATE questions SET {column} = CAST({column} AS TEXT) WHERE id = 2")
    assert len(rows(capsys, "logs", "list")) == 2
    assert main(["ask", "--continue", "-f", file, "Third?"]) == 0
    assert len(rows(capsys, "logs", "list")) == 3


def test_the_log_can_be_switched_off_and_on(
    provider: Provider, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = mixture(provider, "a")
    assert main(["logs", "off"]) == 0
    assert main(["ask", "-f", file, "not kept"]) == 0
    assert main(["logs", "on"]) == 0
    monkeypatch.setenv("MOA_LOG", "off")
    assert main(["ask", "-f", file, "not kept either"]) == 0
    monkeypatch.delenv("MOA_LOG")
    assert main(["ask", "-f", file, "kept"]) == 0
    assert [row["question"] for row in rows(capsys, "logs", "list")] == ["kept"]


def test_a_failed_question_keeps_its_drafts_in_the_log(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "-f", mixture(provider, "say=drafted", aggregator="err400-agg"), "Why?"]) == 1
    assert "moa logs show" in capsys.readouterr().err
    assert main(["logs", "show"]) == 0
    out = capsys.readouterr().out
    assert "drafted" in out and "no complete answer" in out


def test_what_a_failed_question_cost_is_in_the_log(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    """The drafts, and the reviews and revisions of the combiner, which are not among them."""
    file = mixture(
        provider, "a", "b", aggregator="agg-err400", combine="critique", prices={**PRICES, "agg-err400": [1, 1]}
    )
    assert main(["ask", "-f", file, "Why?"]) == 1
    (row,) = rows(capsys, "logs", "list")
    drafts = rows(capsys, "logs", "show", "--json")["drafts"]
    assert row["cost"] > sum(draft["cost"] for draft in drafts)
    sent = len(provider.requests("a")) + len(provider.requests("b"))
    assert main(["cost", "--json"]) == 0
    total = json.loads(capsys.readouterr().out)["total"]
    assert total == {"calls": sent, "cost": pytest.approx(row["cost"]), "unknown": 0} and sent > len(drafts)


def test_the_log_of_an_earlier_version_is_continued(
    provider: Provider, capsys: pytest.CaptureFixture[str], own_home: Path
) -> None:
    file = mixture(provider, "say=drafted", aggregator="say=answered")
    assert main(["ask", "-f", file, "First?"]) == 0
    with closing(sqlite3.connect(own_home / "logs.db")) as db, db:
        db.execute("ALTER TABLE questions DROP COLUMN calls")
    assert main(["cost"]) == 0
    assert main(["ask", "-f", file, "Second?"]) == 0
    capsys.readouterr()
    assert [row["question"] for row in rows(capsys, "logs", "list")] == ["First?", "Second?"]
    assert main(["cost", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["calls"] == 4


def test_ask_continues_the_last_conversation(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    file = mixture(provider, "a", aggregator="say=fine")
    assert main(["ask", "-f", file, "--continue", "hi"]) == 2
    assert "the log is empty" in capsys.readouterr().err
    assert main(["ask", "-f", file, "First?"]) == 0
    assert main(["ask", "-f", file, "-c", "Second?"]) == 0
    assert [turn["content"] for turn in provider.requests("a")[-1].json["messages"]] == ["First?", "fine", "Second?"]


def test_a_users_preset_is_added_used_and_removed(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    file = mixture(provider, "a", description="Mine alone.")
    assert main(["presets", "add", file]) == 0
    assert main(["presets", "add", file]) == 2
    assert "--replace" in capsys.readouterr().err
    assert main(["presets", "add", file, "--replace"]) == 0
    assert main(["presets", "add", file, "local"]) == 2
    assert main(["presets", "add", file, "../x"]) == 2
    assert next(row for row in rows(capsys, "presets", "list") if row["name"] == "mine")["calls"] == 2
    Path(file).unlink()
    assert main(["ask", "--preset", "mine", "hi"]) == 0 and len(provider.requests("a")) == 1
    assert main(["presets", "remove", "mine"]) == 0
    assert main(["presets", "remove", "mine"]) == 2
    assert "mine" not in [row["name"] for row in rows(capsys, "presets", "list")]


def test_a_preset_that_is_added_again_from_its_own_file_is_kept(provider: Provider, own_home: Path) -> None:
    assert main(["presets", "add", mixture(provider, "a"), "own"]) == 0
    kept = own_home / "presets" / "own.yaml"
    before = kept.read_text()
    assert main(["presets", "add", str(kept), "--replace"]) == 0
    assert kept.read_text() == before


def test_a_file_that_is_not_a_mixture_is_not_added(capsys: pytest.CaptureFixture[str], own_home: Path) -> None:
    Path("bad.yaml").write_text("proposers: []\n")
    assert main(["presets", "add", "bad.yaml"]) == 3
    assert "bad.yaml" in capsys.readouterr().err and not (own_home / "presets").exists()


PRICES = {"a": [10, 10], "b": [20, 20], "agg": [30, 30]}


def test_the_cost_of_a_ledger_equals_the_batchs(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in.jsonl").write_text('"one"\n"two"\n')
    file = mixture(provider, "a", "b", prices=PRICES)
    assert main(["batch", "in.jsonl", "out.jsonl", "-f", file, "-q"]) == 0
    answers = [json.loads(row) for row in Path("out.jsonl").read_text().splitlines()]
    spent = sum(row["cost"] for row in answers)
    capsys.readouterr()
    assert main(["cost", "out.jsonl.ledger", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["total"] == {"calls": 6, "cost": pytest.approx(spent), "unknown": 0} and spent > 0
    assert {name: row["calls"] for name, row in whole["model"].items()} == {
        "openai:a": 2,
        "openai:b": 2,
        "openai:agg": 2,
    }
    assert {name: row["calls"] for name, row in whole["mixture"].items()} == {answers[0]["mixture"]: 6}
    assert main(["cost", "out.jsonl.ledger"]) == 0
    assert "total: 6 calls, $" in capsys.readouterr().out


def test_the_cost_of_the_log_equals_the_records(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    file = mixture(provider, "a", "b", prices=PRICES)
    capsys.readouterr()
    assert main(["ask", "-f", file, "--json", "hi"]) == 0
    cost = json.loads(capsys.readouterr().out)["record"]["cost"]
    assert main(["cost", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"] == {"calls": 3, "cost": pytest.approx(cost), "unknown": 0}


def test_an_argument_that_is_not_utf_8_is_named(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "-f", mixture(provider, "one"), "hi"]) == 0
    assert main(["logs", "search", "\udcff"]) == 2
    assert "'\\udcff' is not text in UTF-8" in capsys.readouterr().err


def test_a_question_that_is_not_utf_8_is_refused_before_any_request(
    provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", "-f", mixture(provider, "one"), "caf\udce9"]) == 2
    assert "the question is not UTF-8 text" in capsys.readouterr().err and not provider.requests()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no C locale")
def test_the_c_locale_reads_and_writes_all_characters(provider: Provider, own_home: Path) -> None:
    assert main(["presets", "add", mixture(provider, "one", description="Café."), "own"]) == 0
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0"}
    listed, asked = moa("presets", "list", **locale), moa("ask", "--preset", "own", "café?", **locale)
    assert (listed.returncode, asked.returncode) == (0, 0), (listed.stderr, asked.stderr)
    assert b"Caf\\xe9." in listed.stdout
    assert provider.requests("one")[-1].json["messages"][-1]["content"] == "café?"


@pytest.mark.parametrize(
    ("combine", "others"),
    [
        ({"name": "vote", "answer": {"read": "last_line"}}, {}),
        ({"name": "select", "judges": 3}, {"openai:agg and select": 4}),
    ],
)
def test_the_calls_of_a_combiner_are_counted_in_the_log(
    combine: dict[str, object], others: dict[str, int], provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """A vote makes no call beside its drafts; three judges who cannot be read, and the aggregator, make four."""
    prices = {"say=four": [10, 10], "agg": [30, 30]}
    twice = {"model": "openai:say=four", "base_url": provider.url, "samples": 2}
    file = mixture(provider, proposers=[twice], prices=prices, combine=combine)
    capsys.readouterr()
    assert main(["ask", "-f", file, "--json", "hi"]) == 0
    record = json.loads(capsys.readouterr().out)["record"]
    assert main(["cost", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["total"] == {"calls": record["calls"], "cost": pytest.approx(record["cost"]), "unknown": 0}
    assert {name: row["calls"] for name, row in found["model"].items()} == {"openai:say=four": 2, **others}


def test_a_file_that_is_not_a_ledger_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("text").write_text("not SQLite, and longer than a header of SQLite would have to be " * 3)
    with sqlite3.connect("other.db") as db:
        db.execute("CREATE TABLE calls (x)")
    os.mkfifo("pipe")
    refused = {"text": "not a ledger", "other.db": "not a ledger", "nowhere": "no such file", "pipe": "not a regular"}
    for name, words in refused.items():
        assert main(["cost", name]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", ["ask", "chat"])
def test_continuing_asks_the_mixture_of_before(
    command: str, provider: Provider, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["presets", "add", mixture(provider, "one"), "again"]) == 0
    assert main(["ask", "--preset", "again", "First?"]) == 0
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", io.StringIO("Second?\n" if command == "chat" else ""))
    assert main([command, "--continue", *(["Second?"] if command == "ask" else [])]) == 0
    assert [turn["content"] for turn in provider.requests("one")[-1].json["messages"][-1:]] == ["Second?"]
    assert "preset `" not in capsys.readouterr().err, "no other mixture was picked"


@pytest.mark.parametrize("group", ["presets", "logs"])
def test_a_group_alone_shows_its_commands(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([group]) == 2
    shown = capsys.readouterr()
    assert "list" in shown.out + shown.err and "Missing command" not in shown.err


def test_an_unknown_preset_is_named_beside_ones_own(
    provider: Provider, capsys: pytest.CaptureFixture[str], own_home: Path
) -> None:
    assert main(["presets", "add", mixture(provider, "say=drafted"), "own"]) == 0
    Path("prompts.jsonl").write_text('{"prompt": "2 + 2?", "gold": "4"}\n')
    for command in (["ask", "-p", "owm", "Hello"], ["tune", "prompts.jsonl", "--pool", "owm"]):
        assert main(command) == 3
        assert "Your own: own. The package's: anthropic" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["ask", "--layers", "three", "x"], "--layers: expected a whole number, got three."),
        (["ask", "--temperature", "hot", "x"], "--temperature: expected a number, got hot."),
        (["ask", "--max-cost", "-1", "x"], "--max-cost: expected a number of at least 0, got -1."),
        (["batch", "-c", "0", "a", "b"], "--concurrency: expected a number of at least 1, got 0."),
        (["logs", "show", "last"], "NUMBER: expected a whole number, got last."),
        (["ask", "-p", "local", "--layers", "99", "x"], "--layers: expected a whole number from 1 to 10, got 99."),
    ],
)
def test_a_wrong_option_names_itself_and_what_it_takes(
    args: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) in (2, 3)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--file", "--preset"])
def test_a_conversation_continues_with_the_file_that_began_it(
    option: str, provider: Provider, capsys: pytest.CaptureFixture[str], own_home: Path
) -> None:
    file = mixture(provider, "say=drafted", aggregator="say=answered")
    assert main(["ask", option, file, "One?"]) == 0
    assert main(["ask", "--continue", "Two?"]) == 0
    assert [row["mixture"] for row in rows(capsys, "logs", "list")] == [str(Path(file).absolute())] * 2
    assert [len(request.json["messages"]) for request in provider.requests("say=answered")] == [1, 3]
    assert main(["logs", "list"]) == 0
    assert "  mine.yaml " in capsys.readouterr().out
    Path(file).unlink()
    assert main(["ask", "--continue", "--estimate", "Three?"]) == 0
    assert "neither a preset nor a file; the default answers" in capsys.readouterr().err


def test_a_question_that_was_never_sent_is_not_continued(
    provider: Provider, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing key and a wrong address: the conversation before them, and its mixture, are the last ones."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    file = mixture(provider, "say=drafted", aggregator="say=answered")
    assert main(["ask", "-f", file, "One?"]) == 0
    assert main(["ask", "-p", "openai", "Other?"]) == 3
    assert main(["ask", "--url", "nowhere", "Other?"]) == 3
    capsys.readouterr()
    assert main(["ask", "--continue", "Two?"]) == 0
    sent = [turn["content"] for turn in provider.requests("say=drafted")[-1].json["messages"]]
    assert sent == ["One?", "answered", "Two?"] and "default answers" not in capsys.readouterr().err


def test_a_log_without_any_answer_begins_a_conversation(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "--url", "nowhere", "One?"]) == 3
    assert main(["ask", "-f", mixture(provider, "say=drafted"), "--continue", "Two?"]) == 0
    assert [turn["content"] for turn in provider.requests("say=drafted")[0].json["messages"]] == ["Two?"]


def test_an_estimate_counts_the_conversation_that_it_continues(
    provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    file = mixture(provider, "say=drafted", aggregator="say=answered")
    assert main(["ask", "-f", file, "A long story. " * 500]) == 0
    capsys.readouterr()
    found = []
    for options in ([], ["--continue"]):
        assert main(["ask", "-f", file, "--estimate", "--json", *options, "And then?"]) == 0
        found.append(json.loads(capsys.readouterr().out)["input_tokens"])
    # The conversation has about 1,750 tokens, and both calls get it.
    assert found[1] > found[0] + 3000


def test_an_unknown_preset_is_reported_with_your_own(
    provider: Provider, capsys: pytest.CaptureFixture[str], own_home: Path
) -> None:
    assert main(["presets", "add", mixture(provider, "a"), "quick"]) == 0
    assert main(["presets", "show", "quikc"]) == 3
    assert "Your own: quick." in capsys.readouterr().err


def test_the_mcp_server_and_the_pool_of_tune_know_your_own_presets(
    provider: Provider, capsys: pytest.CaptureFixture[str], own_home: Path
) -> None:
    file = mixture(provider, "say=4", aggregator="say=5")
    assert main(["presets", "add", file, "quick"]) == 0
    assert moa("mcp", "--preset", "quick", stdin=b"").returncode == 0
    Path("prompts.jsonl").write_text("".join(json.dumps({"prompt": f"2 + {n}?", "gold": "4"}) + "\n" for n in range(4)))
    assert main(["tune", "prompts.jsonl", "--pool", "quick", "--dry-run"]) == 0
    assert "unknown" not in capsys.readouterr().err


def test_python_knows_your_own_presets(provider: Provider, capsys: pytest.CaptureFixture[str], own_home: Path) -> None:
    assert main(["presets", "add", mixture(provider, "say=4", aggregator="say=5"), "quick"]) == 0
    assert ChatMoA("quick").invoke("2 + 2?").text == "5"
    with pytest.raises(ConfigError, match=r"Your own: quick\. The package's: anthropic"):
        create_moa("quikc")
    # A file in the folder takes no name of the package from a program.
    (own_home / "presets" / "local.yaml").write_text((own_home / "presets" / "quick.yaml").read_text())
    assert Mixture.load("local").aggregator.label == "local:smollm2"


def test_a_dry_run_of_tune_needs_no_key(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOGETHER_API_KEY", raising=False)
    Path("prompts.jsonl").write_text("".join(json.dumps({"prompt": f"2 + {n}?", "gold": "4"}) + "\n" for n in range(4)))
    assert main(["tune", "prompts.jsonl", "--pool", "together", "--dry-run"]) == 0
    assert "calls" in capsys.readouterr().out
    assert main(["tune", "prompts.jsonl", "--pool", "together"]) == 3
    assert "TOGETHER_API_KEY" in capsys.readouterr().err
