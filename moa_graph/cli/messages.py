"""Messages on standard error. On a terminal their lines break between words; elsewhere they stay as they are."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap

__all__ = ["message", "silence_stdout", "wrapped"]


def message(text: str) -> None:
    """Write a message of one or more lines to standard error."""
    if sys.stderr is not None:
        whole = wrapped(text, shutil.get_terminal_size().columns) if sys.stderr.isatty() else text
        sys.stderr.write(f"{whole}\n")


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
