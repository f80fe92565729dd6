"""What commands write: messages on standard error, results on standard output.

Names of files and models, and words of servers, may hold control sequences. So everything passes `for_terminal`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

from moa_graph.models.terminal_text import escape_controls, for_terminal

__all__ = [
    "clean_log", "escape_unencodable", "flushed", "message", "open_streams", "output", "output_json", "silence_stdout",
    "wrapped",
]  # fmt: skip


def message(text: str) -> None:
    """Write a message of one or more lines to standard error. On a terminal its lines break between words."""
    if sys.stderr is not None:
        text = for_terminal(text)
        whole = wrapped(text, shutil.get_terminal_size().columns) if sys.stderr.isatty() else text
        sys.stderr.write(f"{whole}\n")


def output(text: str) -> None:
    """Write one or more lines of a result to standard output."""
    sys.stdout.write(f"{for_terminal(text)}\n")


def output_json(value: Any) -> None:
    """Write one JSON document to standard output."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write(f"{escape_controls(text)}\n")


def wrapped(text: str, width: int) -> str:
    """Return the text with no line longer than `width` columns, except for words that are. Indents are kept."""
    lines = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip(" "))]
        broken = textwrap.wrap(
            line,
            max(width, 20),
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
            replace_whitespace=False,
            drop_whitespace=True,
        )
        lines += broken or [""]
    return "\n".join(lines)


def silence_stdout() -> None:
    """Redirect standard output, so that the interpreter's last flush does not fail on a closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Messages:
    """Standard error. What cannot be written is dropped: the terminal may be closed, or the disk of a log full.

    A line of progress must not end a run that is paid for.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def open_streams() -> None:
    """Make standard streams that every command can write to: Python makes none where they are closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # open until the process ends
    sys.stderr = cast("TextIO", _Messages(sys.stderr))


def escape_unencodable() -> None:
    """Have the standard streams write escapes for characters that their encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


_format_warning = warnings.formatwarning


def _clean_warning(*args: Any, **kwargs: Any) -> str:
    return for_terminal(_format_warning(*args, **kwargs))


def clean_log() -> None:
    """Have entries of the log and warnings pass `for_terminal` too: they name files, and quote models and clients."""
    import logging  # `moa --help` needs none

    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return for_terminal(super().format(record))

    if logging.lastResort is not None:
        logging.lastResort.setFormatter(Formatter())
    warnings.formatwarning = _clean_warning


def flushed(code: int, name: str, text: str = "") -> int:
    """Write the rest of standard output and return the exit code, which is 1 instead of 0 if it cannot be written.

    Args:
        code: The exit code so far.
        name: The command, for the message.
        text: What is still to be written.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has exited, as in `moa presets list | head`.
        silence_stdout()
    except OSError as exc:
        silence_stdout()
        if code == 0:
            message(f"{name}: standard output: {exc.strerror}.")
            return 1
    return code
