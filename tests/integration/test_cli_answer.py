"""The output of `moa ask` on a terminal and in a pipe, also if the answer breaks off."""

import os
import subprocess
import sys

import pytest

from moa_graph.cli import main
from tests.integration.test_cli import clean as clean
from tests.integration.test_cli import mixture
from tests.provider import Provider


def on_a_terminal(*args: str) -> tuple[str, str]:
    """What `moa` writes where standard output is a terminal, and its standard error; it must end with 0."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "moa_graph", *args]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as run:
        os.close(theirs)
        written = b"".join(iter(lambda: _read(ours), b""))
        _, err = run.communicate(timeout=60)
    os.close(ours)
    assert run.returncode == 0, err
    return written.decode().replace("\r\n", "\n"), err.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""  # Linux's error after the last writer has closed


def broken(provider: Provider, how: str) -> tuple[str, str]:
    """A mixture whose aggregator breaks off in mid-stream, and the answer that must still come."""
    first = "cut-tok=20"
    if how == "best draft":
        return mixture(provider, "say=drafted", aggregator=first, on_failure="best_draft"), "drafted"
    if how == "fallback":
        spare = {"model": "openai:say=mended", "base_url": provider.url}
        return mixture(provider, "say=drafted", aggregator=first, fallbacks=[spare]), "mended"
    return mixture(provider, "say=drafted", aggregator="say=all%20is%20well%20again-cutx1", max_attempts=2), (
        "all is well again"
    )


@pytest.mark.parametrize("how", ["best draft", "fallback", "retry"])
def test_a_pipe_gets_the_whole_answer_without_the_interrupted_text(
    how: str, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    file, answer = broken(provider, how)
    assert main(["ask", "-f", file, "hi"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{answer}\n"
    assert ("the best draft, not a synthesis" in err) == (how == "best draft")


@pytest.mark.parametrize("how", ["best draft", "fallback", "retry"])
def test_a_terminal_shows_the_restart_and_then_the_whole_answer(how: str, provider: Provider) -> None:
    file, answer = broken(provider, how)
    out, err = on_a_terminal("ask", "--raw", "-f", file, "hi")
    void, _, rest = out.partition("\n\n")
    assert void and rest == f"{answer}\n" and err.count("the answer is incomplete") == 1
    assert ("the best draft, not a synthesis" in err) == (how == "best draft")


def test_a_terminal_gets_the_answer_as_it_is_written_and_once(provider: Provider) -> None:
    out, err = on_a_terminal("ask", "--raw", "-f", mixture(provider, "a", aggregator="say=one%20two"), "hi")
    assert (out, err) == ("one two\n", "") and provider.requests("say=one%20two")[-1].json["stream"]
