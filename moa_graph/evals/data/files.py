"""Read and write the rows that every benchmark shares.

Readers take JSON lists and JSON Lines, plain or gzipped, recognized by content. Writers are atomic: a killed run leaves
the old file or the new one, never a part of one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from moa_graph.errors import InputError

Row = dict[str, Any]
LARGEST = 1 << 29
"""Maximum size of an unpacked file in bytes (512 MiB). A gzip file may unpack to a thousand times its size."""


def read_bytes(path: Path) -> bytes:
    """Return the bytes of `path`, unpacked when they are gzip (recognized by content, not by name).

    Raises:
        InputError: The file is missing, damaged, or larger than `LARGEST` when unpacked.
    """
    try:
        with path.open("rb") as file:
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            data = gzip.GzipFile(fileobj=file).read(LARGEST + 1) if packed else file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if len(data) > LARGEST:
        raise InputError(f"cannot read {path}: it has more than {LARGEST >> 20} MiB. Split it.")
    return data


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's unpacked bytes."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def read_text(path: Path) -> str:
    """Return the text of `path` as UTF-8, without a byte order mark."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error}") from error


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a JSON list or of JSON Lines.

    Raises:
        InputError: The file cannot be read, or a line is not a JSON object; the message names it.
    """
    text = read_text(path)
    if text.lstrip().startswith("["):
        rows = _loads(text, str(path))
        return [_row(row, f"{path}, entry {number}") for number, row in enumerate(rows, 1)]
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return [_row(_loads(line, f"{path}:{number}"), f"{path}:{number}") for number, line in lines]


def _loads(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{where} is not JSON: {error}") from error
    except RecursionError as error:
        raise InputError(f"{where} is nested too deeply to be read") from error


def _row(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise InputError(f"{where} is not a JSON object")
    return value


def json_bytes(value: Any) -> bytes:
    """Return indented JSON with its key order kept and a newline at the end."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def jsonl_bytes(rows: Iterable[Row]) -> bytes:
    """Return JSON Lines."""
    return b"".join((json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode() for row in rows)


def write(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read; results get ordinary permissions.
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def inside(folder: Path, name: str) -> Path:
    """Return `folder/name`.

    Raises:
        InputError: The path is outside `folder`, also through a link.
    """
    path = folder / name
    if not name or path.resolve().parent != folder.resolve():
        raise InputError(f"{name!r} is not a plain file name inside {folder}")
    return path


def slug(text: str) -> str:
    """Return a plain file name made of `text`: letters, digits, dot, dash and underscore, no leading dot."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80] or "unnamed"
