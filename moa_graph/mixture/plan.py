"""The proposer nodes of a mixture and the rounds they make up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from moa_graph.errors import ConfigError
from moa_graph.mixture.proposer import Proposer
from moa_graph.mixture.validation import refuse_unknown

__all__ = ["Plan", "PlannedNode", "plan_of", "refuse_duplicates", "split_rounds"]


class PlannedNode(NamedTuple):
    """A proposer node: its name in the graph and its model."""

    name: str
    spec: Proposer


class Plan(NamedTuple):
    """The proposer nodes, and the node names of each round in slot order."""

    nodes: list[PlannedNode]
    rounds: list[list[str]]

    @property
    def specs(self) -> dict[str, Proposer]:
        """The proposers by the names of their nodes."""
        return {node.name: node.spec for node in self.nodes}


def plan_of(rounds: Sequence[Sequence[Proposer]]) -> Plan:
    """Return the nodes for rounds of proposers.

    A proposer of several rounds is one node; k samples of it in one round are k nodes. Numbers are padded
    with zeros, so that text order is declaration order.
    """
    wanted: dict[tuple[str, int], Proposer] = {}
    keys: list[list[tuple[str, int]]] = []
    for specs in rounds:
        seen: Counter[str] = Counter()
        found = []
        for spec in (each for each in specs for _ in range(each.samples)):
            key = _identity(spec)
            found.append((key, seen[key]))
            wanted.setdefault(found[-1], spec)
            seen[key] += 1
        keys.append(found)
    width = len(str(len(wanted) - 1))
    names = {key: f"p{place:0{width}d}-{spec.slug}" for place, (key, spec) in enumerate(wanted.items())}
    return Plan(
        [PlannedNode(names[key], spec) for key, spec in wanted.items()], [[names[k] for k in each] for each in keys]
    )


def _identity(spec: Proposer) -> str:
    data = spec.model_dump(mode="json", exclude={"samples", "model"})
    who = spec.model if isinstance(spec.model, str) else id(spec.model)
    return json.dumps([who, data], sort_keys=True, default=str)


def refuse_duplicates(specs: Sequence[Proposer]) -> None:
    """Refuse a round that lists one proposer twice.

    Raises:
        ConfigError: Two entries have the same model and settings.
    """
    for key, times in Counter(map(_identity, specs)).items():
        if times > 1:
            spec = next(s for s in specs if _identity(s) == key)
            raise ConfigError(
                f"mixture.proposers: {spec.label} is listed {times} times with the same settings. "
                f"If that is meant, write it once with samples={times}."
            )


def split_rounds(data: Any) -> Any:
    """Return a mixture's fields with rounds written as `{proposers: [...], sees: k}` taken apart.

    Raises:
        ConfigError: A round has an unknown field, or `sees` is given twice.
    """
    rounds = data.get("rounds") if isinstance(data, Mapping) else None
    if not isinstance(rounds, list | tuple) or not any(map(_is_round, rounds)):
        return data
    if data.get("sees") is not None:
        raise ConfigError("mixture.sees: given for the mixture and for a round. Remove one.")
    for each in filter(_is_round, rounds):
        refuse_unknown(each, {"proposers": 0, "sees": 0}, what="mixture.rounds")
    sees = [each.get("sees") if _is_round(each) else None for each in rounds]
    return {**data, "rounds": [each["proposers"] if _is_round(each) else each for each in rounds], "sees": sees}


def _is_round(value: Any) -> bool:
    return isinstance(value, Mapping) and "proposers" in value
