"""`moa schema`: what a mixture file may say, for editors and checkers."""

from __future__ import annotations

import json
import sys

import typer

app = typer.Typer(add_completion=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a mixture file."""
    from moa_graph.mixture.mixture import Mixture

    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Mixture.model_json_schema()}
    sys.stdout.write(json.dumps(whole, indent=2) + "\n")
