"""The files of a run: the result as JSON, every prompt, the report, the mixture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moa_graph.errors import ConfigError, InputError, MoAError
from moa_graph.evals.data.files import inside, json_bytes, jsonl_bytes, read_rows, read_text, require_writable, write
from moa_graph.evals.tune.mixtures import SOURCE, write_mixture
from moa_graph.evals.tune.result import RESULT, TuneResult

__all__ = ["MIXTURE", "open_folder", "read_result", "save_mixture", "write_files"]

MANIFEST, PROMPTS, MIXTURE = "run.json", "prompts.jsonl", "mixture.yaml"


def open_folder(folder: Path, run: str) -> None:
    """Make the folder this run's own. One of a run without a result holds nothing, since calls are in the ledger.

    Raises:
        ConfigError: It holds the result of another run, or its manifest is damaged.
        InputError: Nothing can be written into it.
    """
    require_writable(folder, f"--out {folder}")
    path = inside(folder, MANIFEST)
    if path.exists():
        try:
            before = json.loads(read_text(path))["run"]
        except (InputError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ConfigError(f"{path} is damaged: {error}. Choose another --out") from error
        if before != run and (folder / RESULT).exists():
            raise ConfigError(
                f"{folder} holds the run {before}, and this one is {run}: prompts, pool, grading or options "
                "differ. Choose another --out; drafts are shared all the same"
            )
    write(path, json_bytes({"run": run, "started": datetime.now(UTC).date().isoformat()}))


def write_files(result: TuneResult, folder: Path) -> None:
    """Write the result, every prompt, the report and the mixture into the folder.

    Raises:
        MoAError: They cannot be written; the message has the decision.
    """
    from moa_graph.evals.tune.report import page

    figures = result.figures()
    with _saving(result, folder):
        write(inside(folder, RESULT), json_bytes(figures))
        write(inside(folder, PROMPTS), jsonl_bytes(result.by_prompt()))
        page(figures, result.by_prompt()).write(folder)
        if all(isinstance(spec.model, str) for spec in result.mixture.specs):
            save_mixture(result, inside(folder, MIXTURE))


@contextmanager
def _saving(result: TuneResult, path: Path) -> Iterator[None]:
    """Turn what a full disk raises into an error that has the decision: the calls for it were paid."""
    try:
        yield
    except ConfigError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise MoAError(
            f"{path} cannot be written: {reason}. The decision was: {result.sentence} Every paid call "
            "is in the ledger; make room and run again, which pays nothing"
        ) from error


def save_mixture(result: TuneResult, path: Path) -> None:
    """Write the mixture to use, with what it was measured at.

    Raises:
        InputError: A model is a Python object, which no file can name.
        MoAError: The file cannot be written; the message has the decision.
    """
    about = {
        "name": f"tuned-{result.run[:8]}",
        "description": result.winner.plan.name,
        "date": datetime.now(UTC).date().isoformat(),
        "source": f"{SOURCE}{result.run}",
        "note": result.sentence,
    }
    with _saving(result, path):
        write_mixture(result.mixture, path, about=about)


def read_result(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a finished run's figures and its prompts.

    Raises:
        InputError: The folder holds no finished run.
    """
    if not (folder / RESULT).is_file():
        begun = (
            "a run that is not finished; run it again to go on"
            if (folder / MANIFEST).is_file()
            else "no run of moa tune"
        )
        raise InputError(f"{folder} holds {begun}")
    try:
        figures = json.loads(read_text(folder / RESULT))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{folder} is damaged: {error}. Run `moa tune` with it again") from error
    return figures, read_rows(folder / PROMPTS)
