"""The question of `moa ask`: words, standard input and attached files, as one message."""

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
"""Of an attached image."""
_PATIENCE = 1.0
"""Seconds after which a silent standard input is spoken of."""


def question(words: Sequence[str]) -> str:
    """Return the words and what is piped in; a word "-" is the place of standard input, else it is the end.

    Raises:
        InputError: there is no question, or the pipe does not hold UTF-8 text.
    """
    if "-" in words:
        given = standard_input(always=True).strip()
        text = " ".join(words).strip() if list(words) != ["-"] else "-"
        parts = [given if part == "-" else part for part in _around(text)]
    else:
        parts = [" ".join(words).strip(), standard_input().strip()]
    whole = "\n\n".join(part for part in parts if part)
    if not whole:
        raise InputError('there is no question. Write one: moa ask "What is the capital of France?"')
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
    """Return what a pipe or a file brings on standard input; a terminal or nothing brings nothing.

    Says after a second what it waits for.

    Args:
        always: Read a terminal, too.

    Raises:
        InputError: it is not UTF-8 text.
    """
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
        if not (always or stat.S_ISFIFO(mode) or stat.S_ISREG(mode)):
            return ""
        timer = threading.Timer(_PATIENCE, _tell_waiting)
        timer.daemon = True
        timer.start()
        try:
            data = sys.stdin.buffer.read()
        finally:
            timer.cancel()
    except (OSError, AttributeError, ValueError):
        return ""  # standard input is closed or replaced
    return decoded(data, "standard input")


def _tell_waiting() -> None:
    with suppress(OSError, ValueError):  # standard error may be closed
        end = "Ctrl-D ends it" if sys.stdin.isatty() else "`< /dev/null` asks without it"
        sys.stderr.write(f"reading standard input until it ends ({end})\n")
        sys.stderr.flush()


def decoded(data: bytes, what: str) -> str:
    """Return UTF-8 text without its byte order mark.

    Raises:
        InputError: naming the likely encoding and the command that converts it.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        where = f"{exc.reason} at byte {exc.start}"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        likely, name = "It begins as UTF-16 text does", "UTF-16"
    elif b"\0" in data:
        raise InputError(f"{what} is not UTF-8 text ({where}): it holds binary data. Give text.")
    else:
        likely, name = "If it is text of a Windows or Western European system", "WINDOWS-1252"
    raise InputError(f"{what} is not UTF-8 text ({where}). {likely}: convert it with `iconv -f {name} -t UTF-8 FILE`.")


def content(text: str, attached: Sequence[Path]) -> str | list[dict[str, Any]]:
    """Return a message's content: the text, with text files below it, and images as blocks.

    Raises:
        InputError: a file cannot be read, is too large, or is neither an image nor UTF-8 text.
    """
    images: list[dict[str, Any]] = []
    for path in attached:
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise InputError(f"--attach {path}: {exc.strerror}.") from exc
        if kind := _IMAGES.get(path.suffix.lower()):
            if len(data) > _MOST_BYTES:
                raise InputError(f"--attach {path}: {len(data):,} bytes; an image may have {_MOST_BYTES:,}.")
            address = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
            images.append({"type": "image_url", "image_url": {"url": address}})
        elif data.startswith(b"%PDF"):
            raise InputError(
                f"--attach {path}: PDF files are not sent. Convert it: pdftotext {path.name} - | moa ask ..."
            )
        else:
            text = f"{text}\n\n{path.name}:\n\n{decoded(data, f'--attach {path}').strip()}"
    return [{"type": "text", "text": text}, *images] if images else text
