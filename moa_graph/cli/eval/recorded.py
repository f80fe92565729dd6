"""Score recorded results: annotations, judgments, reviews, judges. Nothing is generated and nothing is paid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from moa_graph.cli.eval.show import figures_table, notes, print_status, table
from moa_graph.cli.output.messages import output_json
from moa_graph.costs.amounts import number_of
from moa_graph.errors import InputError, MoAError
from moa_graph.evals.alpaca_eval.figures import alpaca_systems
from moa_graph.evals.compare.pairs import compare
from moa_graph.evals.compare.reading import load, place_of
from moa_graph.evals.data import assets
from moa_graph.evals.data.catalog import Asset, catalog
from moa_graph.evals.data.files import Row, read_rows
from moa_graph.evals.figures import bracket, formatted, readable_systems
from moa_graph.evals.flask import figures as flask_figures
from moa_graph.evals.flask import run as flask_run
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.mt_bench import figures as mt_bench_figures
from moa_graph.evals.reports import comparison_report as compare_pages

T = TypeVar("T")


def named(path: Path, read: Callable[[], T]) -> T:
    """Run `read` and add the file to its input errors.

    Raises:
        InputError: The error of `read`, with the path in front.
    """
    try:
        return read()
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from error


def alpaca_annotations(path: Path, *, intervals: bool, as_json: bool) -> None:
    """Print the figures of recorded AlpacaEval annotations, of every model and judge in the file."""
    rows = read_rows(path)
    systems = named(path, lambda: alpaca_systems(rows, intervals=intervals))
    if len(systems) > 1:
        print_status(
            f"warning: {path} has {len(systems)} systems (models, judges or references); each is scored separately"
        )
    for figures in systems:
        notes(figures["notes"])
        if (note := figures["length_controlled_note"]) and "damaged" in note:
            print_status(f"warning: no length control: {note}")
    if as_json:
        output_json(systems[0] if len(systems) == 1 else {"systems": systems})
        return
    for figures in systems:
        figures_table("AlpacaEval", figures)


def mt_bench_judgments(path: Path, *, as_json: bool) -> None:
    """Print the figures of recorded MT-Bench judgments, single or pairwise, of every system in the file."""
    rows = read_rows(path)
    pairwise = mt_bench_figures.is_pairwise(rows)
    read = mt_bench_figures.pair_figures if pairwise else mt_bench_figures.single_figures
    figures = named(path, lambda: read(rows))
    for name, row in figures.items():
        notes(f"{name}: {note}" for note in row["notes"])
    if any("(answers " in name for name in figures):
        print_status("warning: the file has several sets of answers of one model; each is scored separately")
    if as_json:
        output_json(figures)
        return
    if pairwise:
        names: tuple[str, ...] = ("wins", "ties", "losses", "consistency", "duplicates", "parse_failures")
        main, title = "adjusted_win_rate", "MT-Bench (pairs, both orders)"
    else:
        names = ("first_turn", "second_turn", "n", "duplicates", "parse_failures", "judge")
        main, title = "score", "MT-Bench (single grading)"
    width = "interval" if main == "score" else f"{main}_interval"
    table(
        title,
        ["system", main, *names],
        [
            [
                name,
                formatted(row[main]) + bracket(row[width], row["cautions"].get(width)),
                *(formatted(row[n]) for n in names),
            ]
            for name, row in figures.items()
        ],
    )


def flask_reviews(path: Path, *, hard: bool, as_json: bool) -> None:
    """Print the means of recorded FLASK reviews, of every model and judge in the file."""
    asset = flask_run.HARD if hard else flask_run.ITEMS
    items = flask.items(read_rows(assets.fetch(asset, notify=print_status).path), name="hard" if hard else "full")
    groups = flask_figures.by_system(read_rows(path))

    def score(rows: Sequence[Row]) -> dict[str, Any]:
        return flask_figures.flask_figures(flask_figures.reviews(rows, items), items)

    found = named(path, lambda: readable_systems(groups, score, "reviews"))
    if len(found) > 1:
        print_status(f"warning: {path} has {len(found)} systems (models or judges); each is scored separately")
    for figures in found.values():
        notes(figures["notes"])
    if as_json:
        output_json(next(iter(found.values())) if len(found) == 1 else {"systems": found})
        return
    for name, figures in found.items():
        rows = [
            [skill, formatted(v) + bracket(figures["intervals"][skill], figures["cautions"].get(skill))]
            for skill, v in figures["skills"].items()
        ]
        table(f"FLASK: {name}", ["skill", "mean, 95 % interval"], rows)
        print_status(
            f"{name}: {figures['n']} reviews, {figures['parse_failures']} unreadable, {figures['missing']} skills left "
            f"out, {figures['duplicates']} duplicates"
        )


def compare_systems(systems: Sequence[str], out: Path | None, *, seed: int, as_json: bool) -> None:
    """Print the systems' own figures and all pairs: difference, interval, corrected p, and the result in words."""
    if len(systems) < 2:
        raise InputError("comparing needs at least two systems")
    loaded = [named(place_of(entry)[0], partial(load, entry)) for entry in systems]
    figures = compare(loaded, seed=seed)
    notes(figures["warnings"])
    if out:
        compare_pages.compare_page(figures).write(out)
        print_status(f"report: {out / 'report.html'}")
    if as_json:
        output_json(figures)
        return
    table(f"{figures['benchmark']}: systems", *compare_pages.system_table(figures))
    if categories := compare_pages.category_table(figures):
        table(f"{figures['benchmark']}: by category", *categories)
    table(f"{figures['benchmark']}: paired comparison", *compare_pages.pair_table(figures))


def fetch_assets(names: Sequence[str], *, listing: bool, unverified: bool) -> None:
    """List assets, or download them.

    If folders, or all assets, are requested, those that can be downloaded are; the others are listed with the way to
    get them.

    Raises:
        MoAError: A download failed.
        ConfigError: A file requested by name cannot be downloaded.
    """
    known = catalog()
    if strange := [name for name in names if not any(entry.name.startswith(name) for entry in known)]:
        raise InputError(f"no asset starts with {', '.join(strange)}; `moa eval fetch --list` lists them")
    wanted = [entry for entry in known if not names or entry.name.startswith(tuple(names))]
    if listing:
        for entry in wanted:
            here = assets.present(entry.name)
            print_status(entry.describe() + f"\n  here    {here.path if here else 'no'}")
        return
    failed = [entry.name for entry in wanted if not _fetched(entry, entry.name in names, unverified)]
    if failed:
        raise MoAError(f"missing {len(failed)} of {number_of(len(wanted), 'file')}: {', '.join(failed)}; run it again")


def _fetched(entry: Asset, named: bool, unverified: bool) -> bool:
    """Return whether nothing failed. A file that must be obtained in another way is listed and is not a failure."""
    try:
        obtainable = entry.url is not None and (entry.sha256 is not None or unverified)
        if named or obtainable or assets.present(entry.name):
            found = assets.fetch(entry.name, notify=print_status, unverified=unverified)
            print_status(f"{entry.name}: {found.source} {found.path}")
        else:
            print_status(f"left out: {assets.way_out(entry)}")
    except MoAError as error:
        if named:
            raise
        print_status(f"failed: {error}")
        return False
    return True
