"""`moa chat` and `moa doctor` over the loopback provider."""

import io
import json
import re
import sys
from pathlib import Path

import pytest

from moa_graph import Mixture
from moa_graph.cli import main
from moa_graph.cli.commands import parse
from moa_graph.cli.conversation import Conversation
from moa_graph.errors import AggregationError
from tests.integration.test_cli import clean as clean
from tests.integration.test_cli import mixture, moa
from tests.provider import Provider


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch):
    def say(*lines: str, options: list[str]) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return main(["chat", *options])

    return say


def test_every_turn_sees_the_answers_before_and_no_draft(say, provider: Provider, capsys) -> None:
    file = mixture(provider, "one", "two", aggregator="agg")
    assert say("First?", "Second?", "/drafts", options=["-f", file]) == 0
    sent = provider.requests("one")[1].json["messages"]
    assert [turn["role"] for turn in sent] == ["user", "assistant", "user"]
    assert (sent[0]["content"], sent[2]["content"]) == ("First?", "Second?")
    out, err = capsys.readouterr()
    assert sent[1]["content"] in out, "the history holds what was shown"
    draft = provider.requests("agg")[0].json["messages"]
    assert sent[1]["content"] not in json.dumps(draft)
    assert "Draft 2 of 2: p1-two (openai:two), " in err


def test_the_best_draft_is_shown_named_as_such_and_remembered(say, provider: Provider, capsys) -> None:
    file = mixture(provider, "say=drafted", aggregator="cut-tok=20", on_failure="best_draft")
    assert say("First?", "Second?", options=["-f", file]) == 0
    out, err = capsys.readouterr()
    assert out == "drafted\ndrafted\n" and err.count("the best draft, not a synthesis") == 2
    assert [turn["content"] for turn in provider.requests("say=drafted")[1].json["messages"]] == [
        "First?",
        "drafted",
        "Second?",
    ]


def test_settings_change_in_mid_chat(say, provider: Provider, capsys) -> None:
    file = mixture(provider, "one", "two")
    other = Path(file).rename("first.yaml")
    mixture(provider, "three")
    lines = ["Hi", "/system Be kind.", "/layers 3", "Again", "/preset mine.yaml", "/layers", "/system", "Last"]
    assert say(*lines, options=["-f", str(other)]) == 0
    assert len(provider.requests("one")) == 3, "one round, then two"
    assert provider.requests("one")[-1].json["messages"][0]["content"].startswith("Be kind.")
    last = provider.requests("three")[0].json["messages"]
    assert [turn["role"] for turn in last] == ["user", "assistant"] * 2 + ["user"]


def test_what_was_undone_or_retried_is_not_continued(say, provider: Provider, capsys) -> None:
    file = mixture(provider, "one", aggregator="say=fine")
    assert say("First?", "/retry", "Second?", "/undo", options=["-f", file]) == 0
    assert say("Third?", options=["-f", file, "--continue"]) == 0
    sent = [turn["content"] for turn in provider.requests("one")[-1].json["messages"]]
    assert sent == ["First?", "fine", "Third?"]
    capsys.readouterr()
    assert main(["logs", "list", "--json"]) == 0
    asked = [row["question"] for row in json.loads(capsys.readouterr().out)]
    assert asked == ["First?", "First?", "Second?", "Third?"], "the log has everything that was asked"


def test_a_conversation_that_was_undone_whole_is_not_continued(say, provider: Provider) -> None:
    file = mixture(provider, "one", aggregator="say=fine")
    assert say("First?", "/undo", options=["-f", file]) == 0
    assert say("Second?", options=["-f", file, "--continue"]) == 0
    assert [turn["content"] for turn in provider.requests("one")[-1].json["messages"]] == ["Second?"]


def test_a_retry_that_fails_keeps_the_answer(provider: Provider) -> None:
    file = mixture(provider, "one", aggregator="say=fine")
    talk = Conversation(Mixture.load(file))
    talk.ask("First?")
    talk.mixture = Mixture.load(mixture(provider, "one", aggregator="err400-agg"))
    with pytest.raises(AggregationError):
        talk.retry("First?")
    assert [turn["content"] for turn in talk.messages] == ["First?", "fine"]
    assert talk.log.last_conversation(continued=True) == (talk.id, talk.messages)


def test_a_loaded_chat_is_a_conversation_of_its_own(say, provider: Provider) -> None:
    file = mixture(provider, "one", aggregator="say=fine")
    assert say("First?", "/save talk.json", "/clear", "Other?", "/load talk.json", "Second?", options=["-f", file]) == 0
    assert say("Third?", options=["-f", file, "--continue"]) == 0
    sent = [turn["content"] for turn in provider.requests("one")[-1].json["messages"]]
    assert sent == ["Second?", "fine", "Third?"]


def test_an_unknown_cost_of_a_chat_is_not_zero(say, provider: Provider, capsys) -> None:
    known = Path(mixture(provider, "one", prices={"one": [1, 1], "agg": [1, 1]})).rename("known.yaml")
    unknown = mixture(provider, "one")
    assert say("/cost", "First?", "/cost", f"/preset {known}", "Second?", "/cost", options=["-f", unknown]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "asked:" in line]
    assert lines[:2] == ["0 questions asked: free", "1 question asked: cost unknown"]
    assert re.fullmatch(r"2 questions asked: \$0\.\d+, 1 of them at unknown cost", lines[2])


def test_a_chat_is_saved_and_goes_on(say, provider: Provider, capsys) -> None:
    file = mixture(provider, "one")
    assert say("First?", "/save talk.json", options=["-f", file]) == 0
    assert say("Second?", options=["-f", file, "--load", "talk.json"]) == 0
    assert provider.requests("one")[1].json["messages"][0]["content"] == "First?"


def rounds(provider: Provider, *models: str) -> str:
    """A mixture file of one round for each model."""
    specs = [{"model": f"openai:{model}", "base_url": provider.url} for model in models]
    Path("rounds.yaml").write_text(json.dumps({"rounds": [[spec] for spec in specs], "aggregator": specs[0]}))
    return "rounds.yaml"


def test_a_file_name_may_hold_a_quote_or_stand_in_quotes(say, provider: Provider, capsys) -> None:
    file = mixture(provider, "one")
    lines = ["First?", "/save Ann's.json", '/save "two words.json"', "/save ~nobody.here/x"]
    assert say(*lines, options=["-f", file]) == 0
    assert json.loads(Path("Ann's.json").read_text()) == json.loads(Path("two words.json").read_text())
    assert "nobody.here" in capsys.readouterr().err
    assert say("/load 'two words.json'", "/load Ann's.json", "Second?", options=["-f", file]) == 0
    assert provider.requests("one")[1].json["messages"][0]["content"] == "First?"


def test_settings_that_do_not_go_together_are_refused_and_change_nothing(say, provider: Provider, capsys) -> None:
    file, other = mixture(provider, "one"), rounds(provider, "two", "three")
    Path("five.json").write_text(json.dumps({"messages": [], "layers": 5}))
    lines = ["/layers 5", f"/preset {other}", "/layers", f"/preset {other}", "/layers 4", "/load five.json", "Hi?"]
    assert say(*lines, options=["-f", file]) == 0
    err = capsys.readouterr().err
    assert (
        err.count("this mixture describes 3 layers") == 3 and "rounds.yaml: " in err and "One question: 3 calls" in err
    )
    assert [len(provider.requests(name)) for name in ("one", "two", "three")] == [0, 2, 1], "two aggregates, too"


def test_options_replace_settings_of_the_loaded_chat(say, provider: Provider, capsys) -> None:
    Path("talk.json").write_text(json.dumps({"messages": [], "layers": 5, "system": "Be brief."}))
    file = rounds(provider, "two", "three")
    assert main(["chat", "-f", file, "--load", "talk.json"]) == 3, "more layers than the mixture has"
    assert say("Hi?", options=["-f", file, "--load", "talk.json", "--layers", "2", "--system", "Be kind."]) == 0
    first, second = provider.requests()
    assert first.json["messages"][0] == {"role": "system", "content": "Be kind."} and second.model == "two"
    assert main(["chat", "-f", file, "--layers", "4"]) == 3


def test_input_that_is_not_text_does_not_end_the_chat(say, provider: Provider, capsys) -> None:
    file = mixture(provider, "one")
    done = moa("chat", "-f", file, stdin=b"caf\xe9?\n/save talk.json\n")
    assert done.returncode == 0 and b"2 messages saved to talk.json" in done.stderr, done.stderr
    assert json.loads(Path("talk.json").read_text())["messages"][0]["content"] == "caf\N{REPLACEMENT CHARACTER}?"
    half = r'{"messages": [{"role": "user", "content": "\ud83d"}], "layers": null, "system": null}'
    Path("half.json").write_text(half)
    assert say("/load half.json", "/save again.json", options=["-f", file]) == 0
    assert json.loads(Path("again.json").read_text()).items() >= json.loads(half).items()


def test_a_byte_order_mark_is_no_part_of_a_question_or_a_chat(provider: Provider, capsys) -> None:
    file = mixture(provider, "one")
    done = moa("chat", "-f", file, stdin=b"\xef\xbb\xbf/cost\r\nWhy?\r\n/save talk.json\r\n")
    assert done.returncode == 0 and b"0 questions asked" in done.stderr, done.stderr
    assert json.loads(Path("talk.json").read_text())["messages"][0]["content"] == "Why?"
    Path("marked.json").write_bytes(b"\xef\xbb\xbf" + Path("talk.json").read_bytes())
    assert moa("chat", "-f", file, "--load", "marked.json", stdin=b"").returncode == 0


def test_errors_keep_the_chat_and_its_history(say, provider: Provider, capsys) -> None:
    file = mixture(provider, "one", aggregator="err400x1-agg")
    Path("bad.json").write_text("[]")
    Path("deep.json").write_text("[" * 100_000)
    files = ["/load bad.json", "/load none.json", "/load deep.json"]
    lines = ["Lost?", "/nope", "/layers many", "/preset nope", *files, "/help", "Kept?"]
    assert say(*lines, options=["-f", file]) == 0
    assert [turn["content"] for turn in provider.requests("one")[1].json["messages"]] == ["Kept?"]
    err = capsys.readouterr().err
    for words in (
        "no command /nope",
        "needs an integer",
        "'nope' is unknown",
        "not a saved chat",
        "none.json",
        "deep.json is not a saved chat",
        "/drafts [NUMBER]",
    ):
        assert words in err
    assert "Traceback" not in err


def test_the_doctor_names_each_dead_model_in_the_providers_words(provider: Provider, capsys) -> None:
    file = mixture(provider, "fine", "err404-gone", "hang", aggregator="fine")
    assert main(["doctor", "-f", file, "--json", "--deadline", "5"]) == 1
    found = {row["name"].partition(" at ")[0]: row for row in json.loads(capsys.readouterr().out)}
    assert found["openai:fine"]["ok"]
    assert "loopback says 404" in found["openai:err404-gone"]["detail"]
    assert "no answer within 5 s" in found["openai:hang"]["detail"]
    assert [
        request.json.get("max_tokens") or request.json["max_completion_tokens"] for request in provider.requests("fine")
    ] == [1]


def test_a_model_that_thinks_first_is_alive(provider: Provider, capsys) -> None:
    file = mixture(provider, "fine", aggregator="deep-thinks")
    assert main(["doctor", "-f", file]) == 0
    out = capsys.readouterr().out
    assert provider.stats()["models"]["deep-thinks"]["error"] == 1, "it refused the one token"
    assert re.search(r"^ok +model +openai:deep-thinks at .*: answers; it reasons first", out, re.MULTILINE)
    assert main(["ask", "-f", file, "hi"]) == 0


def test_the_doctor_lists_the_optional_parts(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)  # as where it is not installed
    assert main(["doctor", "--preset", "local", "--offline", "--json"]) == 0
    parts = {row["name"]: row for row in json.loads(capsys.readouterr().out) if row["about"] == "part"}
    assert set(parts) == {"local", "serve", "evals", "other providers"}
    assert (parts["serve"]["ok"], parts["serve"]["detail"]) == (False, "missing: uvicorn")
    assert (parts["local"]["ok"], parts["local"]["detail"]) == (True, "installed")


def test_the_doctor_names_missing_keys_and_never_shows_one(monkeypatch, capsys) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", "tgp_secret")
    assert main(["doctor", "--preset", "mixed", "--offline"]) == 3
    out = capsys.readouterr().out
    assert "BAD key    OPENAI_API_KEY: missing" in out and "ok  key    TOGETHER_API_KEY: set" in out
    assert "tgp_secret" not in out


def test_the_doctor_names_keys_that_cannot_be_sent(monkeypatch, capsys) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret\nsk-two")
    monkeypatch.setenv("TOGETHER_API_KEY", " ")
    assert main(["doctor", "--preset", "mixed", "--offline"]) == 3
    out = capsys.readouterr().out
    assert "BAD key    OPENAI_API_KEY: the key contains a line break" in out and "sk-secret" not in out
    assert "BAD key    TOGETHER_API_KEY: missing" in out


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("/help", ("help", "")),
        ("/Layers 3", ("layers", "3")),
        ("/", ("", "")),
        ("/ x", ("", "x")),
        ("//x", None),
        ("/etc/passwd is what?", None),
        ("What is /help?", None),
    ],
)
def test_a_line_that_begins_with_one_slash_and_a_word_is_a_command(line: str, command: tuple[str, str] | None) -> None:
    assert parse(line) == command


def test_the_doctor_finds_the_embedded_model_well(capsys) -> None:
    assert main(["doctor", "--preset", "local"]) == 0
    assert "local:smollm2: answers (1 token)" in capsys.readouterr().out


def test_the_chat_and_the_command_estimate_the_same_cost(provider: Provider, capsys) -> None:
    """The price in the chat's first line is that of one short question after the conversation so far."""
    mixture_file = mixture(provider, "one", aggregator="agg", prices={"one": [1000, 1000], "agg": [1000, 1000]})
    talk = Conversation(Mixture.load(mixture_file))
    assert main(["ask", "-f", mixture_file, "--estimate", "What is the capital of France?"]) == 0
    first = capsys.readouterr().out.strip().rpartition(", ")[2]
    assert talk.about().endswith(f", {first}.")
    talk.messages = [{"role": "user", "content": "x" * 40_000}, {"role": "assistant", "content": "y"}]
    assert float(talk.about().rpartition("$")[2].rstrip(".")) > float(first.rpartition("$")[2]) + 15
