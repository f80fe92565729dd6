"""The similarity of two rankings of systems, by a judge and by humans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from moa_graph.evals.judge_table.votes import Humans, Key
from moa_graph.evals.stats import correlation
from moa_graph.evals.stats.intervals import Floats


def systems(humans: Humans, verdicts: Mapping[Key, Sequence[float]]) -> list[Floats]:
    """Return the pairs of each ranked system as rows: sum and number of human votes, sum and number of judge votes.

    Systems with too few votes for the table are left out.
    """
    found: dict[str, list[tuple[float, int, float, int]]] = {}
    for key, pair in humans.pairs.items():
        if pair.system and key in verdicts:
            ours = verdicts[key]
            found.setdefault(pair.system, []).append((sum(pair.votes), len(pair.votes), sum(ours), len(ours)))
    made = [np.array(rows, dtype=float) for rows in found.values()]
    return [rows for rows in made if rows[:, 1].sum() > humans.smallest_system]


def correlations(ranked: Sequence[Floats]) -> tuple[float | None, float | None]:
    """Return Spearman's and Pearson's correlation of the systems' mean preferences; None where they are undefined.

    They have no interval. The systems are few and fixed, and resampling pairs adds noise to means that are already
    noisy, so the interval would lie below the estimate (simulated coverage: 0 to 40 % instead of 95 %).
    """
    sums = np.array([rows.sum(axis=0) for rows in ranked]).reshape(-1, 4)
    theirs, ours = (sums[:, 0] / sums[:, 1]).tolist(), (sums[:, 2] / sums[:, 3]).tolist()
    return correlation(theirs, ours, ranks=True), correlation(theirs, ours, ranks=False)
