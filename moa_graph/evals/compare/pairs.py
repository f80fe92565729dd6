"""All pairs of recorded systems, on the prompts that both have."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import fsum
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.alpaca_eval.figures import alpaca_figures
from moa_graph.evals.compare.systems import ScoredSystem, Values, named_apart
from moa_graph.evals.figures import as_pair
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.stats import Interval, fraction_interval, holm, mcnemar, mean_interval, paired

_OVERLAP = 0.9
"""Shared part of the larger system's prompts below which a pair gets a warning."""
_SCALES = {"mt-bench": (1.0, 10.0), "flask": (1.0, 5.0)}
"""Lowest and highest score of the benchmarks whose answers are rated. All others have percentages."""
_FITTED = 40
"""Up to this number of systems, a length control is fitted for systems without one."""


def compare(systems: Sequence[ScoredSystem], *, seed: int = 0) -> dict[str, Any]:
    """Compare all pairs: difference, interval, p, McNemar's p, both with Holm over the pairs, and whether they tie.

    A pair with different judges, references or ways of judging, or with fewer than two shared prompts, is not compared
    and is listed under `refused`.

    Args:
        systems: Two or more systems; those with the same name are numbered.
        seed: Seed of the permutation tests.

    Raises:
        InputError: The systems are of different benchmarks, or no pair can be compared.
    """
    if len({system.benchmark for system in systems}) > 1:
        raise InputError(
            "the systems are of different benchmarks: " + ", ".join(f"{s.name} ({s.benchmark})" for s in systems)
        )
    systems = [_in_order(system) for system in named_apart(systems)]
    values = {system.name: _paired_by(system) for system in systems}
    reasons = {
        (a.name, b.name): incomparable(a, b) or _unshared(values[a.name], values[b.name])
        for a, b in combinations(systems, 2)
    }
    fitting = [(a, b) for a, b in combinations(systems, 2) if reasons[a.name, b.name] is None]
    refused = [{"a": a, "b": b, "reason": reason} for (a, b), reason in reasons.items() if reason]
    if not fitting:
        first = refused[0]
        raise InputError(f"{first['a']} and {first['b']} cannot be compared: {first['reason']}")
    rows = [_pair(a, b, values[a.name], values[b.name], seed) for a, b in fitting]
    _adjust(rows)
    for row, (a, b) in zip(rows, fitting, strict=True):
        if shared := a.verdicts.keys() & b.verdicts.keys():
            row["mcnemar_p"] = mcnemar([a.verdicts[k] for k in shared], [b.verdicts[k] for k in shared])
        if a.parts and b.parts:
            row["skills"] = _parts(a, b, seed)
    exact = [row for row in rows if "mcnemar_p" in row]
    for row, p in zip(exact, holm([row["mcnemar_p"] for row in exact]), strict=True):
        row["mcnemar_p_holm"] = p
    warnings = [f"{row['a']} and {row['b']} were not compared: {row['reason']}" for row in refused]
    warnings += [warning for row in rows if (warning := _overlap(row))]
    overview = [_overview(system, fitted=len(systems) <= _FITTED) for system in systems]
    return {
        "benchmark": systems[0].benchmark,
        "systems": overview,
        "pairs": rows,
        "refused": refused,
        "warnings": warnings,
    }


def incomparable(a: ScoredSystem, b: ScoredSystem) -> str | None:
    """Return why two systems cannot be compared; None when they can."""
    if a.judges != b.judges:
        return f"they have different judges ({_list(a.judges)}; {_list(b.judges)})"
    each_other = a.references == {b.name} and b.references == {a.name}
    if a.references != b.references and not each_other:
        return f"they were judged against different references ({_list(a.references)}; {_list(b.references)})"
    if a.mode != b.mode:
        return f"they were judged in different ways ({a.mode or 'one order'}; {b.mode or 'one order'})"
    shared = a.texts.keys() & b.texts.keys()
    if differing := sum(a.texts[key] != b.texts[key] for key in shared):
        what = {"flask": "are of different sets", "prompts": "have different prompts under the same ids"}.get(
            a.benchmark, "were judged against different reference outputs"
        )
        return f"they {what}: {differing} of {len(shared)} shared prompts differ"
    return _graded_apart(a, b)


def _graded_apart(a: ScoredSystem, b: ScoredSystem) -> str | None:
    """Return how two systems' answers to the same own prompts were graded differently; None when they were not."""
    shared = sorted(a.grading.keys() & b.grading.keys(), key=str)
    apart = {key: _differing(a.grading[key], b.grading[key]) for key in shared}
    if not any(apart.values()):
        return None
    what = ", ".join(dict.fromkeys(name for names in apart.values() for name in names))
    return (
        f"they were graded differently ({what}): {sum(map(bool, apart.values()))} of {len(shared)} shared prompts, "
        f"first {next(key for key, names in apart.items() if names)}"
    )


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the names whose values differ; a name that one side does not know does not differ."""
    return [name for name in one if name in other and one[name] != other[name]]


def _list(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _in_order(system: ScoredSystem) -> ScoredSystem:
    """Return a system with its scores sorted by prompt, so that no result depends on the order of a file."""
    values, *parts = (
        dict(sorted(scores.items(), key=lambda item: str(item[0])))
        for scores in (system.values, *system.parts.values())
    )
    return replace(system, values=values, parts=dict(zip(system.parts, parts, strict=True)))


def _paired_by(system: ScoredSystem) -> Values:
    """Return the scores that are paired. A repetition has no counterpart, so own prompts are paired by their means."""
    if system.benchmark != "prompts":
        return system.values
    return {(prompt,): score for prompt, score in system.by_prompt.items()}


def _unshared(mine: Values, theirs: Values) -> str | None:
    """Return why two systems' scores cannot be paired; None when they can."""
    shared = {key[0] for key in mine.keys() & theirs.keys()}
    return None if len(shared) > 1 else "they share fewer than two prompts"


def _pair(a: ScoredSystem, b: ScoredSystem, mine: Values, theirs: Values, seed: int) -> dict[str, Any]:
    shared = [key for key in mine if key in theirs]
    clusters = [key[0] for key in shared]
    low, high = _SCALES.get(a.benchmark, (0.0, 100.0))
    found = paired(
        [mine[k] for k in shared], [theirs[k] for k in shared], clusters=clusters, seed=seed, most=high - low
    )
    return {
        "a": a.name,
        "b": b.name,
        "n": found.n,
        "n_a": len({key[0] for key in mine}),
        "n_b": len({key[0] for key in theirs}),
        "mean_a": fsum(mine[k] for k in shared) / len(shared),
        "mean_b": fsum(theirs[k] for k in shared) / len(shared),
        "difference": found.difference,
        "interval": as_pair(Interval(found.low, found.high)),
        "caution": found.caution,
        "standard_error": found.standard_error,
        "p": found.p,
        "tied": found.tied,
    }


def _overlap(row: Mapping[str, Any]) -> str | None:
    most = max(row["n_a"], row["n_b"])
    if row["n"] >= _OVERLAP * most:
        return None
    return (
        f"{row['a']} and {row['b']} share {row['n']} prompts of {row['n_a']} and {row['n_b']}: the difference is on "
        "these alone"
    )


def _adjust(rows: Sequence[dict[str, Any]]) -> None:
    """Apply Holm over this family of tests; a difference that does not survive it is a tie."""
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
        row["tied"] = row["tied"] or p >= 0.05


def _parts(a: ScoredSystem, b: ScoredSystem, seed: int) -> dict[str, Mapping[str, Any]]:
    rows = {}
    for part in [skill for skill in flask.SKILLS if skill in a.parts and skill in b.parts]:
        if not _unshared(a.parts[part], b.parts[part]):
            rows[part] = _pair(a, b, a.parts[part], b.parts[part], seed)
    _adjust(list(rows.values()))
    return {part: {k: v for k, v in row.items() if k not in ("a", "b")} for part, row in rows.items()}


def _overview(system: ScoredSystem, *, fitted: bool) -> dict[str, Any]:
    """Return one system's own figures: mean, interval, length control, cost, and means by category."""
    values, clusters = list(system.values.values()), [key[0] for key in system.values]
    width = score_interval(system.benchmark, values, clusters)
    spent = system.figures.get("generation") or {}
    return {
        "name": system.name,
        "n": len(set(clusters)),
        "mean": fsum(values) / len(values),
        "interval": as_pair(width),
        "caution": width.caution if width else None,
        **({"length_controlled_winrate": _length_controlled(system, fitted)} if system.benchmark == "alpaca" else {}),
        "cost": spent.get("cost"),
        "degraded": system.figures.get("degraded"),
        "categories": _by_category(system),
    }


def score_interval(
    benchmark: str, values: Sequence[float], clusters: Sequence[Hashable] | None = None
) -> Interval | None:
    """Return the interval of the mean score: Wilson's of percentages, Student's t of ratings, within their scale."""
    if scale := _SCALES.get(benchmark):
        return mean_interval(values, clusters=clusters, scale=scale)
    return fraction_interval(values, clusters=clusters, scale=100)


def _length_controlled(system: ScoredSystem, fitted: bool) -> float | None:
    recorded = system.figures.get("length_controlled_winrate")
    if recorded is not None or not fitted:
        return recorded
    rate = alpaca_figures(system.rows, intervals=False)["length_controlled_winrate"]
    return None if rate is None else float(rate)


def _by_category(system: ScoredSystem) -> dict[str, float]:
    pools: dict[str, list[float]] = {}
    for key, value in system.values.items():
        name: Hashable = key[1] if system.benchmark == "flask" else system.categories.get(key[0])
        if name is not None:
            pools.setdefault(str(name), []).append(value)
    return {name: fsum(values) / len(values) for name, values in sorted(pools.items())}


def verdict(row: Mapping[str, Any]) -> str:
    """Return the result in words: "tied" when it is."""
    if row["tied"]:
        return "tied"
    return f"{row['a'] if row['difference'] > 0 else row['b']} is better"
