"""The statistics of the choice, on planted cases whose right verdict is known."""

from collections import Counter

import numpy as np
import pytest

from moa_graph.evals.tune.choice import choose, highest_gain
from moa_graph.evals.tune.simultaneous import corrected_p
from moa_graph.evals.tune.splits import Splits, honest, pick
from tests.faults import LONG
from tests.tune.planted import HELPS, HURTS, Planted, decided, truth

REPETITIONS = 100 if LONG else 20


def verdicts(case: Planted, prompts: int, *, depth: int = 5) -> Counter[str]:
    return Counter(decided(case, prompts, depth, seed)[0].use for seed in range(REPETITIONS))


def test_the_planted_cases_are_what_they_say() -> None:
    """Measured on 10,000 prompts: about five points to gain, and less than half a point."""
    assert truth(HELPS)[1] == pytest.approx(0.05, abs=0.005)
    assert abs(truth(HURTS)[1]) < 0.005


@pytest.mark.timeout(600)
def test_a_mixture_that_helps_is_found_at_200_prompts() -> None:
    assert verdicts(HELPS, 200)["mixture"] >= 0.95 * REPETITIONS


@pytest.mark.timeout(600)
def test_a_mixture_that_does_not_help_is_refused_at_200_prompts() -> None:
    assert verdicts(HURTS, 200)["single"] >= 0.95 * REPETITIONS


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", [HELPS, HURTS], ids=["helps", "hurts"])
def test_at_30_prompts_nothing_can_be_told(case: Planted) -> None:
    found = verdicts(case, 30)
    assert found["cannot tell"] >= 0.95 * REPETITIONS
    assert found["single"] == 0


@pytest.mark.timeout(600)
def test_where_all_are_equal_a_mixture_is_chosen_in_at_most_5_percent() -> None:
    """Forty candidates with the same accuracy: the best of them looks good by luck alone."""
    wrong = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        scores = (rng.random((40, 200)) < 0.7).astype(float)
        choice = choose(scores, [1.0] * 3 + [3.0] * 37, [True] * 3 + [False] * 37, seed=seed)
        wrong += choice.use == "mixture"
    assert wrong <= 5


@pytest.mark.timeout(600)
@pytest.mark.parametrize("given", [{"paid": 12}, {"paid": 12, "readers": 5}], ids=["race", "race and readers"])
def test_what_is_decided_on_all_prompts_makes_no_gain(given: dict[str, int]) -> None:
    """No mixture gains; candidates race, and the reader that agrees best with the grades is taken."""
    case = Planted((1.5, 0.55, 0.5), shared=1.15, own=1.1, noise=0.5)
    assert truth(case, depth=1)[1] < 0.002
    wrong = sum(decided(case, 200, 1, seed, **given)[0].use == "mixture" for seed in range(REPETITIONS))
    assert wrong <= (8 if LONG else 3)


def test_a_bound_holds_for_the_best_of_many_single_models() -> None:
    """Ten equal models: the best of them looks better than it is, and gains of five points are still not ruled out."""
    missed = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        singles = (rng.random((10, 200)) < 0.7).astype(float)
        mixture = (rng.random((1, 200)) < 0.75).astype(float)
        base = singles[singles.mean(axis=1).argmax()]
        missed += highest_gain(mixture - base, singles=10)[0] < 0.05
    assert missed <= 14


def test_below_50_prompts_a_loss_on_few_prompts_rules_nothing_out() -> None:
    scores = np.ones((2, 30))
    scores[1, :12] = 0
    choice = choose(scores, [1.0, 2.0], [True, False])
    assert (choice.use, choice.hidden) == ("cannot tell", pytest.approx(0.095, abs=0.001))


def test_single_models_that_are_never_combined_are_compared_with_the_best_of_both() -> None:
    halves = np.array([[1.0, 0.0] * 40, [0.0, 1.0] * 40])
    assert choose(halves, [1.0, 1.0], [True, True]).use == "cannot tell"
    assert choose(np.ones((2, 80)), [1.0, 1.0], [True, True]).use == "single"


def test_the_honest_gain_is_not_lifted_by_the_choice() -> None:
    """The best of forty equal candidates is ahead on the prompts that chose it, and not on the others."""
    ahead, fair = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        scores = (rng.random((40, 100)) < 0.6).astype(float)
        single = np.arange(40) == 0
        ahead.append(scores.mean(axis=1).max() - scores[0].mean())
        fair.append(honest(scores, np.ones(40), single, Splits.of(100, many=50, seed=seed)).gain)
    assert np.mean(ahead) > 0.08
    assert abs(np.mean(fair)) < 0.02


def test_the_interval_of_the_honest_gain_holds_its_level() -> None:
    """A mixture with a gain of ten points that is always chosen: the interval has the gain in 95 of 100 cases."""
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        base = rng.random(100) < 0.6
        better = np.where(rng.random(100) < 0.25, True, base)
        table = np.stack([base, better]).astype(float)
        found = honest(table, np.array([1.0, 3.0]), np.array([True, False]), Splits.of(100, seed=seed))
        held += found.low <= 0.1 <= found.high
    assert held >= 186


def test_trying_many_candidates_is_corrected_for() -> None:
    """Fifty candidates without a gain: the smallest p is below 0.05 in 5 of 100 cases, copies of one do not count."""
    smallest, copies = [], []
    for seed in range(200):
        gains = np.random.default_rng(seed).choice((-1.0, 0.0, 0.0, 1.0), size=(50, 120))
        smallest.append(corrected_p(gains, flips=400, seed=seed).min())
        copies.append(corrected_p(gains[:1].repeat(50, axis=0), flips=400, seed=seed)[0])
    assert 0.02 <= np.mean(np.array(smallest) < 0.05) <= 0.085
    assert 0.02 <= np.mean(np.array(copies) < 0.05) <= 0.085
    clear = np.zeros((2, 60))
    clear[1, :20] = 1.0
    assert corrected_p(clear)[0] == 1.0
    assert corrected_p(clear)[1] < 0.001


def test_candidates_that_left_the_race_count_in_the_correction() -> None:
    scores = np.zeros((2, 100))
    scores[:, :50] = 1.0
    scores[1, 50:56] = 1.0
    alone = choose(scores, [1.0, 3.0], [True, False])
    assert alone.use == "mixture"
    raced = choose(scores, [1.0, 3.0], [True, False], stopped=9)
    assert raced.p == pytest.approx(10 * alone.p)
    assert raced.use == "cannot tell"


def test_a_gain_too_small_to_matter_is_no_mixture() -> None:
    """A certain gain of less than a point: the single model where five points are worth it, a mixture where one is."""
    scores = np.zeros((2, 2000))
    scores[:, :1000] = 1.0
    scores[1, 1000:1016] = 1.0
    small = choose(scores, [1.0, 3.0], [True, False])
    assert (small.use, small.finalists[0].wins) == ("single", True)
    assert "gains only 0." in small.reason
    assert choose(scores, [1.0, 3.0], [True, False], worth=0.01).use == "mixture"


def test_of_tied_candidates_the_cheapest_is_taken() -> None:
    means = np.array([0.800, 0.804, 0.806, 0.700])
    assert pick(means, np.array([1.0, 3.0, 2.0, 0.1])) == 2
    assert pick(means, np.array([1.0, 0.5, 2.0, 0.1])) == 1
    assert pick(np.array([0.8, 0.8]), np.array([np.inf, np.inf])) == 0


def test_equal_scores_on_few_prompts_rule_nothing_out() -> None:
    """No difference on 30 prompts leaves room for more than six points, on 200 for about one."""
    assert highest_gain(np.zeros((1, 30)))[0] == pytest.approx(0.0636, abs=0.001)
    assert highest_gain(np.zeros((1, 200)))[0] == pytest.approx(0.0098, abs=0.001)
    scores = np.ones((2, 30))
    scores[:, :9] = 0
    choice = choose(scores, [1.0, 2.0], [True, False])
    assert (choice.use, choice.winner) == ("cannot tell", 0)


def test_a_single_model_alone_is_used_and_proves_nothing() -> None:
    choice = choose(np.array([[1.0, 0.0, 1.0, 1.0]]), [None], [True])
    assert (choice.use, choice.winner, choice.best_mixture) == ("cannot tell", 0, None)


def test_at_most_one_finalist_of_a_kind() -> None:
    rng = np.random.default_rng(0)
    scores = (rng.random((6, 80)) < 0.5).astype(float)
    kinds = ["single", "vote", "vote", "vote", "medoid", "medoid"]
    choice = choose(scores, [1.0] * 6, [True, *[False] * 5], kinds=kinds)
    assert sorted(kinds[each.place] for each in choice.finalists) == ["medoid", "vote"]


@pytest.mark.parametrize(("right", "verdict"), [(500, "single"), (490, "single"), (400, "cannot tell")])
def test_without_a_mixture_one_model_is_enough_only_where_little_is_left_to_win(right: int, verdict: str) -> None:
    scores = np.concatenate([np.ones(right), np.zeros(500 - right)])[None]
    assert choose(scores, [1.0], [True]).use == verdict
