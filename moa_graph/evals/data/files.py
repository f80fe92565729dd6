"""Read and write the rows that every benchmark shares.

Readers take JSON lists, JSON Lines and Parquet, recognized by content, and CSV or TSV, recognized by the name; plain
or gzipped. Writers are atomic: a killed run leaves the old file or the new one, never a part of one.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import json
import re
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from moa_graph.errors import ConfigError, InputError
from moa_graph.evals.data import tables
from moa_graph.mixture.whole_file import write_whole

Row = dict[str, Any]
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KINDS = (
    (re.compile(rb"\s*<(?:!doctype|html)", re.I), "a web page: download the file itself"),
    (re.compile(rb"version https://git-lfs"), "a pointer of Git LFS: fetch the file with `git lfs pull`"),
    (re.compile(rb"PK\x03\x04"), "a zip archive: unpack it"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "a zstd file: unpack it"),
    (re.compile(rb"BZh|\xfd7zXZ"), "a bzip2 or xz file: unpack it, or use gzip"),
)
"""How files that are not JSON begin, and what they are."""
LARGEST = 1 << 29
"""Maximum size of an unpacked file in bytes (512 MiB). A gzip file may unpack to a thousand times its size."""

_LONGEST_NUMBER, _LONGEST_DIGITS = 300, 4_000
"""Characters of a number that is read as a whole one, and of any. Floats end at 309 digits."""

_ROOM = 1 << 16
"""Bytes that a folder must have room for."""


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
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {path}: {reason}") from error
    if len(data) > LARGEST:
        raise InputError(f"cannot read {path}: it has more than {LARGEST >> 20} MiB. Split it.")
    return data


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's unpacked bytes."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def read_text(path: Path) -> str:
    """Return the text of `path`: UTF-8, or UTF-16 or UTF-32 with a byte order mark, which is left out.

    Raises:
        InputError: The file cannot be read, or is not text.
    """
    return _decoded(read_bytes(path), path)


def _decoded(data: bytes, path: Path) -> str:
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
        if "\0" in text:
            raise InputError(f"{path} has NUL characters, as UTF-16 without a byte order mark has. Save it as UTF-8")
        return text
    except UnicodeDecodeError as error:
        if kind := _kind(data):
            raise InputError(f"{path} is not JSON but {kind}") from error
        raise InputError(f"{path} is not UTF-8 text: {error}. Save it as UTF-8") from error


def read_rows(path: Path) -> list[Row]:
    """Return the rows of JSON Lines, CSV, TSV, Parquet, a JSON list, or a JSON object that holds them.

    Raises:
        InputError: The file cannot be read, or a line is not a JSON object; the message names it.
        ConfigError: It is a Parquet file and pyarrow is not installed.
    """
    data = read_bytes(path)
    if data.startswith(tables.PARQUET):
        return tables.parquet_rows(data, path, largest=LARGEST)
    text = _decoded(data, path)
    table = {".csv", ".tsv"} & {suffix.lower() for suffix in path.suffixes}
    if table and not text.lstrip().startswith(("{", "[", "<")):
        return tables.csv_rows(text, str(path))
    if kind := _kind(text[:200].encode("utf-8", "replace")):
        raise InputError(f"{path} is not JSON but {kind}")
    if text.lstrip().startswith("["):
        rows = _loads(text, str(path))
        return [_row(row, f"{path}, entry {number}") for number, row in enumerate(rows, 1)]
    # JSON text has no bare line break of any kind. Other separators that Python knows may be inside of it.
    lines = [(number, line) for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1) if line.strip()]
    if lines and (wrapped := _wrapped(text, lines[0][1])) is not None:
        return wrapped
    return [_row(_loads(line, f"{path}:{number}"), f"{path}:{number}") for number, line in lines]


_LISTS = ("data", "rows", "examples", "items", "instances", "records", "results")
"""Usual names of a list of rows that stands beside a name or a version."""


def _wrapped(text: str, first: str) -> list[Row] | None:
    """Return the rows of a text that is one JSON object; None for JSON Lines.

    They are its only list of objects, its objects by id, or itself.
    """
    if not first.lstrip().startswith("{"):
        return None
    try:
        whole = _parsed(text)
    except (ValueError, RecursionError):
        return None
    lists = {k: v for k, v in whole.items() if isinstance(v, list) and v and all(isinstance(row, dict) for row in v)}
    # A row of its own may hold a list of objects beside its name: Arena-Hard's `games`.
    alone = not any(isinstance(v, str | int | float) and not isinstance(v, bool) for v in whole.values())
    if len(lists) == 1 and (alone or set(lists) & set(_LISTS)):
        return next(iter(lists.values()))
    if len(whole) > 1 and all(isinstance(row, dict) for row in whole.values()):
        return [{"id": name, **row} for name, row in whole.items()]
    return [whole]


def _kind(data: bytes) -> str | None:
    """Return what a file is that is not JSON; None when it may be."""
    return next((kind for start, kind in _KINDS if start.match(data)), None)


def _loads(text: str, where: str) -> Any:
    try:
        return _parsed(text)
    except ValueError as error:
        raise InputError(f"{where} is not JSON: {error}") from error
    except RecursionError as error:
        raise InputError(f"{where} is nested too deeply to be read") from error


_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""The escape of half a character, or of a whole one in two halves. Nothing else in a file can make a lone surrogate."""


def _parsed(text: str) -> Any:
    value = json.loads(text, parse_int=_number)
    return _whole(value) if _HALF.search(text) else value


def _whole(value: Any) -> Any:
    """Return a value with every lone surrogate as U+FFFD: no request, file or table can hold half a character."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_whole(name): _whole(each) for name, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list) else value


def _number(digits: str) -> int | float:
    """Return a whole number; infinity where it has more digits than any float, so that no code overflows on it."""
    if len(digits) > _LONGEST_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits) if len(digits) <= _LONGEST_NUMBER else float(digits)


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
    """Replace `path` by `data` in one step.

    Raises:
        ConfigError: The file cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror or error}. Make room, or choose another folder, and run again; "
            "recorded calls are not paid for again"
        ) from error


def require_writable(folder: Path, what: str) -> None:
    """Make the folder, and write a file into it that is removed at once.

    Args:
        folder: The folder.
        what: What names it, for the message.

    Raises:
        InputError: Nothing can be written there, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_ROOM))
    except OSError as error:
        raise InputError(f"{what}: cannot write into {folder}: {error.strerror}. Choose another folder") from error


def inside(folder: Path, name: str) -> Path:
    """Return `folder/name`.

    Raises:
        InputError: The path is outside `folder`, also through a link.
    """
    path = folder / name
    if not name or path.resolve().parent != folder.resolve():
        raise InputError(f"{name!r} is not a plain file name inside {folder}")
    return path


def stem(path: Path) -> str:
    """Return the name of a JSON file without `.json` and what follows it, as in `.jsonl` and `.json.gz`."""
    return path.name.split(".json")[0]


def slug(text: str) -> str:
    """Return a plain file name made of `text`: letters, digits, dot, dash and underscore, no leading dot."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80] or "unnamed"
