"""Agreement of raters and correlation of rankings."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from moa_graph.costs.amounts import number_of
from moa_graph.evals.stats.intervals import FEW_CASES, Floats, Interval, few, t_quantile, wilson

_FEW = 5
"""A caution is given where fewer items than this would have one of the rarer labels twice by chance."""


def kappa(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Return Cohen's kappa of two raters over nominal labels; NaN when chance agreement is already 1.

    Args:
        a: The labels of one rater.
        b: The labels of the other rater, for the same items.
    """
    cells, size = _cells(a, b)
    return _kappa(cells, size)


def kappa_interval(a: Sequence[Hashable], b: Sequence[Hashable]) -> Interval | None:
    """Return an interval of Cohen's kappa by item, on the scale of Fisher's z.

    The standard error is that of J. L. Fleiss, J. Cohen and B. S. Everitt, "Large sample standard errors of kappa and
    weighted kappa", Psychological Bulletin 72 (1969) 323-327, of the table with one item more, which is divided among
    its cells: a cell that is empty by chance would make the error too small. With fewer than 10 disagreements the error
    cannot be estimated. The interval then also covers that of the observed agreement at the observed chance agreement.

    None with fewer than two items, or when kappa is undefined.

    Args:
        a: The labels of one rater.
        b: The labels of the other rater, for the same items.
    """
    cells, size = _cells(a, b)
    n, value = len(cells), _kappa(cells, size)
    if n < 2 or np.isnan(value):
        return None
    counts = np.bincount(cells, minlength=size * size).reshape(size, size)
    middle, error = _kappa_and_error(np.asarray(counts + 1 / counts.size, dtype=np.float64))
    half = t_quantile(n) * error / (1 - middle**2)
    low, high = (float(np.tanh(np.arctanh(middle) + sign * half)) for sign in (-1, 1))
    caution = few(n) or _few_labels(counts)
    differing = n - int(np.trace(counts))
    if differing < FEW_CASES:
        chance = float(counts.sum(axis=0) @ counts.sum(axis=1)) / n**2
        least, most = ((share - chance) / (1 - chance) for share in wilson(1 - differing / n, n, n))
        # Kappa is at least -1; by a chance agreement near 1, the agreement's interval would leave that range.
        low, high = min(low, max(least, -1.0)), max(high, most)
        caution = caution or f"{number_of(differing, 'disagreement')}; below {FEW_CASES} the interval is rough"
    return Interval(min(low, value), max(high, value), caution)


def _kappa_and_error(counts: Floats) -> tuple[float, float]:
    """Return kappa and its standard error, from the derivative of kappa by the share of each cell."""
    shares = counts / counts.sum()
    ours, theirs = shares.sum(axis=1), shares.sum(axis=0)
    observed, expected = float(np.trace(shares)), float(ours @ theirs)
    chance = theirs[:, None] + ours[None, :] - 2 * expected
    same = np.eye(len(shares)) - observed
    slopes = (same * (1 - expected) - chance * (1 - observed)) / (1 - expected) ** 2
    return (observed - expected) / (1 - expected), float(np.sqrt((shares * slopes**2).sum() / (counts.sum() - 1)))


def _few_labels(counts: NDArray[np.intp]) -> str | None:
    """Return the caution where both raters seldom give another label than the usual one; None otherwise."""
    chance = counts.sum(axis=0) * counts.sum(axis=1) / counts.sum()
    return "labels beside the usual one are rare; the interval is rough" if chance.sum() - chance.max() < _FEW else None


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
