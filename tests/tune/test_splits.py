"""The halves: what chooses never reports, and the reverse."""

from dataclasses import replace

import numpy as np

from moa_graph.evals.tune.candidates import Offers, offers
from moa_graph.evals.tune.paid_candidates import complement
from moa_graph.evals.tune.samples import Samples
from moa_graph.evals.tune.splits import Splits, design_size, honest
from tests.tune.planted import Planted

POOL = Planted((1.5, 1.4, 1.3, 1.2, 1.1, 1.0), shared=1.0, own=1.0, prices=(1.0,) * 6)
"""Models that are so close that other prompts choose other subsets."""


def proposed(samples: Samples, splits: Splits) -> list[set[str]]:
    """The names that each half proposes."""
    found: Offers = offers(samples, splits, texts=False)
    return [{plan.name for plan, own in zip(found.plans, row, strict=True) if own} for row in found.halves]


def test_a_half_proposes_by_its_own_grades_alone() -> None:
    """The grades of the reporting half are replaced by others: the half proposes the same subsets and models."""
    samples = POOL.samples(80, 2, seed=1)
    splits = Splits.of(80, many=20, seed=3)
    before = proposed(samples, splits)
    assert len(set(map(frozenset, before))) > 10
    for place in range(5):
        scores = samples.scores.copy()
        rest = ~splits.train[place]
        scores[:, rest] = 1.0 - scores[::-1, rest]
        after = proposed(replace(samples, scores=scores), splits)
        assert after[place] == before[place]
        assert after != before


def test_a_single_models_own_candidates_depend_on_the_half_too() -> None:
    samples = POOL.samples(80, 3, seed=1)
    found = proposed(samples, Splits.of(80, many=40, seed=3))
    assert len({min(name for name in names if name.startswith("escalate")) for names in found}) > 1
    assert len({frozenset(name for name in names if " x3" in name) for names in found}) > 1


def test_what_is_chosen_before_the_splits_is_in_no_reporting_half() -> None:
    design = list(range(0, 100, 4))
    splits = Splits.of(100, seed=0, design=design)
    assert splits.train[:, design].all()
    assert (splits.train.sum(axis=1) == 50).all()
    assert Splits.of(100).correction == 1 / 200 + 1
    assert splits.correction == 1 / 200 + 50 / 25
    assert [design_size(many) for many in (4, 30, 60, 100, 300)] == [1, 10, 20, 25, 75]


def test_the_interval_with_such_prompts_holds_its_level() -> None:
    """A gain of ten points, with a quarter of the prompts in every choosing half: held in 95 of 100 cases."""
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        base = rng.random(100) < 0.6
        better = np.where(rng.random(100) < 0.25, True, base)
        splits = Splits.of(100, seed=seed, design=range(25))
        found = honest(np.stack([base, better]).astype(float), np.array([1.0, 3.0]), np.array([True, False]), splits)
        held += found.low <= 0.1 <= found.high
    assert held >= 186


def test_members_chosen_on_design_prompts_gain_nothing_by_the_choice() -> None:
    """Models without any skill: the most complementary pair looks ahead on the prompts that chose it, on others not."""
    ahead, fair = [], []
    for seed in range(200):
        scores = (np.random.default_rng(seed).random((8, 120, 1)) < 0.5).astype(float)
        pair = list(complement(scores[:, :30]))[:2]
        best = scores[pair, :, 0].max(axis=0)
        ahead.append(best[:30].mean() - 0.75)
        fair.append(best[30:].mean() - 0.75)
    assert np.mean(ahead) > 0.05
    assert abs(np.mean(fair)) < 0.01
