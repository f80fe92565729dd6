"""Pages about several systems or judges: which of them differ, and which judges are biased or unsteady."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moa_graph.evals.compare.pairs import verdict
from moa_graph.evals.data import assets
from moa_graph.evals.figures import STAR, bracket, formatted
from moa_graph.evals.judge_table import table as meta
from moa_graph.evals.judge_table.figures import PUBLISHED
from moa_graph.evals.reports.page import Page
from moa_graph.evals.reports.plots import Point, intervals, scatter

COLUMNS = ["A", "B", "prompts", "mean A", "mean B", "A minus B", "p (Holm)", "McNemar p (Holm)", "result"]
AGREEMENT_COLUMNS = ["judges", "pairs", "same verdict (%)", "kappa", "mean difference"]

Table = tuple[list[str], list[list[str]]]
_PLOTTED = 1000
"""Pairs up to which their differences are plotted. It takes 12 ms for each."""


def pair_table(figures: Mapping[str, Any]) -> Table:
    """Return the pairs as columns and rows."""
    rows = []
    for row in figures["pairs"]:
        exact = formatted(row["mcnemar_p_holm"]) if "mcnemar_p_holm" in row else "-"
        difference = formatted(row["difference"]) + bracket(row["interval"], row["caution"])
        cells = [formatted(row["mean_a"]), formatted(row["mean_b"]), difference, formatted(row["p_holm"]), exact]
        most = max(row["n_a"], row["n_b"])
        prompts = str(row["n"]) if row["n"] == most else f"{row['n']} of {most}"
        rows.append([row["a"], row["b"], prompts, *cells, verdict(row)])
    return COLUMNS, rows


def system_table(figures: Mapping[str, Any]) -> Table:
    """Return every system's own figures: mean, length-controlled rate, cost, degraded answers."""
    controlled = any(row.get("length_controlled_winrate") is not None for row in figures["systems"])
    columns = ["system", "prompts", "mean", *(["length-controlled"] if controlled else []), "dollars", "degraded"]
    rows = []
    for row in figures["systems"]:
        length = [_dash(row.get("length_controlled_winrate"))] if controlled else []
        mean = formatted(row["mean"]) + bracket(row["interval"], row["caution"])
        rows.append([row["name"], str(row["n"]), mean, *length, _dash(row["cost"]), _dash(row["degraded"])])
    return columns, rows


def _dash(value: Any) -> str:
    return "-" if value is None else formatted(value)


def category_table(figures: Mapping[str, Any]) -> Table | None:
    """Return means by category, one column per category; None if no system has categories."""
    names = sorted({name for row in figures["systems"] for name in row["categories"]})
    if not names:
        return None
    rows = [[row["name"], *(_dash(row["categories"].get(name)) for name in names)] for row in figures["systems"]]
    return ["system", *names], rows


def compare_page(figures: Mapping[str, Any]) -> Page:
    """Return the comparison as a page, with a plot of the differences."""
    page = Page(f"{figures['benchmark']}: paired comparison")
    for warning in figures["warnings"]:
        page.text(f"Warning: {warning}")
    page.text(
        "Differences are on the prompts that both systems answered, with 95 % intervals by prompt. p values are from a "
        "sign-flip permutation test, McNemar's from its exact test of wins; each kind is corrected by Holm over all "
        "pairs, and by skill over the skills of a pair."
    )
    page.table(*system_table(figures))
    if categories := category_table(figures):
        page.table(*categories)
    page.table(*pair_table(figures))
    page.text(f"{STAR}.")
    points = [Point(f"{r['a']} - {r['b']}", 0, r["difference"], *r["interval"]) for r in figures["pairs"]]
    if len(points) <= _PLOTTED:
        page.plot("Differences with 95 % intervals; one that contains zero is a tie", intervals(points, "A minus B"))
    else:
        page.text(f"{len(points):,} differences are too many for a plot; the table above has them.")
    if costs := [(row, row["cost"]) for row in figures["systems"] if row["cost"] is not None]:
        dots = [Point(row["name"], cost, row["mean"], *(row["interval"] or (None, None))) for row, cost in costs]
        page.plot("Mean score against dollars of generation", scatter(dots, "dollars", "mean score"))
    for row in figures["pairs"]:
        if "skills" in row:
            page.heading(f"{row['a']} and {row['b']} by skill")
            page.table(["skill", "prompts", "A minus B", "p (Holm)", "result"], _skill_rows(row))
    return page


def _skill_rows(row: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            skill,
            str(found["n"]),
            formatted(found["difference"]) + bracket(found["interval"], found["caution"]),
            formatted(found["p_holm"]),
            "tied" if found["tied"] else verdict({**row, **found}),
        ]
        for skill, found in row["skills"].items()
    ]


def judge_page(computed: Mapping[str, Mapping[str, Any]], published: Mapping[str, Mapping[str, Any]]) -> Page:
    """Return the judge table: computed rows, published rows, and bias against variance if both are known."""
    page = Page("Judges against humans")
    tables = {"Computed here": computed, "Published by AlpacaEval (not computed here)": published}
    for title, rows in tables.items():
        if rows:
            page.heading(title)
            page.table(["judge", *meta.COLUMNS.values()], [[name, *judge_cells(row)] for name, row in rows.items()])
        if rows is computed and computed:
            page.text(f"In brackets: 95 % intervals by pair. {STAR}.")
    if not published:
        page.text(no_table())
    if computed:
        page.heading("Verdicts, kappa, and what is missing")
    for name, row in computed.items():
        for line in judge_notes(row):
            page.text(f"{name}: {line}")
    both = {**published, **{f"{name} (computed)": row for name, row in computed.items()}}
    points = [Point(name, row["variance"], row["bias"]) for name, row in both.items() if _has_both(row)]
    if points:
        page.plot("Bias against variance, in percent", scatter(points, "variance", "bias"))
    return page


def agreement_rows(figures: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Return the table of judges against each other."""
    rows = []
    for name, row in figures.items():
        marked = row.get("cautions", {})
        same = _dash(row["agreement"]) + bracket(row["agreement_interval"], marked.get("agreement_interval"))
        kappa = _dash(row["kappa"]) + bracket(row["kappa_interval"], marked.get("kappa_interval"))
        rows.append([name, str(row["n"]), same, kappa, _dash(row.get("mean_difference"))])
    return rows


def agreement_page(figures: Mapping[str, Mapping[str, Any]]) -> Page:
    """Return judges against each other as a page."""
    page = Page("Judges against each other")
    page.table(AGREEMENT_COLUMNS, agreement_rows(figures))
    page.text(f"First readable verdicts on shared pairs, rounded to 1, 1.5 or 2; 95 % intervals by pair. {STAR}.")
    return page


def no_table() -> str:
    """Return the sentence that replaces the published rows if they are not on this disk."""
    return f"The published table is not on this disk; {assets.command(PUBLISHED)} downloads it."


def judge_notes(row: Mapping[str, Any]) -> list[str]:
    """Return notes on a computed row: the number of verdicts, the kappas, and why something is missing."""
    verdicts = f"{row['parsed']} readable verdicts on {row['n']} pairs, {row['parse_failures']} unreadable"
    if row.get("first_unreadable"):
        verdicts += f"; the first: {row['first_unreadable']}"
    kappas = ", ".join(f"{who} {value:.3f}{_bracketed(row, f'kappa {who}')}" for who, value in row["kappa"].items())
    missing = [f"no {meta.COLUMNS[column]}: {reason}" for column, reason in row["reasons"].items()]
    open_ended = [
        f"no interval of {meta.COLUMNS.get(name, name)}: {reason}"
        for name, reason in row["interval_reasons"].items()
        if name not in row["reasons"]
    ]
    return [verdicts, *row.get("notes", []), f"kappa {kappas or 'undefined'}", *missing, *open_ended]


def judge_cells(row: Mapping[str, Any]) -> Sequence[str]:
    """Return a row of the judge table: figures with their intervals; published rows have none."""
    return ["-" if row[column] is None else formatted(row[column]) + _bracketed(row, column) for column in meta.COLUMNS]


def _bracketed(row: Mapping[str, Any], name: str) -> str:
    return bracket(row.get("intervals", {}).get(name), row.get("cautions", {}).get(name))


def _has_both(row: Mapping[str, Any]) -> bool:
    return row["bias"] is not None and row["variance"] is not None
