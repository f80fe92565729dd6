"""Results of own prompts as figures: score with interval, repetitions, tags, and a jury's agreement."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from moa_graph.evals.data.files import Row
from moa_graph.evals.figures import Figures, as_pair, cautions
from moa_graph.evals.jury import Judged, jury_figures
from moa_graph.evals.stats import fraction_interval

_FEW = 5
"""Fewer answers than this say nothing about how answers are compared."""
PASSES = 6
"""The lowest rating of 1 to 10 with which a judge passes an answer."""


def prompts_figures(rows: Sequence[Row]) -> Figures:
    """Return the figures of one system's results; scores are in percent, intervals are by prompt."""
    graded = [row for row in rows if row["score"] is not None]
    values = [100.0 * row["score"] for row in graded]
    width = fraction_interval(values, clusters=[row["id"] for row in graded], scale=100)
    right = Counter("right" if row["score"] == 1 else "wrong" if row["score"] == 0 else "between" for row in graded)
    return {
        "n": len({row["id"] for row in graded}),
        "score": math.fsum(values) / len(values) if values else None,
        "interval": as_pair(width),
        "right": right["right"],
        "wrong": right["wrong"],
        "ungraded": len(rows) - len(graded),
        **_repeats(graded),
        "tags": _by_tag(graded),
        "jury": _jury(rows),
        "cautions": cautions({"interval": width}),
        "notes": _compared_badly(rows),
    }


def _compared_badly(rows: Sequence[Row]) -> list[str]:
    """Return a note if most answers that count as wrong contain a right one, as a sentence does; else nothing."""
    wrong = [row for row in rows if row.get("right") is False and row.get("match") in ("final", "exact")]
    golds = [row["gold"] if isinstance(row.get("gold"), list) else [] for row in wrong]
    held = sum(any(_within(g, str(row.get("answer"))) for g in gold) for row, gold in zip(wrong, golds, strict=True))
    if held < _FEW or held <= len(wrong) / 2:
        return []
    return [
        f"{held} of {len(wrong)} answers that count as wrong contain a right answer. Ask for the answer alone, or set "
        "another `match` or --check"
    ]


def _within(gold: object, answer: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(str(gold))}(?!\w)", answer, re.I))


def _repeats(rows: Sequence[Row]) -> Figures:
    """Return the mean score of each repetition with their deviation; empty for a single one."""
    pools: dict[int, list[float]] = {}
    for row in rows:
        pools.setdefault(int(row.get("repeat", 0)), []).append(100.0 * row["score"])
    if len(pools) < 2:
        return {}
    means = [math.fsum(pools[number]) / len(pools[number]) for number in sorted(pools)]
    mean = math.fsum(means) / len(means)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in means) / (len(means) - 1))
    by_prompt: dict[str, set[float]] = {}
    for row in rows:
        by_prompt.setdefault(row["id"], set()).add(row["score"])
    steady = sum(len(scores) == 1 for scores in by_prompt.values())
    return {"repeats": {"means": means, "mean": mean, "deviation": spread, "prompts_always_alike": steady}}


def _by_tag(rows: Sequence[Row]) -> dict[str, float]:
    pools: dict[str, list[float]] = {}
    for row in rows:
        for tag in row.get("tags") or ():
            pools.setdefault(tag, []).append(100.0 * row["score"])
    return {tag: math.fsum(values) / len(values) for tag, values in sorted(pools.items())}


def _jury(rows: Sequence[Row]) -> Figures:
    """Return each judge's mean rating and the agreement of every two judges on whether an answer passes."""
    ratings: dict[str, dict[Judged, float]] = {}
    for row in rows:
        for found in row.get("ratings") or ():
            if found["rating"] is not None:
                ratings.setdefault(found["judge"], {})[row["id"], int(row.get("repeat", 0))] = found["rating"]
    return jury_figures(ratings, lambda value: value >= PASSES, scale=(1, 10))
