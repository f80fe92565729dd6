"""Intervals and tests of differences, against independent code and known values; `make coverage` tests their level."""

import itertools
import math
import random
import statistics
from collections.abc import Hashable

import numpy as np
import pytest
from scipy import stats as scipy_stats

from moa_graph.evals.drafts.ensemble import ensemble_figures
from moa_graph.evals.stats import fraction_interval, kappa_interval, mean_interval, paired, sign_flip_p


def test_a_win_rate_has_wilsons_interval() -> None:
    """30 of 100, as statsmodels and scipy give it for the 99 flips that have the sample's variance."""
    found = fraction_interval([100.0] * 30 + [0.0] * 70, scale=100)
    assert found and found.caution is None
    wanted = scipy_stats.binomtest(30, 100).proportion_ci(method="wilson")
    assert (found.low, found.high) == (
        pytest.approx(100 * wanted.low, abs=0.1),
        pytest.approx(100 * wanted.high, abs=0.1),
    )


def test_the_interval_of_an_extreme_fraction_holds_it() -> None:
    """At 0 and at 100 %, rounding left the end of the interval beside the figure."""
    for n in range(1, 100):
        for value in (0.0, 100.0):
            width = fraction_interval([value] * n, scale=100)
            assert width is not None and width.low <= value <= width.high, (n, value)


RATINGS = [1.0] * 9 + [2.0] * 8 + [-2.0, -1.0, 9.0]
THIRDS = [100 / 3] * 9 + [200 / 3] * 8 + [-100.0, -100 / 3, -200 / 3]
HALVES = [0.5] * 17 + [-0.5] * 2 + [9.0]


@pytest.mark.parametrize("differences", [RATINGS, THIRDS, HALVES], ids=["ratings", "thirds", "halves"])
def test_the_p_of_ratings_is_that_of_all_sign_flips(differences: list[float]) -> None:
    """An approximation for values without steps gave a third to seven tenths of it."""
    half = [sum(each) for each in itertools.product(*((x, -x) for x in differences[:10]))]
    rest = [sum(each) for each in itertools.product(*((x, -x) for x in differences[10:]))]
    sums = np.abs(np.add.outer(half, rest))
    exact = float((sums >= abs(sum(differences)) - 1e-6).mean())
    assert 1e-7 < exact < 0.05
    assert sign_flip_p(differences) == pytest.approx(exact, rel=1e-9)


def test_steps_that_are_many_prompts_long_are_counted_exactly() -> None:
    """Twelve hundred prompts: 700 for the one and 500 for the other, some of them by two points."""
    differences = [2.0] * 300 + [1.0] * 400 + [-1.0] * 500
    # The sum of signed steps as a difference of two binomial counts.
    ones, twos = scipy_stats.binom(900, 0.5), scipy_stats.binom(300, 0.5)
    seen = np.arange(301)
    exact = 2 * float((twos.pmf(seen) * ones.sf((500 - 2 * (2 * seen - 300) + 900) / 2 - 1)).sum())
    assert sign_flip_p(differences) == pytest.approx(exact, rel=1e-6, abs=0)


def test_weighted_verdicts_have_a_narrower_interval_than_wins() -> None:
    sure, weighted = fraction_interval([1.0, 0.0] * 100), fraction_interval([0.7, 0.3] * 100)
    assert sure and weighted
    assert (sure.high - sure.low) / (weighted.high - weighted.low) == pytest.approx(2.5, rel=0.05)


@pytest.mark.parametrize(
    ("values", "caution"),
    [
        ([1.0], "1 prompt; below 50 the interval is rough"),
        ([1.0, 0.0], "2 prompts; below 50 the interval is rough"),
        ([1.0] + [0.0] * 99, "about 1 win in 100 prompts; below 10 the interval is rough"),
        ([0.0] + [1.0] * 99, "about 1 loss in 100 prompts; below 10 the interval is rough"),
        ([0.0, 0.0] + [1.0] * 98, "about 2 losses in 100 prompts; below 10 the interval is rough"),
    ],
)
def test_a_caution_counts_in_the_right_number(values: list[float], caution: str) -> None:
    found = fraction_interval(values)
    assert found and found.caution == caution


@pytest.mark.parametrize(("wins", "n"), [(0, 10), (10, 10), (0, 400), (400, 400), (3, 400)])
def test_an_interval_of_few_cases_is_no_point_and_carries_a_caution(wins: int, n: int) -> None:
    found = fraction_interval([1.0] * wins + [0.0] * (n - wins))
    assert found and found.caution
    assert 0 <= found.low <= wins / n <= found.high + 1e-9 <= 1 + 1e-9
    assert found.high - found.low > 1 / n


def test_a_mean_has_students_interval() -> None:
    values = [random.Random(seed).gauss(6, 2) for seed in range(60)]
    found = mean_interval(values)
    wanted = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found and (found.low, found.high) == (pytest.approx(wanted.low), pytest.approx(wanted.high))
    clipped = mean_interval([1.0, 1.0, 9.0], scale=(1, 10))
    assert clipped and (clipped.low, clipped.high) == (1, 10)


@pytest.mark.parametrize("n", [50, 80, 160, 500])
@pytest.mark.parametrize(
    "shares",
    [
        [0.02, 0, 0, 0, 0, 0, 0, 0.03, 0.15, 0.8],
        [0.03, 0, 0, 0, 0, 0, 0, 0, 0, 0.97],
        [0.6, 0.2, 0.1, 0.03, 0.02, 0.01, 0.01, 0.01, 0.01, 0.01],
        [0.08, 0.08, 0.08, 0.04, 0.07, 0.04, 0.06, 0.1, 0.25, 0.2],
    ],
)
def test_a_mean_holds_its_level_or_carries_a_caution(shares: list[float], n: int) -> None:
    """A strong model's ratings: most are 10, and the few that are not decide the mean."""
    rng, ratings = np.random.default_rng(3), np.arange(1, 11)
    truth = float(np.dot(shares, ratings))
    found = [mean_interval(rng.choice(ratings, n, p=shares).tolist(), scale=(1, 10)) for _ in range(400)]
    held = np.mean([each is not None and each.low <= truth <= each.high for each in found])
    cautioned = np.mean([each is None or each.caution is not None for each in found])
    assert cautioned >= 0.5 or held >= 0.92


def test_ordinary_ratings_carry_no_caution() -> None:
    rng = np.random.default_rng(3)
    shares = [0.05, 0.05, 0.08, 0.08, 0.1, 0.12, 0.14, 0.16, 0.13, 0.09]
    found = [mean_interval(rng.choice(np.arange(1, 11), 60, p=shares).tolist(), scale=(1, 10)) for _ in range(100)]
    assert not any(each is None or each.caution for each in found)


@pytest.mark.parametrize(
    ("gains", "caution"),
    [
        ([0.0] * 200, "all values are equal"),
        ([1.0] * 4 + [0.0] * 801, "the values are skewed; the interval is rough"),
        ([1.0, -1.0] * 20 + [0.0] * 160, None),
    ],
)
def test_a_difference_in_few_prompts_carries_a_caution(gains: list[float], caution: str | None) -> None:
    found = paired(gains, [0.0] * len(gains))
    assert found.caution == caution


def test_a_difference_has_students_interval_and_an_exact_p() -> None:
    a, b = [0.9, 0.2, 0.8, 0.7, 0.6, 0.9], [0.1, 0.3, 0.2, 0.1, 0.5, 0.4]
    found = paired(a, b)
    wanted = scipy_stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(wanted.low), pytest.approx(wanted.high))
    # Of the 64 ways to give six differences signs, those with a sum at least as far from 0.
    exact = scipy_stats.permutation_test(
        ([x - y for x, y in zip(a, b, strict=True)],), lambda d: sum(d), permutation_type="samples", n_resamples=10**5
    )
    assert found.p == pytest.approx(exact.pvalue)


def test_a_p_value_has_no_floor() -> None:
    """Equal sizes are a binomial test; unequal ones go beyond what 10,000 resamples can show."""
    assert sign_flip_p([1.0] * 40) == pytest.approx(2 * 0.5**40)
    rng = random.Random(1)
    clear = [rng.uniform(0.2, 1.0) for _ in range(60)] + [-0.3] * 4
    assert 1e-16 < sign_flip_p(clear) < 1e-9
    middle = [rng.gauss(0.25, 1) for _ in range(100)]
    assert sign_flip_p(middle) == pytest.approx(scipy_stats.ttest_1samp(middle, 0).pvalue, rel=0.3)
    assert sign_flip_p([0.0] * 10) == 1


@pytest.mark.parametrize("deviations", [3.2, 3.4, 3.5, 3.7])
def test_p_has_no_step_where_resampling_is_left_out(deviations: float) -> None:
    """From about 3.5 deviations on, no resampling could give enough hits."""
    rng = random.Random(3)
    values = [rng.gauss(0, 1) for _ in range(400)]
    mean, error = statistics.mean(values), statistics.stdev(values) / 20
    moved = [value - mean + deviations * error for value in values]
    assert sign_flip_p(moved) == pytest.approx(scipy_stats.ttest_1samp(moved, 0).pvalue, rel=0.15)


def test_kappa_has_an_interval_inside_its_range() -> None:
    a = [0, 0, 1, 1, 0, 1, 0, 1] * 10
    found = kappa_interval(a, [0, 0, 1, 1, 0, 1, 1, 1] * 10)
    assert found and -1 < found.low < 0.75 < found.high < 1
    assert found.high - found.low < 0.35


def test_the_error_of_kappa_is_that_of_its_authors() -> None:
    """Against statsmodels: table [[40, 9], [6, 45]] has kappa 0.6995 with a standard error of 0.0714."""
    a, b = [0] * 49 + [1] * 51, [0] * 40 + [1] * 9 + [0] * 6 + [1] * 45
    found = kappa_interval(a, b)
    assert found and found.caution is None
    half = scipy_stats.t.ppf(0.975, 99) * 0.0714 / (1 - 0.6995**2)
    wanted = [math.tanh(math.atanh(0.6995) + sign * half) for sign in (-1, 1)]
    assert [found.low, found.high] == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize(("share", "n"), [(0.05, 200), (0.02, 200), (0.1, 50)])
def test_the_interval_of_kappa_holds_where_a_label_is_rare(share: float, n: int) -> None:
    """Raters who agree by chance: the cell in which both say the rare label is often empty."""
    rng = np.random.default_rng(4)
    intervals = [kappa_interval(*(rng.random((2, n)) < share).astype(int).tolist()) for _ in range(300)]
    held = [found.low <= 0 <= found.high for found in intervals if found]
    assert len(held) > 280 and np.mean(held) >= 0.95


@pytest.mark.parametrize(("a", "b"), [([0, 1] * 30, [1] * 60), ([0] * 57 + [1] * 3, [0] * 57 + [1] * 3)])
def test_raters_with_one_label_have_an_interval_with_a_caution(a: list[int], b: list[int]) -> None:
    found = kappa_interval(a, b)
    assert found and found.caution and "beside the usual one are rare" in found.caution
    assert found.high - found.low > 0.05


@pytest.mark.parametrize("n", [6, 100, 800])
def test_the_interval_of_kappa_stays_in_its_range_where_labels_are_rare(n: int) -> None:
    """Each rater gives the rare label once, to different items: chance agreement is almost 1."""
    found = kappa_interval([1, *[0] * (n - 1)], [*[0] * (n - 1), 1])
    assert found and -1 <= found.low < 0 < found.high <= 1


@pytest.mark.parametrize("proposers", [3, 6])
def test_the_best_of_several_proposers_is_compared_without_its_luck(proposers: int) -> None:
    """An answer as good as each of equal proposers is not worse than the best one, which is so by chance."""
    rng = np.random.default_rng(5)
    worse, held = [], []
    for _ in range(300):
        drawn = 100.0 * (rng.random((proposers + 1, 200)) < 0.6)
        scores: list[dict[Hashable, float]] = [dict(enumerate(row.tolist())) for row in drawn]
        found = ensemble_figures(scores[0], {str(number): each for number, each in enumerate(scores[1:])})
        low, high = found["against_best"]["interval"]
        assert low <= found["against_best"]["difference"] <= high
        held.append(low <= 0 <= high)
        worse.append(not found["against_best"]["tied"])
    assert np.mean(held) >= 0.95 and np.mean(worse) <= 0.04


@pytest.mark.parametrize(("n", "labels"), [(50, 2), (100, 3), (200, 3)])
def test_the_interval_of_kappa_holds_where_raters_hardly_ever_differ(n: int, labels: int) -> None:
    """One judge in a hundred verdicts differs: a handful of disagreements does not tell how rare they are."""
    rng = np.random.default_rng(8)
    held, cautioned = [], []
    for _ in range(400):
        first = rng.integers(0, labels, n)
        second = np.where(rng.random(n) < 0.99, first, rng.integers(0, labels, n))
        found = kappa_interval(first.tolist(), second.tolist())
        assert found
        held.append(found.low <= 0.99 <= found.high)
        cautioned.append(found.caution is not None)
    assert np.mean(held) >= 0.93 and np.mean(cautioned) > 0.9


def test_a_kappa_of_few_disagreements_has_a_caution() -> None:
    found = kappa_interval([0, 1] * 100, [0, 1] * 98 + [1, 0, 1, 1])
    assert found and found.caution == "3 disagreements; below 10 the interval is rough"


@pytest.mark.parametrize("proposers", [3, 10])
def test_p_against_the_best_of_several_proposers_allows_for_its_luck(proposers: int) -> None:
    rng = np.random.default_rng(6)
    found = []
    for _ in range(300):
        drawn = 100.0 * (rng.random((proposers + 1, 200)) < 0.6)
        scores: list[dict[Hashable, float]] = [dict(enumerate(row.tolist())) for row in drawn]
        each = ensemble_figures(scores[0], {str(number): own for number, own in enumerate(scores[1:])})
        found.append(each["against_best"]["p"])
    assert np.mean([p < 0.05 for p in found]) <= 0.05
