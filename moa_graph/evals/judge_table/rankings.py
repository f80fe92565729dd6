"""Systems ranked by a judge and by humans: how alike the two rankings are, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from moa_graph.evals.judge_table.votes import Humans, Key
from moa_graph.evals.stats import RESAMPLES, Floats, Interval, correlation, percentile

Both = tuple[float | None, float | None]
Widths = tuple[Interval | None, Interval | None]


def systems(humans: Humans, verdicts: Mapping[Key, Sequence[float]]) -> list[Floats]:
    """For each ranked system its pairs as rows: sum and number of the humans' votes, sum and number of the judge's.

    Systems with no more votes than the table asks for are left out.
    """
    found: dict[str, list[tuple[float, int, float, int]]] = {}
    for key, pair in humans.pairs.items():
        if pair.system and key in verdicts:
            ours = verdicts[key]
            found.setdefault(pair.system, []).append((sum(pair.votes), len(pair.votes), sum(ours), len(ours)))
    made = [np.array(rows, dtype=float) for rows in found.values()]
    return [rows for rows in made if rows[:, 1].sum() > humans.smallest_system]


def correlations(ranked: Sequence[Floats]) -> Both:
    """Spearman's and Pearson's correlation of the systems' mean preferences; None where they are undefined."""
    theirs, ours = (list(values) for values in _means(np.array([rows.sum(axis=0) for rows in ranked]).reshape(-1, 4)))
    return correlation(theirs, ours, ranks=True), correlation(theirs, ours, ranks=False)


def intervals(ranked: Sequence[Floats], *, seed: int = 0, resamples: int = RESAMPLES) -> Widths:
    """Bootstrap intervals of both, pairs resampled within their system; the systems stay the same ones."""
    if len(ranked) < 3:
        return None, None
    rng = np.random.default_rng(seed)
    drawn = np.stack([_sums(rows, rng, resamples) for rows in ranked], axis=1)
    theirs, ours = _means(drawn)
    return _width(theirs, ours, ranks=True), _width(theirs, ours, ranks=False)


def _means(sums: Floats) -> tuple[Floats, Floats]:
    return sums[..., 0] / sums[..., 1], sums[..., 2] / sums[..., 3]


def _sums(rows: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    """`resamples` x 4 sums over as many draws as there are rows."""
    # How often each row is drawn, in blocks: a system with many pairs must not fill the memory.
    blocks = []
    for start in range(0, resamples, 500):
        counts = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=min(500, resamples - start))
        blocks.append(counts @ rows)
    return np.concatenate(blocks)


def _width(x: Floats, y: Floats, *, ranks: bool) -> Interval | None:
    """The interval over the resamples in which the correlation is defined; None when most are not."""
    a, b = (_centred(values, ranks=ranks) for values in (x, y))
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    kept: NDArray[np.bool_] = scale > 1e-12
    estimates = (a[kept] * b[kept]).sum(axis=1) / scale[kept]
    return percentile(estimates) if len(estimates) > len(x) / 2 else None


def _centred(values: Floats, *, ranks: bool) -> Floats:
    from scipy.stats import rankdata

    scores: Floats = np.asarray(rankdata(values, axis=1) if ranks else values, dtype=float)
    centred: Floats = scores - scores.mean(axis=1, keepdims=True)
    return centred
