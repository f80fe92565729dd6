"""Output of `moa eval`: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from moa_graph.evals.figures import STAR, lines
from moa_graph.models.terminal_text import for_terminal

__all__ = ["figures_table", "notes", "print_status", "table"]


def print_status(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(for_terminal(text) + "\n")


def notes(texts: Iterable[str]) -> None:
    """Write warnings to standard error."""
    for text in texts:
        print_status(f"warning: {text}")


def figures_table(title: str, figures: Mapping[str, Any], *, hidden: frozenset[str] = frozenset()) -> None:
    """Print figures, including nested ones, one per line."""
    table(title, ["figure", "value"], list(lines(figures, hidden=hidden)))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table. Cells are plain text and are never cut: a file gets all the width it needs.

    On a terminal that is so narrow that words would be broken, a table of several columns is a list of its rows.
    """
    starred = any(cell.endswith("]*") for row in rows for cell in row)
    view = Table(title=Text(for_terminal(title)), caption=Text(STAR) if starred else None)
    for name in columns:
        view.add_column(Text(name), overflow="fold")
    for row in rows:
        view.add_row(*(Text(for_terminal(cell)) for cell in row))
    screen = Console()
    needed = screen.measure(view, options=screen.options.update(width=10_000))
    if not screen.is_terminal:
        screen.width = max(screen.width, needed.maximum)
    elif len(columns) > 2 and needed.minimum > screen.width:
        screen.print(Text(for_terminal("\n".join(_listed(title, columns, rows, starred=starred)))))
        return
    screen.print(view)


def _listed(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, starred: bool) -> Iterator[str]:
    """Yield the lines of a table as a list of its rows."""
    yield title
    for first, *others in rows:
        yield f"\n{first}"
        yield from (f"  {name}: {cell}" for name, cell in zip(columns[1:], others, strict=True) if cell)
    if starred:
        yield f"\n{STAR}"
