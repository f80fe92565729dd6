"""The candidates whose last step is a call: every combiner on a complementary subset, and on the best model alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moa_graph.evals.tune.candidates import CandidatePlan, by_score, greedy, label
from moa_graph.evals.tune.ceiling import coverage
from moa_graph.evals.tune.samples import Floats, Samples

__all__ = ["complement", "paid_plans"]


def complement(scores: Floats) -> tuple[int, ...]:
    """Return the subset whose drafts the paid candidates use: it grows while another model adds half a point.

    Args:
        scores: Grades of the drafts, shape (models, prompts, drafts).
    """
    order = by_score(scores)
    chosen: tuple[int, ...] = (order[0],)
    for group in greedy(scores, order[0], largest=4):
        if len(group) > 2 and coverage(scores, group) < coverage(scores, chosen) + 0.005:
            break
        chosen = group
    return chosen


def paid_plans(
    samples: Samples,
    *,
    best: int,
    writers: Sequence[str],
    subset: Sequence[int],
    verify: Any = None,
    criteria: str | None = None,
) -> list[CandidatePlan]:
    """Return the candidates whose last step is a call, the most promising ones first.

    Args:
        samples: The drafts.
        best: The model whose own drafts are tried too (Self-MoA).
        writers: The names of the models that may write or judge.
        subset: The members of the most complementary subset.
        verify: What `verify` checks drafts with; None leaves it out.
        criteria: The judges' criteria.
    """
    members = tuple(subset)
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
