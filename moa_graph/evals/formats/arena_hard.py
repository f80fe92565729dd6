"""Arena-Hard's judgments (v0.1 and v2) in the publisher's format: win rates against the baseline, with style control.

A row has two games of one question, the second with the answers swapped; the model is B in the first game. A verdict
with two marks (">>") counts three times. Against one baseline, the Bradley-Terry win rate of a model is its mean score.
With the answers' metadata, a logistic regression (Bradley-Terry) controls for length and Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row
from moa_graph.evals.figures import Figures, as_pair, cautions
from moa_graph.evals.stats import Interval, fraction_interval
from moa_graph.evals.stats.intervals import NORMAL, Floats

WEIGHT = 3
_SCORES = {"A>B": 1.0, "A>>B": 1.0, "A=B": 0.5, "B=A": 0.5, "A<B": 0.0, "A<<B": 0.0, "B>A": 0.0, "B>>A": 0.0}
_SCORES |= {"B<A": 1.0, "B<<A": 1.0}
_STYLE = ("token_len", "header_count", "list_count", "bold_count")

Battle = tuple[str, str, float]
"""(model, question, score of one counted game)."""


def battles(rows: Sequence[Row]) -> tuple[list[Battle], int]:
    """Return the counted games, and how many rows had an unreadable one.

    Raises:
        InputError: A row is not in Arena-Hard's format, or no game could be read; the message names the first one.
    """
    found: list[Battle] = []
    unreadable, first = 0, None
    for number, row in enumerate(rows, 1):
        games, question = row.get("games"), row.get("uid", row.get("question_id"))
        if not isinstance(games, list) or question is None or "model" not in row:
            raise InputError(f"row {number} is not in Arena-Hard's format: it needs uid, model and games")
        ends = [str(game.get("score")) if isinstance(game, dict) else "" for game in games[:2]]
        if len(ends) < 2 or any(end not in _SCORES for end in ends):
            unreadable, first = unreadable + 1, first or f"row {number} has the scores {ends}"
            continue
        model = str(row["model"]).rsplit("/", 1)[-1]
        for own, end in ((1 - _SCORES[ends[0]], ends[0]), (_SCORES[ends[1]], ends[1])):
            found += [(model, str(question), own)] * (WEIGHT if ">>" in end or "<<" in end else 1)
    if not found:
        raise InputError(f"no game could be read: {first or 'there are no rows'}; a score is like A>B or B>>A")
    return found, unreadable


def arena_hard_figures(rows: Sequence[Row], answers: Sequence[Row] = (), *, baseline: str = "") -> dict[str, Figures]:
    """Return the win rate of every model against the baseline, in percent.

    Args:
        rows: Judgments of any number of models.
        answers: Answer rows with `metadata`, of the models and of the baseline, for the style control.
        baseline: The baseline's name in `answers`.

    Raises:
        InputError: No game could be read, or the style control lacks answers.
    """
    games, unreadable = battles(rows)
    controlled = style_controlled(games, answers, baseline) if answers else {}
    found = {}
    for model in dict.fromkeys(name for name, _, _ in games):
        mine = [(100 * score, question) for name, question, score in games if name == model]
        width = fraction_interval([s for s, _ in mine], clusters=[q for _, q in mine], scale=100)
        held = controlled.get(model)
        found[model] = {
            "n": len({question for _, question in mine}),
            "win_rate": sum(score for score, _ in mine) / len(mine),
            "win_rate_interval": as_pair(width),
            "style_controlled": held[0] if held else None,
            "style_controlled_interval": as_pair(held[1]) if held else None,
            "unreadable_rows_in_file": unreadable,
            "cautions": cautions({"win_rate_interval": width}),
            "notes": [],
        }
    return found


def style_controlled(
    games: Sequence[Battle], answers: Sequence[Row], baseline: str
) -> dict[str, tuple[float, Interval]]:
    """Return win rates at equal style: a Bradley-Terry fit with the differences of length, headers, lists and bold.

    Raises:
        InputError: An answer of a model or of the baseline is missing.
    """
    style = {
        (str(row.get("model", "")).rsplit("/", 1)[-1], str(row.get("uid", row.get("question_id")))): _style(row)
        for row in answers
        if isinstance(row.get("metadata"), Mapping)
    }
    models = list(dict.fromkeys(name for name, _, _ in games))
    try:
        ours = np.array([style[model, question] for model, question, _ in games])
        theirs = np.array([style[baseline, question] for _, question, _ in games])
    except KeyError as error:
        raise InputError(f"style control: there is no answer with metadata of (model, question) {error}") from error
    features = _differences(ours, theirs)
    own = np.array([[float(name == model) for model in models] for name, _, _ in games])
    design, outcome = np.hstack([own, features]), np.array([score for _, _, score in games])
    fitted, covariance = _fit(design, outcome, [question for _, question, _ in games])
    found = {}
    for place, model in enumerate(models):
        half = NORMAL * float(np.sqrt(covariance[place, place]))
        low, rate, high = (float(100 / (1 + np.exp(-(fitted[place] + sign * half)))) for sign in (-1, 0, 1))
        found[model] = (rate, Interval(low, high))
    return found


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
