"""`moa eval drafts`: the drafts of a run as data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moa_graph.cli.eval.show import figures_table, print_status
from moa_graph.cli.output.messages import output_json
from moa_graph.errors import InputError
from moa_graph.evals.compare.reading import load
from moa_graph.evals.compare.systems import named_apart
from moa_graph.evals.data.files import json_bytes, slug, write
from moa_graph.evals.drafts.ensemble import ensemble_figures
from moa_graph.evals.drafts.run_drafts import draft_figures, exported, read_drafts
from moa_graph.evals.figures import Figures, formatted, lines
from moa_graph.evals.reports.page import Page


def show_drafts(folder: Path, out: Path | None, scored: Sequence[str], *, as_json: bool) -> None:
    """Print the diversity of a run's drafts and how its answers use them; write each proposer's drafts to a file.

    Args:
        folder: The run's folder.
        out: The folder for a report and the files.
        scored: Scored outputs of the proposers (folders or files), for a benchmark with a judge.
        as_json: Whether to print JSON.
    """
    run = read_drafts(folder)
    figures = draft_figures(run)
    if scored:
        systems = named_apart([load(str(folder)), *(load(entry) for entry in scored)])
        if len({(system.benchmark, system.judges) for system in systems}) > 1:
            raise InputError("--scored: the run and the drafts must have the same benchmark and judge")
        own, *others = (system.by_prompt for system in systems)
        figures["ensemble"] = ensemble_figures(
            own,
            {system.name: values for system, values in zip(systems[1:], others, strict=True)},
            benchmark=systems[0].benchmark,
        )
    shown, prompts = _without_prompts(figures)
    if out:
        for name, rows in exported(run).items():
            write(out / f"{slug(name)}.json", json_bytes(rows))
        page = Page(f"Drafts of {folder.name}")
        page.table(["figure", "value"], list(lines(shown)))
        if prompts:
            page.heading("By prompt")
            names = ("aggregate", "best_single", "best_draft", "rank", "effect")
            page.table(
                ["prompt", "answer", "best single proposer", "best draft", "rank of the answer", "aggregation"],
                [[key, *(formatted(row[name]) for name in names)] for key, row in prompts.items()],
            )
        page.write(out)
        print_status(f"report and one file per proposer: {out}")
    if as_json:
        return output_json(figures)
    return figures_table(f"Drafts of {folder.name}", shown)


def _without_prompts(figures: Figures) -> tuple[Figures, Figures]:
    """Return the figures without those of each prompt, and those of each prompt."""
    ensemble = figures.get("ensemble")
    if ensemble is None:
        return figures, {}
    rest = {name: value for name, value in ensemble.items() if name != "by_prompt"}
    return {**figures, "ensemble": rest}, ensemble["by_prompt"]
