"""What `moa eval` prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from moa_graph.evals.reports.run_report import shown

__all__ = ["show_json", "shown", "table", "tell"]


def show_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def tell(text: str) -> None:
    """A line for the person who waits, on standard error."""
    sys.stderr.write(text + "\n")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output; cells are text, never markup, and never cut: a file gets all the width it needs."""
    view = Table(title=title)
    for name in columns:
        view.add_column(Text(name), overflow="fold")
    for row in rows:
        view.add_row(*map(Text, row))
    screen = Console()
    if not screen.is_terminal:
        screen.width = max(screen.width, screen.measure(view, options=screen.options.update(width=10_000)).maximum)
    screen.print(view)
