"""`moa batch` and `moa ask --url` as commands: exit codes, messages, and a server with the results of this process."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.scale.__main__ import PARTS, measured, missed, parsed
from moa_graph.batch import Totals
from moa_graph.cli import main
from moa_graph.cli.batch import line, summary
from tests.langgraph_dev import ANSWER, ROOT, LangGraphDev, scripted
from tests.provider import Provider


@pytest.fixture
def files(tmp_path: Path, provider: Provider) -> tuple[str, str, str]:
    """Questions, an output, a mixture."""
    (tmp_path / "in.jsonl").write_text('"one"\n{"id": "b", "prompt": "two"}\n')
    (tmp_path / "mixture.yaml").write_text(yaml.safe_dump(scripted(provider)))
    return str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl"), str(tmp_path / "mixture.yaml")


def test_answers_and_a_summary(files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    source, out, mixture = files
    assert main(["batch", source, out, "--file", mixture, "--drafts"]) == 0
    rows = [json.loads(row) for row in Path(out).read_text().splitlines()]
    assert [(r["id"], r["answer"], len(r["drafts"])) for r in rows] == [(1, ANSWER, 3), ("b", ANSWER, 3)]
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("2 answered; cost unknown; 0:")
    assert main(["batch", source, out, "--file", mixture, "-q"]) == 0
    assert capsys.readouterr().err == ""


def test_exit_codes(files: tuple[str, str, str], provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    source, out, mixture = files
    with Path(source).open("a") as file:
        file.write("{nonsense\n")
    assert main(["batch", source, out, "--file", mixture]) == 1
    err = capsys.readouterr().err
    assert "line 3: not JSON" in err and "2 answered, 1 failed, 1 of them bad lines" in err
    assert main(["batch", "nowhere.jsonl", out, "--file", mixture]) == 2
    assert main(["batch", source, source, "--file", mixture]) == 2
    assert main(["batch", source, source, "--text", "--file", mixture]) == 2
    assert "OUT is IN" in capsys.readouterr().err
    assert main(["batch", source, str(Path(out).parent), "--file", mixture]) == 2
    assert Path(source).read_text().startswith('"one"')
    assert main(["batch", source, out, "--file", mixture, "--concurrency", "0"]) == 2
    assert main(["batch", source, out, "--url", "http://127.0.0.1:9", "--preset", "local"]) == 2
    assert main(["batch", source, out, "--file", mixture, "--shard", "3/2"]) == 2
    assert main(["batch", source, out, "--file", mixture, "--layers", "99"]) == 3
    assert main(["batch", source, out, "--url", "127.0.0.1:9"]) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes among files")
def test_only_regular_files_are_read_and_replaced(
    files: tuple[str, str, str], provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """A finished batch takes the place of OUT: run by root, it made a file of /dev/null."""
    source, out, mixture = files
    pipe, link = Path(out).with_name("pipe"), Path(out).with_name("link")
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for target in (pipe, link, Path("/dev/moa-no-such-device")):
        assert main(["batch", source, str(target), "--file", mixture]) == 2
        assert f"{target}: a folder or not a regular file." in capsys.readouterr().err
    assert main(["batch", str(pipe), out, "--file", mixture]) == 2
    assert "not a regular file. Pipe its lines to the command, with - as IN." in capsys.readouterr().err
    assert pipe.is_fifo() and link.is_symlink() and not provider.requests()


@pytest.mark.parametrize("ending", ["", ".part"])
def test_answers_never_replace_the_ledger(
    files: tuple[str, str, str], provider: Provider, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    source, out, mixture = files
    assert main(["batch", source, out, "--file", mixture, "--ledger", out + ending]) == 2
    assert "is the ledger, which the answers would replace" in capsys.readouterr().err
    assert not provider.requests()


@pytest.mark.parametrize("text", [["--text"], []])
@pytest.mark.parametrize("standard", [False, True])
def test_a_file_in_another_encoding_is_refused_before_anything_is_paid(
    files: tuple[str, str, str],
    provider: Provider,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: list[str],
    *,
    standard: bool,
) -> None:
    """PowerShell writes UTF-16, whose bytes are UTF-8 with a zero beside every letter."""
    source, out, mixture = files
    data = "one\ntwo\n".encode("utf-16")
    Path(source).write_bytes(data)
    if standard:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["batch", "-" if standard else source, out, "--file", mixture, *text]) == 2
    name = "standard input" if standard else source
    assert f"{name} is UTF-16 or UTF-32 text: save it as UTF-8" in capsys.readouterr().err
    assert not provider.requests() and not Path(out).exists()


@pytest.mark.slow
def test_interrupted_it_says_so_and_goes_on(tmp_path: Path, provider: Provider) -> None:
    import signal

    (tmp_path / "in.jsonl").write_text("".join(f'"q{n}"\n' for n in range(300)))
    model = {"model": "openai:a-60ms-echo", "base_url": provider.url}
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"proposers": [model], "aggregator": model}))
    code = "from moa_graph.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "batch", "in.jsonl", "out.jsonl", "--file", "m.yaml"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    provider.wait(lambda stats: stats["answered"] > 150, 60)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in err and "Traceback" not in err
    assert (tmp_path / "out.jsonl.part").exists() and not (tmp_path / "out.jsonl").exists()
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert again.returncode == 0 and "of them in earlier runs" in again.stderr


def test_a_server_answers_as_this_process(
    files: tuple[str, str, str], langgraph_dev: LangGraphDev, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out, mixture = files
    there = str(tmp_path / "there.jsonl")
    assert main(["batch", source, out, "--file", mixture, "--drafts", "-q"]) == 0
    assert main(["batch", source, there, "--url", langgraph_dev.url, "--drafts", "-q"]) == 0
    assert Path(there).read_bytes() == Path(out).read_bytes()
    assert main(["ask", "--url", langgraph_dev.url, "What is it?"]) == 0
    assert capsys.readouterr().out == f"{ANSWER}\n"
    assert main(["ask", "--url", langgraph_dev.url, "--layers", "3", "--json", "Why?"]) == 0
    assert json.loads(capsys.readouterr().out)["record"]["layers"] == 3
    assert main(["ask", "--url", langgraph_dev.url, "--preset", "local", "Why?"]) == 2


@pytest.mark.slow
def test_killed_over_a_server_it_goes_on(
    files: tuple[str, str, str], langgraph_dev: LangGraphDev, provider: Provider, tmp_path: Path
) -> None:
    source, out, mixture = files
    Path(source).write_text("".join(f'"question {n}"\n' for n in range(40)))
    command = [
        sys.executable,
        "-m",
        "moa_graph",
        "batch",
        source,
        out,
        "--url",
        langgraph_dev.url,
        "-c",
        "2",
        "--drafts",
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        provider.wait(lambda stats: stats["answered"] >= 60, 60)
        process.kill()
    assert not Path(out).exists()
    again = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert again.returncode == 0 and "of them in earlier runs" in again.stderr
    here = str(tmp_path / "here.jsonl")
    assert main(["batch", source, here, "--file", mixture, "--drafts", "-q"]) == 0
    assert Path(out).read_bytes() == Path(here).read_bytes()


def test_progress_shows_the_position_and_unknown_costs() -> None:
    totals = Totals(lines=1000, done=300, resumed=100, failed=3, cost=1.5)
    assert line(totals, 100) == "300/1000  2.0/s  $1.5000  5:50 left  3 failed"
    assert line(Totals(lines=10), 0) == "0/10  0.0/min  $0.0000"
    totals = Totals(lines=9, done=9, failed=2, bad=1, unpriced=7)
    assert summary(totals, 3700) == "7 answered, 2 failed, 1 of them bad lines; cost unknown; 1:01:40"


def test_langgraph_dockerfile_takes_the_project(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "langgraph"), "dockerfile", str(tmp_path / "Dockerfile")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "Dockerfile").read_text()
    assert "FROM langchain/langgraph-api" in text and '"moa_answer"' in text


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", ["memory", "kills", "aegra"])
def test_scale_in_short(part: str) -> None:
    figures = measured(PARTS[part], parsed(["--short"]))
    if reason := figures.get("skipped"):
        pytest.skip(reason)
    assert missed({part: figures}) == []
