"""Pages about several systems or judges: who differs, and whose verdicts are biased or unsteady."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moa_graph.evals.comparisons import verdict
from moa_graph.evals.data import assets
from moa_graph.evals.judge_table import table as meta
from moa_graph.evals.reports.plots import Point, intervals, scatter
from moa_graph.evals.reports.run_report import Page, shown
from moa_graph.evals.scoring import PUBLISHED_JUDGES

COLUMNS = ["A", "B", "prompts", "mean A", "mean B", "A minus B", "95 % interval", "p (Holm)", "McNemar p (Holm)",
           "result"]  # fmt: skip


def pair_table(figures: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The pairs as a table."""
    rows = []
    for row in figures["pairs"]:
        cells = [row["mean_a"], row["mean_b"], row["difference"], row["interval"], row["p_holm"]]
        exact = shown(row["mcnemar_p_holm"]) if "mcnemar_p_holm" in row else "-"
        rows.append([row["a"], row["b"], str(row["n"]), *map(shown, cells), exact, verdict(row)])
    return COLUMNS, rows


def compare_page(figures: Mapping[str, Any]) -> Page:
    """The comparison as a page, with a plot of the differences."""
    page = Page(f"{figures['benchmark']}: paired comparison")
    for warning in figures["warnings"]:
        page.text(f"Warning: {warning}")
    page.text(
        "Differences are on the prompts both systems answered. Intervals resample prompts. p values are from a "
        "sign-flip permutation test, McNemar's from its exact test of wins; each kind is corrected by Holm over all "
        "pairs, and by skill over the skills of a pair."
    )
    page.table(*pair_table(figures))
    points = [Point(f"{r['a']} - {r['b']}", 0, r["difference"], *r["interval"]) for r in figures["pairs"]]
    page.plot("Differences with 95 % intervals; one that holds zero is a tie", intervals(points, "A minus B"))
    for row in figures["pairs"]:
        if "skills" in row:
            page.heading(f"{row['a']} and {row['b']} by skill")
            cells = [
                [skill, str(s["n"]), shown(s["difference"]), shown(s["interval"]), shown(s["p_holm"]),
                 "tied" if s["tied"] else verdict({**row, **s})]
                for skill, s in row["skills"].items()
            ]  # fmt: skip
            page.table(["skill", "prompts", "A minus B", "95 % interval", "p (Holm)", "result"], cells)
    return page


def judge_page(computed: Mapping[str, Mapping[str, Any]], published: Mapping[str, Mapping[str, Any]]) -> Page:
    """The judge table: computed rows, published rows, and bias against variance where both are known."""
    page = Page("Judges against humans")
    tables = {"Computed here": computed, "Published by AlpacaEval (not computed here)": published}
    for title, rows in tables.items():
        if rows:
            page.heading(title)
            cells = [[name, *(_cell(row, column) for column in meta.COLUMNS)] for name, row in rows.items()]
            page.table(["judge", *meta.COLUMNS.values()], cells)
        if rows is computed:
            page.text("In brackets: 95 % bootstrap intervals over pairs; for the correlations within each system.")
    if not published:
        page.text(no_table())
    page.heading("Verdicts, kappa, and what is missing")
    for name, row in computed.items():
        for line in judge_notes(row):
            page.text(f"{name}: {line}")
    both = {**published, **{f"{name} (computed)": row for name, row in computed.items()}}
    points = [Point(name, row["variance"], row["bias"]) for name, row in both.items() if _has_both(row)]
    if points:
        page.plot("Bias against variance, in percent", scatter(points, "variance", "bias"))
    return page


def no_table() -> str:
    """What is said where the published rows would stand."""
    return f"The published table is not on this disk; {assets.command(PUBLISHED_JUDGES)} gets it."


def judge_notes(row: Mapping[str, Any]) -> list[str]:
    """What stands beside a computed row: how many verdicts, the kappas, and why something is missing."""
    verdicts = f"{row['parsed']} readable verdicts on {row['n']} pairs, {row['parse_failures']} unreadable"
    kappas = ", ".join(
        f"{who} {value:.3f}{_bracket(row['intervals'][f'kappa {who}'])}" for who, value in row["kappa"].items()
    )
    missing = [f"no {meta.COLUMNS[column]}: {reason}" for column, reason in row["reasons"].items()]
    open_ended = [
        f"no interval of {meta.COLUMNS.get(name, name)}: {reason}"
        for name, reason in row["interval_reasons"].items()
        if name not in row["reasons"]
    ]
    return [verdicts, f"kappa {kappas or 'undefined'}", *missing, *open_ended]


def _cell(row: Mapping[str, Any], column: str) -> str:
    """A figure with its interval where there is one; published rows have none."""
    if row[column] is None:
        return "-"
    return shown(row[column]) + _bracket(row.get("intervals", {}).get(column))


def _bracket(interval: list[float] | None) -> str:
    return "" if interval is None else f" [{', '.join(map(shown, interval))}]"


def _has_both(row: Mapping[str, Any]) -> bool:
    return row["bias"] is not None and row["variance"] is not None
