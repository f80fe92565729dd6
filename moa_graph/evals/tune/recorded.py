"""Read recorded sets: a file of drafts, or a folder of final answers.

A set of drafts is a file, one question a line; a model may have several drafts:

    {"id": 0, "question": "...", "prompt": "...", "gold": "22",
     "drafts": [{"model": "...", "text": "...", "correct": true}, ...],
     "scores_side_by_side": {"MODEL": [3.0, 1.0, ...], ...}}

A set of answers is a folder with a file for each model, one question a line:

    {"id": 0, "gold": "33", "answers": ["33", "12", ...], "tokens": [4039, 6954, ...]}

Any file or folder of these forms is read, also gzipped. Models, and their numbers of drafts, may be others. A question
that a model has no answer to is left out; a row of a question that was there before adds to it; a draft or an answer
that is null is missing: it is wrong, and has no vote.
"""

from __future__ import annotations

from pathlib import Path

from moa_graph.errors import InputError
from moa_graph.evals.data.files import read_rows
from moa_graph.evals.tune.recorded_answers import read_answers
from moa_graph.evals.tune.recorded_drafts import read_drafts
from moa_graph.evals.tune.recorded_set import RecordedSet

__all__ = ["is_recorded", "read_recorded"]

_FEWEST = 4


def read_recorded(path: Path) -> RecordedSet:
    """Read a file of drafts or a folder of answers.

    Raises:
        InputError: The path is neither, or a row is malformed; the message names it.
    """
    if path.is_dir():
        found = read_answers(path)
    else:
        rows = read_rows(path)
        if not rows:
            raise InputError(f"{path} is empty")
        if "drafts" not in rows[0]:
            raise InputError(
                f"{path}, row 1: no `drafts`. A set of final answers is a folder with a file for each model"
            )
        found = read_drafts(path, rows)
    if len(found.prompts) < _FEWEST:
        left = f" ({found.dropped} were left out: a model has no answer to them)" if found.dropped else ""
        raise InputError(f"{path}: {len(found.prompts)} questions are too few{left}; the least is {_FEWEST}")
    return found


def is_recorded(path: Path) -> bool:
    """Return whether a path holds a recorded set and not prompts alone."""
    if path.is_dir():
        return True
    rows = read_rows(path)
    return bool(rows) and "drafts" in rows[0]
