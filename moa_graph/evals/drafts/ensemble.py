"""Compare an answer with the drafts it was made from: best single proposer, oracle, rank, help and hurt."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from math import fsum

from moa_graph.errors import InputError
from moa_graph.evals.compare.pairs import score_interval
from moa_graph.evals.figures import Figures, as_pair
from moa_graph.evals.stats import Difference, paired
from moa_graph.evals.stats.intervals import LEVEL, t_quantile

Scores = Mapping[Hashable, float]
"""Scores by prompt, the higher the better."""


def ensemble_figures(
    answer: Scores,
    proposers: Mapping[str, Scores],
    *,
    benchmark: str = "prompts",
    prompts: Mapping[Hashable, Hashable] | None = None,
) -> Figures:
    """Return how an answer compares with its drafts, on the prompts with a score for all of them.

    Args:
        answer: Scores of the aggregate answer.
        proposers: Scores of each proposer's drafts.
        benchmark: The benchmark of the scores, which decides their interval.
        prompts: The prompt of each key of the scores, where a prompt has several answers. Intervals are by prompt.

    Returns:
        `aggregate` and `proposers`: means. `best_single`: the proposer with the best mean. `oracle`: the mean of the
        best draft of every prompt. `rank`: the mean rank of the answer among its drafts, 1 for the best, ties halved.
        `helped` and `hurt`: prompts on which the answer beats, or loses to, the best single proposer. `against_best`:
        the paired difference from it. `against_each`: wins plus half the ties, in percent, against each proposer.
        `by_prompt`: the scores of each prompt, the answer's rank, and whether aggregation helped or hurt.

    Raises:
        InputError: There are no proposers, or no prompts that all of them have.
    """
    if not proposers:
        raise InputError("there are no drafts to compare the answer with")
    shared = [key for key in answer if all(key in scores for scores in proposers.values())]
    if not shared:
        raise InputError("the answer and its drafts share no scored prompts")
    means = {name: fsum(scores[key] for key in shared) / len(shared) for name, scores in proposers.items()}
    best = max(means, key=lambda name: means[name])
    ours = [answer[key] for key in shared]
    theirs = [proposers[best][key] for key in shared]
    every = [[scores[key] for scores in proposers.values()] for key in shared]
    clusters = [prompts[key] if prompts else key for key in shared]
    width = score_interval(benchmark, ours, clusters)
    found: Figures = {
        "n": len(set(clusters)),
        "aggregate": fsum(ours) / len(ours),
        "aggregate_interval": as_pair(width),
        "proposers": means,
        "best_single": best,
        "oracle": fsum(map(max, every)) / len(every),
        "rank": fsum(_rank(own, drafts) for own, drafts in zip(ours, every, strict=True)) / len(ours),
        "helped": sum(a > b for a, b in zip(ours, theirs, strict=True)),
        "hurt": sum(a < b for a, b in zip(ours, theirs, strict=True)),
        "against_each": {name: _wins(ours, [scores[k] for k in shared]) for name, scores in proposers.items()},
        "against_best_draft": _wins(ours, [max(drafts) for drafts in every]),
        "cautions": {"aggregate_interval": width.caution} if width and width.caution else {},
        "by_prompt": {
            str(key): {
                "aggregate": own,
                "best_single": single,
                "best_draft": max(drafts),
                "rank": _rank(own, drafts),
                "effect": "helped" if own > single else "hurt" if own < single else "same",
            }
            for key, own, single, drafts in zip(shared, ours, theirs, every, strict=True)
        },
    }
    if len(set(clusters)) > 1:
        found["against_best"] = _against_best(
            [paired(ours, [scores[key] for key in shared], clusters=clusters) for scores in proposers.values()]
        )
    return found


def _against_best(each: Sequence[Difference]) -> Figures:
    """Return the difference from the best single proposer, from those from all of them.

    The best one was picked on these prompts, so it looks better than it is. The difference from the truly best one is
    the smallest of all differences: it lies above the lowest of their lower ends, and below each of their upper ends
    where these hold together (Bonferroni). The same holds for p: an answer that is better than the best one is better
    than all, so the largest p counts; one that is worse is worse than any, so the smallest counts, corrected for all.
    """
    best = min(each, key=lambda one: one.difference)
    quantile = t_quantile(best.n, level=1 - (1 - LEVEL) / len(each))
    low = min(one.low for one in each)
    high = min(one.difference + quantile * one.standard_error for one in each)
    p = max(one.p for one in each)
    if best.difference <= 0:
        p = min(1.0, len(each) * min(one.p for one in each if one.difference <= 0))
    found = replace(best, low=low, high=high, p=p)
    return {
        "difference": found.difference,
        "interval": [found.low, found.high],
        "p": found.p,
        "tied": found.tied,
        "cautions": {"interval": found.caution} if found.caution else {},
    }


def _rank(own: float, drafts: Sequence[float]) -> float:
    return 1 + sum(value > own for value in drafts) + sum(value == own for value in drafts) / 2


def _wins(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return 100 * fsum((a > b) + (a == b) / 2 for a, b in zip(ours, theirs, strict=True)) / len(ours)


def majority(answers: Sequence[str | None]) -> str | None:
    """Return the most frequent answer, the earliest among equals; None when no answer could be read."""
    counts: dict[str, int] = {}
    for said in answers:
        if said is not None:
            counts[said] = counts.get(said, 0) + 1
    return max(counts, key=lambda said: counts[said]) if counts else None
