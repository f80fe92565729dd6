"""Reading and writing the rows that every benchmark shares.

Readers take JSON lists and JSON Lines, plain or gzipped, by content. Writers are atomic: a killed run
leaves the old file or the new one, never half of one.
"""

from __future__ import annotations

import gzip
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


def read_bytes(path: Path) -> bytes:
    """The bytes of `path`, unpacked when they are gzip (told by content, not by name).

    Raises InputError when the file is missing or the archive is damaged.
    """
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def read_text(path: Path) -> str:
    """The text of `path` as UTF-8 (a byte order mark is dropped)."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error}") from error


def read_rows(path: Path) -> list[Row]:
    """Rows of a JSON list or of JSON Lines. Raises InputError naming the line that is no object."""
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


def _row(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise InputError(f"{where} is no JSON object")
    return value


def json_bytes(value: Any) -> bytes:
    """JSON as every file of a run holds it: two spaces, key order kept, one newline at the end."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def jsonl_bytes(rows: Iterable[Row]) -> bytes:
    """One JSON object a line."""
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
        # mkstemp makes files that only their owner reads; results are ordinary files.
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def inside(folder: Path, name: str) -> Path:
    """`folder/name`, refused when it would lie outside `folder` (also through a link).

    Raises InputError.
    """
    path = folder / name
    if not name or path.resolve().parent != folder.resolve():
        raise InputError(f"{name!r} is not a plain file name inside {folder}")
    return path


def slug(text: str) -> str:
    """A plain file name made of `text`: letters, digits, dot, dash and underscore, never a leading dot."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80] or "unnamed"
