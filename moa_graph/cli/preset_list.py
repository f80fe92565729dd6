"""The list of presets, made without typer and pydantic, whose imports take longer than everything else."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moa_graph.costs.amounts import number_of
from moa_graph.mixture.own_presets import own_presets
from moa_graph.models.terminal_text import for_terminal

__all__ = ["as_text", "preset_rows"]


def as_text(rows: Sequence[dict[str, Any]]) -> str:
    """Return the list for a person, wrapped to the terminal's width."""
    name = max(len(row["name"]) for row in rows)
    width = max(shutil.get_terminal_size((100, 24)).columns, 40)
    indent = " " * (name + 2) if width >= 72 else "  "
    lines = []
    for row in rows:
        counts = [number_of(row["calls"], "call")] if row["calls"] is not None else []
        facts = ", ".join([*counts, number_of(row["layers"], "layer")])
        about = " ".join(f"{facts}. {row['description']}".split())
        about += f" Note: {row['note']}" if row["note"] else ""
        head = f"{row['name']:<{name}}  "
        if width < 72:
            lines.append(row["name"])
            head = indent
        lines.append(textwrap.fill(about, width, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False))
    # Descriptions are whatever the files say.
    return for_terminal("\n".join([*lines, ""]))


def preset_rows() -> list[dict[str, Any]]:
    """Return the presets as their files describe them; `calls` is None where a combiner decides about them.

    The files are not validated, because that would import pydantic (a second).
    """
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
                "calls": sum(spec.get("samples", 1) for spec in specs) + 1 if "combine" not in fields else None,
                "layers": len(rounds) + 1,
                "models": list(dict.fromkeys([*(spec["model"] for spec in specs), last])),
                "date": str(fields.get("date") or "") or None,
                "description": fields.get("description") or (f"Your own: {source}" if name in own_presets() else ""),
                "note": fields.get("note"),
            }
        )
    return rows
