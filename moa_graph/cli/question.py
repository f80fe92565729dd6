"""The question of `moa ask`: combine words, standard input and attached files into one message."""

from __future__ import annotations

import base64
import os
import stat
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from moa_graph.errors import InputError

_IMAGES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".webp": "webp"}
_MOST_BYTES = 20_000_000
"""Maximum size of an attached image or PDF, in bytes."""
_PATIENCE = 1.0
"""Seconds after which a message says that standard input is being read."""


def question(words: Sequence[str]) -> str:
    """Return the words and the text of standard input, which replaces a word "-" or is appended.

    Raises:
        InputError: There is no question, or standard input is not UTF-8 text.
    """
    if "-" in words:
        given = standard_input(always=True).strip()
        text = " ".join(words).strip() if list(words) != ["-"] else "-"
        parts = [given if part == "-" else part for part in _around(text)]
    else:
        parts = [" ".join(words).strip(), standard_input().strip()]
    whole = "\n\n".join(part for part in parts if part)
    if not whole:
        raise InputError('the question is missing. Example: moa ask "What is the capital of France?"')
    return whole


def _around(text: str) -> list[str]:
    """Split "Compare - with X" at the word "-"."""
    parts: list[str] = [""]
    for word in text.split(" "):
        if word == "-":
            parts += ["-", ""]
        else:
            parts[-1] = f"{parts[-1]} {word}".strip()
    return parts


def standard_input(*, always: bool = False) -> str:
    """Return the text of a pipe or file on standard input; empty for a terminal or if there is none.

    After a second, a message says that it is waiting for input.

    Args:
        always: Whether to read a terminal as well.

    Raises:
        InputError: It is not UTF-8 text.
    """
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
        if not (always or stat.S_ISFIFO(mode) or stat.S_ISREG(mode)):
            return ""
        timer = threading.Timer(_PATIENCE, _report_waiting)
        timer.daemon = True
        timer.start()
        try:
            data = sys.stdin.buffer.read()
        finally:
            timer.cancel()
    except (OSError, AttributeError, ValueError):
        return ""  # standard input is closed or was replaced
    return decoded(data, "standard input")


def _report_waiting() -> None:
    with suppress(OSError, ValueError):  # standard error may be closed
        end = "Ctrl-D ends it" if sys.stdin.isatty() else "add `< /dev/null` to ask without it"
        sys.stderr.write(f"reading standard input until it ends ({end})\n")
        sys.stderr.flush()


def decoded(data: bytes, what: str) -> str:
    """Decode UTF-8 text and remove its byte order mark.

    Raises:
        InputError: It is not UTF-8; the message names the likely encoding and the command that converts it.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        where = f"{exc.reason} at byte {exc.start}"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        likely, name = "It starts like UTF-16 text", "UTF-16"
    elif b"\0" in data:
        raise InputError(f"{what} is not UTF-8 text ({where}) but binary data. Use a text file.")
    else:
        likely, name = "If it is text from a Windows or Western European system", "WINDOWS-1252"
    raise InputError(f"{what} is not UTF-8 text ({where}). {likely}: convert it with `iconv -f {name} -t UTF-8 FILE`.")


def content(text: str, attached: Sequence[Path]) -> str | list[dict[str, Any]]:
    """Return a message's content: the text, followed by text files, and images and PDFs as blocks.

    Raises:
        InputError: A file cannot be read, is too large, or is neither an image, a PDF, nor UTF-8 text.
    """
    blocks: list[dict[str, Any]] = []
    for path in attached:
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise InputError(f"--attach {path}: {exc.strerror}.") from exc
        kind = _IMAGES.get(path.suffix.lower())
        if (kind or data.startswith(b"%PDF")) and len(data) > _MOST_BYTES:
            raise InputError(
                f"--attach {path}: {len(data):,} bytes; the maximum for an image or a PDF is {_MOST_BYTES:,}."
            )
        encoded = base64.b64encode(data).decode()
        if kind:
            blocks.append({"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{encoded}"}})
        elif data.startswith(b"%PDF"):
            blocks.append({"type": "file", "base64": encoded, "mime_type": "application/pdf", "filename": path.name})
        else:
            text = f"{text}\n\n{path.name}:\n\n{decoded(data, f'--attach {path}').strip()}"
    return [{"type": "text", "text": text}, *blocks] if blocks else text
