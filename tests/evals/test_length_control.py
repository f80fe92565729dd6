"""The length-controlled win rate on small synthetic cases with known answers, without benchmark data."""

import math
import random

import numpy as np
import pytest

from moa_graph.errors import InputError
from moa_graph.evals.alpaca_eval import length_control as length
from moa_graph.evals.alpaca_eval.scores import Annotation


def annotations(n: int = 400, *, model: float = -0.5, by_length: float = -1.5, hard: float = 0.8) -> list[Annotation]:
    """Verdicts that follow the model of the length control exactly: the logit is
    ``by_length * tanh(z) + hard * difficulty + model``, with z the length gap over its deviation (n - 1)."""
    rng = random.Random(2)
    gaps = [rng.randint(-400, 400) for _ in range(n)]
    mean = sum(gaps) / n
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / (n - 1))
    found = []
    for number, gap in enumerate(gaps):
        logit = by_length * math.tanh(gap / spread) + hard * difficulty(number) + model
        win = 1 / (1 + math.exp(-logit))
        found.append(Annotation(f"i{number}", "x" * (500 + gap), "y" * 500, "", win))
    return found


def difficulty(number: int) -> float:
    return math.sin(number)


def table(n: int = 400) -> dict[str, float]:
    return {f"i{number}": difficulty(number) for number in range(n)}


def gamed(rows: int = 0) -> length.Data:
    return length.Data(np.zeros((rows, 3)), np.full(rows, 0.5), np.full(rows, length.GAMED_WEIGHT))


def test_the_fit_finds_the_coefficients_that_made_the_verdicts() -> None:
    """Without tanh, with another deviation, or with difficulties of other prompts it finds others."""
    rows, hard = length.model_rows(annotations(), table())
    weights = length.fit(gamed() + rows, 1e4)
    assert weights.length == pytest.approx(-1.5, abs=2e-3)
    assert weights.difficulty == pytest.approx(0.8, abs=2e-3)
    assert weights.model == pytest.approx(-0.5, abs=2e-3)
    wanted = 100 * np.mean([1 / (1 + math.exp(0.5 - 0.8 * difficulty(n))) for n in range(400)])
    assert length.predict(weights, hard.tolist()) == pytest.approx(wanted, abs=0.05)


def test_difficulty_is_joined_by_instruction() -> None:
    rows = annotations()
    whole = length.model_rows(rows, table())
    shuffled = random.Random(1).sample(rows, len(rows))
    assert np.array_equal(length.model_rows(shuffled, table())[0].x, whole[0].x)
    with pytest.raises(InputError, match="the difficulty of"):
        length.model_rows([*rows[1:], Annotation("other", "a", "b", "", 0.5)], table())
    with pytest.raises(InputError, match="at least 100 prompts"):
        length.model_rows(rows[:99], table())


def test_constants_of_the_published_formula() -> None:
    """Ten strengths from 1e-4 to 1e4, five folds, a tenth of the weight for each gamed baseline."""
    assert pytest.approx([10 ** (-4 + 8 * step / 9) for step in range(10)]) == length.GRID
    assert (length.FOLDS, length.SEED, length.GAMED_WEIGHT) == (5, 123, 0.1)
    text = "index,std_delta_len,instruction_difficulty,preference\n0,2.0,0.5,0.25\n"
    read = length.read_gamed(text)
    assert read.x.tolist() == [[math.tanh(2.0), 0.5, 0.0]]
    assert (read.y.tolist(), read.weight.tolist()) == ([0.25], [0.1])


def test_the_gamed_baselines_pull_by_their_weight() -> None:
    """Rows of a baseline whose wins grow with length move that coefficient, and the model's own only a little."""
    rows, _ = length.model_rows(annotations(), table())
    z = np.tanh(np.linspace(-2, 2, 800))
    other = length.Data(np.column_stack([z, np.zeros(800), np.zeros(800)]), 1 / (1 + np.exp(-3 * z)), np.full(800, 0.1))
    alone, pulled = length.fit(gamed() + rows, 1e4), length.fit(other + rows, 1e4)
    assert pulled.length > alone.length + 0.1
    assert pulled.model == pytest.approx(alone.model, abs=0.1)


def test_the_interval_holds_the_estimate_and_narrows() -> None:
    wide, narrow = (
        length.interval(rows, gamed(), length.fit(gamed() + rows, 1e4))
        for rows in (length.model_rows(annotations(n), table(n))[0] for n in (150, 1200))
    )
    assert wide and narrow
    assert wide.caution and narrow.caution is None
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(math.sqrt(8), rel=0.3)


def test_length_gaps_are_divided_by_the_deviation_over_n_minus_1() -> None:
    rows, _ = length.model_rows(annotations(), table())
    assert np.arctanh(rows.x[:, 0]).std(ddof=1) == pytest.approx(1.0, abs=1e-9)
