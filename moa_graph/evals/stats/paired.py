"""Two systems on the same prompts, and corrections for many pairs."""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moa_graph.evals.stats.intervals import LEVEL, Floats, cluster_sums, mean_and_error, rough, t_quantile

RESAMPLES = 10_000
_BLOCK = 500
_MOST_KEPT = 2_000
"""Prompts up to which random signs are kept for the next pair: 20 MB."""
_ENUMERATED = 14
"""Up to this number of differing prompts, all sign flips are enumerated."""
_MOST_STEPS = 10_000_000
"""Prompts times steps up to which all sign flips are counted. It takes less than 0.1 s."""
_RELIABLE = 100
"""A resampled tail with fewer hits than this is replaced by the saddlepoint approximation."""


@dataclass(frozen=True)
class Difference:
    """A minus B on the same prompts.

    Attributes:
        difference: Mean of A minus mean of B.
        low: Lower end of the 95 % interval (Student's t by prompt).
        high: Upper end of the 95 % interval.
        standard_error: Standard error of the difference.
        p: Two-sided p of a sign-flip permutation test; its smallest possible value is 2 ** (1 - n).
        n: Number of prompts.
        caution: Why the interval may not hold its level, or None.
    """

    difference: float
    low: float
    high: float
    standard_error: float
    p: float
    n: int
    caution: str | None = None

    @property
    def tied(self) -> bool:
        """Whether the interval contains zero or p is at least 0.05."""
        return self.low <= 0 <= self.high or self.p >= 1 - LEVEL


def paired(
    a: Sequence[float],
    b: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
    most: float = math.inf,
) -> Difference:
    """Compare two systems on the same prompts.

    Args:
        a: Scores of the first system.
        b: Scores of the second system, in the same order.
        clusters: The prompt of each pair; None when every pair is a prompt of its own.
        seed: Seed of the permutation test.
        most: The largest possible difference; the interval does not leave it.

    Raises:
        ValueError: The lengths differ, or there are fewer than two prompts.
    """
    if len(a) != len(b):
        raise ValueError(f"paired samples differ in length: {len(a)} and {len(b)}")
    differences = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    sums, _ = cluster_sums(differences, clusters)
    if len(sums) < 2:
        raise ValueError("a paired comparison needs at least two prompts")
    mean, error, n = mean_and_error(differences, clusters)
    half = t_quantile(n) * error
    p, caution = sign_flip_p(sums, seed=seed), rough(differences, clusters)
    return Difference(mean, max(mean - half, -most), min(mean + half, most), error, p, n, caution)


def sign_flip_p(sums: Sequence[float] | Floats, *, seed: int = 0) -> float:
    """Return the two-sided p of a sign-flip permutation test of the sum of `sums`.

    Exact for few prompts and for differences that are multiples of one number, such as those of ratings and of right
    answers. Otherwise resampled. If too few resamples reach the observed sum, the saddlepoint approximation of the tail
    is used, so that p has no lower limit that a correction over many pairs would raise above 0.05.

    Args:
        sums: The difference of each prompt or cluster.
        seed: The seed of the resamples.
    """
    differing = np.abs(np.asarray(sums, dtype=float))
    signs = np.sign(np.asarray(sums, dtype=float))[differing > 1e-12]
    differing = differing[differing > 1e-12]
    if not len(differing):
        return 1.0
    if np.ptp(differing) <= 1e-9 * differing[0]:
        return _binomial_p(int((signs > 0).sum()), len(differing))
    observed = abs(float(signs @ differing))
    if len(differing) <= _ENUMERATED:
        return _enumerated(differing, observed)
    if (steps := _whole_steps(differing)) is not None:
        return _of_steps(steps, round(observed / (differing.sum() / steps.sum())))
    # No tail is larger than Hoeffding's bound. Where that is low, resampling could not give enough hits.
    if 2 * math.exp(-(observed**2) / 2 / float(differing @ differing)) >= _RELIABLE / 2 / RESAMPLES:
        reached = _resampled(differing, observed, _flips(len(sums), seed))
        if reached >= _RELIABLE:
            return (reached + 1) / (RESAMPLES + 1)
    return min(_saddlepoint(differing, observed), (_RELIABLE + 1) / (RESAMPLES + 1))


def _binomial_p(wins: int, n: int) -> float:
    from scipy.stats import binomtest

    return float(binomtest(wins, n).pvalue)


def _enumerated(sizes: Floats, observed: float) -> float:
    totals = np.zeros(1)
    for size in sizes:
        totals = np.concatenate([totals + size, totals - size])
    return float((np.abs(totals) >= observed - 1e-9).mean())


def _whole_steps(sizes: Floats) -> NDArray[np.int64] | None:
    """Return sizes as multiples of their largest common step; None where they have none, or too many steps of it."""
    step, noise = float(sizes.max()), 1e-7 * float(sizes.max())
    for size in np.unique(sizes):
        rest = float(size)
        while rest > noise:
            step, rest = rest, abs(math.remainder(step, rest))
        if len(sizes) * sizes.sum() > _MOST_STEPS * step:
            return None
    steps = np.rint(sizes / step).astype(np.int64)
    return steps if np.abs(steps * step - sizes).max() <= 10 * noise else None


def _of_steps(steps: NDArray[np.int64], observed: int) -> float:
    """Return the exact two-sided p: the share of sign flips whose sum is at least `observed`."""
    total = int(steps.sum())
    # Place k is the sum 2k - total. The distribution is symmetric.
    shares = np.zeros(total + 1)
    shares[0], top = 1.0, 0
    for step in steps:
        found = np.zeros(top + int(step) + 1)
        found[: top + 1] += shares[: top + 1] / 2
        found[step:] += shares[: top + 1] / 2
        top += int(step)
        shares[: top + 1] = found
    least = math.ceil((total + observed) / 2)
    return min(1.0, max(2 * float(shares[least:].sum()), math.ldexp(1.0, -1000)) if observed else 1.0)


def _resampled(sizes: Floats, observed: float, flips: Iterable[NDArray[np.int8]]) -> int:
    """Return how many of `RESAMPLES` sign flips reach the observed sum."""
    # The tolerance keeps flips equal to the data equal despite the order of addition.
    return sum(int((np.abs(block[:, : len(sizes)] @ sizes) >= observed - 1e-9).sum()) for block in flips)


def _flips(n: int, seed: int) -> Iterable[NDArray[np.int8]]:
    """Return `RESAMPLES` random signs for each of `n` prompts, in blocks. All pairs of a comparison use the same."""
    return _kept(n, seed) if n <= _MOST_KEPT else _drawn(n, seed)


@functools.lru_cache(maxsize=1)
def _kept(n: int, seed: int) -> Sequence[NDArray[np.int8]]:
    return tuple(_drawn(n, seed))


def _drawn(n: int, seed: int) -> Iterator[NDArray[np.int8]]:
    rng = np.random.default_rng(seed)
    # In blocks, because 10,000 x 1,740 signs as floats would take 140 MB.
    for _ in range(0, RESAMPLES, _BLOCK):
        yield rng.integers(0, 2, size=(_BLOCK, n), dtype=np.int8) * 2 - 1


def _saddlepoint(sizes: Floats, observed: float) -> float:
    """Return the two-sided tail of a sum of `sizes` with random signs (Lugannani and Rice)."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    least = math.ldexp(1.0, 1 - len(sizes)) if len(sizes) < 1000 else 0.0
    if observed >= sizes.sum() * (1 - 1e-9):
        return least
    high = 1.0 / sizes.max()
    while float(sizes @ np.tanh(high * sizes)) < observed:
        high *= 2
    s = float(brentq(lambda value: float(sizes @ np.tanh(value * sizes)) - observed, 0.0, high))
    # log cosh without overflow.
    x = s * sizes
    cumulant = float((np.logaddexp(x, -x) - math.log(2)).sum())
    w = math.sqrt(max(2 * (s * observed - cumulant), 1e-300))
    u = s * math.sqrt(float((sizes**2 * (1 - np.tanh(x) ** 2)).sum()))
    tail = float(norm.sf(w)) + float(norm.pdf(w)) * (1 / u - 1 / w)
    return max(2 * tail, least)


def mcnemar(a: Sequence[bool], b: Sequence[bool]) -> float:
    """Return the exact two-sided p of McNemar's test on the prompts whose verdicts differ.

    Args:
        a: One system's verdict on each prompt.
        b: The other system's, in the same order.
    """
    only_a = sum(x and not y for x, y in zip(a, b, strict=True))
    only_b = sum(y and not x for x, y in zip(a, b, strict=True))
    return _binomial_p(only_a, only_a + only_b) if only_a + only_b else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p values, in the order given.

    Args:
        p_values: The p values of all comparisons.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted
