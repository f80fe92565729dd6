"""Co-failure, its exact bound, and a judge's noise."""

import numpy as np
import pytest
from scipy.stats import binomtest

from moa_graph import Mixture
from moa_graph.evals.tune.candidates import CandidatePlan
from moa_graph.evals.tune.ceiling import ceiling, judge_noise, upper_bound
from moa_graph.evals.tune.race import Measured, hopeless
from moa_graph.evals.tune.recorded.read import read_recorded
from moa_graph.evals.tune.sweep import main_effects
from tests.tune.assets import ASSETS, needs_assets


@pytest.mark.parametrize(("cases", "n"), [(0, 30), (12, 400), (69, 400), (399, 400), (400, 400)])
def test_bounds_are_those_of_clopper_and_pearson(cases: int, n: int) -> None:
    """Against scipy's own exact interval of the same one-sided level."""
    wanted = binomtest(cases, n).proportion_ci(confidence_level=0.90, method="exact")
    assert upper_bound(cases, n) == pytest.approx(wanted.high)


def test_a_bound_holds_in_95_of_100_draws() -> None:
    draws = np.random.default_rng(0).binomial(100, 0.05, size=2000)
    held = np.mean([upper_bound(int(cases), 100) >= 0.05 for cases in draws])
    assert 0.95 <= held <= 0.99


@needs_assets
@pytest.mark.parametrize(
    ("name", "best", "oracle", "co_failure", "upper"),
    [("gsm8k400", 91.5, 97.0, 3.0, 4.82), ("math400", 69.25, 82.75, 17.25, 20.66)],
)
def test_recorded_drafts(name: str, best: float, oracle: float, co_failure: float, upper: float) -> None:
    found = ceiling(read_recorded(ASSETS / "recorded_drafts" / f"{name}.jsonl.gz").samples.scores)
    assert (found.n, found.best_single, found.oracle) == (400, pytest.approx(best), pytest.approx(oracle))
    assert found.co_failure == pytest.approx(co_failure)
    assert found.co_failure_upper == pytest.approx(upper, abs=0.005)
    assert found.gain == pytest.approx(oracle - best)
    assert found.one_each == pytest.approx(oracle)


def test_several_drafts_of_each_model() -> None:
    """Two models, three prompts, two drafts: one prompt is lost, one is won by the second model's second draft."""
    scores = np.array([[[1, 1], [0, 0], [0, 0]], [[0, 0], [0, 1], [0, 0]]], dtype=float)
    found = ceiling(scores)
    assert (found.best_single, found.oracle) == (pytest.approx(100 / 3), pytest.approx(200 / 3))
    assert found.one_each == pytest.approx(100 / 3)
    assert found.co_failure_upper == pytest.approx(100 * upper_bound(1, 3))
    assert found.gain_upper == pytest.approx(100 * upper_bound(1, 3, level=0.975))


def test_the_bound_of_the_gain_with_many_drafts_is_no_more_than_the_prompts_say() -> None:
    """Twenty drafts a model, right in 8 of 10: nearly every prompt has a right draft, and a fifth can be won."""
    rng = np.random.default_rng(2)
    found = ceiling((rng.random((1, 50, 20)) < 0.8).astype(float))
    assert found.gain == pytest.approx(20, abs=3)
    assert found.gain < found.gain_upper < found.gain + 4  # type: ignore[operator]


@pytest.mark.parametrize(("models", "drafts"), [(6, 1), (6, 4), (12, 1)])
def test_the_bound_of_the_gain_holds_for_the_best_of_equal_models(models: int, drafts: int) -> None:
    """The best of equal models looks better than it is, so that the gain over it looks smaller than it is."""
    rng = np.random.default_rng(3)
    gain = 100 * (1 - 0.4 ** (models * drafts) - 0.6)
    bounds = [ceiling((rng.random((models, 100, drafts)) < 0.6).astype(float)).gain_upper for _ in range(400)]
    assert np.mean([bound is not None and bound >= gain for bound in bounds]) >= 0.93


def test_the_bound_of_the_gain_counts_on_rare_large_gains_that_were_not_seen() -> None:
    """A model that loses one draft in 100 everywhere, and every draft of one prompt in 50, which the other wins."""
    rng, gain = np.random.default_rng(5), 100 * (1 - 0.98 * 0.99)
    held = 0
    for _ in range(200):
        rare = rng.random((1, 100, 1)) < 0.02
        ours = ~rare & (rng.random((1, 100, 8)) < 0.99)
        theirs = rare & np.ones((1, 100, 8), dtype=bool)
        found = ceiling(np.concatenate([ours, theirs]).astype(float), single=0)
        held += found.gain_upper is not None and found.gain_upper >= gain
    assert held >= 0.93 * 200


def test_scores_between_0_and_1_have_no_binomial_bound() -> None:
    scores = np.array([[[0.5], [0.25]], [[0.75], [np.nan]]])
    found = ceiling(scores)
    assert found.oracle == pytest.approx(50)
    assert (found.co_failure_upper, found.gain_upper) == (None, None)
    # No draft fails, so the sentence may not say that.
    assert found.sentence("a").endswith(": the best draft of each prompt scores 50.00 % on average.")
    with pytest.raises(ValueError, match="no prompt"):
        ceiling(np.full((1, 2, 1), np.nan))


def test_a_judges_noise_lifts_the_oracle() -> None:
    """Equal drafts under a noisy judge: the best of five looks better, and a second verdict takes it back."""
    rng = np.random.default_rng(1)
    verdicts = 0.5 + 0.1 * rng.normal(size=(500, 5))
    again = 0.5 + 0.1 * rng.normal(size=(500, 5))
    best = verdicts.argmax(axis=1)
    rows = np.arange(500)
    found = judge_noise(
        list(zip(verdicts[:, 0], again[:, 0], strict=True)),
        list(zip(verdicts[rows, best], again[rows, best], strict=True)),
    )
    assert found.deviation == pytest.approx(10, abs=0.7)
    assert found.inflation == pytest.approx(11.6, abs=1.0)
    assert found.oracle_again == pytest.approx(50, abs=1.5)
    assert judge_noise([], []).inflation is None


def test_the_ceiling_of_a_named_model_is_compared_with_that_model() -> None:
    """The best single model to use may be a cheaper one that is tied with the best."""
    scores = (np.random.default_rng(4).random((2, 200, 1)) < 0.7).astype(float)
    means = 100 * scores.mean(axis=(1, 2))
    best, other = (int(place) for place in np.argsort(-means))
    found = ceiling(scores, single=other)
    assert found.best_single == pytest.approx(means[other]) and means[other] < means[best]
    assert found.gain == pytest.approx(found.oracle - means[other])
    of_best = ceiling(scores, single=best)
    assert found.gain_upper is not None and of_best.gain_upper is not None
    assert found.gain_upper >= of_best.gain_upper
    assert f"b ({means[other]:.2f} %)" in found.sentence("b")


def measured(*scores: float) -> Measured:
    plan = CandidatePlan("m", "m", (0,), "synthesize")
    return Measured(plan, Mixture(proposers=["openai:a"], aggregator="openai:a"), np.array(scores))


def test_a_sweep_compares_on_the_prompts_that_all_have_a_grade_for() -> None:
    """A failed verdict does not count as a wrong answer."""
    nan = float("nan")
    rows = main_effects({"layers": [2, 3]}, [measured(1, 1, 0, 1), measured(1, nan, 0, nan)])
    assert [row["score"] for row in rows] == [50, 50]
    assert rows[1]["gain"] == 0
    assert rows[1]["caution"] == "2 prompts; below 50 the interval is rough"
    assert main_effects({"layers": [2]}, [measured(1, nan)]) == []


def test_a_prompt_without_a_grade_could_still_be_right() -> None:
    best, own = np.ones(25), np.ones(20)
    own[:10] = np.nan
    assert hopeless(own, best, 20) is None
    own[:10] = 0
    assert "cannot reach" in str(hopeless(own, best, 20))
