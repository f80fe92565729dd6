"""`moa presets`: the mixtures that come with the package."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from moa_graph.cli.options import Json

app = typer.Typer(help="The mixtures that come with the package.", no_args_is_help=True, add_completion=False)
Name = Annotated[str, typer.Argument(help="The preset's name.")]


@app.command("list")
def list_presets(as_json: Json = False) -> None:
    """List the presets: model calls per question, layers, models."""
    rows = _rows()
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        calls = f"{row['calls']} calls" if row["calls"] != 1 else "1 call"
        sys.stdout.write(f"{row['name']:<{width}}  {calls:>8}  {row['layers']} layers  {row['description']}\n")
        if row["note"]:
            sys.stdout.write(f"{'':<{width}}  note: {row['note']}\n")


def _rows() -> list[dict[str, Any]]:
    from moa_graph.mixture.files import preset_names
    from moa_graph.mixture.mixture import Mixture

    loaded = {name: Mixture.load(name) for name in preset_names()}
    return [
        {
            "name": name,
            "calls": mixture.calls(),
            "layers": mixture.total_layers,
            "models": list(dict.fromkeys(spec.label for spec in mixture.specs)),
            "date": mixture.date,
            "description": mixture.description or "",
            "note": mixture.note,
        }
        for name, mixture in loaded.items()
    ]


@app.command()
def show(name: Name) -> None:
    """Print a preset's file, to read or to change."""
    from moa_graph.mixture.files import preset_path

    sys.stdout.write(preset_path(name).read_text(encoding="utf-8"))


@app.command()
def path(name: Annotated[str | None, typer.Argument(help="The preset's name; without it the folder.")] = None) -> None:
    """Print where a preset's file is."""
    from moa_graph.mixture.files import preset_path

    sys.stdout.write(f"{preset_path(name) if name else preset_path('local').parent}\n")
