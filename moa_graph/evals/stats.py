"""The statistics of the reports: intervals, paired tests, corrections, agreement.

Everything resamples by *cluster*: a prompt is one draw, however many rows it has (two turns of an MT-Bench
question are not two independent samples). All randomness comes from the seed given.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval at 95 %."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A minus B on the same prompts.

    `p` is two-sided from a sign-flip permutation test; `tied` when the interval holds zero or p is 0.05 or
    more.
    """

    difference: float
    low: float
    high: float
    standard_error: float
    p: float
    n: int

    @property
    def tied(self) -> bool:
        return self.low <= 0 <= self.high or self.p >= 1 - LEVEL


def groups(clusters: Sequence[Hashable]) -> list[NDArray[np.intp]]:
    """Row numbers of each cluster, in order of first appearance."""
    members: dict[Hashable, list[int]] = {}
    for row, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(row)
    return [np.array(rows, dtype=np.intp) for rows in members.values()]


def cluster_sums(values: Sequence[float] | Floats, clusters: Sequence[Hashable] | None) -> tuple[Floats, Floats]:
    """(sum, count) of each cluster."""
    data = np.asarray(values, dtype=float)
    if clusters is None:
        return data, np.ones(len(data))
    rows = groups(clusters)
    return np.array([data[r].sum() for r in rows]), np.array([float(len(r)) for r in rows])


def draws(n: int, *, resamples: int, seed: int) -> NDArray[np.intp]:
    """`resamples` x `n` row numbers with replacement."""
    return np.random.default_rng(seed).integers(0, n, size=(resamples, n))


def percentile(estimates: Floats) -> Interval:
    """The middle 95 % of bootstrap estimates."""
    low, high = np.quantile(estimates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def mean_interval(
    values: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval | None:
    """Bootstrap interval of the mean, by cluster; None with fewer than two clusters."""
    sums, counts = cluster_sums(values, clusters)
    if len(sums) < 2:
        return None
    picks = draws(len(sums), resamples=resamples, seed=seed)
    return percentile(sums[picks].sum(axis=1) / counts[picks].sum(axis=1))


def statistic_interval(
    statistic: Callable[[NDArray[np.intp]], float], n: int, *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval | None:
    """Bootstrap interval of any statistic of row numbers; undefined resamples (NaN) are left out."""
    if n < 2:
        return None
    estimates = np.array([statistic(pick) for pick in draws(n, resamples=resamples, seed=seed)])
    estimates = estimates[~np.isnan(estimates)]
    return percentile(estimates) if len(estimates) > resamples / 2 else None


def paired(
    a: Sequence[float],
    b: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
    resamples: int = 10_000,
) -> Difference:
    """A minus B with a bootstrap interval and a sign-flip permutation test, both by cluster.

    Raises ValueError when the lengths differ or there are fewer than two clusters.
    """
    if len(a) != len(b):
        raise ValueError(f"paired samples differ in length: {len(a)} and {len(b)}")
    differences = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    sums, counts = cluster_sums(differences, clusters)
    if len(sums) < 2:
        raise ValueError("a paired comparison needs at least two prompts")
    observed = float(sums.sum() / counts.sum())
    estimates = _resampled_means(sums, counts, seed=seed, resamples=resamples)
    interval = percentile(estimates)
    p = _sign_flip(sums, seed=seed, resamples=resamples)
    return Difference(observed, interval.low, interval.high, float(estimates.std(ddof=1)), p, len(sums))


def _resampled_means(sums: Floats, counts: Floats, *, seed: int, resamples: int) -> Floats:
    # In blocks: 10,000 x 1,740 row numbers at once would be 140 MB.
    rng = np.random.default_rng(seed)
    blocks = []
    for start in range(0, resamples, 500):
        picks = rng.integers(0, len(sums), size=(min(500, resamples - start), len(sums)))
        blocks.append(sums[picks].sum(axis=1) / counts[picks].sum(axis=1))
    return np.concatenate(blocks)


def _sign_flip(sums: Floats, *, seed: int, resamples: int) -> float:
    rng = np.random.default_rng(seed)
    reached, observed = 0, abs(sums.sum())
    for start in range(0, resamples, 500):
        signs = rng.integers(0, 2, size=(min(500, resamples - start), len(sums))) * 2 - 1
        # The tolerance keeps flips equal to the data equal in spite of the order of addition.
        reached += int((abs(signs @ sums) >= observed - 1e-9).sum())
    return (reached + 1) / (resamples + 1)


def mcnemar(a: Sequence[bool], b: Sequence[bool]) -> float:
    """Exact two-sided p of McNemar's test: of the prompts where the verdicts differ, is one side favoured?"""
    from scipy.stats import binomtest

    only_a = sum(x and not y for x, y in zip(a, b, strict=True))
    only_b = sum(y and not x for x, y in zip(a, b, strict=True))
    if only_a + only_b == 0:
        return 1.0
    return float(binomtest(only_a, only_a + only_b).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def kappa(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Cohen's kappa of two raters over nominal labels; NaN when chance agreement is already 1."""
    cells, size = _cells(a, b)
    return _kappa(cells, size)


def kappa_interval(a: Sequence[Hashable], b: Sequence[Hashable], *, seed: int = 0) -> Interval | None:
    """Bootstrap interval of Cohen's kappa over the rated items."""
    cells, size = _cells(a, b)
    return statistic_interval(lambda pick: _kappa(cells[pick], size), len(cells), seed=seed)


def _cells(a: Sequence[Hashable], b: Sequence[Hashable]) -> tuple[NDArray[np.intp], int]:
    """The cell of every item in the table of both raters' labels, row by row, and the table's width."""
    labels = {label: number for number, label in enumerate(dict.fromkeys([*a, *b]))}
    size = len(labels)
    return np.array([labels[x] * size + labels[y] for x, y in zip(a, b, strict=True)], dtype=np.intp), size


def _kappa(cells: NDArray[np.intp], size: int) -> float:
    table = np.bincount(cells, minlength=size * size).reshape(size, size) / len(cells)
    expected = float(table.sum(axis=1) @ table.sum(axis=0))
    return float("nan") if expected >= 1 else (float(np.trace(table)) - expected) / (1 - expected)


def correlation(x: Sequence[float], y: Sequence[float], *, ranks: bool) -> float | None:
    """Spearman's (`ranks`) or Pearson's correlation; None when it is undefined."""
    from scipy.stats import rankdata

    if len(x) < 3:
        return None
    a, b = (np.asarray(rankdata(v) if ranks else v, dtype=float) for v in (x, y))
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
