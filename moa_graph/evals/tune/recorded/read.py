"""Read recorded sets: a file of drafts, or a folder of final answers.

A set of drafts is a file, one question a line; a model may have several drafts:

    {"id": 0, "question": "...", "prompt": "...", "gold": "22",
     "drafts": [{"model": "...", "text": "...", "correct": true}, ...],
     "scores_side_by_side": {"MODEL": [3.0, 1.0, ...], ...}}

A set of answers is a folder with a file for each model, one question a line; `correct` is a list of grades, if any:

    {"id": 0, "gold": "33", "answers": ["33", "12", ...], "tokens": [4039, 6954, ...]}

A folder of files with a `text`, or several, in each row is a set of drafts.

Any file or folder of these forms is read, also CSV, TSV, Parquet and gzip; see `rows` for other names of the
fields, for drafts by model, and for rows of one draft each. Models, and their numbers of drafts, may be others. A
question that a model has no answer to is left out; a row of a question that was there before adds to it; a draft or an
answer that is null is missing: it is wrong, and has no vote. Drafts without a grade are compared with `gold`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from moa_graph.errors import InputError
from moa_graph.evals.data.files import read_rows
from moa_graph.evals.tune.recorded.answers import read_folder, set_name
from moa_graph.evals.tune.recorded.drafts import read_drafts
from moa_graph.evals.tune.recorded.recorded_set import RecordedSet
from moa_graph.evals.tune.recorded.rows import as_drafts, has_drafts

__all__ = ["is_recorded", "read_recorded"]

_FEWEST = 4


def read_recorded(path: Path) -> RecordedSet:
    """Read a file of drafts or a folder of answers.

    Raises:
        InputError: The path is neither, or a row is malformed; the message names it.
    """
    if path.is_dir():
        found = read_folder(path)
    else:
        rows = read_rows(path)
        if not rows:
            raise InputError(f"{path} is empty")
        if not has_drafts(rows[0]):
            raise InputError(
                f"{path}, row 1 has no `drafts`: each row needs a list of them with `model`, `text` and `correct`, or "
                "names its `model` and `text` itself. A set of final answers is a folder with a file for each model"
            )
        found = replace(read_drafts(path, [as_drafts(row) for row in rows]), name=set_name(path))
    if len(found.prompts) < _FEWEST:
        left = f" ({found.dropped} were left out: a model has no answer to them)" if found.dropped else ""
        raise InputError(f"{path}: {len(found.prompts)} questions are too few{left}; the least is {_FEWEST}")
    return found


def is_recorded(path: Path) -> bool:
    """Return whether a path holds a recorded set and not prompts alone."""
    if path.is_dir():
        return True
    rows = read_rows(path)
    return bool(rows) and has_drafts(rows[0])
