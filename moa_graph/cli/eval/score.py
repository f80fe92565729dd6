"""`moa eval score`: recorded outputs of other benchmarks in their publishers' formats."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from moa_graph.cli.eval.recorded import named
from moa_graph.cli.eval.show import figures_table, notes
from moa_graph.cli.output.messages import output_json
from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row, read_rows
from moa_graph.evals.figures import Figures
from moa_graph.evals.formats.arena_hard import arena_hard_figures
from moa_graph.evals.formats.judgebench import judgebench_systems
from moa_graph.evals.formats.wildbench import wildbench_systems
from moa_graph.evals.prompts.figures import prompts_figures
from moa_graph.evals.prompts.results import results_by_system


def score_files(paths: Sequence[Path], answers: Sequence[Path], baseline: str, *, as_json: bool) -> None:
    """Print the figures of recorded files. The first row determines the format.

    Raises:
        InputError: A file is empty, has an unknown format, or cannot be read.
    """
    known = [row for path in answers for row in read_rows(path)]
    found = {str(path): named(path, partial(_figures_of, path, known, baseline)) for path in paths}
    for file, systems in found.items():
        for name, figures in systems.items():
            notes(f"{file}: {name}: {note}" for note in figures["notes"])
    if as_json:
        return output_json(found)
    for file, systems in found.items():
        for name, figures in systems.items():
            figures_table(f"{file}: {name}", figures)
    return None


def _figures_of(path: Path, answers: Sequence[Row], baseline: str) -> dict[str, Figures]:
    rows = read_rows(path)
    if not rows:
        raise InputError("it is empty")
    first = rows[0]
    if "games" in first:
        return arena_hard_figures(rows, answers, baseline=baseline)
    if "judgments" in first and "label" in first:
        return judgebench_systems(rows)
    if "session_id" in first:
        return wildbench_systems(rows)
    if "repeat" in first and "score" in first:
        return {model or "own prompts": prompts_figures(found) for model, found in results_by_system(rows).items()}
    raise InputError(
        "the format is not one of Arena-Hard's judgments, JudgeBench's outputs, WildBench's scores or `moa eval run`; "
        f"the first row has {', '.join(list(first)[:8]) or 'no fields'}"
    )
