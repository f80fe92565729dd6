"""The question of `moa ask`: combine words, standard input and attached files into one message."""

from __future__ import annotations

import base64
import os
import re
import stat
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from moa_graph.errors import InputError

_IMAGES = {"png": rb"\x89PNG", "jpeg": rb"\xff\xd8\xff", "gif": rb"GIF8", "webp": rb"RIFF....WEBP"}
"""The beginning of an image's bytes, by its type."""
_IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp"})
_MOST_BYTES = 20_000_000
"""Maximum size of an attached file, in bytes."""
_PATIENCE = 1.0
"""Seconds after which a message says that standard input is being read."""


def question(words: Sequence[str]) -> str:
    """Return the words and the text of standard input, which replaces a word "-" or is appended.

    Raises:
        InputError: The question is missing, or it is not UTF-8 text.
    """
    words = [_typed(word) for word in words]
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


def _typed(word: str) -> str:
    """Return a word of the command line, which Python may have read in another encoding than UTF-8.

    Raises:
        InputError: It is not UTF-8.
    """
    try:
        word.encode()
    except UnicodeEncodeError:  # Python keeps bytes that it cannot decode as lone surrogates
        return decoded(os.fsencode(word), "the question")
    return word


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

    What a file holds decides what it is, not its ending.

    Raises:
        InputError: A file cannot be read, is empty or too large, or is neither an image, a PDF, nor UTF-8 text.
    """
    blocks: list[dict[str, Any]] = []
    for path in attached:
        what = f"--attach {path}"
        data = _read(path, what)
        kind = next((kind for kind, start in _IMAGES.items() if re.match(start, data, re.DOTALL)), None)
        encoded = base64.b64encode(data).decode()
        if kind:
            blocks.append({"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{encoded}"}})
        elif data.startswith(b"%PDF"):
            blocks.append({"type": "file", "base64": encoded, "mime_type": "application/pdf", "filename": path.name})
        elif path.suffix.lower() in _IMAGE_ENDINGS:
            raise InputError(f"{what} does not hold a PNG, JPEG, GIF or WebP image.")
        else:
            said = decoded(data, what)
            if "\0" in said:
                raise InputError(f"{what} is binary data. Use an image, a PDF or a text file.")
            text = f"{text}\n\n{path.name}:\n\n{said.strip()}"
    return [{"type": "text", "text": text}, *blocks] if blocks else text


def _read(path: Path, what: str) -> bytes:
    """Return what a file holds. A pipe is read as well, as in `--attach <(command)`.

    Raises:
        InputError: It cannot be read, is empty or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as exc:
        way_out = " Save it as a file first." if re.match(r"https?:/", str(path)) else ""
        raise InputError(f"{what}: {exc.strerror}.{way_out}") from exc
    if not data.strip():
        raise InputError(f"{what} is empty.")
    if len(data) > _MOST_BYTES:
        raise InputError(f"{what} has more than {_MOST_BYTES:,} bytes, which is the most that a question may attach.")
    return data
