"""AlpacaEval's length-controlled win rate (length_controlled_v1).

The logit of a win is ``length * tanh(z) + difficulty * d + model``: z is the length difference (reference
minus model, characters) over its standard deviation, d the difficulty of the instruction, `model` counts
only in rows of the model itself. The win rate is the mean prediction with z = 0. Rows of two length-gamed
versions of the baseline (weight 0.1 each) regularize `length` and `difficulty`.

Difficulty is joined **by instruction**. AlpacaEval joins it by row number, so a shuffled, limited or
incomplete file silently gets the difficulties of other instructions there.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moa_graph.costs.amounts import number_of
from moa_graph.errors import InputError
from moa_graph.evals.alpaca_eval.scores import Annotation
from moa_graph.evals.stats import Interval
from moa_graph.evals.stats.intervals import Floats, t_quantile

GAMED_WEIGHT = 0.1
GRID = np.logspace(-4, 4, 10)
FOLDS = 5
SEED = 123
SMALLEST = 100
FEW_WINS = 30
"""With fewer wins, or fewer losses, the interval of the length-controlled rate has a caution."""
COMPLETE = 790
"""From this number of prompts on, the interval keeps its level; published files have 802 to 805."""
WEIGHT_COLUMNS = ("np.tanh(std_delta_len)", "instruction_difficulty", "not_gamed_baseline.astype(float)")


@dataclass(frozen=True)
class Weights:
    """The three coefficients of one model. `C` is the inverse L1 strength of the fit, if known."""

    length: float
    difficulty: float
    model: float
    C: float | None = None


@dataclass(frozen=True)
class Data:
    """Design rows (n x 3: tanh z, difficulty, is-model), soft labels and weights (n each)."""

    x: Floats
    y: Floats
    weight: Floats

    def take(self, rows: NDArray[np.intp]) -> Data:
        return Data(self.x[rows], self.y[rows], self.weight[rows])

    def __add__(self, other: Data) -> Data:
        return Data(*(np.concatenate(pair) for pair in zip(self.parts(), other.parts(), strict=True)))

    def parts(self) -> tuple[Floats, Floats, Floats]:
        return self.x, self.y, self.weight


def read_difficulty(text: str) -> dict[str, float]:
    """Return the difficulty by instruction, from a CSV with columns instruction and instruction_difficulty, in file
    order."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        return {row["instruction"]: float(row["instruction_difficulty"]) for row in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the difficulty table is damaged: {error!r}") from error


def difficulty_by_position(text: str) -> dict[int, float]:
    """Return the difficulty by row number of the reference outputs, from the table of gamed baselines."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        return {int(row["index"]): float(row["instruction_difficulty"]) for row in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the table of gamed baselines is damaged: {error!r}") from error


def read_weights(text: str) -> dict[str, Weights]:
    """Return the published coefficients by model name."""
    table = csv.DictReader(io.StringIO(text, newline=""))
    try:
        return {row[""]: Weights(*(float(row[name]) for name in WEIGHT_COLUMNS)) for row in table}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the table of weights is damaged: {error!r}") from error


def read_gamed(text: str) -> Data:
    """Return the rows of the two gamed baselines. Their is-model column is 0: they do not inform the model term."""
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    try:
        x = [[math.tanh(float(r["std_delta_len"])), float(r["instruction_difficulty"]), 0.0] for r in rows]
        y = [float(r["preference"]) for r in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the table of gamed baselines is damaged: {error!r}") from error
    return Data(np.array(x), np.array(y), np.full(len(y), GAMED_WEIGHT))


def predict(weights: Weights, difficulty: Sequence[float]) -> float:
    """Return the length-controlled win rate in percent: the mean prediction at equal lengths."""
    logits = weights.model + weights.difficulty * np.asarray(difficulty, dtype=float)
    return float(100 * _sigmoid(logits).mean())


def model_rows(items: Sequence[Annotation], difficulty: Mapping[str, float]) -> tuple[Data, Floats]:
    """Return the rows of the model's readable verdicts, and the difficulties of all its instructions in the table's
    order.

    Raises:
        InputError: An instruction is not in the table, or there are fewer than `SMALLEST` rows to fit.
    """
    position = {instruction: number for number, instruction in enumerate(difficulty)}
    unknown = [item.instruction for item in items if item.instruction not in position]
    if unknown:
        raise InputError(
            f"the difficulty of {number_of(len(unknown), 'instruction')} is unknown: first {unknown[0][:60]!r}"
        )
    if len(items) < SMALLEST:
        raise InputError(f"a length control needs at least {SMALLEST} prompts; there are {len(items)}")
    ordered = sorted(items, key=lambda item: position[item.instruction])
    gaps = np.array([len(item.reference) - len(item.output) for item in ordered], dtype=float)
    hard = np.array([difficulty[item.instruction] for item in ordered])
    spread = gaps.std(ddof=1)
    z = gaps / spread if spread > 0 else np.zeros(len(gaps))
    x = np.column_stack([np.tanh(z), hard, np.ones(len(ordered))])
    read = np.array([item.win is not None for item in ordered])
    y = np.array([item.win for item in ordered if item.win is not None])
    return Data(x[read], y, np.ones(len(y))), hard


def fit(data: Data, C: float) -> Weights:
    """Fit an L1-penalised logistic regression on soft labels: every row appears twice, as a win and as a loss."""
    from sklearn.linear_model import LogisticRegression

    n = len(data.y)
    model: Any = LogisticRegression(l1_ratio=1.0, solver="liblinear", C=C, fit_intercept=False, random_state=SEED)
    model.fit(
        np.concatenate([data.x, data.x]),
        np.concatenate([np.ones(n), np.zeros(n)]),
        sample_weight=np.concatenate([data.y * data.weight, (1 - data.y) * data.weight]),
    )
    length, difficulty, own = (float(c) for c in model.coef_[0])
    return Weights(length, difficulty, own, C)


def loss(weights: Weights, data: Data) -> float:
    """Return the mean weighted log loss over the doubled rows."""
    logits = data.x @ np.array([weights.length, weights.difficulty, weights.model])
    p = np.clip(_sigmoid(logits), 1e-15, 1 - 1e-15)
    return float(-((data.y * np.log(p) + (1 - data.y) * np.log(1 - p)) * data.weight).mean())


def choose_strength(data: Data) -> float:
    """Return the C of the grid with the least mean loss over five folds; both copies of a row are in the same fold."""
    from sklearn.model_selection import GroupKFold

    rows = np.arange(len(data.y))
    # The two copies of a row share a group, so the folds are those of the single rows.
    doubled = np.concatenate([rows, rows])
    folds = []
    for train, test in GroupKFold(n_splits=FOLDS).split(doubled, groups=doubled):
        folds.append((train[train < len(rows)], test[test < len(rows)]))
    losses = [np.mean([loss(fit(data.take(a), C), data.take(b)) for a, b in folds]) for C in GRID]
    return float(GRID[int(np.argmin(losses))])


def refit(model: Data, gamed: Data) -> Weights:
    """Return the coefficients of a model from its own rows. C is chosen by cross-validation."""
    data = gamed + model
    return fit(data, choose_strength(data))


def interval(model: Data, gamed: Data, weights: Weights) -> Interval | None:
    """Return the sampling interval of the length-controlled win rate, in percent.

    Prompts are the sample; the rows of the gamed baselines are fixed. The variance is the sandwich estimate of the
    regression, propagated to the mean prediction (delta method on the logit scale). The leaderboard's own
    `lc_standard_error` is the spread of difficulty over instructions, not a sampling error, and is not reported.
    """
    coefficients = np.array([weights.length, weights.difficulty, weights.model])
    whole = gamed + model
    n = len(model.y)
    fitted, pulled = _sigmoid(model.x @ coefficients), _sigmoid(whole.x @ coefficients)
    information = (whole.x * (whole.weight * pulled * (1 - pulled))[:, None]).T @ whole.x
    predicted = _sigmoid(weights.model + weights.difficulty * model.x[:, 1])
    rate, slope = float(predicted.mean()), predicted * (1 - predicted)
    gradient = np.array([0.0, (slope * model.x[:, 1]).mean(), slope.mean()])
    try:
        direction = np.linalg.solve(information, gradient)
    except np.linalg.LinAlgError:
        return None
    influence = predicted - rate + n * (model.x * (model.y - fitted)[:, None]) @ direction
    error = float(influence.std(ddof=1)) / math.sqrt(n)
    if not 0 < rate < 1:
        return None
    centre, half = math.log(rate / (1 - rate)), t_quantile(n) * error / (rate * (1 - rate))
    low, high = (float(100 * _sigmoid(np.array(centre + sign * half))) for sign in (-1, 1))
    return Interval(low, high, _caution(n, float(min(model.y.sum(), n - model.y.sum()))))


def _caution(n: int, cases: float) -> str | None:
    if n >= COMPLETE:
        return f"about {cases:.0f} wins or losses; below {FEW_WINS} the interval is rough" if cases < FEW_WINS else None
    return f"{n} prompts; below {COMPLETE} the gamed baselines bias the estimate towards themselves"


def _sigmoid(logits: Floats) -> Floats:
    shares: Floats = np.exp(-np.logaddexp(0, -logits))
    return shares
