"""The prompt of `moa chat`: line editing, history, completion, and several lines or pasted text as one question."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from moa_graph.mixture.user_folders import home

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer
    from prompt_toolkit.key_binding import KeyBindings

FENCE = '"""'


def questions() -> Callable[[], str]:
    """Return a function that reads the next question or command.

    It raises EOFError at the end, and KeyboardInterrupt when Ctrl-C is pressed at the prompt.
    """
    if sys.stdin is not None and sys.stdin.isatty():
        session = _session()
        return lambda: _stripped(session.prompt("> "))
    return _piped_line


@contextmanager
def type_ahead() -> Iterator[None]:
    """Keep what is typed while an answer is written for the next prompt.

    Between two prompts a terminal shows what is typed within the answer, and turns Enter into Ctrl-J, which is a line
    break at the next prompt. On Windows nothing changes.
    """
    if sys.platform != "win32" and sys.stdin is not None and sys.stdin.isatty():
        import termios

        before = termios.tcgetattr(sys.stdin)
        quiet = termios.tcgetattr(sys.stdin)
        quiet[0] &= ~termios.ICRNL
        quiet[3] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(sys.stdin, termios.TCSANOW, quiet)
        try:
            yield
        finally:
            with suppress(termios.error):  # the terminal was closed
                termios.tcsetattr(sys.stdin, termios.TCSANOW, before)
    else:
        yield


def open_block(text: str) -> bool:
    """Return whether a question continues: a line ends with a backslash, or three quotes are not closed."""
    return text.endswith("\\") or (text.lstrip().startswith(FENCE) and text.strip().count(FENCE) == 1)


def _stripped(text: str) -> str:
    """Return a question without the marks that join its lines."""
    text = text.strip().removeprefix("\ufeff")  # files of Windows begin with a byte order mark
    if text.startswith(FENCE) and text.endswith(FENCE) and len(text) >= 2 * len(FENCE):
        text = text[len(FENCE) : -len(FENCE)]
    return text.replace("\\\n", "\n").strip()


def _piped_line() -> str:
    """Read one line, or all lines of a block."""
    text = ""
    while True:
        line = sys.stdin.readline() if sys.stdin is not None else ""
        if not line and not text:
            raise EOFError
        text += line
        if not line or not open_block(text.rstrip("\n")):
            return _stripped(text)


def _session() -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory, InMemoryHistory
    from prompt_toolkit.output import create_output

    file = home() / "chat-history"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        history: FileHistory | InMemoryHistory = FileHistory(str(file))
    except OSError:
        history = InMemoryHistory()  # the user's folder is not writable
    return PromptSession(
        history=history,
        multiline=True,
        key_bindings=_keys(),
        completer=_completer(),
        complete_while_typing=False,
        enable_open_in_editor=True,
        prompt_continuation=lambda width, _line, _wrapped: "." * (width - 1) + " ",
        # The prompt goes to the terminal, not to the readers of standard output.
        output=create_output(always_prefer_tty=True),
    )


def _keys() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if open_block(buffer.document.text_before_cursor) and not buffer.document.text_after_cursor.strip():
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _completer() -> Completer:
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document

    from moa_graph.cli.commands import COMMANDS
    from moa_graph.cli.complete import files, mixture_files, presets

    class Commands(Completer):
        """Completes commands and their arguments."""

        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
            text = document.text_before_cursor
            if not text.startswith("/") or "\n" in text:
                return
            name, space, argument = text[1:].partition(" ")
            if not space:
                found = [f"{each} " if COMMANDS[each].arguments else each for each in COMMANDS]
                found = [each for each in [*found, "help", "quit"] if each.startswith(name)]
                start = name
            else:
                start = argument
                found = presets(start) + mixture_files(start) if name == "preset" else []
                found = files(start) if name in ("save", "save!", "load") else found
            yield from (Completion(each, start_position=-len(start)) for each in found)

    return Commands()
