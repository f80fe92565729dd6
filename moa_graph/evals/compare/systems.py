"""A recorded system in a comparison: its scores by prompt, and the data that decides whether it is comparable."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import fsum
from typing import Any

from moa_graph.evals.data.files import Row

__all__ = ["ScoredSystem", "Values", "named_apart"]

Values = dict[tuple[Hashable, ...], float]


@dataclass(frozen=True)
class ScoredSystem:
    """One system's scores by (prompt, part).

    Attributes:
        names: Possible names, the preferred one first.
        benchmark: Systems of different benchmarks cannot be compared.
        judges: Names of the judges.
        values: Scores; the first element of a key is the prompt.
        references: Names of the references.
        texts: The reference of each prompt (a text, FLASK's skills), if the file has it.
        mode: The way of judging ("both orders"), or the set of the benchmark.
        grading: How the answers to each own prompt were graded, as far as the file says.
        verdicts: Wins by key, if there are any.
        parts: Scores by part of the benchmark (a FLASK skill).
        categories: The category of each prompt, if there are several.
        figures: Cost and other figures of the run, if it is a run's folder.
        rows: The recorded rows.
    """

    names: tuple[str, ...]
    benchmark: str
    judges: frozenset[str]
    values: Values
    references: frozenset[str] = frozenset()
    texts: Mapping[Any, str] = field(default_factory=dict)
    mode: str = ""
    grading: Mapping[Any, Mapping[str, Any]] = field(default_factory=dict)
    verdicts: Mapping[tuple[Hashable, ...], bool] = field(default_factory=dict)
    parts: Mapping[str, Values] = field(default_factory=dict)
    categories: Mapping[Any, str] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[Row] = field(default=(), repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.names[0]

    @cached_property
    def by_prompt(self) -> dict[Any, float]:
        """The mean score of each prompt: of its repetitions, turns or skills."""
        pools: dict[Any, list[float]] = {}
        for key, value in self.values.items():
            pools.setdefault(key[0], []).append(value)
        return {prompt: fsum(values) / len(values) for prompt, values in pools.items()}


def named_apart(systems: Sequence[ScoredSystem]) -> list[ScoredSystem]:
    """Return the systems with distinct names: systems that share one use their next name, or else a number."""
    named = list(systems)
    for name in dict.fromkeys(system.name for system in systems):
        same = [place for place, system in enumerate(systems) if system.name == name]
        if len(same) > 1:
            taken = {system.name for system in named if system.name != name}
            for place, other in zip(same, _apart([systems[place].names for place in same], taken), strict=True):
                named[place] = replace(systems[place], names=(other,))
    return named


def _apart(names: Sequence[Sequence[str]], taken: set[str]) -> list[str]:
    for level in range(1, max(map(len, names))):
        found = [entry[min(level, len(entry) - 1)] for entry in names]
        if len(set(found)) == len(found) and not taken & set(found):
            return found
    return [f"{entry[0]} ({number})" for number, entry in enumerate(names, 1)]
