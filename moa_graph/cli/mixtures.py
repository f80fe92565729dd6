"""`moa presets`, `moa graph` and `moa schema`: presets, and the format of mixture files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from moa_graph.cli.complete import mixture_files, presets
from moa_graph.cli.home import add_preset, remove_preset
from moa_graph.cli.options import (
    Aggregator,
    BaseUrl,
    File,
    Json,
    KeyEnv,
    Preset,
    Proposers,
    Trust,
    chosen,
)
from moa_graph.cli.output.messages import message, output, output_json
from moa_graph.cli.preset_list import as_text, preset_rows
from moa_graph.errors import InputError
from moa_graph.mixture.own_presets import resolve
from moa_graph.models.terminal_text import for_terminal

app = typer.Typer(
    help="Presets (named mixtures): the package's and your own.", add_completion=False, no_args_is_help=True
)
graph_app = typer.Typer(add_completion=False)
schema_app = typer.Typer(add_completion=False)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The preset's name.", autocompletion=presets)]


@app.command("list")
def list_presets(as_json: Json = False) -> None:
    """List the presets: model calls per question, layers, description."""
    rows = preset_rows()
    if as_json:
        output_json([{**row, "calls": _calls(row)} for row in rows])
        return
    output(as_text(rows).removesuffix("\n"))


def _calls(row: dict[str, Any]) -> int:
    """Return the most calls of a question; those of a combiner need the whole mixture."""
    if row["calls"] is not None:
        return int(row["calls"])
    from moa_graph.mixture.mixture import Mixture

    return Mixture.load(resolve(row["name"])).calls()


@app.command()
def show(name: Name) -> None:
    """Print a preset's file."""
    from moa_graph.mixture.files import text_of

    path = _path(name)
    text = text_of(path, f"mixture file {path}")
    sys.stdout.write(for_terminal(text) if sys.stdout.isatty() else text)


@app.command()
def path(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="The preset (default: the package's folder).", autocompletion=presets),
    ] = None,
) -> None:
    """Print the path of a preset's file."""
    output(f"{_path(name) if name else _path('local').parent}")


@app.command()
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A mixture file.", autocompletion=mixture_files)],
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Its name (default: the file's).")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite your preset of that name.")] = False,
) -> None:
    """Add a mixture file to your own presets, for use with --preset."""
    known, target = add_preset(file, name, replace=replace)
    message(f"preset `{known}`: {target}")


@app.command()
def remove(name: Name) -> None:
    """Remove one of your own presets."""
    message(f"removed {remove_preset(name)}")


def _path(name: str) -> Path:
    from moa_graph.mixture.files import is_preset, preset_path

    if not is_preset(name):
        raise InputError(f"{name}: a file. Name a preset; `moa presets add {name}` makes a preset of a mixture file.")
    found = resolve(name)
    return found if isinstance(found, Path) else preset_path(found)


@graph_app.command()
def graph(
    preset: Preset = None,
    file: File = None,
    proposers: Proposers = None,
    aggregator: Aggregator = None,
    base_url: BaseUrl = None,
    api_key_env: KeyEnv = None,
    trust: Trust = False,
) -> None:
    """Draw a mixture's graph as mermaid. No key is needed."""
    from moa_graph.graph.build import create_moa

    if not (preset or file or proposers):
        preset = "local"
    mixture = chosen(preset, file, proposers, aggregator, base_url=base_url, api_key_env=api_key_env, trust=trust)
    sys.stdout.write(create_moa(mixture).get_graph().draw_mermaid())


@schema_app.command()
def schema() -> None:
    """Print the JSON Schema of a mixture file."""
    from moa_graph.mixture.mixture import Mixture

    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:moa-graph:mixture"}
    whole = {**head, **Mixture.model_json_schema()}
    sys.stdout.write(json.dumps(whole, indent=2) + "\n")
