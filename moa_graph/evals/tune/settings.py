"""What a run is asked for, read and checked before any request is sent."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import moa_graph
from moa_graph.costs.spending_cap import SpendingCap
from moa_graph.errors import InputError
from moa_graph.evals.data import assets
from moa_graph.evals.data.files import read_rows
from moa_graph.evals.engine import RunOptions, choose
from moa_graph.evals.prompts.bench import OBJECTIVE
from moa_graph.evals.prompts.grade import Match
from moa_graph.evals.prompts.questions import OwnPrompt, own_prompts
from moa_graph.evals.tune.grading import distinct
from moa_graph.evals.tune.pool import Pool, identity_of
from moa_graph.mixture.answers import AnswerReader
from moa_graph.mixture.user_folders import home

__all__ = [
    "FEWEST",
    "FIELDS",
    "Options",
    "StageProgress",
    "check_options",
    "ledger_path",
    "read_prompts",
    "reader_of",
    "run_hash",
]

FEWEST = 4
"""Prompts that a choice needs."""
FIELDS = ("layers", "aggregator", "prompt", "combine", "models", "samples", "draft_tokens", "shuffle", "sees")
"""What a sweep may vary."""
MOST_MIXTURES = 200
"""Mixtures of a sweep."""


class StageProgress(Protocol):
    """Shows how far a run is."""

    def started(self, stage: str, total: int) -> None:
        """Take note that a stage begins."""

    def moved(self, stage: str, cap: SpendingCap) -> None:
        """Take note that one more prompt of the stage is finished."""


@dataclass(frozen=True)
class Options:
    """What the user chose.

    Attributes:
        samples: Drafts of each model for each prompt.
        max_cost: Dollars that the run may spend, drafts, verdicts and candidates together.
        limit: Number of prompts, drawn by the seed; None for all.
        seed: Seed of the draw, of the order of drafts and of the splits.
        worth: Points that would make a mixture worth it: a gain of this size must be ruled out for "single".
        concurrency: Prompts that run at once.
        paid: Whether candidates whose last step is a call are tried.
        sweep: Values by field; they replace the paid candidates.
        out: The folder of the run's files; None writes none.
        ledger: The file with the drafts of all runs.
    """

    samples: int = 5
    max_cost: float | None = None
    limit: int | None = None
    seed: int = 0
    worth: float = 5.0
    concurrency: int = 8
    paid: bool = True
    sweep: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    out: Path | None = None
    ledger: Path | None = None


def check_options(options: Options) -> None:
    """Refuse options that are out of their bounds.

    Raises:
        InputError: An option is out of its bounds.
    """
    bounds = {"samples": (1, 64), "worth": (0, 100), "concurrency": (1, 1000), "seed": (0, 2**32 - 1)}
    for name, (low, high) in bounds.items():
        value = getattr(options, name)
        if not _is_number(value) or not low <= value <= high:
            raise InputError(f"{name}: {value!r} is not a number from {low} to {high}")
    for name in ("samples", "concurrency", "seed"):
        if not isinstance(getattr(options, name), int):
            raise InputError(f"{name}: {getattr(options, name)!r} is not a whole number")
    if options.max_cost is not None and not (_is_number(options.max_cost) and 0 <= options.max_cost < float("inf")):
        raise InputError(f"max_cost: {options.max_cost!r} is not an amount of dollars")
    if options.limit is not None and (not _is_whole(options.limit) or options.limit < FEWEST):
        raise InputError(f"limit: {options.limit!r} is not a number of prompts; the least is {FEWEST}")
    if not isinstance(options.paid, bool):
        raise InputError(f"paid: {options.paid!r} is not True or False")
    _check_sweep(options.sweep)


def _check_sweep(sweep: Any) -> None:
    for name, values in sweep.items() if isinstance(sweep, Mapping) else ((sweep, ()),):
        if name not in FIELDS or not isinstance(values, list | tuple) or not values:
            raise InputError(
                f"sweep: {name!r} is not a field with a list of values, such as {{'layers': [2, 3]}}. Fields are "
                f"{', '.join(FIELDS)}"
            )
        if len(set(map(str, values))) < len(values):
            raise InputError(f"sweep: {name}: a value is given twice")
    size = math.prod(map(len, sweep.values()))
    if size > MOST_MIXTURES:
        raise InputError(f"sweep: {size} mixtures are too many; the most is {MOST_MIXTURES}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def read_prompts(
    source: str | Path | Sequence[Any], options: Options, *, match: Match | None = None
) -> tuple[list[OwnPrompt], list[str]]:
    """Return the prompts in a random order, and notes about them.

    Args:
        source: A file as `moa eval run` takes it, a published set by its name, or a list of prompts or of such rows.
        options: Limit and seed.
        match: How answers are compared where a row does not say.

    Raises:
        InputError: A row cannot be used, or there are too few.
    """
    if isinstance(source, str | Path):
        name = Path(source).as_posix()
        path = Path(source)
        if name.startswith(OBJECTIVE) and not path.exists():
            path = assets.fetch(name).path
        found = own_prompts(read_rows(path), str(source), match=match)
    else:
        if not isinstance(source, list | tuple):
            raise InputError(f"prompts: give a file or a list of rows, not {source!r:.60}")
        made = [each for each in source if isinstance(each, OwnPrompt)]
        rows = [each for each in source if isinstance(each, dict)]
        if len(source) not in (len(made), len(rows)):
            raise InputError("prompts: every row must be a mapping with `prompt` or `messages`")
        found = made or own_prompts(rows, "prompts", match=match)
    once, repeated = distinct(found)
    notes = [f"prompts that are in the file twice, counted once: {repeated}"] if repeated else []
    chosen = choose(once, lambda prompt: prompt.id, RunOptions(Path(), options.limit, seed=options.seed))
    if len(chosen) < FEWEST:
        raise InputError(f"{len(chosen)} prompts are too few to choose on; give at least {FEWEST}, better 200")
    return chosen, notes


_READERS: Mapping[str, AnswerReader] = {
    "choice": AnswerReader(read="choice", choices="ABCDEFGHIJ"),
    "exact": AnswerReader(read="text"),
}


def reader_of(prompts: Sequence[OwnPrompt]) -> AnswerReader:
    """Return how final answers are read in votes: as most of the prompts' answers are compared."""
    most = Counter(prompt.match for prompt in prompts).most_common(1)[0][0]
    return _READERS.get(most, AnswerReader())


def run_hash(prompts: Sequence[OwnPrompt], pool: Pool, options: Options, how: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits over what decides the result: prompts, pool, drafts, grading, seed, version."""
    parts = {
        "prompts": [asdict(prompt) for prompt in prompts],
        "pool": [identity_of(spec) if isinstance(spec.model, str) else spec.label for spec in pool.models],
        "aggregators": [spec.label for spec in pool.aggregators],
        "shared": {name: value for name, value in pool.shared.items() if name in ("system", "draft_tokens")},
        "options": {name: getattr(options, name) for name in ("samples", "seed", "worth", "paid")},
        "sweep": {name: list(map(str, values)) for name, values in options.sweep.items()},
        "grading": dict(how),
        "version": moa_graph.__version__,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def ledger_path() -> Path:
    """Return where the drafts of all runs are kept when no other file is named: in the user's own folder."""
    return home() / "drafts.db"
