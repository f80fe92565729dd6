"""`moa eval`: benchmarks, the table that rates judges, comparisons. Every command loads its own work."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="eval",
    help="Benchmark mixtures and judges: AlpacaEval 2, MT-Bench, FLASK.",
    no_args_is_help=True,
    add_completion=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else there.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of order, choice and resampling.")]


def show_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def tell(text: str) -> None:
    """A line for the person who waits, on standard error."""
    typer.echo(text, err=True)


@app.command()
def judge(
    humans: Annotated[Path, typer.Option(help="Human votes: AlpacaFarm's cross-annotations or PandaLM's test set.")],
    judge: Annotated[
        list[str],
        typer.Option(help="A judge's verdicts on the same pairs, as FILE or NAME=FILE; repeat for more runs."),
    ],
    generators: Annotated[
        Path | None, typer.Option(help="Annotations that name the system of each pair, for the rank correlations.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Rate judges against several humans: the eight columns of AlpacaEval's evaluator table, and kappa."""
    from moa_graph.cli.eval_recorded import judge_table

    judge_table(humans, judge, generators, seed=seed, as_json=as_json)


@app.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Assets, or folders of them; all when left out.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="Show what there is; download nothing.")] = False,
    unverified: Annotated[bool, typer.Option(help="Also download what has no known SHA-256.")] = False,
) -> None:
    """Download benchmark data: its source, SHA-256, size and licence are shown first. MOA_ASSETS replaces it."""
    from moa_graph.cli.eval_recorded import fetch_assets

    fetch_assets(names or [], listing=listing, unverified=unverified)


def main() -> None:
    """`python -m moa_graph.cli.evaluate`, the same commands without the rest of `moa`."""
    from moa_graph.cli.evaluate import app as loaded

    loaded(prog_name="moa eval")


if __name__ == "__main__":
    main()
