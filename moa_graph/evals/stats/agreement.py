"""Agreement of raters and correlation of rankings."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from moa_graph.evals.stats.intervals import Interval, few, t_quantile


def kappa(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Return Cohen's kappa of two raters over nominal labels; NaN when chance agreement is already 1.

    Args:
        a: The labels of one rater.
        b: The labels of the other rater, for the same items.
    """
    cells, size = _cells(a, b)
    return _kappa(cells, size)


def kappa_interval(a: Sequence[Hashable], b: Sequence[Hashable]) -> Interval | None:
    """Return an interval of Cohen's kappa: jackknife by item, on the scale of Fisher's z.

    None with fewer than two items, or when kappa is undefined.

    Args:
        a: The labels of one rater.
        b: The labels of the other rater, for the same items.
    """
    cells, size = _cells(a, b)
    n, value = len(cells), _kappa(cells, size)
    if n < 2 or np.isnan(value):
        return None
    if abs(value) >= 1:
        return Interval(value, value, "the raters never differ")
    counts = np.bincount(cells, minlength=size * size)
    kinds = np.flatnonzero(counts)
    # Leaving out any item of one cell gives the same kappa.
    without = np.array([_of_counts(counts - (np.arange(len(counts)) == kind), size) for kind in kinds])
    if np.isnan(without).any():
        return None
    weights = counts[kinds]
    mean = float((weights * without).sum() / n)
    error = float(np.sqrt((n - 1) / n * (weights * (without - mean) ** 2).sum()))
    half = t_quantile(n) * error / (1 - value**2)
    low, high = (float(np.tanh(np.arctanh(value) + sign * half)) for sign in (-1, 1))
    return Interval(low, high, few(n))


def _cells(a: Sequence[Hashable], b: Sequence[Hashable]) -> tuple[NDArray[np.intp], int]:
    """Return the cell of every item in the table of both raters' labels, row by row, and the table's width."""
    labels = {label: number for number, label in enumerate(dict.fromkeys([*a, *b]))}
    size = len(labels)
    return np.array([labels[x] * size + labels[y] for x, y in zip(a, b, strict=True)], dtype=np.intp), size


def _kappa(cells: NDArray[np.intp], size: int) -> float:
    return _of_counts(np.bincount(cells, minlength=size * size), size)


def _of_counts(counts: NDArray[np.intp], size: int) -> float:
    table = counts.reshape(size, size) / counts.sum()
    expected = float(table.sum(axis=1) @ table.sum(axis=0))
    return float("nan") if expected >= 1 else (float(np.trace(table)) - expected) / (1 - expected)


def correlation(x: Sequence[float], y: Sequence[float], *, ranks: bool) -> float | None:
    """Return a correlation; None when it is undefined.

    Args:
        x: Values.
        y: Values of the same items.
        ranks: Spearman's correlation; otherwise Pearson's.
    """
    from scipy.stats import rankdata

    if len(x) < 3:
        return None
    a, b = (np.asarray(rankdata(v) if ranks else v, dtype=float) for v in (x, y))
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def kendall_tau(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return Kendall's tau-b of two rankings; None when it is undefined.

    Args:
        x: Values.
        y: Values of the same items.
    """
    from scipy.stats import kendalltau

    if len(x) < 2:
        return None
    tau = float(kendalltau(x, y).statistic)
    return None if np.isnan(tau) else tau
