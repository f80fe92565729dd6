"""Plans as mixtures, and mixtures as files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from moa_graph.errors import ConfigError, InputError
from moa_graph.evals.data.files import write
from moa_graph.evals.tune.candidates import CandidatePlan
from moa_graph.evals.tune.pool import Pool
from moa_graph.mixture.files import read
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer

__all__ = ["SOURCE", "is_tuned", "mixture_of", "write_mixture"]

SOURCE = "moa tune, run "
"""How `source` of a mixture file of `moa tune` begins."""

_PARTS = ("proposers", "rounds", "aggregator", "layers", "prompt", "system", "shuffle", "sees", "combine", "combiners",
          "draft_tokens", "deadline", "prices")  # fmt: skip


def mixture_of(plan: CandidatePlan, pool: Pool, writers: Sequence[Proposer]) -> Mixture:
    """Return the mixture that a plan describes; for a single model, the one that asks that model alone.

    Args:
        plan: The plan.
        pool: The models.
        writers: The models that may write or judge.
    """
    counts = Counter(plan.members)
    proposers = [_sampled(pool.models[member], many) for member, many in counts.items()]
    writer = pool.models[plan.members[0]] if plan.aggregator is None else writers[plan.aggregator]
    if plan.single:
        return Mixture(proposers=proposers, aggregator=writer, layers=1, **pool.shared)
    combine = plan.combine
    if plan.strong is not None:
        combine = {**combine, "strong": [_sampled(pool.models[plan.strong], 1)]}
    return Mixture(proposers=proposers, aggregator=_sampled(writer, 1), combine=combine, **pool.shared, **plan.fields)


def _sampled(spec: Proposer, many: int) -> Proposer:
    return spec.model_copy(update={"samples": many})


def write_mixture(mixture: Mixture, path: Path, *, about: Mapping[str, str]) -> None:
    """Write a mixture as a file that `moa ask --file` takes and that has the mixture's hash.

    Args:
        mixture: The mixture.
        path: The file, which ends in .yaml or .yml.
        about: `name`, `description`, `date`, `source` and `note` of the file.

    Raises:
        InputError: A model is a Python object, which no file can name.
    """
    objects = [spec.label for spec in mixture.specs if not isinstance(spec.model, str)]
    if objects:
        raise InputError(f"{path}: {objects[0]} is a Python object and cannot be named in a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({**about, **_as_fields(mixture)}, sort_keys=False, allow_unicode=True, width=110)
    write(path, text.encode())
    again = Mixture.load(path, trust=True)
    if again.hash != mixture.hash:
        raise InputError(f"{path}: the file does not reproduce the mixture {mixture.hash}; its hash is {again.hash}")


def is_tuned(path: Path) -> bool:
    """Return whether a file is a mixture that `moa tune` wrote."""
    try:
        return str(read(path).get("source", "")).startswith(SOURCE)
    except ConfigError:
        return False


def _as_fields(mixture: Mixture) -> dict[str, Any]:
    """Return the fields of a mixture that a file needs, without defaults."""
    given: dict[str, Any] = mixture.model_dump(mode="json", exclude_defaults=True, include=set(_PARTS))
    found = {name: _plain(given[name]) for name in _PARTS if name in given}
    if mixture.combine != Mixture.model_fields["combine"].default:
        found["combine"] = {"name": mixture.combine.name, **_plain(given["combine"])}
    return found


def _plain(value: Any) -> Any:
    """Return a model that is only named as its name."""
    if isinstance(value, dict):
        return value["model"] if set(value) == {"model"} else {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
