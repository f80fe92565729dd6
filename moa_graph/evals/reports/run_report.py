"""A run as a page: Markdown for a repository, and one HTML file that needs nothing else."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moa_graph.evals.data.files import Row, inside, write

MARKDOWN, PAGE = "report.md", "report.html"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { border-bottom: 1px solid #ddd; padding: .25rem .75rem; text-align: left; }
svg { max-width: 100%; height: auto; }
@media (prefers-color-scheme: dark) { body { background: #1b1b1b; color: #ddd; } svg { background: #fff; } }
"""
_LABELS = {
    "win_rate": "win rate (%)",
    "length_controlled_winrate": "length-controlled win rate (%)",
    "score": "score (1 to 10)",
    "mean": "mean over skills (1 to 5)",
}


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
        """A table; cells are text, never markup."""
        self.markdown.append(_markdown_table(columns, rows))
        head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        self.body.append(f"<table><tr>{head}</tr>{body}</table>")

    def plot(self, caption: str, svg: str) -> None:
        """A plot stands in the HTML page; Markdown only names it. Ids are made unique to the page."""
        self.markdown.append(f"*Plot in the HTML report: {caption}*\n")
        unique = f"p{len(self.body)}-"
        drawn = re.sub(r'(id="|url\(#|href="#)', lambda found: found[0] + unique, svg)
        self.body.append(f"<figure>{drawn}<figcaption>{html.escape(caption)}</figcaption></figure>")

    def write(self, folder: Path) -> None:
        """Both files, into `folder`."""
        write(inside(folder, MARKDOWN), "\n".join(self.markdown).encode())
        head = f'<meta charset="utf-8"><title>{html.escape(self.title)}</title><style>{_STYLE}</style>'
        page = f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(self.body)}</body></html>\n'
        write(inside(folder, PAGE), page.encode())


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(columns), "|" + " --- |" * len(columns), *map(line, rows)]) + "\n"


def shown(value: Any) -> str:
    """A figure as a person reads it."""
    if value is None:
        return "not known"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}"
    if isinstance(value, list):
        return " to ".join(shown(entry) for entry in value)
    return str(value)


def of_run(
    scores: Mapping[str, Any],
    timing: Mapping[str, Mapping[str, float]],
    failures: Sequence[str],
    rows: Sequence[Row],
    degraded: Mapping[str, int] | None = None,
) -> Page:
    """The report of one run. `rows` are AlpacaEval's annotations, for the plot of length against winning; `degraded`
    counts answers by the reason why they are less than they were meant to be."""
    page = Page(f"{scores['benchmark']}: {scores['system']}")
    if scores["judge"] is None:
        page.text("No judge was asked: this run only generated.")
    for warning in scores["warnings"]:
        page.text(f"Warning: {warning}")
    _main_figures(page, scores, timing)
    if "skills" in scores:
        _skills(page, scores)
    if "categories" in scores:
        page.heading("By category")
        page.table(["category", "score"], [[name, shown(v)] for name, v in scores["categories"].items()])
    if any(row.get("preference") is not None for row in rows):
        _length(page, rows)
    _cost(page, scores, timing)
    if degraded:
        page.heading("What was degraded")
        page.text("These answers count in the figures. Where a call failed, running again asks it anew.")
        page.table(["what happened", "answers"], [[reason, str(times)] for reason, times in degraded.items()])
    if failures:
        page.heading("What failed")
        page.text(f"{len(failures)} calls gave nothing; running again asks only these anew. The first ones:")
        page.table(["item", "what happened"], [text.split(": ", 1) for text in failures[:20]])
    return page


def main_score(scores: Mapping[str, Any]) -> tuple[str, float, list[float] | None] | None:
    """(name, value, interval) of a benchmark's headline figure; None when nothing was judged."""
    for name, width in (
        ("length_controlled_winrate", "length_controlled_interval"),
        ("win_rate", "win_rate_interval"),
        ("score", "interval"),
        ("mean", "interval"),
    ):
        if scores.get(name) is not None:
            return name, scores[name], scores.get(width)
    return None


def _main_figures(page: Page, scores: Mapping[str, Any], timing: Mapping[str, Mapping[str, float]]) -> None:
    from moa_graph.evals.reports.plots import Point, intervals, scatter

    hidden = {"benchmark", "generation", "judging", "warnings", "skills", "domains", "difficulties", "counts"}
    hidden |= {"intervals", "categories"}
    page.heading("Figures")
    page.table(["figure", "value"], [[name, shown(value)] for name, value in scores.items() if name not in hidden])
    if not (main := main_score(scores)):
        return
    name, value, width = main
    low, high = width or (None, None)
    label = _LABELS[name]
    page.plot(
        f"{label} with its 95 % interval over prompts", intervals([Point(scores["system"], 0, value, low, high)], label)
    )
    seconds, dollars = per_answer(scores, timing)
    for against, unit, place in (
        ("seconds an answer", "seconds an answer", seconds),
        ("price", "dollars for 1000 answers", None if dollars is None else 1000 * dollars),
    ):
        if place is not None:
            points = [Point(scores["system"], place, value, low, high)]
            page.plot(f"{label} against {against}", scatter(points, unit, label))


def per_answer(
    scores: Mapping[str, Any], timing: Mapping[str, Mapping[str, float]]
) -> tuple[float | None, float | None]:
    """Seconds and dollars of generation for each answer that was given (MT-Bench has two an item); None: not known."""
    answers, cost = scores["answers"], scores["generation"]["cost"]
    if not answers:
        return None, None
    seconds = sum(entry["generation"] for entry in timing.values()) / answers
    return seconds, None if cost is None else cost / answers


def _skills(page: Page, scores: Mapping[str, Any]) -> None:
    from moa_graph.evals.flask.scores import SKILLS
    from moa_graph.evals.reports.plots import radar

    page.heading("By skill")
    rows = [
        [name, shown(value), shown(scores["intervals"].get(name)), str(scores["counts"][name])]
        for name, value in scores["skills"].items()
    ]
    page.table(["skill", "mean", "95 % interval", "n"], rows)
    page.plot("FLASK skills", radar({scores["system"]: scores["skills"]}, SKILLS, 1, 5))
    for kind in ("domains", "difficulties"):
        page.table([kind, "mean"], [[name, shown(value)] for name, value in scores[kind].items()])


def _length(page: Page, rows: Sequence[Row]) -> None:
    from moa_graph.evals.reports.plots import histogram

    read = [row for row in rows if row["preference"] is not None]
    gaps = [float(len(row["output_2"]) - len(row["output_1"])) for row in read]
    wins = [100.0 * (row["preference"] - 1) for row in read]
    page.heading("Length")
    page.plot(
        "Win rate by how much longer the answer is than the reference",
        histogram(gaps, wins, "characters longer than the reference", "win rate (%)"),
    )


def _cost(page: Page, scores: Mapping[str, Any], timing: Mapping[str, Mapping[str, float]]) -> None:
    page.heading("What it took")
    rows = []
    for part in ("generation", "judging"):
        entry = scores[part]
        seconds = sum(times[part] for times in timing.values())
        names = ("calls", "cost", "input_tokens", "output_tokens")
        rows.append([part, *(shown(entry[name]) for name in names), f"{seconds:.1f}"])
    page.table(["part", "calls", "dollars", "tokens in", "tokens out", "seconds (sum over items)"], rows)
    time, dollars = per_answer(scores, timing)
    each = [["seconds", shown(time)], ["dollars for 1000", shown(None if dollars is None else 1000 * dollars)]]
    page.table(["for each answer given", ""], each)
    page.text("Seconds depend on the machine and the hour; every other figure is the same whenever this is run again.")
