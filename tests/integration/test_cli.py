"""The command `moa`, run like a person or a script runs it."""

import io
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import pytest

from moa_graph.cli import COMMANDS, main
from moa_graph.cli.log import Log
from moa_graph.cli.output.export import WRITERS, as_markdown
from moa_graph.cli.output.messages import open_streams
from tests.provider import Provider


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No keys, no .env above the working directory."""
    for name in ("OPENAI_API_KEY", "TOGETHER_API_KEY", "MOA_PRESET", "LANGSMITH_TRACING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def moa(*args: str, stdin: bytes | None = None, **env: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "moa_graph", *args]
    given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    return subprocess.run(command, capture_output=True, timeout=100, env={**os.environ, **env}, **given)


def mixture(provider: Provider, *models: str, aggregator: str = "agg", **fields: object) -> str:
    """A mixture file over the loopback provider."""

    def spec(model: str) -> dict[str, str]:
        return {"model": f"openai:{model}", "base_url": provider.url}

    whole = {"proposers": [spec(m) for m in models], "aggregator": spec(aggregator), "max_attempts": 1, **fields}
    Path("mine.yaml").write_text(json.dumps(whole))
    return "mine.yaml"


def test_help_is_cheap_and_names_every_command() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "moa_graph", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not imported & {"langgraph", "langchain_core", "openai", "langsmith", "typer", "rich", "pydantic", "yaml"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_paragraph_of_help_has_no_line_ends_of_its_source(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    assert main([name, "--help"]) == 0
    about = capsys.readouterr().out.partition("\u256d")[0].split("\n")
    lines = [line.strip() for line in about]
    assert not any(first and second for first, second in itertools.pairwise(lines)), lines


def test_the_help_of_ask_names_every_form_that_it_saves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "--help"]) == 0
    help_of_save = capsys.readouterr().out.partition("--save")[2].partition("--max-cost")[0]
    assert all(ending in help_of_save for ending in WRITERS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"moa {name}" in capsys.readouterr().out


def test_a_piped_question_gives_one_json_object_from_the_embedded_model() -> None:
    done = moa("ask", "--preset", "local", "--json", stdin=b"Name three fruits.")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [draft["status"] for draft in result["drafts"]].count("ok") >= 3
    assert result["answer"].strip() and result["record"]["calls"] == 4


def test_without_keys_the_embedded_model_answers_after_its_drafts_and_says_what_a_key_would_change() -> None:
    done = moa("ask", "What is the capital of France?", "--show-drafts")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() and b"preset `local`" in done.stderr
    drafts, answer, end = done.stderr.partition(b"\nAnswer\n")
    assert [drafts.index(b"Draft %d of 3: p%d-" % (n + 1, n)) for n in range(3)] == sorted(
        drafts.index(b"Draft %d of 3" % (n + 1)) for n in range(3)
    )
    assert answer and b"4 calls, " in end and b"free" in end and b"OPENAI_API_KEY" in end


@pytest.mark.parametrize(
    ("keys", "preset"),
    [
        (["OPENAI_API_KEY"], "openai"),
        (["TOGETHER_API_KEY"], "together"),
        (["OPENAI_API_KEY", "TOGETHER_API_KEY"], "mixed"),
    ],
)
def test_with_keys_it_picks_a_preset_and_says_which(
    keys: list[str], preset: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in keys:
        monkeypatch.setenv(key, "k")
    assert main(["ask", "--estimate", "--json", "hi"]) == 0
    out, err = capsys.readouterr()
    assert f"preset `{preset}`" in err and json.loads(out)["calls"] > 3


def test_prompt_and_pipe_are_joined_and_the_system_prompt_arrives(provider: Provider) -> None:
    done = moa("ask", "-f", mixture(provider, "a"), "-s", "Be kind.", "Summarize.", stdin="Grüße\n".encode())
    assert done.returncode == 0, done.stderr
    system, user = provider.requests("a")[0].json["messages"]
    assert user["content"] == "Summarize.\n\nGrüße"
    assert system == {"role": "system", "content": "Be kind."}


def test_when_one_proposer_fails_the_answer_and_the_reason_are_shown(provider: Provider) -> None:
    done = moa("ask", "-f", mixture(provider, "good", "err500-bad"), "hi")
    assert done.returncode == 0 and done.stdout.strip()
    assert b"p1-err500-bad (openai:err500-bad): failed: " in done.stderr and b"loopback says 500" in done.stderr


USAGE = {
    "no question": (["ask"], 2, "the question is missing"),
    "unknown option": (["ask", "--foo", "hi"], 2, "No such option"),
    "dash first": (["ask", "- apples\n- pears\nWhich?"], 2, "Write -- before a question that begins with -"),
    "unknown command": (["aks"], 2, "Did you mean `moa ask`"),
    "two mixtures": (["ask", "--preset", "local", "--proposer", "local:smollm2", "hi"], 2, "use only one of them"),
    "unknown ending": (["ask", "--save", "x.docx", "hi"], 2, ".json, .md"),
    "no folder": (["ask", "--save", "none/x.md", "hi"], 2, "the folder none does not exist"),
    "unknown preset": (["ask", "--preset", "nope", "hi"], 3, "'nope' is unknown"),
    "nothing to save": (["ask", "--estimate", "--save", "x.md", "hi"], 2, "remove --save or --estimate"),
    "a graph without its server": (["ask", "--graph", "moa", "hi"], 2, "--graph needs --url"),
    "a key for a server": (["ask", "--url", "http://127.0.0.1:9", "--api-key-env", "A", "hi"], 2, "--api-key-env"),
    "trust for a server": (["batch", "-", "-", "--url", "http://127.0.0.1:9", "--trust"], 2, "remove --trust."),
    "no such file": (["ask", "--file", "none.yaml", "hi"], 3, "none.yaml"),
    "no key": (["ask", "--preset", "mixed", "hi"], 3, "TOGETHER_API_KEY"),
    "a file not in UTF-8": (["eval", "run", "\udcff.jsonl", "--preset", "local"], 2, "No such file"),
    "not UTF-8 for models": (["ask", "--preset", "local", "--system", "\udcff", "hi"], 3, "half a character"),
    "too many layers": (["ask", "--preset", "local", "--layers", "99", "hi"], 3, "layers"),
}


@pytest.mark.parametrize(("args", "code", "words"), USAGE.values(), ids=USAGE)
def test_mistakes_end_with_their_code_and_the_way_out(
    args: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == code
    out, err = capsys.readouterr()
    assert words in err and not out and "Traceback" not in err


@pytest.mark.parametrize("layers", ["4", "99"])
def test_an_estimate_of_a_run_that_would_be_refused_is_refused(
    layers: str, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = {"model": "openai:a", "base_url": provider.url}
    Path("rounds.yaml").write_text(json.dumps({"rounds": [[spec], [spec]], "aggregator": spec}))
    refused = [["ask", "-f", "rounds.yaml", "--layers", layers, *dry, "hi"] for dry in ([], ["--estimate"])]
    assert [main(args) for args in refused] == [3, 3]
    run, estimate = capsys.readouterr().err.splitlines()
    assert run == estimate and "layers" in run
    assert main(["ask", "-f", "rounds.yaml", "--layers", "2", "--estimate", "hi"]) == 0
    assert capsys.readouterr().out.startswith("2 calls")


def test_a_folder_that_cannot_be_made_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MOA_HOME", str(tmp_path / "file" / "home"))
    for args in (["logs", "off"], ["presets", "add", mixture(provider, "a"), "mine"]):
        assert main(args) == 1
        assert capsys.readouterr().err.endswith("MOA_HOME names another folder.\n")
    assert main(["ask", "-f", mixture(provider, "a"), "hi"]) == 0
    assert "could not be written" in (said := capsys.readouterr().err) and "MOA_LOG=off switches it off." in said
    monkeypatch.setenv("MOA_LOG", "off")
    assert main(["ask", "-f", mixture(provider, "a"), "hi"]) == 0
    assert "could not be written" not in capsys.readouterr().err


UNKNOWN_HOME = "MOA_HOME (~nobody-of-this-name/moa): this home folder is unknown."


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("presets list", 3, UNKNOWN_HOME),
        ("logs list", 3, UNKNOWN_HOME),
        ("ask hi", 3, UNKNOWN_HOME),
        ("batch in.jsonl folder/out", 1, "folder: File exists"),
    ],
)
def test_a_home_of_an_unknown_user_is_named_by_its_variable(
    command: str,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    provider: Provider,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An account without a home folder, as containers have, has no `~` either."""
    monkeypatch.setenv("MOA_HOME", "~nobody-of-this-name/moa")
    file = mixture(provider, "a")
    Path("in.jsonl").write_text('"hi"\n')
    Path("folder").touch()
    args = [*command.split(), *(["-f", file] if command[0] in "ab" else [])]
    assert main(args) == code
    assert said in capsys.readouterr().err
    assert not provider.requests()


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("setpriv"), reason="needs setpriv, of util-linux")
@pytest.mark.parametrize("args", [["ask", "-f", "own.yaml", "hi"], ["presets", "list"]], ids=" ".join)
def test_a_home_that_may_not_be_read_has_no_presets_and_no_confirmations(
    args: list[str], provider: Provider, tmp_path: Path
) -> None:
    """Such as that of a container whose user has the HOME of another one."""
    Path("own.yaml").write_text('{"proposers": ["openai:a"], "aggregator": "openai:b"}')
    home = tmp_path / "home"
    home.mkdir(mode=0)
    less = "-dac_override,-dac_read_search"  # root reads every folder with these capabilities
    command = ["setpriv", f"--bounding-set={less}", f"--inh-caps={less}"] if os.geteuid() == 0 else []
    env = {name: value for name, value in os.environ.items() if name not in ("MOA_HOME", "XDG_CONFIG_HOME")}
    done = subprocess.run(
        [*command, sys.executable, "-m", "moa_graph", *args],
        env={**env, "HOME": str(home), "OPENAI_BASE_URL": provider.url, "OPENAI_API_KEY": "k"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
    assert args[0] != "ask" or "MOA_LOG=off switches it off." in done.stderr


def test_input_that_is_not_text_is_refused() -> None:
    done = moa("ask", "--preset", "local", stdin=b"\xff\xfe\x00")
    assert done.returncode == 2 and b"not UTF-8" in done.stderr


def test_a_failed_aggregator_ends_with_1_and_the_paid_drafts_are_kept(
    provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", "-f", mixture(provider, "a", "b", aggregator="err400"), "--save", "out.json", "hi"]) == 1
    kept = json.loads(Path("out.json").read_text())
    assert kept["answer"] is None and [d["status"] for d in kept["drafts"]] == ["ok", "ok"]
    out, err = capsys.readouterr()
    assert not out.strip() and "400" in err and "Traceback" not in err


def test_answers_are_saved_as_json_and_markdown(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("out.json", "out.md"):
        assert main(["ask", "-f", mixture(provider, "a", "b"), "--save", name, "hi"]) == 0
    assert json.loads(Path("out.json").read_text())["question"] == "hi"
    text = Path("out.md").read_text()
    assert "## Answer" in text and "p1-b (openai:b): ok" in text


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ("half of it", "interrupted", "# Why?\n\n## Answer\n\nIncomplete: interrupted\n\nhalf of it\n"),
        (None, "too late", "# Why?\n\n## Answer\n\nNo answer: too late\n"),
        ("42", None, "# Why?\n\n## Answer\n\n42\n"),
    ],
)
def test_saved_markdown_says_whether_the_answer_is_whole(answer: str | None, error: str | None, words: str) -> None:
    result = {"answer": answer, "error": error, "drafts": [], "record": None}
    assert as_markdown("Why?", result).startswith(words)
    assert as_markdown("Why?\nSay it.", result).startswith("# Why? Say it.\n\nWhy?\nSay it.\n\n## Answer")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes among files")
def test_a_target_that_cannot_take_the_answer_is_refused_before_any_request(
    provider: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.md").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    file = mixture(provider, "a")
    for name in ("folder.md", "pipe.json"):
        assert main(["ask", "--file", file, "--save", str(tmp_path / name), "hi"]) == 2
        assert "a folder or not a regular file. Choose another name." in capsys.readouterr().err
    assert not provider.requests()


def test_a_target_in_a_folder_without_permission_is_refused_before_any_request(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = mixture(provider, "a")
    kept, new = tmp_path / "kept.md", tmp_path / "new.md"
    kept.touch()
    monkeypatch.setattr(os, "access", lambda path, mode: path not in (tmp_path, new))  # root may write everywhere
    assert main(["ask", "--file", file, "--save", str(new), "hi"]) == 2
    assert f"--save {new}: cannot be written by this user. Choose another folder." in capsys.readouterr().err
    assert not provider.requests()
    assert main(["ask", "--file", file, "--save", str(kept), "hi"]) == 0 and kept.read_text()


def test_notes_are_saved_and_printed_as_json(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    file = mixture(provider, "a", "b", combine={"name": "vote", "answer": "last_line", "stop": False})
    saved = [word for name in ("out.json", "out.md", "out.html") for word in ("--save", name)]
    assert main(["ask", "-f", file, "--json", *saved, "hi"]) == 0
    printed, kept = json.loads(capsys.readouterr().out), json.loads(Path("out.json").read_text())
    assert [note["kind"] for note in printed["notes"]] == ["vote", "vote"] and kept["notes"] == printed["notes"]
    assert "## Vote by p1-b, layer 1: ok" in Path("out.md").read_text()
    assert '"kind": "vote"' in Path("out.html").read_text()


def test_a_proposer_or_more_on_the_command_line_make_a_mixture(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--proposer", "local:smollm2", "--proposer", "openai:x", "--aggregator", "local:smollm2"]
    assert main(["graph", *args]) == 0
    assert "p1-x(p1-x)" in capsys.readouterr().out


def test_presets_are_listed_shown_and_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["together-moa"]["calls"] == 13 and rows["together-moa-lite"]["calls"] == 7
    assert main(["presets", "list"]) == 0
    assert "13 calls" in capsys.readouterr().out
    assert main(["presets", "path", "local"]) == 0
    where = capsys.readouterr().out.strip()
    assert main(["presets", "show", "local"]) == 0
    assert capsys.readouterr().out == Path(where).read_text()
    assert main(["presets", "show", "nope"]) == 3
    assert main(["presets", "show", "mine.yaml"]) == 2
    assert "moa presets add mine.yaml" in capsys.readouterr().err


def test_the_schema_accepts_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    import yaml
    from jsonschema import Draft202012Validator

    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    assert main(["presets", "path"]) == 0
    files = sorted(Path(capsys.readouterr().out.strip()).glob("*.yaml"))
    assert len(files) >= 8
    for file in files:
        Draft202012Validator(schema).validate(yaml.safe_load(file.read_text()))
    assert not Draft202012Validator(schema).is_valid({"proposers": ["a:b"], "agregator": "a:b"})


def test_ctrl_c_ends_with_130_and_no_traceback_and_closes_every_request(provider: Provider) -> None:
    file = mixture(provider, "a-hang", "b-hang", "c-hangmid", max_attempts=3)
    command = [sys.executable, "-m", "moa_graph", "ask", "-f", file, "hi"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as run:
        provider.wait(lambda stats: stats["in_flight"] == 3, 60)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 130 and not out and b"Traceback" not in err and b"interrupted" in err
    provider.wait(lambda stats: stats["in_flight"] == 0)
    assert (provider.stats()["disconnected"], provider.stats()["requests"]) == (3, 3)


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM ends a process on Windows")
@pytest.mark.parametrize(
    ("command", "sent"), [("ask", "SIGTERM"), ("chat", "SIGTERM"), ("ask", "SIGHUP")], ids=["ask", "chat", "hangup"]
)
def test_signals_keep_the_paid_drafts_as_ctrl_c_does(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, sent: str
) -> None:
    """`timeout` and supervisors send SIGTERM, a closed terminal SIGHUP. The log and the file of --save have the drafts.

    A closed terminal sends SIGHUP twice, and nothing can be written to it any more.
    """
    number = getattr(signal, sent)
    monkeypatch.setenv("MOA_HOME", str(tmp_path))
    kept = tmp_path / "kept.json"
    asked = ["--save", str(kept)] if command == "ask" else []
    # The tests themselves may run under nohup, whose children ignore SIGHUP.
    plain = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    argv = [sys.executable, "-m", "moa_graph", command, "-f", mixture(provider, "a", "b", aggregator="c-hang"), *asked]
    with subprocess.Popen(
        [sys.executable, "-c", plain, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdin
        # `moa ask` reads its standard input to the end; the end of the input would end the chat.
        run.stdin.write(b"hi\n")
        run.stdin.flush()
        if command == "ask":
            run.stdin.close()
            run.stdin = None
        provider.wait(lambda stats: stats["requests"] == 3 and stats["in_flight"] == 1, 60)
        if sent == "SIGHUP":
            run.send_signal(number)
            assert run.stderr
            run.stderr.close()
            run.stderr = None
        run.send_signal(number)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 128 + number
    assert sent == "SIGHUP" or (b"Traceback" not in err and f"moa {command}: terminated".encode() in err)
    provider.wait(lambda stats: stats["in_flight"] == 0)
    assert command == "chat" or [draft["status"] for draft in json.loads(kept.read_text())["drafts"]] == ["ok", "ok"]
    (entry,) = Log.open().entries()
    assert [draft["status"] for draft in entry.drafts] == ["ok", "ok"] and entry.error == "terminated"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("args", ["presets list", "presets list --json", "--help", "--version"])
def test_output_that_cannot_be_written_is_a_failure(args: str) -> None:
    command = f"'{sys.executable}' -m moa_graph {args} > /dev/full"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=100, text=True)
    assert done.returncode == 1 and done.stderr.startswith("moa") and "No space left on device" in done.stderr


@contextmanager
def unwritable(where: str | int = "/dev/full") -> Iterator[TextIO]:
    """Open a full disk, or a descriptor, line by line. Closing it fails as well."""
    file = open(where, "w", buffering=1)  # noqa: PTH123, SIM115  # a descriptor; closed below
    try:
        yield file
    finally:
        with suppress(OSError):
            file.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_answer_that_cannot_be_written_is_kept(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is paid for. The log has it, also where nobody reads any more, and so have the files of `ask` and `batch`."""
    monkeypatch.setenv("MOA_HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    file = mixture(provider, "a")

    def run(*args: str, stdin: bytes = b"", where: str | int = "/dev/full") -> int:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with unwritable(where) as full:
            monkeypatch.setattr(sys, "stdout", full)
            return main([*args, "-f", file])

    assert [run("ask", "a", "--save", "a.json"), run("ask", "b", "--json", "--save", "b.json")] == [1, 1]
    assert capsys.readouterr().err.count("No space left on device") == 2
    assert run("batch", "-", "-", "-q", stdin=b'"c"') == 1
    (kept,) = tmp_path.glob("moa-batch-*.jsonl")
    assert capsys.readouterr().err.startswith(f"standard output: No space left on device. The answers are in {kept}\n")
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(SystemExit, match="1"):  # typer's end of a closed pipe; the second question is not paid for
        run("chat", stdin=b"d\ne\n", where=writer)
    answers = {entry.question: entry.answer for entry in Log.open().entries()}
    assert list(answers) == ["a", "b", "d"] and all(answers.values()) and provider.stats()["requests"] == 8
    assert [json.loads(Path(f"{name}.json").read_text())["answer"] for name in "ab"] == [answers["a"], answers["b"]]
    assert json.loads(kept.read_text())["answer"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["eval run in.jsonl --out run", "batch in.jsonl out.jsonl"])
def test_progress_that_cannot_be_written_does_not_end_a_paid_run(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """The terminal of a run in the background is closed, or the disk of its log is full."""
    Path("in.jsonl").write_text('{"prompt": "one", "gold": "x"}\n{"prompt": "two", "gold": "y"}\n')
    file = mixture(provider, "a")
    with unwritable() as full, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", full)
        open_streams()
        assert main([*command.split(), "-f", file]) == 0
    assert Path("run/scores.json").exists() or len(Path("out.jsonl").read_text().splitlines()) == 2


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_standard_streams_end_without_a_traceback(closed: str, provider: Provider) -> None:
    command = f"'{sys.executable}' -m moa_graph ask -f {mixture(provider, 'a')} hi {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=100, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


def test_a_closed_pipe_prints_no_error(provider: Provider) -> None:
    file = mixture(provider, "a", aggregator="agg-tok=400")
    done = subprocess.run(
        f"'{sys.executable}' -m moa_graph ask -f {file} hi | head -c 1",
        shell=True,
        capture_output=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert len(done.stdout) == 1 and b"Traceback" not in done.stderr and b"BrokenPipe" not in done.stderr


@pytest.mark.parametrize("answers", [False, True], ids=["refuses", "never answers"])
def test_an_unreachable_langsmith_is_reported_and_delays_nothing(provider: Provider, answers: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1] if answers else 9  # the discard port: refused at once
        traced = {
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_API_KEY": "lsv2_secret",
            "LANGSMITH_ENDPOINT": f"http://127.0.0.1:{port}",
        }
        # LangSmith's own exit takes minutes; `moa` stops this at 100 s.
        done = moa("ask", "-f", mixture(provider, "a", "b"), "hi", **traced)
    assert done.returncode == 0 and done.stdout.strip()
    assert done.stderr.count(b"Traces of this command are lost") == 1
    assert b"lsv2_secret" not in done.stderr and len(done.stderr.splitlines()) == 1
