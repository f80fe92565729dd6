"""95 % intervals that hold their level. `make coverage` measures the level by simulation.

They are computed without resampling, so they need no seed. An interval whose level is uncertain has a caution.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from moa_graph.costs.amounts import number_of

Floats = NDArray[np.float64]
LEVEL = 0.95
"""The confidence level of an interval that names no other."""
NORMAL = NormalDist().inv_cdf((1 + LEVEL) / 2)
"""The two-sided 95 % quantile of the normal distribution."""
FEW_CLUSTERS = 50
"""Below this number of prompts every interval has a caution."""
FEW_CASES = 10
"""A fraction with fewer expected wins, or fewer expected losses, has a caution."""
_SKEW = 30
"""Student's t needs more prompts than this times the square of the skewness. W. G. Cochran, "Sampling Techniques"
(1977) has 25; simulated differences with few unequal prompts need a little more."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval.

    Attributes:
        low: Lower end, in the unit of the figure.
        high: Upper end.
        caution: Why the level may not hold; None if simulation shows that it holds.
    """

    low: float
    high: float
    caution: str | None = None


def cluster_sums(values: Sequence[float] | Floats, clusters: Sequence[Hashable] | None) -> tuple[Floats, Floats]:
    """Return the sum and the number of values of each cluster, in order of first appearance."""
    data = np.asarray(values, dtype=float)
    if clusters is None or len(set(clusters)) == len(clusters):
        return data, np.ones(len(data))
    places: dict[Hashable, int] = {}
    rows = np.array([places.setdefault(cluster, len(places)) for cluster in clusters], dtype=np.intp)
    sums = np.bincount(rows, weights=data, minlength=len(places)).astype(np.float64)
    return sums, np.bincount(rows, minlength=len(places)).astype(np.float64)


def mean_and_error(values: Sequence[float] | Floats, clusters: Sequence[Hashable] | None) -> tuple[float, float, int]:
    """Return the mean, its standard error by cluster (linearised ratio of sums), and the number of clusters."""
    mean, residuals = _mean_and_residuals(values, clusters)
    n = len(residuals)
    return mean, float(residuals.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan, n


def _mean_and_residuals(values: Sequence[float] | Floats, clusters: Sequence[Hashable] | None) -> tuple[float, Floats]:
    sums, counts = cluster_sums(values, clusters)
    total = counts.sum()
    mean = float(sums.sum() / total)
    return mean, (sums - mean * counts) * (len(sums) / total)


@functools.cache
def t_quantile(n: int, *, level: float = LEVEL) -> float:
    """Return the two-sided quantile of Student's t for `n` clusters, by default that of 95 %."""
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, n - 1))


def few(n: int) -> str | None:
    """Return the caution for `n` clusters, or None when there are enough."""
    return f"{number_of(n, 'prompt')}; below {FEW_CLUSTERS} the interval is rough" if n < FEW_CLUSTERS else None


def rough(values: Sequence[float] | Floats, clusters: Sequence[Hashable] | None) -> str | None:
    """Return the caution of Student's t interval of a mean or a difference; None where its level holds.

    Args:
        values: Scores or differences.
        clusters: The prompt of each value; None when every value is a prompt of its own.
    """
    _, residuals = _mean_and_residuals(values, clusters)
    n, spread = len(residuals), float(residuals.std())
    if n < FEW_CLUSTERS:
        return few(n)
    if spread <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return "all values are equal"
    skewness = float(((residuals / spread) ** 3).mean())
    return "the values are skewed; the interval is rough" if n < _SKEW * skewness**2 else None


def mean_interval(
    values: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    scale: tuple[float, float] = (-math.inf, math.inf),
) -> Interval | None:
    """Return Student's t interval of a mean, by cluster.

    Args:
        values: Scores in any unit.
        clusters: The prompt of each value; None when every value is a prompt of its own.
        scale: Lowest and highest possible value; the interval does not leave it.

    Returns:
        The interval, or None with fewer than two clusters.
    """
    if len(values) < 2:
        return None
    mean, error, n = mean_and_error(values, clusters)
    if n < 2:
        return None
    half = t_quantile(n) * error
    low, high = scale
    return Interval(max(mean - half, low), min(mean + half, high), rough(values, clusters))


def fraction_interval(
    values: Sequence[float], *, clusters: Sequence[Hashable] | None = None, scale: float = 1.0
) -> Interval | None:
    """Return Wilson's interval of the mean of values between 0 and `scale`, by cluster.

    The number of prompts is replaced by the number of coin flips that would have the same variance, because weighted
    verdicts vary less than wins and losses. Where there are too few prompts, or too few wins or losses, to estimate
    that variance, the interval is wider and carries a caution.

    Args:
        values: Fractions: wins, shares of a preference, right answers.
        clusters: The prompt of each value; None when every value is a prompt of its own.
        scale: The largest possible value, 100 for percentages.

    Returns:
        The interval in the unit of the values, or None without values.
    """
    if not len(values):
        return None
    mean, error, n = mean_and_error(np.asarray(values, dtype=float) / scale, clusters)
    mean = min(max(mean, 0.0), 1.0)
    caution = few(n) or few_cases(mean, n)
    coin = mean * (1 - mean)
    flips = coin / error**2 if error > 0 else float(n)
    if n < FEW_CLUSTERS:
        flips = float(n)
    elif caution:
        # The variance of few cases is often too small. Between it and the largest possible one, the level holds best.
        flips = math.sqrt(n * flips)
    low, high = wilson(mean, flips, n)
    return Interval(scale * low, scale * high, caution)


def wilson(mean: float, flips: float, n: int) -> tuple[float, float]:
    """Return the ends of Wilson's interval.

    Args:
        mean: The fraction, from 0 to 1.
        flips: The number of coin flips that the fraction is taken to come from.
        n: Number of prompts, which decides the quantile.
    """
    z = t_quantile(max(n, 2)) if n < FEW_CLUSTERS else NORMAL
    centre = (mean + z * z / 2 / flips) / (1 + z * z / flips)
    half = z / (1 + z * z / flips) * math.sqrt(mean * (1 - mean) / flips + z * z / 4 / flips**2)
    # It holds the fraction; at 0 and 1, rounding would leave it outside.
    return min(max(centre - half, 0.0), mean), max(min(centre + half, 1.0), mean)


def few_cases(mean: float, n: int) -> str | None:
    """Return the caution for a fraction with too few wins, or too few losses; None when there are enough."""
    cases = min(mean, 1 - mean) * n
    if cases >= FEW_CASES:
        return None
    seen = number_of(round(cases), *(("win",) if mean < 0.5 else ("loss", "losses")))
    return f"about {seen} in {number_of(n, 'prompt')}; below {FEW_CASES} the interval is rough"
