"""The table that rates judges against several humans: eight columns, by the formulas of AlpacaEval's own
table.

A verdict's score against a target is ``1 - |verdict - target|`` on the scale 1..2. Agreement, bias and
variance are in percent. A column that cannot be computed is None, with the reason beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import median

import numpy as np

from moa_graph.evals.meta_data import Humans, Judge, Key
from moa_graph.evals.stats import Interval, correlation, kappa, kappa_interval, mean_interval

# Our key, and the header of the published table.
COLUMNS = {
    "human_agreement": "Human agreement",
    "price_per_1000": "Price [$/1000 examples]",
    "time_per_1000": "Time [seconds/1000 examples]",
    "spearman": "Spearman corr.",
    "pearson": "Pearson corr.",
    "bias": "Bias",
    "variance": "Variance",
    "prefer_longer": "Proba. prefer longer",
}
NO_PRICE, NO_TIME = "the file holds no prices", "the file holds no times"
NO_RUNS = "needs several runs of the judge on the same pairs"
NO_SYSTEMS = "needs at least three systems to rank"
NO_LENGTHS = "no pair differs by more than 30 characters"
LONGER_BY = 30


@dataclass(frozen=True)
class Rating:
    """One row of the table. `kappa` is against each human (or between humans), `parsed` the readable
    verdicts."""

    columns: dict[str, float | None]
    reasons: dict[str, str]
    n: int
    runs: int
    parsed: int
    kappa: dict[str, float]
    intervals: dict[str, Interval | None] = field(default_factory=dict)


def estimate(votes: Sequence[float]) -> float:
    """The one verdict several votes amount to: their mode when all are 1, 1.5 or 2, else their median.

    Among equal modes the published code draws with a fixed seed; it always takes the same one, and so does
    this.
    """
    if not all(vote in (1, 1.5, 2) for vote in votes):
        return float(median(votes))
    most = max(votes.count(vote) for vote in votes)
    modes = sorted({vote for vote in votes if votes.count(vote) == most})
    return modes[0] if len(modes) in (1, 3) else modes[-1]


def score(verdict: float, target: float) -> float:
    """1 for the same verdict, 0 for the opposite one."""
    return 1 - abs(verdict - target)


def rate_humans(humans: Humans, *, seed: int = 0) -> Rating:
    """The humans' own row: each against the mode of the others; their bias is 0 by definition."""
    votes = [pair.votes for pair in humans.pairs.values()]
    agreement = 100 * _mean(one_against_rest(votes))
    first = {key: pair.votes[0] for key, pair in humans.pairs.items()}
    columns = {
        "human_agreement": agreement,
        "price_per_1000": _thousand(humans.price),
        "time_per_1000": _thousand(humans.time),
        "spearman": 1.0,
        "pearson": 1.0,
        "bias": 0.0,
        "variance": 100 - agreement,
        "prefer_longer": prefer_longer(humans, first),
    }
    kappas, widths = _human_kappas(votes, seed)
    per_pair = [100 * _mean(one_against_rest([v])) for v in votes]
    widths["human_agreement"] = mean_interval(per_pair, seed=seed)
    return _rating(columns, len(votes), humans.runs, humans.runs * len(votes), kappas, widths)


def rate(judge: Judge, humans: Humans, *, seed: int = 0) -> Rating:
    """A judge's row over the pairs that both it and the humans have."""
    verdicts = {key: [v for v in judge.verdicts.get(key, ()) if v is not None] for key in humans.pairs}
    runs = min((len(v) for v in verdicts.values() if v), default=0)
    kept = {key: v for key, v in verdicts.items() if v}
    targets = {key: estimate(humans.pairs[key].votes) for key in kept}
    per_pair = [100 * _mean([score(v, targets[key]) for v in kept[key]]) for key in kept]
    spearman, pearson = rankings(humans, kept)
    columns = {
        "human_agreement": _mean(per_pair) if per_pair else None,
        "price_per_1000": _thousand(judge.price),
        "time_per_1000": _thousand(judge.time),
        "spearman": spearman,
        "pearson": pearson,
        "bias": bias(kept, targets) if runs > 1 else None,
        "variance": 100 - 100 * _mean(one_against_rest(list(kept.values()))) if runs > 1 else None,
        "prefer_longer": prefer_longer(humans, {key: v[0] for key, v in kept.items()}),
    }
    kappas, widths = _judge_kappas(humans, kept, targets, seed)
    widths["human_agreement"] = mean_interval(per_pair, seed=seed)
    parsed = sum(len(v) for v in kept.values())
    return _rating(columns, len(kept), runs, parsed, kappas, widths)


def one_against_rest(votes: Sequence[Sequence[float]]) -> list[float]:
    """Score of every vote against the estimate of the others, over all items."""
    return [
        score(vote, estimate([*item[:place], *item[place + 1 :]]))
        for item in votes
        if len(item) > 1
        for place, vote in enumerate(item)
    ]


def bias(verdicts: dict[Key, list[float]], targets: dict[Key, float]) -> float:
    """Percent by which the judge's majority misses the humans' majority."""
    return 100 - 100 * _mean([score(estimate(v), targets[key]) for key, v in verdicts.items()])


def rankings(humans: Humans, verdicts: dict[Key, list[float]]) -> tuple[float | None, float | None]:
    """Spearman's and Pearson's correlation of the systems' win rates by the judge and by the humans."""
    theirs: dict[str, list[float]] = {}
    ours: dict[str, list[float]] = {}
    for key, pair in humans.pairs.items():
        if pair.system and key in verdicts:
            theirs.setdefault(pair.system, []).extend(pair.votes)
            ours.setdefault(pair.system, []).extend(verdicts[key])
    names = [name for name, votes in theirs.items() if len(votes) > humans.smallest_system]
    x, y = [_mean(theirs[name]) for name in names], [_mean(ours[name]) for name in names]
    return correlation(x, y, ranks=True), correlation(x, y, ranks=False)


def prefer_longer(humans: Humans, verdicts: dict[Key, float]) -> float | None:
    """Share of clear verdicts for the longer output, where lengths differ by more than 30 characters."""
    longer = total = 0
    for key, verdict in verdicts.items():
        gap = len(humans.pairs[key].output_2) - len(humans.pairs[key].output_1)
        if abs(gap) > LONGER_BY and verdict != 1.5:
            total += 1
            longer += (verdict > 1.5) == (gap > 0)
    return longer / total if total else None


def _human_kappas(votes: Sequence[Sequence[float]], seed: int) -> tuple[dict[str, float], dict[str, Interval | None]]:
    kappas: dict[str, float] = {}
    widths: dict[str, Interval | None] = {}
    for one, two in combinations(range(len(votes[0])), 2):
        name = f"{one + 1}-{two + 1}"
        a, b = [v[one] for v in votes], [v[two] for v in votes]
        kappas[name], widths[f"kappa {name}"] = kappa(a, b), kappa_interval(a, b, seed=seed)
    return kappas, widths


def _judge_kappas(
    humans: Humans, verdicts: dict[Key, list[float]], targets: dict[Key, float], seed: int
) -> tuple[dict[str, float], dict[str, Interval | None]]:
    """Kappa of the first run with each human and with their majority, verdicts rounded to 1, 1.5 or 2."""
    if not verdicts:
        return {}, {}
    ours = [_nearest(v[0]) for v in verdicts.values()]
    kappas = {"majority": kappa(ours, [targets[key] for key in verdicts])}
    for human in range(humans.runs):
        kappas[f"human {human + 1}"] = kappa(ours, [humans.pairs[key].votes[human] for key in verdicts])
    width = kappa_interval(ours, [targets[key] for key in verdicts], seed=seed)
    return kappas, {"kappa majority": width}


def _nearest(verdict: float) -> float:
    return verdict if verdict in (1, 1.5, 2) else 1.0 if verdict < 1.5 else 2.0


def _rating(
    columns: dict[str, float | None],
    n: int,
    runs: int,
    parsed: int,
    kappas: dict[str, float],
    intervals: dict[str, Interval | None],
) -> Rating:
    why = {
        "human_agreement": "no verdict of this judge is about these pairs",
        "price_per_1000": NO_PRICE,
        "time_per_1000": NO_TIME,
        "spearman": NO_SYSTEMS,
        "pearson": NO_SYSTEMS,
        "bias": NO_RUNS,
        "variance": NO_RUNS,
        "prefer_longer": NO_LENGTHS,
    }
    reasons = {name: why[name] for name, value in columns.items() if value is None}
    known = {name: value for name, value in kappas.items() if not math.isnan(value)}
    return Rating(columns, reasons, n, runs, parsed, known, intervals)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _thousand(value: float | None) -> float | None:
    return None if value is None else 1000 * value
