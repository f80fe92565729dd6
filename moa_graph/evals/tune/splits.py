"""Random halves of the prompts: one chooses, the other reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moa_graph.evals.stats.intervals import t_quantile
from moa_graph.evals.tune.samples import Floats

__all__ = ["SPLITS", "TIED", "Bools", "Honest", "Splits", "design_size", "honest", "pick"]

SPLITS = 200
TIED = 0.005
"""Candidates within half a point of the best are tied; the cheapest of them is taken."""
_LEAST = 20

Bools = NDArray[np.bool_]


def design_size(prompts: int) -> int:
    """Return how many prompts choose the members of paid candidates: a quarter, at least 20, at most a third."""
    return min(max(_LEAST, prompts // 4), prompts // 3)


@dataclass(frozen=True)
class Splits:
    """Repeated random halves.

    Attributes:
        train: Which prompts choose, shape (splits, prompts). The others report.
        design: Which prompts are in every choosing half, shape (prompts,). What must be chosen once, before the splits,
            is chosen on them: no reporting half contains them.
    """

    train: Bools
    design: Bools

    @classmethod
    def of(cls, prompts: int, *, many: int = SPLITS, seed: int = 0, design: Sequence[int] = ()) -> Splits:
        """Return random halves.

        Args:
            prompts: How many prompts there are.
            many: How many splits.
            seed: Their seed.
            design: Prompts that are in every choosing half.
        """
        rng = np.random.default_rng(seed)
        fixed = np.zeros(prompts, dtype=bool)
        fixed[list(design)] = True
        free = np.flatnonzero(~fixed)
        train = np.tile(fixed, (many, 1))
        for row in train:
            row[rng.permutation(free)[: max(0, prompts // 2 - len(design))]] = True
        return cls(train, fixed)

    def on(self, prompts: Bools) -> Splits:
        """Return the same splits of some of the prompts."""
        return Splits(self.train[:, prompts], self.design[prompts])

    @property
    def correction(self) -> float:
        """The correlation of the splits, as a factor of the variance between them.

        After C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003) 239-281:
        splits share prompts, so their mean varies more than that of independent ones, by 1/splits + tested/(testable -
        tested). Without prompts that always choose this is their 1/splits + tested/trained.
        """
        tested = float((~self.train).sum(axis=1).mean())
        testable = float((~self.design).sum())
        return 1 / len(self.train) + tested / max(testable - tested, 1.0)


def pick(means: Floats, costs: Floats) -> NDArray[np.intp]:
    """Return the candidate to take: the cheapest of those within `TIED` of the best; of equal costs the better one.

    Args:
        means: Mean scores, shape (..., candidates).
        costs: What an answer of each candidate costs; unknown costs are infinite.

    Returns:
        Places of candidates, shape (...).
    """
    tied = means >= means.max(axis=-1, keepdims=True) - TIED
    price = np.where(tied, costs, np.inf)
    cheapest = tied & (price <= price.min(axis=-1, keepdims=True))
    found: NDArray[np.intp] = np.where(cheapest, means, -np.inf).argmax(axis=-1)
    return found


@dataclass(frozen=True)
class Honest:
    """What the whole procedure gains over the best single model, on prompts that did not choose; scores 0 to 1.

    Attributes:
        gain: Mean over repeated splits of (chosen candidate - best single model), both chosen on the other half.
        low: Lower end of its 95 % interval.
        high: Upper end.
        score: Mean score of what was chosen, on the halves that did not choose it.
        chosen: How often each candidate was chosen, by its place.
        splits: Number of splits.
    """

    gain: float
    low: float
    high: float
    score: float
    chosen: dict[int, int]
    splits: int


def honest(scores: Floats, costs: Floats, single: Bools, splits: Splits, *, offers: Bools | None = None) -> Honest:
    """Choose on one half and report on the other, many times.

    The interval is the corrected resampled t interval of Nadeau and Bengio; see `Splits.correction`.

    Args:
        scores: Scores 0 to 1, shape (candidates, prompts).
        costs: What an answer of each candidate costs.
        single: Which candidates are single models.
        splits: The halves.
        offers: Which candidates each choosing half proposes, shape (splits, candidates); all by default. Single models
            always are.
    """
    train = splits.train.astype(float)
    test = 1.0 - train
    fitted = train @ scores.T / train.sum(axis=1, keepdims=True)
    tested = test @ scores.T / test.sum(axis=1, keepdims=True)
    chosen = pick(fitted if offers is None else np.where(offers, fitted, -np.inf), costs)
    alone = np.flatnonzero(single)
    base = alone[pick(fitted[:, alone], costs[alone])]
    places = np.arange(len(train))
    gains = tested[places, chosen] - tested[places, base]
    gain = float(gains.mean())
    error = float(np.sqrt(gains.var(ddof=1) * splits.correction))
    reach = t_quantile(int(test.sum(axis=1).mean())) * error
    score = float(tested[places, chosen].mean())
    return Honest(gain, gain - reach, gain + reach, score, dict(Counter(chosen.tolist()).most_common()), len(train))
