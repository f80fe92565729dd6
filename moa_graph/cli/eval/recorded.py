"""Scoring what was recorded before: annotations, judgments, reviews, judges. Nothing is generated, nothing is paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moa_graph.cli.eval.show import show_json, shown, table, tell
from moa_graph.errors import InputError, MoAError
from moa_graph.evals import comparisons, scoring
from moa_graph.evals.data import assets
from moa_graph.evals.data.catalog import Asset, catalog
from moa_graph.evals.data.files import Row, read_rows
from moa_graph.evals.flask import run as flask_run
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.judge_table import table as meta
from moa_graph.evals.judge_table import votes as meta_data
from moa_graph.evals.reports import comparison_report as compare_pages


def alpaca_annotations(path: Path, *, seed: int, resamples: int, as_json: bool) -> None:
    """Print the figures of recorded AlpacaEval annotations."""
    figures = scoring.alpaca_figures(read_rows(path), seed=seed, resamples=resamples)
    if as_json:
        show_json(figures)
    else:
        table("AlpacaEval 2", ["figure", "value"], [[name, shown(value)] for name, value in figures.items()])


def mt_bench_judgments(path: Path, *, seed: int, as_json: bool) -> None:
    """Print the figures of recorded MT-Bench judgments, one row a model."""
    figures = scoring.mt_bench_figures(read_rows(path), seed=seed)
    if as_json:
        show_json(figures)
        return
    names = ("score", "interval", "first_turn", "second_turn", "n", "duplicates", "parse_failures")
    rows = [[model, *(shown(row[name]) for name in names)] for model, row in figures.items()]
    table("MT-Bench (single grading)", ["model", *names], rows)


def flask_reviews(path: Path, *, hard: bool, seed: int, as_json: bool) -> None:
    """Print the means of recorded FLASK reviews."""
    items = flask.items(read_rows(assets.fetch(flask_run.HARD if hard else flask_run.ITEMS, tell=tell).path))
    figures = scoring.flask_figures(flask_run.reviews(read_rows(path), items), items, seed=seed)
    if as_json:
        show_json(figures)
        return
    rows = [[skill, shown(v), shown(figures["intervals"][skill])] for skill, v in figures["skills"].items()]
    table("FLASK", ["skill", "mean", "95 % interval"], rows)
    tell(f"{figures['n']} reviews, {figures['parse_failures']} unreadable, {figures['missing']} skills left out")


def judge_table(
    humans: Path, judges: Sequence[str], generators: Path | None, out: Path | None, *, seed: int, as_json: bool
) -> None:
    """Print the eight columns of every judge; beside them, marked as such, the published table."""
    votes = meta_data.humans(read_rows(humans), read_rows(generators) if generators else ())
    read = [meta_data.judge(name, rows) for name, rows in _judge_files(judges).items()]
    figures = scoring.judge_figures(votes, read, seed=seed)
    published = scoring.published_judges()
    if not published:
        tell(compare_pages.no_table())
    if out:
        compare_pages.judge_page(figures, published).write(out)
        tell(f"report: {out / 'report.html'}")
    if as_json:
        show_json(figures)
        return
    rows = [_judge_row(name, "computed", row) for name, row in figures.items()]
    rows += [_judge_row(name, "published", row) for name, row in published.items()]
    table("Judges against humans", ["judge", "figures", *meta.COLUMNS.values()], rows)
    for name, row in figures.items():
        for line in [*compare_pages.judge_notes(row), _judge_intervals(row)]:
            tell(f"{name}: {line}")


def _judge_files(judges: Sequence[str]) -> dict[str, list[Row]]:
    """Rows by judge; a name given twice is one judge with more runs."""
    found: dict[str, list[Row]] = {}
    for entry in judges:
        name, equals, path = entry.partition("=")
        file = Path(path if equals else entry)
        found.setdefault(name if equals else file.name.split(".json")[0], []).extend(read_rows(file))
    return found


def _judge_intervals(row: Mapping[str, Any]) -> str:
    known = [f"{meta.COLUMNS[k]} {shown(v)}" for k, v in row["intervals"].items() if v and k in meta.COLUMNS]
    return f"95 % intervals: {', '.join(known) or 'none'}"


def _judge_row(name: str, source: str, row: Mapping[str, Any]) -> list[str]:
    return [name, source, *("-" if row[column] is None else shown(row[column]) for column in meta.COLUMNS)]


def compare_systems(systems: Sequence[str], out: Path | None, *, seed: int, as_json: bool) -> None:
    """Print all pairs: difference, interval, corrected p, and the result in words."""
    if len(systems) < 2:
        raise InputError("comparing needs at least two systems")
    figures = comparisons.compare([comparisons.load(entry) for entry in systems], seed=seed)
    for warning in figures["warnings"]:
        tell(f"warning: {warning}")
    if out:
        compare_pages.compare_page(figures).write(out)
        tell(f"report: {out / 'report.html'}")
    if as_json:
        show_json(figures)
        return
    columns, rows = compare_pages.pair_table(figures)
    table(f"{figures['benchmark']}: paired comparison", columns, rows)


def fetch_assets(names: Sequence[str], *, listing: bool, unverified: bool) -> None:
    """List assets, or bring them onto this disk.

    Of a folder, or of everything, what can be downloaded is; the rest is named with its way out. Raises MoAError when
    a download failed, and ConfigError when a file asked for by its own name cannot be had.
    """
    known = catalog()
    if strange := [name for name in names if not any(entry.name.startswith(name) for entry in known)]:
        raise InputError(f"no asset begins with {', '.join(strange)}; `moa eval fetch --list` shows them")
    wanted = [entry for entry in known if not names or entry.name.startswith(tuple(names))]
    if listing:
        for entry in wanted:
            here = assets.present(entry.name)
            tell(entry.describe() + f"\n  here    {here.path if here else 'no'}")
        return
    failed = [entry.name for entry in wanted if not _fetched(entry, entry.name in names, unverified)]
    if failed:
        raise MoAError(f"{len(failed)} of {len(wanted)} files are missing: {', '.join(failed)}; run it again")


def _fetched(entry: Asset, named: bool, unverified: bool) -> bool:
    """Whether nothing went wrong; what can only be had in another way is told, and is nothing that went wrong."""
    try:
        obtainable = entry.url is not None and (entry.sha256 is not None or unverified)
        if named or obtainable or assets.present(entry.name):
            found = assets.fetch(entry.name, tell=tell, unverified=unverified)
            tell(f"{entry.name}: {found.source} {found.path}")
        else:
            tell(f"left out: {assets.way_out(entry)}")
    except MoAError as error:
        if named:
            raise
        tell(f"failed: {error}")
        return False
    return True
