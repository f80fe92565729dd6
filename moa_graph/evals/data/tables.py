"""Tables: CSV and Parquet files as rows."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from moa_graph.errors import ConfigError, InputError

PARQUET = b"PAR1"
"""The first bytes of a Parquet file."""

_LONGEST_FIELD = 1 << 24
"""Maximum characters of a field in CSV."""
_LISTS = ("gold", "tags", "messages")
"""Columns of own prompts that may hold a list, written as JSON."""


def csv_rows(text: str, where: str) -> list[dict[str, Any]]:
    """Return the rows of a CSV file with a header. Empty fields and empty rows are left out, spaces around names too.

    Fields are separated by commas, or by tabs or semicolons where the header has more of these. Separators behind the
    last field do not count.

    Raises:
        InputError: It has no header, a row has more fields than the header, or a quote is not closed.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    header = text.lstrip().partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=max(",\t;", key=header.count))
    found = []
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        while columns and not columns[-1]:
            columns.pop()
        if not columns or len(set(columns)) < len(columns):
            raise InputError(f"{where}: the first line must have the names of the columns, each once")
        reader.fieldnames = columns
        for row in reader:
            # Spreadsheets write separators behind the last field, and rows of separators behind the last one.
            if any(value.strip() for value in row.pop(None, ())):
                raise InputError(f"{where}:{reader.line_num} has more fields than the header")
            fields = {name: value for name, value in row.items() if value not in (None, "")}
            if any(value.strip() for value in fields.values()):
                found.append({name: _cell(name, value) for name, value in fields.items()})
    except csv.Error as error:
        raise InputError(f"{where}:{reader.line_num} is not CSV: {error}") from error
    return found


def _cell(column: str, cell: str) -> Any:
    """Return the list of texts or of objects that a cell holds as JSON; else its text, such as the interval [1, 2]."""
    try:
        found = json.loads(cell) if column.lower() in _LISTS and cell.lstrip().startswith("[") else None
    except (ValueError, RecursionError):
        return cell
    alike = isinstance(found, list) and found and any(all(isinstance(v, kind) for v in found) for kind in (str, dict))
    return found if alike else cell


def parquet_rows(data: bytes, path: Path, *, largest: int) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file.

    Args:
        data: The file's bytes.
        path: The file, for messages.
        largest: Maximum size of the unpacked columns in bytes.

    Raises:
        ConfigError: The package pyarrow is not installed.
        InputError: The file is damaged or too large.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError(
            f"{path} is a Parquet file, and reading it needs pyarrow: pip install 'moa_graph[parquet]'. "
            "Or save its rows as JSON Lines"
        ) from error
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        groups = range(file.metadata.num_row_groups)
        if sum(file.metadata.row_group(number).total_byte_size for number in groups) > largest:
            raise InputError(f"cannot read {path}: it has more than {largest >> 20} MiB. Split it.")
        rows: list[dict[str, Any]] = file.read().to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} is a damaged Parquet file: {error}") from error
    return rows
