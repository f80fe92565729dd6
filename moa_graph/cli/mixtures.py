"""`moa presets`, `moa graph` and `moa schema`: presets, and the format of mixture files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from moa_graph.cli.complete import mixture_files, presets
from moa_graph.cli.home import add_preset, own_presets, remove_preset
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
from moa_graph.costs.amounts import number_of

app = typer.Typer(help="Presets (named mixtures): the package's and your own.", add_completion=False)
graph_app = typer.Typer(add_completion=False)
schema_app = typer.Typer(add_completion=False)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The preset's name.", autocompletion=presets)]


@app.command("list")
def list_presets(as_json: Json = False) -> None:
    """List the presets: model calls per question, layers, description."""
    rows = _rows()
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        return
    import shutil
    import textwrap

    name = max(len(row["name"]) for row in rows)
    width = max(shutil.get_terminal_size((100, 24)).columns, 40)
    indent = " " * (name + 2) if width >= 72 else "  "
    for row in rows:
        calls = f"{number_of(row['calls'], 'call')}, {number_of(row['layers'], 'layer')}"
        about = " ".join(f"{calls}. {row['description']}".split())
        about += f" Note: {row['note']}" if row["note"] else ""
        head = f"{row['name']:<{name}}  "
        if width < 72:
            sys.stdout.write(f"{row['name']}\n")
            head = indent
        text = textwrap.fill(about, width, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)
        sys.stdout.write(f"{text}\n")


def _rows() -> list[dict[str, Any]]:
    """Return the contents of the files. They are not validated, because that would import pydantic (a second)."""
    from moa_graph.mixture.files import preset_names, read

    sources: dict[str, str | Path] = {**{name: name for name in preset_names()}, **own_presets()}
    rows = []
    for name, source in sources.items():
        fields = read(source)
        rounds = fields.get("rounds") or [fields.get("proposers") or []] * (fields.get("layers", 2) - 1)
        specs = [spec if isinstance(spec, dict) else {"model": spec} for each in rounds for spec in each]
        aggregator = fields.get("aggregator")
        last = aggregator.get("model") if isinstance(aggregator, dict) else aggregator
        rows.append(
            {
                "name": name,
                "calls": sum(spec.get("samples", 1) for spec in specs) + 1,
                "layers": len(rounds) + 1,
                "models": list(dict.fromkeys([*(spec["model"] for spec in specs), last])),
                "date": str(fields.get("date") or "") or None,
                "description": fields.get("description") or (f"Your own: {source}" if name in own_presets() else ""),
                "note": fields.get("note"),
            }
        )
    return rows


@app.command()
def show(name: Name) -> None:
    """Print a preset's file."""
    sys.stdout.write(_path(name).read_text(encoding="utf-8"))


@app.command()
def path(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="The preset (default: the package's folder).", autocompletion=presets),
    ] = None,
) -> None:
    """Print the path of a preset's file."""
    sys.stdout.write(f"{_path(name) if name else _path('local').parent}\n")


@app.command()
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A mixture file.", autocompletion=mixture_files)],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Its name (default: the file's).")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite your preset of that name.")] = False,
) -> None:
    """Add a mixture file to your own presets, for use with --preset."""
    known, target = add_preset(file, name, replace=replace)
    sys.stderr.write(f"preset `{known}`: {target}\n")


@app.command()
def remove(name: Name) -> None:
    """Remove one of your own presets."""
    sys.stderr.write(f"removed {remove_preset(name)}\n")


def _path(name: str) -> Path:
    from moa_graph.mixture.files import preset_path

    return own_presets().get(name) or preset_path(name)


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

    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Mixture.model_json_schema()}
    sys.stdout.write(json.dumps(whole, indent=2) + "\n")
