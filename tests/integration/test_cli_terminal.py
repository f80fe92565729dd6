"""The terminal, driven through tmux: prompt, paste, interrupts, completion, narrow screens."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.test_cli import clean as clean
from tests.integration.test_cli import mixture
from tests.provider import Provider

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
MOA = f"{sys.executable} -m moa_graph"
LIMIT = 180.0
"""Seconds to wait for what must come, however busy the machine is."""


class Terminal:
    """A terminal of its own tmux server, with what is on its screen."""

    def __init__(self, name: str, folder: Path, *, width: int = 100, height: int = 30) -> None:
        self._tmux = ["tmux", "-L", name, "-f", "/dev/null"]
        root = str(Path(__file__).parents[2])
        env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": root}
        env.pop("TMUX", None)
        size = ["-x", str(width), "-y", str(height)]
        command = ["new-session", "-d", *size, "-c", str(folder), "bash --norc --noprofile"]
        subprocess.run([*self._tmux, *command], check=True, env=env, timeout=60)
        self.until(bool, "a shell")
        self.enter("PS1='sh: '; clear")
        self.until(lambda screen: screen == "sh:", "a prompt")

    def run(self, *args: str, given: str | None = None) -> str:
        done = subprocess.run([*self._tmux, *args], input=given, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    def keys(self, *keys: str) -> None:
        """Press keys by tmux's names."""
        self.run("send-keys", *keys)

    def type(self, text: str) -> None:
        self.run("send-keys", "-l", text)

    def enter(self, text: str) -> None:
        self.type(text)
        self.keys("Enter")

    def paste(self, text: str) -> None:
        """Paste as a terminal does: in brackets where the program asked for them."""
        self.run("load-buffer", "-", given=text)
        self.run("paste-buffer", "-p")

    def screen(self) -> str:
        return self.run("capture-pane", "-p", "-S", "-200").rstrip()

    def wait(self, words: str, *, times: int = 1) -> str:
        """Wait until `words` are on the screen."""
        return self.until(lambda screen: screen.count(words) >= times, words)

    def until(self, there: Callable[[str], bool], what: str, *, seconds: float = LIMIT) -> str:
        end = time.monotonic() + seconds
        while not there(screen := self.screen()):
            assert time.monotonic() < end, f"{what!r} never came:\n{screen}"
            time.sleep(0.1)
        return screen

    def prompt(self) -> None:
        """Wait for the chat's empty prompt: earlier input would be lost."""
        self.until(lambda screen: ">" in [line.rstrip() for line in screen.splitlines()], "an empty prompt")

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, timeout=60, check=False)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_terminal(**size: int) -> Terminal:
        opened.append(Terminal(f"moa-{uuid.uuid4().hex[:12]}", tmp_path, **size))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.close()


def chat(terminal: Terminal, file: str, *options: str) -> None:
    terminal.enter(f"{MOA} chat -f {file} {' '.join(options)}")
    terminal.wait("/help lists commands")
    terminal.wait("\n>")


def asked(provider: Provider, model: str) -> list[str]:
    """The last message of every request to the model."""
    return [request.json["messages"][-1]["content"] for request in provider.requests(model)]


def test_the_first_line_names_the_mixture_and_input_can_be_edited(
    provider: Provider, terminal: Callable[..., Terminal]
) -> None:
    file = mixture(provider, "one", aggregator="say=fine", prices={"one": [1, 1], "say=fine": [1, 1]})
    screen = terminal()
    chat(screen, file)
    assert "One question: 2 calls, about $0.00" in screen.screen() and "openai:one" in screen.screen()
    screen.enter("alpha")
    screen.wait("\nfine")
    screen.wait("\n>", times=2)
    screen.prompt()
    screen.type("beta")
    screen.keys("Up")  # history: the line before
    screen.until(lambda text: text.endswith("> alpha"), "the line before")
    screen.keys("C-u")
    screen.type("gamma")
    screen.until(lambda text: text.endswith("> gamma"), "a line of its own after Ctrl-U")


def test_pasted_lines_are_one_question(provider: Provider, terminal: Callable[..., Terminal]) -> None:
    screen = terminal()
    chat(screen, mixture(provider, "one", aggregator="say=fine"))
    screen.paste("first line\nsecond line\nthird line\n")
    screen.wait("third line")
    screen.keys("Enter")
    screen.wait("\nfine")
    assert asked(provider, "one") == ["first line\nsecond line\nthird line"]


def test_lines_can_be_joined_by_hand(provider: Provider, terminal: Callable[..., Terminal]) -> None:
    screen = terminal()
    chat(screen, mixture(provider, "one", aggregator="say=fine"))
    for line in ('"""one', "two", '"""'):
        screen.enter(line)
    screen.wait("\nfine")
    screen.prompt()
    screen.enter("three\\")
    screen.enter("four")
    screen.wait("\nfine", times=2)
    assert asked(provider, "one") == ["one\ntwo", "three\nfour"]


def test_ctrl_c_clears_the_line_and_the_chat_goes_on(provider: Provider, terminal: Callable[..., Terminal]) -> None:
    screen = terminal()
    chat(screen, mixture(provider, "one", aggregator="say=fine"))
    screen.type("not this")
    screen.keys("C-c")
    screen.wait("\n>", times=2)
    screen.prompt()
    screen.enter("but this")
    screen.wait("\nfine")
    assert asked(provider, "one") == ["but this"]
    screen.enter("quit")
    screen.wait("sh:", times=2)


def test_what_is_typed_during_an_answer_is_asked_after_it(
    provider: Provider, terminal: Callable[..., Terminal]
) -> None:
    screen = terminal()
    chat(screen, mixture(provider, "one", aggregator="1500ms-say=fine"))
    screen.enter("first")
    provider.wait(lambda stats: stats["models"].get("1500ms-say=fine", {}).get("requests", 0) == 1, LIMIT)
    screen.enter("second")
    screen.type("thirx")
    screen.keys("BSpace")
    screen.enter("d")
    screen.wait("\nfine", times=3)
    assert asked(provider, "one") == ["first", "second", "third"]
    text = screen.screen()
    assert text.count("> second\n") == text.count("second\n") == 1 and text.count("third") == 1, (
        "shown at their prompts only"
    )
    screen.keys("C-d")
    screen.wait("sh:", times=2)
    screen.enter("echo $((6 * 7))")
    screen.wait("sh: echo $((6 * 7))\n42")  # the shell has its terminal back, echo and Enter included


def test_an_interrupted_answer_keeps_its_drafts_and_can_be_retried(
    provider: Provider, terminal: Callable[..., Terminal], own_home: Path
) -> None:
    screen = terminal()
    chat(screen, mixture(provider, "say=drafted", aggregator="agg-hangx1-say=well"))
    screen.enter("Why?")
    screen.wait("aggregate")  # its row follows the drafts'
    provider.wait(lambda stats: stats["models"].get("agg-hangx1-say=well", {}).get("requests", 0) == 1, LIMIT)
    screen.keys("C-c")
    screen.wait("1 draft kept")
    screen.prompt()
    screen.enter("/drafts")
    screen.wait("drafted")
    with sqlite3.connect(own_home / "logs.db") as db:
        rows = db.execute("SELECT question, error, drafts FROM questions").fetchall()
    assert [row[:2] for row in rows] == [("Why?", "interrupted")] and json.loads(rows[0][2])[0]["text"] == "drafted"


def test_the_last_question_is_retried_undone_and_shown(provider: Provider, terminal: Callable[..., Terminal]) -> None:
    screen = terminal()
    chat(screen, mixture(provider, "one", aggregator="say=fine"))
    screen.enter("/models")
    screen.wait("aggregator: openai:say=fine")
    screen.prompt()
    screen.enter("First?")
    screen.wait("\nfine")
    screen.prompt()
    screen.enter("/retry")
    screen.wait("\nfine", times=2)
    screen.prompt()
    screen.enter("/show")
    screen.wait("You: First?")
    screen.prompt()
    screen.enter("/undo")
    screen.wait("removed: First?")
    screen.prompt()
    screen.enter("/show")
    screen.wait("no question has been asked yet")
    assert asked(provider, "one") == ["First?", "First?"]


def test_a_chat_that_ended_is_continued(provider: Provider, terminal: Callable[..., Terminal]) -> None:
    screen = terminal()
    file = mixture(provider, "one", aggregator="say=fine")
    chat(screen, file)
    screen.prompt()
    screen.enter("First?")
    screen.wait("\nfine")
    screen.prompt()
    screen.enter("quit")
    screen.wait("sh:", times=2)
    screen.enter(f"clear; {MOA} chat -f {file} --continue")
    screen.wait("Continuing after 1 question; /show prints the conversation.")
    screen.prompt()
    screen.enter("/drafts")
    screen.wait("Draft 1 of 1")
    screen.prompt()
    screen.enter("Second?")
    screen.wait("\nfine")
    sent = provider.requests("one")[-1].json["messages"]
    assert [turn["content"] for turn in sent] == ["First?", "fine", "Second?"]


def test_tab_completes_commands_and_presets(provider: Provider, terminal: Callable[..., Terminal]) -> None:
    screen = terminal()
    chat(screen, mixture(provider, "one"))
    screen.type("/pres")
    screen.keys("Tab")
    screen.wait("> /preset")
    screen.type("loc")
    screen.keys("Tab")
    screen.wait("> /preset local")


@pytest.mark.parametrize("width", [40, 60, 100])
def test_errors_are_printed_below_the_table(width: int, provider: Provider, terminal: Callable[..., Terminal]) -> None:
    screen = terminal(width=width)
    file = mixture(provider, "err500-bad", "err401-worse", "good", aggregator="say=fine")
    screen.enter(f"clear; {MOA} ask -f {file} hi")
    text = screen.wait("\nfine")
    rows = [line for line in text.splitlines() if line.strip()]
    head = next(line for line in rows if line.startswith("layer"))
    assert head.split()[:2] == ["layer", "proposer"] and "state" in head
    assert sum(" failed " in f"{line} " and line.startswith("1 ") for line in rows) == 2
    assert any(line.startswith("1 ") and " ok " in line for line in rows)
    whole = "".join(line.strip() for line in rows)
    assert "loopbacksays500" in whole.replace(" ", "") and "loopbacksays401" in whole.replace(" ", "")


def test_markdown_is_rendered_and_raw_is_not(provider: Provider, terminal: Callable[..., Terminal]) -> None:
    screen = terminal()
    file = mixture(provider, "one", aggregator="say=some%20**bold**%20words")
    screen.enter(f"clear; {MOA} ask -f {file} hi")
    screen.wait("\nsome bold words")
    screen.enter(f"clear; {MOA} ask --raw -f {file} hi")
    screen.wait("\nsome **bold** words")


def test_a_broken_answer_is_shown_once(provider: Provider, terminal: Callable[..., Terminal]) -> None:
    screen = terminal()
    file = mixture(provider, "one", aggregator="say=all%20is%20well%20again-cutx1", max_attempts=2)
    screen.enter(f"clear; {MOA} ask -f {file} hi; echo END")
    screen.wait("\nEND")
    assert screen.screen().count("all is") == 1


def test_on_a_wide_terminal_the_drafts_stand_beside_the_answer(
    provider: Provider, terminal: Callable[..., Terminal]
) -> None:
    screen = terminal(width=140)
    file = mixture(provider, "say=drafted", aggregator="say=answered")
    screen.enter(f"clear; {MOA} ask --show-drafts -f {file} hi; echo END")
    screen.wait("\nEND")
    rows = screen.screen().splitlines()
    assert any("Draft 1 of 1" in row and "Answer" in row for row in rows)
    assert any("drafted" in row and "answered" in row for row in rows)


def test_ctrl_c_in_the_middle_of_an_answer_ends_its_line(provider: Provider, terminal: Callable[..., Terminal]) -> None:
    screen = terminal()
    file = mixture(provider, "one", aggregator="say=all%20is%20well%20again-hangmid")
    screen.enter(f"clear; {MOA} ask --raw --save run.json -f {file} hi")
    screen.wait("\nall is")
    screen.keys("C-c")
    text = screen.until(lambda text: text.endswith("sh:") and "interrupted" in text, "the end of the command")
    assert "\nmoa ask: interrupted" in text
    folder = Path.cwd()
    kept = json.loads((folder / "run.json").read_text())
    assert kept["error"] == "interrupted" and kept["drafts"][0]["status"] == "ok"


def test_ctrl_c_leaves_each_line_once(provider: Provider, terminal: Callable[..., Terminal]) -> None:
    """The terminal's `^C` comes behind a line that fills the width, of the answer and of the table."""
    screen = terminal(width=60)
    broken = mixture(provider, "one-hang", "two-err400", aggregator="agg")
    table = Path(broken).rename("table.yaml")
    mixture(provider, "one", aggregator="say=the%20start-hangmid")
    for file, words in ((table, "failed"), (Path("mine.yaml"), "the start")):
        screen.enter(f"clear; {MOA} ask -f {file} hi")
        screen.wait(words)
        screen.keys("C-c")
        text = screen.until(lambda text: text.endswith("sh:") and "interrupted" in text, "the end of the command")
        assert text.count("proposer") == 1, text
        assert text.count("the start") == (words == "the start"), text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_presets(shell: str, tmp_path: Path) -> None:
    script = subprocess.run(
        [sys.executable, "-m", "moa_graph"],
        env={**os.environ, "_MOA_COMPLETE": f"complete_{shell}", **_asked(shell, "moa ask --preset to")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "together-moa-lite" in script.stdout and "openai" not in script.stdout


def _asked(shell: str, line: str) -> dict[str, str]:
    if shell == "bash":
        return {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    return {
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_WORD_TO_COMPLETE": line.split()[-1],
    }
