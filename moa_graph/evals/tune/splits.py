"""Random halves of the prompts: one chooses, the other reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SPLITS", "Bools", "Splits", "design_size"]

SPLITS = 200
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
