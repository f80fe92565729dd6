"""What is tried: every model alone, samples of the best one, complementary subsets, and every combiner on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from moa_graph.evals.tune import free
from moa_graph.evals.tune.ceiling import coverage
from moa_graph.evals.tune.free import Draws, FreeOutcome
from moa_graph.evals.tune.samples import Samples, known_mean

__all__ = ["CandidatePlan", "by_score", "complement", "free_plans", "greedy", "paid_plans"]

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
        kind: What candidates of one sort are alike in, such as "vote".
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


def greedy(samples: Samples, first: int, *, largest: int = LARGEST) -> list[tuple[int, ...]]:
    """Return growing subsets: each adds the model that is right on the most prompts that the others miss.

    Args:
        samples: The drafts.
        first: The model to begin with.
        largest: Members of the largest subset.
    """
    chosen = [first]
    found: list[tuple[int, ...]] = []
    while len(chosen) < min(largest, len(samples.models)):
        left = [model for model in range(len(samples.models)) if model not in chosen]
        chosen.append(max(left, key=lambda model: (coverage(samples, [*chosen, model]), -model)))
        found.append(tuple(chosen))
    return found


def by_score(samples: Samples) -> list[int]:
    """Return the models, the best first."""
    means = np.nan_to_num(known_mean(known_mean(samples.scores, axis=2), axis=1))
    return sorted(range(len(means)), key=lambda model: -float(means[model]))


def free_plans(samples: Samples, *, texts: bool = True) -> list[CandidatePlan]:
    """Return the candidates that cost no call beside the drafts.

    Args:
        samples: The drafts.
        texts: Whether drafts are texts that can be compared; recorded final answers are not.
    """
    order = by_score(samples)
    plans = [_single(samples, model) for model in range(len(samples.models))]
    subsets = _subsets(samples, order)
    for model in order[:2]:
        subsets += [(model,) * many for many in (3, 5, samples.counts[model]) if 3 <= many <= samples.counts[model]]
    for members in dict.fromkeys(subsets):
        if samples.votable and len(members) > 2:
            plans.append(_vote(samples, members))
        if texts:
            plans.append(_medoid(samples, members))
    if samples.votable:
        plans += _escalations(samples, order)
        plans += _adaptives(samples, order)
    return plans


def _subsets(samples: Samples, order: Sequence[int]) -> list[tuple[int, ...]]:
    """Return all subsets of a small pool; of a large one the complementary ones and the best models."""
    if len(order) <= EVERY:
        return [group for many in range(2, len(order) + 1) for group in combinations(range(len(order)), many)]
    best = [tuple(order[:many]) for many in range(2, min(LARGEST, len(order)) + 1)]
    return list(dict.fromkeys([*greedy(samples, order[0]), *best]))


def complement(samples: Samples) -> tuple[int, ...]:
    """Return the subset whose drafts the paid candidates use: it grows while another model adds half a point."""
    order = by_score(samples)
    chosen: tuple[int, ...] = (order[0],)
    for group in greedy(samples, order[0], largest=4):
        if len(group) > 2 and coverage(samples, group) < coverage(samples, chosen) + 0.005:
            break
        chosen = group
    return chosen


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


def _escalations(samples: Samples, order: Sequence[int]) -> list[CandidatePlan]:
    """Return pairs of cheap models that ask the best one where they differ."""
    best, cheap = order[0], [model for model in range(len(samples.models)) if model != order[0]]
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


def _adaptives(samples: Samples, order: Sequence[int]) -> list[CandidatePlan]:
    return [_adaptive(samples, model) for model in order[:2] if samples.counts[model] >= 5]


def _adaptive(samples: Samples, model: int) -> CandidatePlan:
    most = min(samples.counts[model], ADAPTIVE)
    return CandidatePlan(
        f"adaptive vote: {samples.models[model]}, up to {most}",
        "adaptive vote",
        (model,) * most,
        {"name": "vote", "answer": samples.reader, "batch": 1, "sure": SURE},
        compute=lambda table, draws: free.adaptive(table, draws, model, most=most, sure=SURE),
    )


def paid_plans(
    samples: Samples, *, writers: Sequence[str], subset: Sequence[int], verify: Any = None, criteria: str | None = None
) -> list[CandidatePlan]:
    """Return the candidates whose last step is a call, the most promising ones first.

    Args:
        samples: The drafts.
        writers: The names of the models that may write or judge.
        subset: The members of the most complementary subset.
        verify: What `verify` checks drafts with; None leaves it out.
        criteria: What judges are to judge by.
    """
    order, members = by_score(samples), tuple(subset)
    best = order[0]
    own = (best,) * min(samples.counts[best], max(len(members), 3))
    groups = [group for group in dict.fromkeys([members, own]) if len(group) > 1]
    judged = {"name": "select", **({"criteria": criteria} if criteria else {})}
    plans: list[CandidatePlan] = []
    for group in groups:
        who = label(samples, group)
        for place, writer in enumerate(writers):
            plans.append(CandidatePlan(f"synthesize by {writer}: {who}", "synthesize", group, "synthesize", place))
        plans.append(CandidatePlan(f"select by {writers[0]}: {who}", "select", group, judged, 0))
    if not groups:
        return plans
    group, who = groups[0], label(samples, groups[0])
    if len(set(group)) > 1:
        plans.append(CandidatePlan(f"select by peers: {who}", "select", group, {**judged, "by": "peers"}, 0))
    for name in ("analyze", "critique"):
        plans.append(CandidatePlan(f"{name} by {writers[0]}: {who}", name, group, name, 0))
    plans.append(
        CandidatePlan(
            f"synthesize by {writers[0]}, paper prompt: {who}", "prompt", group, "synthesize", 0, {"prompt": "paper"}
        )
    )
    plans.append(
        CandidatePlan(f"synthesize by {writers[0]}, 3 layers: {who}", "layers", group, "synthesize", 0, {"layers": 3})
    )
    if verify is not None:
        plans.append(CandidatePlan(f"verify: {who}", "verify", group, {"name": "verify", "check": verify}, 0))
    return plans
