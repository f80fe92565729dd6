"""A test of many candidates against one, which accounts for choosing the best of them."""

from __future__ import annotations

import numpy as np

from moa_graph.evals.tune.samples import Floats

__all__ = ["corrected_p"]

FLIPS = 2000


def corrected_p(gains: Floats, *, flips: int = FLIPS, seed: int = 0) -> Floats:
    """Return each candidate's one-sided p, corrected for having tried all of them.

    The signs of a prompt's gains are flipped together, and each candidate's t is compared with the largest t of all:
    P. H. Westfall and S. S. Young, "Resampling-Based Multiple Testing" (1993), single step. Candidates that are nearly
    the same hardly count twice, since they are flipped together.

    Args:
        gains: Score minus the single model's, shape (candidates, prompts).
        flips: Random sign flips.
        seed: Their seed.
    """
    n = gains.shape[1]
    squares = (gains**2).sum(axis=1)
    p = np.ones(len(gains))
    moved = squares > 1e-12
    if not moved.any():
        return p
    signs = np.random.default_rng((FLIPS, seed)).choice((-1.0, 1.0), size=(flips, n))
    largest = _t(signs @ gains[moved].T / n, squares[moved], n).max(axis=1)
    own = _t(gains[moved].mean(axis=1), squares[moved], n)
    p[moved] = ((largest[:, None] >= own - 1e-9).sum(axis=0) + 1) / (flips + 1)
    return p


def _t(means: Floats, squares: Floats, n: int) -> Floats:
    """Return Student's t from means and sums of squares, which a flip of signs does not change."""
    variance = np.maximum(squares / n - means**2, 1e-12) / (n - 1)
    found: Floats = means / np.sqrt(variance)
    return found
