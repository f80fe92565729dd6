"""Arena-Hard's judgments (v0.1 and v2) in the publisher's format: win rates against the baseline, with style control.

A row has two games of one question, the second with the answers swapped; the model is B in the first. A verdict with
two marks (">>") counts three times. Against one baseline, the Bradley-Terry win rate of a model is its mean score. With
the answers' metadata, `style_control` controls for length and Markdown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data import fields
from moa_graph.evals.data.fields import Once, identifier
from moa_graph.evals.data.files import Row
from moa_graph.evals.figures import Figures, as_pair, cautions
from moa_graph.evals.formats.style_control import Battle, style_controlled
from moa_graph.evals.stats import Interval, fraction_interval

WEIGHT = 3
_SCORES = {"A>B": 1.0, "A>>B": 1.0, "A=B": 0.5, "B=A": 0.5, "A<B": 0.0, "A<<B": 0.0, "B>A": 0.0, "B>>A": 0.0}
_SCORES |= {"B<A": 1.0, "B<<A": 1.0}

BASELINES = {
    "hard_prompt": "o3-mini-2025-01-31",
    "coding": "o3-mini-2025-01-31",
    "math": "o3-mini-2025-01-31",
    "creative_writing": "gemini-2.0-flash-001",
    "arena-hard-v0.1": "gpt-4-0314",
}
"""The publisher's baseline of each category."""


@dataclass(frozen=True)
class Group:
    """The judgments of one model against one baseline by one judge in one category; different ones are never averaged.

    Attributes:
        model: The model's name without its path.
        judge: The judge; "" where the file does not say.
        category: Arena-Hard's category; "" where the file does not say.
        baseline: The model that it is compared with; "" where the file does not say.
    """

    model: str
    judge: str
    category: str
    baseline: str


@dataclass
class Games:
    """A group's counted games, and the excluded rows.

    Attributes:
        battles: The counted games.
        unreadable: Rows of which a game could not be read.
        first: The first of them, for a message.
        once: Counts rows that stand twice.
    """

    battles: list[Battle] = field(default_factory=list)
    unreadable: int = 0
    first: str | None = None
    once: Once = field(default_factory=Once)


def battles(rows: Sequence[Row]) -> dict[Group, Games]:
    """Return the counted games by model, judge and category. A row that stands twice counts once.

    Raises:
        InputError: A row is not one of Arena-Hard's, no game could be read, or two rows of one question judge
            different answers; the message names the row.
    """
    found: dict[Group, Games] = {}
    for number, row in enumerate(rows, 1):
        games, where = row.get("games"), f"row {number}"
        if not isinstance(games, list) or "model" not in row or not {"uid", "question_id"} & row.keys():
            raise InputError(f"{where} has no uid, model and games: it is not one of Arena-Hard's judgments")
        name = "uid" if "uid" in row else "question_id"
        question = str(identifier(row[name], where, name))
        model, baseline = (fields.name(row.get(key), where, key).rsplit("/", 1)[-1] for key in ("model", "baseline"))
        judge, category = (fields.name(row.get(key), where, key) for key in ("judge", "category"))
        group = found.setdefault(Group(model, judge, category, baseline), Games())
        ends = [_end(game) for game in games[:2]]
        if len(ends) < 2 or any(end not in _SCORES for end in ends):
            group.unreadable, group.first = group.unreadable + 1, group.first or f"{where} has the scores {ends}"
            continue
        shown = tuple(json.dumps(game.get("user_prompt", game.get("prompt"))) for game in games[:2])
        content = None if "null" in shown else shown
        if group.once.repeats(question, content, number, f"question {question}"):
            continue
        for own, end in ((1 - _SCORES[ends[0]], ends[0]), (_SCORES[ends[1]], ends[1])):
            group.battles += [(model, question, own)] * (WEIGHT if ">>" in end or "<<" in end else 1)
    if not any(games.battles for games in found.values()):
        first = next((games.first for games in found.values()), "there are no rows")
        raise InputError(f"no game could be read: {first}; a score is like A>B or B>>A")
    return found


def _end(game: Any) -> str:
    """Return a game's verdict without the brackets in which judges write it."""
    score = game.get("score") if isinstance(game, dict) else None
    return score.strip().strip("[]") if isinstance(score, str) else repr(score)


def arena_hard_figures(rows: Sequence[Row], answers: Sequence[Row] = (), *, baseline: str = "") -> dict[str, Figures]:
    """Return the win rate of every model against its baseline, in percent, by judge and category.

    Args:
        rows: Judgments of any number of models, judges and categories.
        answers: Answer rows with `metadata`, of the models and of the baseline, for the style control.
        baseline: The baseline's name in `answers`; when left out, the rows' own, or else the publisher's for the
            category.

    Raises:
        InputError: No game could be read, or the style control lacks answers.
    """
    groups = battles(rows)
    pools: dict[tuple[str, str, str], list[Battle]] = {}
    for group, games in groups.items():
        pools.setdefault((group.judge, group.category, group.baseline), []).extend(games.battles)
    held = {
        (judge, category, own): style_controlled(pool, answers, baseline or own or BASELINES.get(category, ""))
        for (judge, category, own), pool in pools.items()
        if answers and pool
    }
    judges, categories = ({getattr(group, name) for group in groups} for name in ("judge", "category"))
    # Categories have different baselines; one category with several needs them in the names.
    several = len({(group.category, group.baseline) for group in groups}) > len(categories)
    found = {}
    for group, games in groups.items():
        name = group.model + (f" against {group.baseline or 'not recorded'}" if several else "")
        name += f" ({group.category or 'no category'})" if len(categories) > 1 else ""
        name += f" judged by {group.judge or 'not recorded'}" if len(judges) > 1 else ""
        controlled = held.get((group.judge, group.category, group.baseline), {})
        found[name] = _figures(games, controlled.get(group.model)) | {
            "judge": group.judge or None,
            "category": group.category or None,
            "baseline": group.baseline or None,
        }
    return found


def _figures(games: Games, held: tuple[float, Interval] | None) -> Figures:
    scores = [(100 * score, question) for _, question, score in games.battles]
    width = fraction_interval([s for s, _ in scores], clusters=[q for _, q in scores], scale=100)
    return {
        "n": len({question for _, question in scores}),
        "win_rate": sum(score for score, _ in scores) / len(scores) if scores else None,
        "win_rate_interval": as_pair(width),
        "style_controlled": held[0] if held else None,
        "style_controlled_interval": as_pair(held[1]) if held else None,
        "parse_failures": games.unreadable,
        "duplicates": games.once.duplicates,
        "cautions": cautions({"win_rate_interval": width, "style_controlled_interval": held[1] if held else None}),
        "notes": [f"rows with an unreadable game: {games.unreadable}; {games.first}"] if games.first else [],
    }
