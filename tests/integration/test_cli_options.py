"""Options of `moa ask` and similar commands, and standard input, with the loopback provider."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from moa_graph.cli import main
from tests.integration.test_cli import clean as clean
from tests.integration.test_cli import mixture, moa
from tests.provider import Provider

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")


def asked(provider: Provider, model: str) -> list[object]:
    """The content of the last message of every request to the model."""
    return [request.json["messages"][-1]["content"] for request in provider.requests(model)]


def test_a_question_needs_no_command(provider: Provider) -> None:
    assert main(["-f", mixture(provider, "a"), "Why is it so?"]) == 0
    assert asked(provider, "a") == ["Why is it so?"]


def test_an_unknown_command_is_not_sent_as_a_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["France"]) == 2
    assert "moa ask France" in capsys.readouterr().err


def test_sampling_options_reach_every_call(provider: Provider) -> None:
    file = mixture(provider, "a")
    assert main(["ask", "-f", file, "--temperature", "0.25", "--max-tokens", "77", "hi"]) == 0
    for model in ("a", "agg"):
        (request,) = provider.requests(model)
        assert request.json["temperature"] == 0.25
        assert 77 in (request.json.get("max_tokens"), request.json.get("max_completion_tokens"))


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [("--layers", "99", "--layers"), ("--temperature", "9", "--temperature"), ("--max-tokens", "0", "--max-tokens")],
)
def test_a_wrong_number_is_refused_in_the_words_of_the_command_line(
    option: str, value: str, words: str, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", "-f", mixture(provider, "a"), option, value, "hi"]) in (2, 3)
    err = capsys.readouterr().err
    assert words in err and "context." not in err and f"'{value}" not in err
    assert not provider.requests()


@pytest.mark.parametrize(
    ("command", "option"),
    [
        *((command, option) for command in ("ask", "batch") for option in ("--preset", "--aggregator", "--url")),
        *(("chat", option) for option in ("-p", "--base-url", "--api-key-env")),
    ],
)
def test_an_empty_value_is_not_the_default(
    command: str, option: str, provider: Provider, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`--preset "$UNSET"` would pay for another mixture."""
    Path("in.txt").write_text("hi")
    words = {"ask": ["hi"], "chat": [], "batch": ["--text", "in.txt", "out.jsonl"]}[command]
    own = [] if option in ("-p", "--preset", "--url") else ["--proposer", "openai:a"]
    assert main([command, *own, option, "", *words]) == 2
    said = capsys.readouterr().err
    assert {"-p": "--preset"}.get(option, option) in said and "empty" in said and not provider.requests()


def test_a_server_is_named_without_a_file(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE_KEY", "key-of-here")
    server = ["--base-url", provider.url, "--api-key-env", "HERE_KEY"]
    assert main(["ask", "--proposer", "openai:x", "--aggregator", "openai:y", *server, "hi"]) == 0
    for model in ("x", "y"):
        assert provider.requests(model)[0].headers["authorization"] == "Bearer key-of-here"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--api-key-env", "HERE_KEY"], "--base-url"),
        (["--base-url", "http://127.0.0.1:9/v1"], "--proposer"),
    ],
)
def test_a_server_without_its_models_is_refused(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", *options, "hi"]) == 2
    assert words in capsys.readouterr().err


def test_files_are_attached(provider: Provider) -> None:
    Path("notes.txt").write_bytes(b"\xef\xbb\xbfthe notes\n")
    Path("dot.png").write_bytes(PIXEL)
    Path("paper.pdf").write_bytes(b"%PDF-1.7")
    files = [part for name in ("notes.txt", "dot.png", "paper.pdf") for part in ("--attach", name)]
    assert main(["ask", "-f", mixture(provider, "a"), *files, "Read."]) == 0
    ((text, image, paper),) = asked(provider, "a")  # type: ignore[misc]
    assert paper["file"]["filename"] == "paper.pdf"
    assert paper["file"]["file_data"] == f"data:application/pdf;base64,{base64.b64encode(b'%PDF-1.7').decode()}"
    assert text == {"type": "text", "text": "Read.\n\nnotes.txt:\n\nthe notes"}
    assert image["image_url"]["url"] == f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.pdf", b"%PDF-1.7" + bytes(20_000_000), "more than 20,000,000 bytes"),
        ("a.txt", b"word " * 5_000_000, "more than 20,000,000 bytes"),
        ("a.bin", b"\0\xff\0", "binary data"),
        ("zeros.txt", b"\0\0words", "binary data"),
        ("empty.txt", b"", "is empty"),
        ("words.png", b"not an image", "does not hold a PNG, JPEG, GIF or WebP image"),
        ("missing.txt", None, "No such file"),
    ],
)
def test_an_unusable_attachment_is_refused_before_a_request(
    name: str, data: bytes | None, words: str, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    if data is not None:
        Path(name).write_bytes(data)
    assert main(["ask", "-f", mixture(provider, "a"), "-a", name, "hi"]) == 2
    err = capsys.readouterr().err
    assert name in err and words in err and not provider.requests()


def test_an_image_is_known_by_what_it_holds(provider: Provider) -> None:
    Path("dot.jpg").write_bytes(PIXEL)
    Path("dot.data").write_bytes(PIXEL)
    assert main(["ask", "-f", mixture(provider, "a"), "-a", "dot.jpg", "-a", "dot.data", "Look."]) == 0
    ((_, *images),) = asked(provider, "a")  # type: ignore[misc]
    assert [image["image_url"]["url"][:15] for image in images] == ["data:image/png;"] * 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--proposer", "x"], 'moa ask: --proposer x: "x" is not'),
        (["--proposer", "openai:a", "--aggregator", "y"], 'moa ask: --aggregator y: "y" is not'),
        (["--preset", "local", "--aggregator", "y"], 'moa ask: --aggregator y: "y" is not'),
        (["--preset", "local", "--aggregator", "openai:y", "--base-url", "nohost"], "moa ask: --base-url: expected an"),
        (["--proposer", "openai:a", "--base-url", "nohost"], "moa ask: --base-url: expected an address"),
    ],
)
def test_a_wrong_model_is_named_by_its_option(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", *options, "hi"]) == 3
    assert capsys.readouterr().err.startswith(words)


def test_without_drafts_only_the_aggregator_is_called(provider: Provider) -> None:
    assert main(["ask", "-f", mixture(provider, "a", "b"), "--no-drafts", "hi"]) == 0
    assert [request.model for request in provider.requests() if request.model] == ["agg"]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """Put a file in the place of standard input."""
    with ExitStack() as opened:

        def give(data: bytes) -> None:
            Path("stdin").write_bytes(data)
            file = opened.enter_context(Path("stdin").open("rb"))
            monkeypatch.setattr("sys.stdin", opened.enter_context(io.TextIOWrapper(file, encoding="utf-8")))

        yield give


def test_a_dash_is_the_place_of_standard_input(provider: Provider, given: Callable[[bytes], None]) -> None:
    given(b"\xef\xbb\xbfthe text\n")
    assert main(["ask", "-f", mixture(provider, "a"), "Translate", "-", "into French."]) == 0
    assert asked(provider, "a") == ["Translate\n\nthe text\n\ninto French."]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("Größe".encode("cp1252"), "iconv -f WINDOWS-1252 -t UTF-8"),
        ("Größe".encode("utf-16"), "iconv -f UTF-16 -t UTF-8"),
        (b"\0\x9f\x92\x96", "binary data"),
    ],
    ids=["windows", "utf-16", "binary"],
)
def test_another_encoding_is_refused_with_the_way_out(
    data: bytes,
    words: str,
    provider: Provider,
    given: Callable[[bytes], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    given(data)
    assert main(["ask", "-f", mixture(provider, "a"), "Read."]) == 2
    assert words in capsys.readouterr().err and not provider.requests()


def test_a_silent_standard_input_is_reported_and_then_read(provider: Provider) -> None:
    command = [sys.executable, "-m", "moa_graph", "ask", "-f", mixture(provider, "a"), "hi"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as run:
        assert run.stderr is not None
        assert b"standard input" in run.stderr.readline()
        assert not provider.requests()
        run.communicate(b"there", timeout=200)
    assert run.returncode == 0 and asked(provider, "a") == ["hi\n\nthere"]


def test_several_files_are_saved_and_the_json_has_the_receipt(
    provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    file = mixture(provider, "say=one", aggregator="say=two", prices={"say=one": [1, 1], "say=two": [1000, 1000]})
    saved = ["--save", "run.json", "--save", "run.md", "--save", "run.html"]
    assert main(["ask", "-f", file, "--json", *saved, "hi"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert set(whole["receipt"]) == {"alone", "caches_saved"}
    assert 0 < whole["receipt"]["alone"] < whole["record"]["cost"]
    assert json.loads(Path("run.json").read_text())["answer"] == "two"
    assert "two" in Path("run.md").read_text() and "two" in Path("run.html").read_text()


def test_the_doctor_ends_with_a_verdict(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "-f", mixture(provider, "a", "b")]) == 0
    assert capsys.readouterr().out.endswith("\nReady: 3 models answered.\n")
    assert main(["doctor", "-f", mixture(provider, "a", "err401-dead")]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("Not ready: model openai:err401-dead")


def test_the_doctor_calls_a_local_model_with_an_address_at_its_server(
    provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    served = f"{{model: 'local:served', base_url: '{provider.url}'}}"
    Path("served.yaml").write_text(f"proposers: [{served}]\naggregator: {served}\n")
    assert main(["doctor", "-f", "served.yaml"]) == 0
    assert capsys.readouterr().out.endswith("\nReady: 1 model answered.\n")
    assert asked(provider, "served") == ["Say ok."]


def test_a_batch_takes_plain_lines_from_standard_input_and_writes_to_standard_output(provider: Provider) -> None:
    file = mixture(provider, "a", aggregator="say=fine")
    done = moa("batch", "--text", "-", "-", "-f", file, "-q", stdin=b'\xef\xbb\xbffirst question\n\nit\'s "quoted"\n')
    assert done.returncode == 0, done.stderr
    rows = [json.loads(row) for row in done.stdout.splitlines()]
    assert [(row["line"], row["answer"]) for row in rows] == [(1, "fine"), (3, "fine")]
    assert sorted(map(str, asked(provider, "a"))) == ["first question", 'it\'s "quoted"']


def test_plain_lines_without_text_are_refused_with_the_way_out(
    provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in.txt").write_text("first question\n")
    assert main(["batch", "in.txt", "out.jsonl", "-f", mixture(provider, "a"), "-q"]) == 1
    assert "moa batch --text" in capsys.readouterr().err


def test_a_batch_warns_before_it_replaces_answers_of_another_mixture(
    provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in.jsonl").write_text('"hi"\n')
    for model in ("a", "b"):
        for _ in range(2):
            assert main(["batch", "in.jsonl", "out.jsonl", "-f", mixture(provider, model), "-q"]) == 0
    err = capsys.readouterr().err
    assert err.count("answers of another mixture") == 1, err


def test_the_doctor_proposes_live_models_for_dead_ones(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    """The loopback provider lists `echo` and `fast`."""
    file = mixture(provider, "a", "fasst-nomodel")
    assert main(["doctor", "-f", file, "--fix"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("fix")] == [
        "fix fix    openai:fasst-nomodel: not among the provider's 2 models; try openai:fast"
    ]
    assert main(["doctor", "-f", file]) == 1
    assert "not among" not in capsys.readouterr().out
    assert main(["doctor", "-f", file, "--fix", "--offline"]) == 2


def test_a_dead_provider_has_no_list_to_propose_from(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--proposer", "openai:x", "--base-url", "http://127.0.0.1:9/v1", "--deadline", "5"]
    assert main(["doctor", *options, "--fix"]) == 1
    assert re.search(r"^fix .*openai:x: its list of models cannot be read", capsys.readouterr().out, re.MULTILINE)
