"""Bradley-Terry win rates at equal style, as Arena-Hard computes them.

A logistic regression of the counted games has one column for every model and the differences of length and of Markdown
per token from the baseline's answer. A model's rate is that of its own coefficient alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row
from moa_graph.evals.stats import Interval
from moa_graph.evals.stats.intervals import NORMAL, Floats, few_cases, wilson

Battle = tuple[str, str, float]
"""(model, question, score of one counted game)."""
_FEW = 100
"""Below this number of prompts the interval carries a caution: the fit has four more coefficients than a plain mean."""
_STYLE = ("token_len", "header_count", "list_count", "bold_count")


def style_controlled(
    games: Sequence[Battle], answers: Sequence[Row], baseline: str
) -> dict[str, tuple[float, Interval]]:
    """Return win rates at equal style: a Bradley-Terry fit with the differences of length, headers, lists and bold.

    Raises:
        InputError: An answer of a model or of the baseline is missing, or the baseline is not known.
    """
    if not baseline:
        raise InputError("style control: the baseline is not known. Give --baseline with its name in the answers")
    style = {
        (_model(row), str(row.get("uid", row.get("question_id")))): _style(row)
        for row in answers
        if isinstance(row.get("metadata"), Mapping)
    }
    models = list(dict.fromkeys(name for name, _, _ in games))
    try:
        ours = np.array([style[model, question] for model, question, _ in games])
        theirs = np.array([style[baseline, question] for _, question, _ in games])
    except KeyError as error:
        raise InputError(f"style control: no answer with metadata is given for (model, question) {error}") from error
    features = _differences(ours, theirs)
    own = np.array([[float(name == model) for model in models] for name, _, _ in games])
    design, outcome = np.hstack([own, features]), np.array([score for _, _, score in games])
    fitted, covariance = _fit(design, outcome, [question for _, question, _ in games])
    errors = np.sqrt(np.diag(covariance))
    return {
        model: _rate(float(fitted[place]), float(errors[place]), [game for game in games if game[0] == model])
        for place, model in enumerate(models)
    }


def _rate(coefficient: float, error: float, games: Sequence[Battle]) -> tuple[float, Interval]:
    """Return a model's rate in percent with its interval.

    A model with hardly any wins, hardly any losses or ties alone leaves no residuals to estimate the error from. Its
    interval is at least that of as many coin flips as there are questions.
    """
    low, rate, high = (float(1 / (1 + np.exp(-(coefficient + sign * NORMAL * error)))) for sign in (-1, 0, 1))
    questions = len({question for _, question, _ in games})
    scores = [score for _, _, score in games]
    caution = few_cases(float(np.mean(scores)), questions)
    if caution or len(set(scores)) == 1:
        least, most = wilson(rate, questions, questions)
        low, high = min(low, least), max(high, most)
    if questions < _FEW:
        caution = f"{questions} prompts; below {_FEW} the interval is rough"
    return 100 * rate, Interval(100 * low, 100 * high, caution)


def _model(row: Row) -> str:
    return str(row.get("model", row.get("model_id", ""))).rsplit("/", 1)[-1]


def _style(row: Row) -> list[float]:
    values = [row["metadata"].get(name, 0) for name in _STYLE]
    return [float(sum(value.values()) if isinstance(value, Mapping) else value) for value in values]


def _differences(ours: Floats, theirs: Floats) -> Floats:
    """Return relative differences of length and of Markdown per token, each with mean 0 and deviation 1."""
    length = (ours[:, :1] - theirs[:, :1]) / np.maximum(ours[:, :1] + theirs[:, :1], 1)
    dense = [side[:, 1:] / (side[:, :1] + 1) for side in (ours, theirs)]
    marks = (dense[0] - dense[1]) / (dense[0] + dense[1] + 1)
    features = np.hstack([length, marks])
    spread = features.std(axis=0, ddof=1)
    scaled: Floats = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return scaled


def _fit(design: Floats, outcome: Floats, questions: Sequence[str]) -> tuple[Floats, Floats]:
    """Return coefficients of a logistic regression and their covariance by question (sandwich)."""
    coefficients = np.zeros(design.shape[1])
    # A weak ridge penalty keeps the coefficients finite for a constant feature or a model that always wins.
    ridge = 1e-3 * np.eye(design.shape[1])
    for _ in range(100):
        share = 1 / (1 + np.exp(-np.clip(design @ coefficients, -30, 30)))
        information = (design * (share * (1 - share))[:, None]).T @ design + ridge
        step = np.linalg.solve(information, design.T @ (outcome - share) - ridge @ coefficients)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-9:
            break
    places: dict[str, int] = {}
    rows = np.array([places.setdefault(question, len(places)) for question in questions])
    scores = np.zeros((len(places), design.shape[1]))
    np.add.at(scores, rows, design * (outcome - share)[:, None])
    bread = np.linalg.inv(information)
    covariance: Floats = bread @ (scores.T @ scores) @ bread
    return coefficients, covariance
