"""Several judges as one: their mean or their majority, and how alike they are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from statistics import median
from typing import Any, TypeAlias, TypeVar

from moa_graph.evals.figures import Figures, as_pair, cautions
from moa_graph.evals.stats import correlation, fraction_interval, kappa, kappa_interval, mean_interval

T = TypeVar("T", bound=Hashable)
Judged: TypeAlias = tuple[Hashable, ...]
Votes: TypeAlias = Mapping[str, Mapping[Judged, float]]
"""Verdicts by judge and by what was judged: a tuple whose first part is the prompt."""


def name_of(names: Sequence[str]) -> str:
    """Return the name of one judge, or of a jury."""
    return names[0] if len(names) == 1 else f"jury of {', '.join(names)}"


def preference(votes: Sequence[float], *, majority: bool) -> float | None:
    """Return the preference (1 to 2) of several judges: their mean, or the clear verdict that most of them give.

    A clear verdict is 1, 2 or a tie (1.5); where two are equally frequent it is a tie. None without votes.
    """
    if not votes:
        return None
    if not majority:
        return math.fsum(votes) / len(votes)
    return most_frequent([2.0 if vote > 1.5 else 1.0 if vote < 1.5 else 1.5 for vote in votes], tie=1.5)


def most_frequent(verdicts: Sequence[T], *, tie: T) -> T:
    """Return the verdict that most judges give; `tie` if several are equally frequent."""
    first, *others = Counter(verdicts).most_common(2)
    return tie if others and others[0][1] == first[1] else first[0]


def rating(votes: Sequence[float], *, majority: bool) -> float | None:
    """Return the rating of several judges: their mean, or their median, which most of them are near. None without."""
    if not votes:
        return None
    return float(median(votes)) if majority else math.fsum(votes) / len(votes)


def jury_figures(votes: Votes, verdict: Callable[[float], Hashable], *, scale: tuple[float, float]) -> Figures:
    """Return the mean of each judge, and how alike every two judges are; empty for fewer than two judges.

    The 95 % intervals are by prompt, that of kappa by verdict.

    Args:
        votes: Readable verdicts by judge.
        verdict: Returns the clear verdict that a vote stands for, such as which side wins.
        scale: The lowest and the highest possible vote.
    """
    known = {name: own for name, own in votes.items() if own}
    if len(known) < 2:
        return {}
    means = {name: math.fsum(own.values()) / len(own) for name, own in known.items()}
    widths = {name: mean_interval([*own.values()], clusters=_prompts(own), scale=scale) for name, own in known.items()}
    pairs = {f"{a} and {b}": _alike(known[a], known[b], verdict) for a, b in combinations(known, 2)}
    return {"means": means, "mean_intervals": {name: as_pair(width) for name, width in widths.items()}, **pairs}


def _prompts(judged: Iterable[Judged]) -> list[Hashable]:
    return [each[0] for each in judged]


def _alike(
    a: Mapping[Judged, float], b: Mapping[Judged, float], verdict: Callable[[float], Hashable]
) -> dict[str, Any]:
    shared = [key for key in a if key in b]
    ours, theirs = [a[key] for key in shared], [b[key] for key in shared]
    sides = [verdict(value) for value in ours], [verdict(value) for value in theirs]
    same = [100.0 * (x == y) for x, y in zip(*sides, strict=True)]
    chance = kappa(*sides) if shared else math.nan
    widths = {
        "same_verdict": fraction_interval(same, clusters=_prompts(shared), scale=100),
        "kappa": kappa_interval(*sides),
    }
    return {
        "n": len(shared),
        "same_verdict": math.fsum(same) / len(same) if same else None,
        "same_verdict_interval": as_pair(widths["same_verdict"]),
        "kappa": None if math.isnan(chance) else chance,
        "kappa_interval": as_pair(widths["kappa"]),
        "cautions": cautions(widths),
        "spearman": correlation(ours, theirs, ranks=True),
    }
