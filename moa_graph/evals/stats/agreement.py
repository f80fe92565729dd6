"""Agreement of raters and correlation of rankings."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from moa_graph.evals.stats.intervals import LEVEL, Interval, few

RESAMPLES = 2000


def kappa(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Return Cohen's kappa of two raters over nominal labels; NaN when chance agreement is already 1."""
    cells, size = _cells(a, b)
    return _kappa(cells, size)


def kappa_interval(a: Sequence[Hashable], b: Sequence[Hashable], *, seed: int = 0) -> Interval | None:
    """Return a percentile bootstrap interval of Cohen's kappa over the rated items.

    None with fewer than two items, or when kappa is undefined in most resamples.
    """
    cells, size = _cells(a, b)
    if len(cells) < 2:
        return None
    picks = np.random.default_rng(seed).integers(0, len(cells), size=(RESAMPLES, len(cells)))
    estimates = np.array([_kappa(cells[pick], size) for pick in picks])
    estimates = estimates[~np.isnan(estimates)]
    if len(estimates) <= RESAMPLES / 2:
        return None
    low, high = np.quantile(estimates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), few(len(cells)))


def _cells(a: Sequence[Hashable], b: Sequence[Hashable]) -> tuple[NDArray[np.intp], int]:
    """Return the cell of every item in the table of both raters' labels, row by row, and the table's width."""
    labels = {label: number for number, label in enumerate(dict.fromkeys([*a, *b]))}
    size = len(labels)
    return np.array([labels[x] * size + labels[y] for x, y in zip(a, b, strict=True)], dtype=np.intp), size


def _kappa(cells: NDArray[np.intp], size: int) -> float:
    table = np.bincount(cells, minlength=size * size).reshape(size, size) / len(cells)
    expected = float(table.sum(axis=1) @ table.sum(axis=0))
    return float("nan") if expected >= 1 else (float(np.trace(table)) - expected) / (1 - expected)


def correlation(x: Sequence[float], y: Sequence[float], *, ranks: bool) -> float | None:
    """Return Spearman's (`ranks`) or Pearson's correlation; None when it is undefined."""
    from scipy.stats import rankdata

    if len(x) < 3:
        return None
    a, b = (np.asarray(rankdata(v) if ranks else v, dtype=float) for v in (x, y))
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def kendall_tau(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return Kendall's tau-b of two rankings; None when it is undefined."""
    from scipy.stats import kendalltau

    if len(x) < 2:
        return None
    tau = float(kendalltau(x, y).statistic)
    return None if np.isnan(tau) else tau
