"""`--sweep layers=2,3 aggregator=a,b prompt=paper,fenced`: a grid of mixtures on the same drafts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import yaml

from moa_graph.errors import InputError
from moa_graph.evals.figures import Figures
from moa_graph.evals.stats import holm, paired
from moa_graph.evals.tune.candidates import CandidatePlan
from moa_graph.evals.tune.race import Measured
from moa_graph.evals.tune.settings import FIELDS
from moa_graph.evals.tune.splits import Bools

__all__ = ["grid", "main_effects", "read_sweep"]

Sweep = Mapping[str, Sequence[Any]]


def read_sweep(entries: Sequence[str]) -> dict[str, list[Any]]:
    """Read `FIELD=VALUE,VALUE` entries.

    Raises:
        InputError: An entry is malformed, or a field is unknown or given twice.
    """
    found: dict[str, list[Any]] = {}
    for entry in entries:
        name, sign, text = entry.partition("=")
        if name not in FIELDS or not sign or not text:
            raise InputError(f"--sweep {entry!r}: write FIELD=VALUE,VALUE; fields are {', '.join(FIELDS)}")
        if name in found:
            raise InputError(f"--sweep: {name} is given twice; write all of its values behind one another")
        parts = [part.strip() for part in text.split(",")]
        if not all(parts):
            raise InputError(f"--sweep {entry!r}: a value is empty; write FIELD=VALUE,VALUE")
        found[name] = [_value(part) for part in parts]
    return found


def _value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # a date that does not exist is a ValueError
        return text


def grid(
    sweep: Sweep, names: Sequence[str], writers: Sequence[str], *, depth: int, verify: Any = None
) -> list[CandidatePlan]:
    """Return the mixtures of a sweep.

    Args:
        sweep: Values by field.
        names: The pool's models. `models` picks some of them, as "a+b"; all by default.
        writers: The models that may write; `aggregator` picks one.
        depth: Drafts of each model: the most that `samples` may be.
        verify: What `combine=verify` checks drafts with.

    Raises:
        InputError: A value names a model that is not in the pool, wants more drafts than there are, or is `verify`
            without a check.
    """
    plans = []
    for values in product(*sweep.values()):
        setting = dict(zip(sweep, values, strict=True))
        name = ", ".join(f"{field}={value}" for field, value in setting.items())
        members = [_place(each, names, "models") for each in str(setting.pop("models", "+".join(names))).split("+")]
        many = setting.pop("samples", 1)
        if not isinstance(many, int) or isinstance(many, bool) or not 1 <= many <= depth:
            raise InputError(f"--sweep samples={many}: it must be a whole number from 1 to --samples, {depth}")
        if (most := max(map(members.count, members))) * many > depth:
            raise InputError(f"--sweep {name}: it needs {most * many} drafts of one model, and --samples is {depth}")
        writer = _place(str(setting.pop("aggregator", writers[0])), writers, "aggregator")
        combine = setting.pop("combine", "synthesize")
        if combine == "verify":
            if verify is None:
                raise InputError("--sweep combine=verify: name the check in the pool, such as verify: {command: [...]}")
            combine = {"name": "verify", "check": verify}
        slots = tuple(member for member in members for _ in range(many))
        plans.append(CandidatePlan(name, name, slots, combine, writer, setting))
    return plans


def _place(name: str, names: Sequence[str], field: str) -> int:
    if name.strip() not in names:
        raise InputError(f"--sweep {field}={name}: it is not one of {', '.join(names)}")
    return list(names).index(name.strip())


def main_effects(sweep: Sweep, measured: Sequence[Measured]) -> list[Figures]:
    """Return every value's mean over the grid, and its paired difference from the field's first value.

    They are over the prompts on which every mixture of the grid has a grade, as the choice is.

    Args:
        sweep: Values by field.
        measured: The grid's candidates in the order of `grid`.
    """
    settings = [dict(zip(sweep, values, strict=True)) for values in product(*sweep.values())]
    rows: list[Figures] = []
    tables = [each.scores for each in measured if each.whole]
    known = np.asarray(~np.isnan(np.stack(tables)).any(axis=0) if tables else [], dtype=bool)
    if known.sum() < 2:
        return rows
    for field, values in sweep.items():
        base = _mean_scores(measured, [setting[field] == values[0] for setting in settings], known)
        for value in values:
            own = _mean_scores(measured, [setting[field] == value for setting in settings], known)
            row: Figures = {"field": field, "value": str(value), "score": None if own is None else 100 * own.mean()}
            if value != values[0] and own is not None and base is not None:
                found = paired((100 * own).tolist(), (100 * base).tolist(), most=100)
                row |= {"gain": found.difference, "interval": [found.low, found.high], "p": found.p}
                row |= {"caution": found.caution}
            rows.append(row)
    tested = [row for row in rows if "p" in row]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p
    return rows


def _mean_scores(measured: Sequence[Measured], chosen: Sequence[bool], known: Bools) -> Any:
    tables = [each.scores[known] for each, wanted in zip(measured, chosen, strict=True) if wanted and each.whole]
    if not tables:
        return None
    return np.stack(tables).mean(axis=0)
