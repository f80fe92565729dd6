"""What `moa eval` prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from moa_graph.evals.report import shown

__all__ = ["show_json", "shown", "table", "tell"]


def show_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def tell(text: str) -> None:
    """A line for the person who waits, on standard error."""
    sys.stderr.write(text + "\n")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output; cells are text, never markup."""
    view = Table(*columns, title=title)
    for row in rows:
        view.add_row(*(cell.replace("[", "\\[") for cell in row))
    Console().print(view)
