"""`moa graph`: a mixture's graph as mermaid."""

from __future__ import annotations

import sys

import typer

from moa_graph.cli.options import Aggregator, File, Preset, Proposers, chosen

app = typer.Typer(add_completion=False)


@app.command()
def graph(preset: Preset = None, file: File = None, proposers: Proposers = None, aggregator: Aggregator = None) -> None:
    """Draw a mixture's graph as mermaid; needs no key."""
    from moa_graph.graph.build import create_moa

    if not (preset or file or proposers):
        preset = "local"
    mixture = chosen(preset, file, proposers, aggregator)
    sys.stdout.write(create_moa(mixture).get_graph().draw_mermaid())
