"""`moa eval judge`: judges against humans and against each other, recorded or asked now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from moa_graph.cli.eval.options import Choice
from moa_graph.cli.eval.recorded import named
from moa_graph.cli.eval.run import dry_run, items_at_once, judge_of, run_benchmark
from moa_graph.cli.eval.show import notes, print_status, table
from moa_graph.cli.home import RUNS
from moa_graph.cli.output.messages import output_json
from moa_graph.cli.resumable import resumable
from moa_graph.costs.ledger import Ledger
from moa_graph.errors import InputError, MoAError
from moa_graph.evals import session
from moa_graph.evals.benchmarks import Setup
from moa_graph.evals.data.files import Row, read_rows, slug, stem
from moa_graph.evals.engine import RunOptions
from moa_graph.evals.judge_table import figures as judge_figures
from moa_graph.evals.judge_table import table as judge_columns
from moa_graph.evals.judge_table import votes
from moa_graph.evals.judge_table.run import JudgedPair, judge_benchmark, live_judges, only
from moa_graph.evals.reports import comparison_report as pages
from moa_graph.evals.systems.paid_calls import Payer
from moa_graph.evals.systems.recorded import RecordedOutputs, RecordedSystem
from moa_graph.mixture.proposer import is_embedded
from moa_graph.models import registry
from moa_graph.models.secrets import keys


def judge_table(
    choice: Choice,
    humans: Path | None,
    judges: Sequence[str],
    models: Sequence[str],
    generators: Path | None,
    *,
    runs: int,
    both_orders: bool,
) -> None:
    """Print the judge table: with humans, every judge against them; without, judges against each other.

    Without any file the published table alone is shown.

    Raises:
        InputError: A file cannot be used, or models are to be asked without human votes.
    """
    if models and humans is None:
        raise InputError("--model asks a judge about pairs that humans voted on: give --humans")
    read = _merged([found for entry in judges for found in _recorded(entry)])
    for judge in read:
        if judge.first_unreadable:
            print_status(f"warning: judge {judge.name}: {judge.first_unreadable}")
    if humans is None and read:
        return _judge_agreement(read, choice.out, as_json=choice.as_json)
    figures: dict[str, Any] = {}
    if humans is not None and models:
        asked = _ask(choice, humans, generators, models, read, runs=runs, both_orders=both_orders)
        if asked is None:
            return None
        figures = asked
    elif humans is not None:
        figures = judge_figures.judge_figures(_votes(humans, generators), [*read, *votes.juries(read)])
    return _show(figures, choice.out, as_json=choice.as_json)


def _show(figures: Mapping[str, Any], out: Path | None, *, as_json: bool) -> None:
    published = judge_figures.published_judges()
    if not published:
        if not figures:
            raise InputError(pages.no_table())
        print_status(pages.no_table())
    if out:
        pages.judge_page(figures, published).write(out)
        print_status(f"report: {out / 'report.html'}")
    if as_json:
        return output_json(figures or published)
    rows = [[name, "computed", *pages.judge_cells(row)] for name, row in figures.items()]
    rows += [[name, "published", *pages.judge_cells(row)] for name, row in published.items()]
    table("Judges against humans", ["judge", "figures", *judge_columns.COLUMNS.values()], rows)
    for name, row in figures.items():
        for line in pages.judge_notes(row):
            print_status(f"{name}: {line}")
    return None


def _ask(
    choice: Choice,
    humans: Path,
    generators: Path | None,
    models: Sequence[str],
    recorded: Sequence[votes.RecordedJudge],
    *,
    runs: int,
    both_orders: bool,
) -> dict[str, Any] | None:
    """Ask the models about the chosen pairs. Return the table of these and of recorded judges on the same pairs.

    Returns:
        The table; None when only the cost was to be shown.
    """
    if len(set(models)) < len(models):
        raise InputError(f"--model {next(m for m in models if models.count(m) > 1)} is given twice")
    folder = choice.out or RUNS / f"judges-{slug(stem(humans))}"
    with Ledger(folder / session.LEDGER, run="judges") as ledger:
        payer = Payer(ledger, choice.deadline, choice.prices)
        asked = [judge_of(name, choice, payer) for name in models]
        specs = [judge.spec for judge in asked]
        at_once = items_at_once(choice, specs)
        options = RunOptions(folder, choice.limit, choice.chosen_ids, choice.seed, choice.max_cost, at_once)
        system = RecordedSystem(RecordedOutputs(humans, {}), name=humans.name)
        setup = Setup(system, asked, options, payer, notify=print_status)
        bench = named(humans, lambda: judge_benchmark(setup, humans, generators, runs=runs, both_orders=both_orders))
        found = _votes(humans, generators, bench.items) if recorded else None
        if found:
            _require_ratable(recorded, found, [judge.name for judge in asked])
        if choice.dry_run:
            dry_run(bench, choice, payer)
            return None
        keys.require_keys(specs, way_out="choose another judge: `local:smollm2` needs no key")
        registry.require_embedded(spec for spec in specs if is_embedded(spec))
        with resumable(f"paid calls are in {folder}; the same command goes on from there") as runner:
            outcome = runner.run(run_benchmark(bench, options, choice, payer))
    for text in dict.fromkeys(failure.partition(": ")[2] for failure in outcome.failures):
        print_status(f"failed: {text}")
    print_status(f"verdicts and report: {folder}")
    if not outcome.scores["n"]:
        raise MoAError("no verdict could be had or read, so there are no figures. Run again to retry")
    notes(outcome.scores["warnings"])
    own: dict[str, Any] = outcome.scores["judges"]
    if found is None:
        return own
    live = live_judges(outcome.rows)
    figures = judge_figures.judge_figures(found, [*live, *votes.juries([*live, *recorded]), *recorded])
    positions = {name: {"position": row["position"]} for name, row in own.items() if "position" in row}
    return {name: row | positions.get(name, {}) for name, row in figures.items()}


def _votes(humans: Path, generators: Path | None, chosen: Sequence[JudgedPair] | None = None) -> votes.Humans:
    """Return the human votes of a file, or those about the chosen pairs only."""
    found = named(humans, lambda: votes.humans(read_rows(humans), read_rows(generators) if generators else ()))
    return found if chosen is None else only(found, chosen)


def _require_ratable(recorded: Sequence[votes.RecordedJudge], found: votes.Humans, asked: Sequence[str]) -> None:
    """Check, before anything is sent, that recorded judges can stand in one table with those that are asked.

    Raises:
        InputError: One has no verdict about these pairs, or the name of one that is asked.
    """
    judge_figures.judge_figures(found, recorded)
    if both := [judge.name for judge in recorded if judge.name in asked]:
        raise InputError(f"--model {both[0]} and a recorded judge have the same name; rename that with NAME=FILE")


class _Rows(NamedTuple):
    """Rows of one judge, and how messages name each."""

    rows: list[Row]
    places: list[str]


def _recorded(entry: str) -> list[tuple[str, _Rows]]:
    """Return the rows of FILE or NAME=FILE by judge; a file of several annotators has several judges."""
    name, equals, path = ("", "", entry) if Path(entry).is_file() else entry.partition("=")
    file = Path(path)
    rows = read_rows(file)
    if not rows:
        raise InputError(f"{file} is empty")
    own = name if equals else stem(file)
    annotators = list(dict.fromkeys(str(row["annotator"]) for row in rows if isinstance(row.get("annotator"), str)))
    several = len(annotators) > 1
    if several:
        print_status(f"warning: {file} has {len(annotators)} judges; each is rated by itself")
    found: dict[str, _Rows] = {who: _Rows([], []) for who in (annotators if several else [own])}
    for number, row in enumerate(rows, 1):
        who = row.get("annotator") if several else own
        if isinstance(who, str):
            found[who].rows.append(row)
            found[who].places.append(f"{file}, row {number}")
    return list(found.items())


def _merged(entries: Sequence[tuple[str, _Rows]]) -> list[votes.RecordedJudge]:
    """Return the judges; a name given twice is one judge with more runs."""
    found: dict[str, _Rows] = {}
    for name, (rows, places) in entries:
        known = found.setdefault(name, _Rows([], []))
        known.rows.extend(rows)
        known.places.extend(places)
    return [votes.judge(name, rows, places) for name, (rows, places) in found.items()]


def _judge_agreement(judges: Sequence[votes.RecordedJudge], out: Path | None, *, as_json: bool) -> None:
    figures = judge_figures.agreement_figures(judges)
    if out:
        pages.agreement_page(figures).write(out)
        print_status(f"report: {out / 'report.html'}")
    if as_json:
        return output_json(figures)
    return table("Judges against each other", pages.AGREEMENT_COLUMNS, pages.agreement_rows(figures))
