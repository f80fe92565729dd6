"""What can be won at all: co-failure of the pool, and how far a judge's verdicts can be trusted.

A rule that returns one member's answer is wrong where all members are wrong. The share of such prompts, the co-failure,
bounds every such rule, whatever it costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moa_graph.evals.stats.intervals import LEVEL, rough
from moa_graph.evals.tune.samples import Floats, known_mean

__all__ = ["Ceiling", "JudgeNoise", "as_figures", "ceiling", "coverage", "judge_noise", "upper_bound"]


def upper_bound(cases: float, n: int, *, level: float = LEVEL) -> float:
    """Return the one-sided upper confidence bound of a binomial fraction.

    Exact: C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26 (1934) 404-413.

    Args:
        cases: How often it happened, or a sum of values from 0 to 1, which varies less than a count with its mean.
        n: Of how many.
        level: The confidence.
    """
    from scipy.stats import beta

    return 1.0 if cases >= n else float(beta.ppf(level, cases + 1, n - cases))


@dataclass(frozen=True)
class Ceiling:
    """What no rule that returns one member's answer can pass; all in percent.

    Attributes:
        n: Prompts.
        best_single: The mean score of the single model that is compared.
        oracle: The mean of the best draft of every prompt: the ceiling.
        co_failure: Prompts on which every draft fails. With scores between 0 and 1, the mean shortfall.
        co_failure_upper: One-sided 95 % Clopper-Pearson upper bound of the co-failure; None unless every score is 0
            or 1.
        gain: The ceiling minus that single model.
        gain_upper: One-sided 95 % upper bound of that gain for prompts like these; None unless every score is 0 or 1.
        one_each: The ceiling when each model has a single draft.
    """

    n: int
    best_single: float
    oracle: float
    co_failure: float
    co_failure_upper: float | None
    gain: float
    gain_upper: float | None
    one_each: float

    def sentence(self, name: str) -> str:
        """Return what can be won as one sentence; `name` is the best single model's."""
        bound = "" if self.gain_upper is None else f" (95 % bound for prompts like these: {self.gain_upper:.2f})"
        why = f"on {self.co_failure:.2f} % of the prompts every draft fails"
        if self.co_failure_upper is None:
            why = f"the best draft of each prompt scores {self.oracle:.2f} % on average"
        return (
            f"A rule that returns one model's answer can win at most {self.gain:.2f} points{bound} over your best "
            f"single model, {name} ({self.best_single:.2f} %): {why}."
        )


def ceiling(scores: Floats, *, single: int | None = None) -> Ceiling:
    """Return what can be won.

    Args:
        scores: Grades of shape (models, prompts, drafts); nan for a missing draft.
        single: The single model to compare with; by default the one with the highest mean.

    Raises:
        ValueError: There is no graded prompt.
    """
    whole = ~np.isnan(scores).all(axis=(0, 2))
    scores = scores[:, whole]
    n = scores.shape[1]
    if n == 0:
        raise ValueError("no prompt has a graded draft")
    singles = known_mean(scores, axis=2)
    means = known_mean(singles, axis=1)
    alone = float(np.nanmax(means) if single is None else means[single])
    top = np.nanmax(scores, axis=(0, 2))
    binary = bool(np.isin(scores[~np.isnan(scores)], (0.0, 1.0)).all())
    failures = int((top == 0).sum())
    # A prompt can be won only as far as a single model falls short of the best draft there.
    gains = top - np.nan_to_num(singles)
    firsts = np.nan_to_num(scores[:, :, 0]).max(axis=0)
    return Ceiling(
        n=n,
        best_single=100 * alone,
        oracle=100 * float(top.mean()),
        co_failure=100 * float(1 - top.mean()),
        co_failure_upper=100 * upper_bound(failures, n) if binary else None,
        gain=100 * (float(top.mean()) - alone),
        gain_upper=100 * _gain_upper(gains, single) if binary else None,
        one_each=100 * float(firsts.mean()),
    )


def _gain_upper(gains: Floats, single: int | None) -> float:
    """Return the one-sided 95 % upper bound of the gain over the best single model, or over `single`.

    The model that is best on these prompts looks better than it is. The gain over the best one is the smallest of the
    gains over all of them, so bounds that hold for all models together (Bonferroni) bound it by the lowest one. They
    hold for any one of them too, however it was picked.

    Args:
        gains: The best draft's score minus each model's, shape (models, prompts).
        single: The model; None for the best one.
    """
    level = 1 - (1 - LEVEL) / len(gains)
    return min(_mean_upper(each, level) for each in (gains if single is None else gains[single : single + 1]))


def _mean_upper(gains: Floats, level: float) -> float:
    """Return the one-sided upper bound of a mean gain: exact for 0 and 1, else by Student's t over prompts.

    With few prompts, or with skewed gains, Student's t does not hold its level: it may have missed the rare large ones.
    Gains vary less than zeros and ones with their mean, so the exact bound of these holds for them.
    """
    from scipy.stats import t

    n = len(gains)
    if np.isin(gains, (0.0, 1.0)).all() or rough(gains, None):
        return upper_bound(float(gains.sum()), n, level=level)
    return min(1.0, float(gains.mean() + t.ppf(level, n - 1) * gains.std(ddof=1) / np.sqrt(n)))


@dataclass(frozen=True)
class JudgeNoise:
    """How much of a judged oracle is the judge's own noise; scores in percent.

    Attributes:
        n: Answers that had a second verdict.
        deviation: Standard deviation of one verdict around its answer's mean.
        same: Share of second verdicts equal to the first.
        oracle: The oracle by the verdicts that chose the drafts.
        oracle_again: The same drafts by a second verdict: what is left without the noise that chose them.
        oracle_n: Prompts of these two.
    """

    n: int
    deviation: float | None
    same: float | None
    oracle: float | None
    oracle_again: float | None
    oracle_n: int

    @property
    def inflation(self) -> float | None:
        """Points of the judged oracle that a second verdict does not confirm."""
        return None if self.oracle is None or self.oracle_again is None else self.oracle - self.oracle_again


def judge_noise(random_pairs: Sequence[tuple[float, float]], best_pairs: Sequence[tuple[float, float]]) -> JudgeNoise:
    """Return a judge's noise from two verdicts (0 to 1) on the same answers.

    Args:
        random_pairs: Verdicts on drafts that were chosen without regard to the first verdict.
        best_pairs: Verdicts on the draft of each prompt whose first verdict was the highest.
    """
    pairs, best = np.asarray(random_pairs, dtype=float), np.asarray(best_pairs, dtype=float)
    gaps = pairs[:, 0] - pairs[:, 1] if len(pairs) else np.zeros(0)
    means = 100 * best.mean(axis=0) if len(best) else None
    return JudgeNoise(
        n=len(pairs),
        deviation=100 * float(np.sqrt((gaps**2).mean() / 2)) if len(gaps) else None,
        same=100 * float((gaps == 0).mean()) if len(gaps) else None,
        oracle=None if means is None else float(means[0]),
        oracle_again=None if means is None else float(means[1]),
        oracle_n=len(best),
    )


def coverage(scores: Floats, members: Sequence[int]) -> float:
    """Return the ceiling of some of the models with one draft each: what greedy selection climbs.

    The mean over the drafts that all of them have, so that it does not depend on the luck of the first ones.
    """
    table = scores[list(members)]
    known = ~np.isnan(table).any(axis=0)
    return float(table.max(axis=0)[known].mean()) if known.any() else 0.0


def as_figures(found: Ceiling | JudgeNoise) -> Mapping[str, Any]:
    """Return the figures as plain values."""
    extra = {"inflation": found.inflation} if isinstance(found, JudgeNoise) else {}
    return {**vars(found), **extra}
