"""A page of text, tables and plots: Markdown for a repository, and one self-contained HTML file."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

from moa_graph.evals.data.files import inside, write

MARKDOWN, PAGE = "report.md", "report.html"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { border-bottom: 1px solid #ddd; padding: .25rem .75rem; text-align: left; }
svg { max-width: 100%; height: auto; }
@media (prefers-color-scheme: dark) { body { background: #1b1b1b; color: #ddd; } svg { background: #fff; } }
"""


class Page:
    """Sections of text, tables and plots, written in both forms."""

    def __init__(self, title: str) -> None:
        self.markdown = [f"# {title}\n"]
        self.body = [f"<h1>{html.escape(title)}</h1>"]
        self.title = title

    def heading(self, text: str) -> None:
        self.markdown.append(f"## {text}\n")
        self.body.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> None:
        self.markdown.append(f"{text}\n")
        self.body.append(f"<p>{html.escape(text)}</p>")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table; cells are text, never markup."""
        self.markdown.append(_markdown_table(columns, rows))
        head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        self.body.append(f"<table><tr>{head}</tr>{body}</table>")

    def plot(self, caption: str, svg: str) -> None:
        """Add a plot to the HTML page; Markdown only mentions it. Ids are made unique within the page."""
        self.markdown.append(f"*Plot in the HTML report: {caption}*\n")
        unique = f"p{len(self.body)}-"
        drawn = re.sub(r'(id="|url\(#|href="#)', lambda found: found[0] + unique, svg)
        self.body.append(f"<figure>{drawn}<figcaption>{html.escape(caption)}</figcaption></figure>")

    def write(self, folder: Path) -> None:
        """Write both files into `folder`."""
        write(inside(folder, MARKDOWN), "\n".join(self.markdown).encode())
        head = f'<meta charset="utf-8"><title>{html.escape(self.title)}</title><style>{_STYLE}</style>'
        page = f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(self.body)}</body></html>\n'
        write(inside(folder, PAGE), page.encode())


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(columns), "|" + " --- |" * len(columns), *map(line, rows)]) + "\n"
