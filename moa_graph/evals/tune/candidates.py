"""The candidates: every model alone, samples of the best one, complementary subsets, and every combiner on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from moa_graph.evals.tune import free
from moa_graph.evals.tune.ceiling import coverage
from moa_graph.evals.tune.free import Draws, FreeOutcome
from moa_graph.evals.tune.samples import Floats, Samples, known_mean
from moa_graph.evals.tune.splits import Bools, Splits

__all__ = ["LARGEST", "CandidatePlan", "Offers", "by_score", "free_plans", "greedy", "label", "offers"]

LARGEST = 5
"""Members of the largest subset that is tried."""
EVERY = 4
"""Models up to which all subsets are tried."""
SURE = 0.95
ADAPTIVE = 40
"""Most drafts of an adaptive vote."""


@dataclass(frozen=True)
class CandidatePlan:
    """A candidate before it is measured.

    Attributes:
        name: Its name in tables.
        kind: The sort of candidate, such as "vote".
        members: The models in its slots, as places in the pool.
        combine: The combiner and its options, as a mixture has them; None for a single model.
        aggregator: The model that writes or judges, as a place in the pool's aggregators; None for the first member.
        fields: Further fields of its mixture.
        strong: The model that `escalate` calls when the members disagree.
        compute: Measures it without a call; None has its graph answer every prompt.
    """

    name: str
    kind: str
    members: tuple[int, ...]
    combine: Any = None
    aggregator: int | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    strong: int | None = None
    compute: Callable[[Samples, Draws], FreeOutcome] | None = None

    @property
    def single(self) -> bool:
        """Whether it is one model, asked once."""
        return self.combine is None


def greedy(scores: Floats, first: int, *, largest: int = LARGEST) -> list[tuple[int, ...]]:
    """Return growing subsets: each adds the model that is right on the most prompts that the others miss.

    Args:
        scores: Grades of the drafts, shape (models, prompts, drafts).
        first: The model to begin with.
        largest: Members of the largest subset.
    """
    chosen = [first]
    found: list[tuple[int, ...]] = []
    while len(chosen) < min(largest, len(scores)):
        left = [model for model in range(len(scores)) if model not in chosen]
        chosen.append(max(left, key=lambda model: (coverage(scores, [*chosen, model]), -model)))
        found.append(tuple(chosen))
    return found


def by_score(scores: Floats) -> list[int]:
    """Return the models, the best first, from grades of shape (models, prompts, drafts)."""
    means = np.nan_to_num(known_mean(known_mean(scores, axis=2), axis=1))
    return sorted(range(len(means)), key=lambda model: -float(means[model]))


def free_plans(samples: Samples, *, texts: bool = True) -> list[CandidatePlan]:
    """Return the candidates that cost no call beside the drafts.

    Args:
        samples: The drafts.
        texts: Whether drafts are texts that can be compared; recorded final answers are not.
    """
    return _plans(samples, texts, *_basis(samples.scores))


def _basis(scores: Floats) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Return what proposals depend on, by these grades: the best two models, and the subsets to try."""
    order = by_score(scores)
    return tuple(order[:2]), tuple(_subsets(scores, order))


def _plans(
    samples: Samples, texts: bool, best: tuple[int, ...], groups: tuple[tuple[int, ...], ...]
) -> list[CandidatePlan]:
    plans = [_single(samples, model) for model in range(len(samples.models))]
    subsets = list(groups)
    for model in best:
        subsets += [(model,) * many for many in (3, 5, samples.counts[model]) if 3 <= many <= samples.counts[model]]
    for members in dict.fromkeys(subsets):
        if samples.votable and len(members) > 2:
            plans.append(_vote(samples, members))
        if texts:
            plans.append(_medoid(samples, members))
    if samples.votable:
        plans += _escalations(samples, best[0])
        plans += [_adaptive(samples, model) for model in best if samples.counts[model] >= 5]
    return plans


def _subsets(scores: Floats, order: Sequence[int]) -> list[tuple[int, ...]]:
    """Return all subsets of a small pool; of a large one the complementary ones and the best models.

    The best member comes first, so that it decides a tie; the others are in the pool's order.
    """
    if len(order) <= EVERY:
        found = [group for many in range(2, len(order) + 1) for group in combinations(order, many)]
    else:
        best = [tuple(order[:many]) for many in range(2, min(LARGEST, len(order)) + 1)]
        found = [*greedy(scores, order[0]), *best]
    return list(dict.fromkeys((group[0], *sorted(group[1:])) for group in found))


@dataclass(frozen=True)
class Offers:
    """The free candidates, and who proposes them.

    Attributes:
        plans: Every candidate that all prompts together, or the choosing half of a split, propose.
        whole: Which of them all prompts together propose: one of these can be the winner.
        halves: Which of them each choosing half proposes, shape (splits, plans).
    """

    plans: list[CandidatePlan]
    whole: list[bool]
    halves: Bools


def offers(samples: Samples, splits: Splits, *, texts: bool = True) -> Offers:
    """Return the free candidates that all prompts propose, and those that each choosing half proposes.

    The best models and the complementary subsets of a half are found on that half alone, so that nothing about a split
    is decided by the prompts that report it.
    """
    plans = {plan.name: plan for plan in free_plans(samples, texts=texts)}
    whole = len(plans)
    bases = [_basis(samples.scores[:, train]) for train in splits.train]
    proposed = {basis: _plans(samples, texts, *basis) for basis in dict.fromkeys(bases)}
    for found in proposed.values():
        plans |= {plan.name: plan for plan in found if plan.name not in plans}
    places = {name: place for place, name in enumerate(plans)}
    halves = np.zeros((len(bases), len(plans)), dtype=bool)
    for row, basis in zip(halves, bases, strict=True):
        row[[places[plan.name] for plan in proposed[basis]]] = True
    return Offers(list(plans.values()), [place < whole for place in range(len(plans))], halves)


def _single(samples: Samples, model: int) -> CandidatePlan:
    return CandidatePlan(
        samples.models[model], "single", (model,), compute=lambda table, draws: free.alone(table, model)
    )


def label(samples: Samples, members: Sequence[int]) -> str:
    """Return members as a table names them: "a x3", "a + b"."""
    counts = {member: list(members).count(member) for member in members}
    return " + ".join(samples.models[m] + (f" x{times}" if times > 1 else "") for m, times in counts.items())


def _vote(samples: Samples, members: tuple[int, ...]) -> CandidatePlan:
    combine = {"name": "vote", "answer": samples.reader}
    return CandidatePlan(
        f"vote: {label(samples, members)}",
        "self-vote" if len(set(members)) == 1 else "vote",
        members,
        combine,
        compute=lambda table, draws: free.voted(table, draws, members),
    )


def _medoid(samples: Samples, members: tuple[int, ...]) -> CandidatePlan:
    # Drafts always agree by at least 0, so the strong model is called only where there is nothing to compare.
    return CandidatePlan(
        f"medoid: {label(samples, members)}",
        "self-medoid" if len(set(members)) == 1 else "medoid",
        members,
        {"name": "escalate", "agree": 0.0},
        strong=members[0],
        compute=lambda table, draws: free.medoids(table, draws, members),
    )


def _escalations(samples: Samples, best: int) -> list[CandidatePlan]:
    """Return pairs of cheap models that ask the best one where they differ."""
    cheap = [model for model in range(len(samples.models)) if model != best]
    pairs = [(a, b) for place, a in enumerate(cheap) for b in cheap[place + 1 :]]
    pairs += [(model, model) for model in cheap if samples.counts[model] >= 2]
    return [_escalate(samples, pair, best) for pair in pairs]


def _escalate(samples: Samples, pair: tuple[int, int], best: int) -> CandidatePlan:
    return CandidatePlan(
        f"escalate: {label(samples, pair)}, else {samples.models[best]}",
        "escalate",
        pair,
        {"name": "escalate", "agree": "exact", "answer": samples.reader},
        strong=best,
        compute=lambda table, draws: free.escalated(table, draws, pair, best),
    )


def _adaptive(samples: Samples, model: int) -> CandidatePlan:
    most = min(samples.counts[model], ADAPTIVE)
    return CandidatePlan(
        f"adaptive vote: {samples.models[model]}, up to {most}",
        "adaptive vote",
        (model,) * most,
        {"name": "vote", "answer": samples.reader, "batch": 1, "sure": SURE},
        compute=lambda table, draws: free.adaptive(table, draws, model, most=most, sure=SURE),
    )
