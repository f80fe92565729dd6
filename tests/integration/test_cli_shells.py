"""Completion in real shells: installed by the command itself, then used with Tab in a new shell."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.test_cli_terminal import Terminal
from tests.integration.test_cli_terminal import terminal as terminal

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
PROMPTS = {
    "bash": "PS1='now> '",
    "zsh": "PS1='now> '",
    "fish": "set -g fish_autosuggestion_enabled 0; function fish_prompt; echo -n 'now> '; end",
}


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest, tmp_path: Path, terminal: Callable[..., Terminal]) -> Iterator[Terminal]:
    """A new shell of a user who has installed the completion."""
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "moa"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m moa_graph "$@"\n')
    command.chmod(0o755)
    # Without a file of settings, zsh asks a new user questions.
    for settings in (".zshrc", ".bashrc"):
        (tmp_path / settings).touch()
    (tmp_path / "mine.yaml").write_text("aggregator: local:smollm2\nproposers: [local:smollm2]\n")
    (tmp_path / "notes.txt").write_text("not a mixture")
    screen = terminal(width=120)
    screen.enter(f"export HOME={tmp_path} PATH={folder}:$PATH; unset XDG_CONFIG_HOME; cd {tmp_path}; {name} -i")
    ready(screen, name)
    screen.enter("moa --install-completion")
    screen.wait("completion installed")
    screen.until(lambda text: text.endswith("now>"), "a prompt")
    screen.enter("exit")
    screen.until(lambda text: text.endswith("sh:"), "the first shell")
    screen.enter(f"clear; {name} -i")
    ready(screen, name)
    yield screen
    screen.keys("C-c")


def ready(screen: Terminal, name: str) -> None:
    """Wait for the prompt of a new shell, which may lose earlier input, and set our own."""
    screen.until(lambda text: text[-1:] in tuple("#$%>"), "a prompt of its own")
    screen.enter(PROMPTS[name])
    screen.until(lambda text: text.endswith("now>"), "a prompt")


LINES = [
    ("moa ask --preset together-q", "moa ask --preset together-quickstart"),
    ("moa presets show counc", "moa presets show council"),
    ("moa ask --proposer local:smo", "moa ask --proposer local:smollm2"),
    ("moa ask --file mi", "moa ask --file mine.yaml"),
    ("moa doc", "moa doctor"),
]


def test_tab_completes_presets_models_files_and_commands(shell: Terminal) -> None:
    for typed, completed in LINES:
        shell.type(typed)
        shell.until(lambda text, typed=typed: text.endswith(typed), typed)
        shell.keys("Tab")
        shell.until(lambda text, completed=completed: text.splitlines()[-1].endswith(completed), completed)
        shell.keys("C-u")
        shell.until(lambda text: text.endswith("now>"), "an empty line")
