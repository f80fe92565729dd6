"""The table that rates judges against several humans: eight columns, by the formulas of AlpacaEval's own table.

The score of a verdict against a target is ``1 - |verdict - target|`` on the scale 1 to 2. Agreement, bias and variance
are in percent. A column or interval that cannot be computed is None, with the reason beside it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import median

import numpy as np

from moa_graph.evals.judge_table import rankings
from moa_graph.evals.judge_table.votes import Humans, Key, RecordedJudge
from moa_graph.evals.stats import Interval, fraction_interval, kappa, kappa_interval

# Key here, header in the published table.
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
NO_VERDICTS = "no verdict of this judge is about these pairs"
NO_PRICE, NO_TIME = "the verdicts have no prices", "the verdicts have no times"
NO_RUNS = "needs several runs of the judge on the same pairs"
ONE_HUMAN = "needs at least two humans"
NO_REPEATS = "no pair has two readable verdicts of this judge"
NO_SYSTEMS = "needs at least three systems to rank"
NO_LENGTHS = "no verdict is for one of two outputs whose lengths differ by more than 30 characters"
NOT_ESTIMATED = "the mean stated in the file, not an estimate from these pairs"
FEW_PAIRS = "needs at least two pairs, and a figure that is defined in most resamples"
NO_RANK_INTERVAL = "the systems are too few and fixed; resampling pairs would be biased"
LONGER_BY = 30

Widths = dict[str, Interval | None]


@dataclass(frozen=True)
class Rating:
    """One row of the table.

    Attributes:
        columns: The figures by column.
        reasons: Why a column is None.
        n: Pairs with a readable verdict.
        runs: The number of verdicts requested per pair.
        parsed: Readable verdicts.
        parse_failures: Unreadable verdicts.
        kappa: Cohen's kappa with each human (or between humans).
        intervals: Intervals of every column and kappa.
        interval_reasons: Why an interval is None.
    """

    columns: dict[str, float | None]
    reasons: dict[str, str]
    n: int
    runs: int
    parsed: int
    parse_failures: int
    kappa: dict[str, float]
    intervals: Widths = field(default_factory=dict)
    interval_reasons: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """The values that a column averages, by pair. A pair is one draw with any number of values from 0 to `scale`."""

    values: list[float]
    clusters: list[int]
    scale: float = 100.0

    @classmethod
    def of(cls, pairs: Iterable[Sequence[float]], scale: float = 100.0) -> Sample:
        rows = [(value, number) for number, values in enumerate(pairs) for value in values]
        return cls([value for value, _ in rows], [number for _, number in rows], scale)

    @property
    def mean(self) -> float | None:
        return float(np.mean(self.values)) if self.values else None

    @property
    def interval(self) -> Interval | None:
        if len(set(self.clusters)) < 2:
            return None
        return fraction_interval(self.values, clusters=self.clusters, scale=self.scale)


def estimate(votes: Sequence[float]) -> float:
    """Return the verdict of several votes: their mode when all are 1, 1.5 or 2, else their median.

    Among equal modes, the published code draws with a fixed seed and always takes the same one, as this function does.
    """
    if not all(vote in (1, 1.5, 2) for vote in votes):
        return float(median(votes))
    most = max(votes.count(vote) for vote in votes)
    modes = sorted({vote for vote in votes if votes.count(vote) == most})
    return modes[0] if len(modes) in (1, 3) else modes[-1]


def score(verdict: float, target: float) -> float:
    """Return 1 for the same verdict, 0 for the opposite one."""
    return 1 - abs(verdict - target)


def rate_humans(humans: Humans) -> Rating:
    """Return the humans' own row: each against the mode of the others; their bias is 0 by definition."""
    votes = [pair.votes for pair in humans.pairs.values()] if humans.runs > 1 else []
    samples = {
        "human_agreement": Sample.of([float(np.mean(against_rest(v)))] for v in votes),
        "variance": Sample.of([100 - float(np.mean(against_rest(v)))] for v in votes),
        "prefer_longer": longer(humans, {key: pair.votes[0] for key, pair in humans.pairs.items()}),
    }
    columns = _columns(samples, humans) | {"spearman": 1.0, "pearson": 1.0, "bias": 0.0}
    if columns["human_agreement"] is not None:
        columns["variance"] = 100 - columns["human_agreement"]
    kappas, widths = _human_kappas(votes)
    widths |= {name: sample.interval for name, sample in samples.items()}
    fixed = dict.fromkeys(("spearman", "pearson"), "1 by definition") | {"bias": "0 by definition"}
    every = [pair.votes for pair in humans.pairs.values()]
    why = dict.fromkeys(("human_agreement", "variance"), ONE_HUMAN)
    return _rating(columns, _counts(humans.runs, every), kappas, widths, why, fixed)


def rate(judge: RecordedJudge, humans: Humans) -> Rating:
    """Return a judge's row over the pairs that both it and the humans have."""
    asked = [judge.verdicts[key] for key in humans.pairs if key in judge.verdicts]
    runs = max(Counter(map(len, asked)).items(), key=lambda found: (found[1], found[0]))[0] if asked else 0
    kept = {key: read for key in humans.pairs if (read := [v for v in judge.verdicts.get(key, ()) if v is not None])}
    # A single verdict shows neither the judge's usual verdict nor its variance.
    several = {key: read for key, read in kept.items() if runs > 1 and len(read) > 1}
    targets = {key: estimate(humans.pairs[key].votes) for key in kept}
    samples = {
        "human_agreement": Sample.of([100 * float(np.mean([score(v, targets[k]) for v in kept[k]]))] for k in kept),
        "bias": Sample.of([100 - 100 * score(estimate(read), targets[key])] for key, read in several.items()),
        "variance": Sample.of([100 - value for value in against_rest(read)] for read in several.values()),
        "prefer_longer": longer(humans, {key: read[0] for key, read in kept.items()}),
    }
    spearman, pearson = rankings.correlations(rankings.systems(humans, kept))
    columns = _columns(samples, judge) | {"spearman": spearman, "pearson": pearson}
    kappas, widths = _judge_kappas(humans, kept, targets)
    widths |= {name: sample.interval for name, sample in samples.items()}
    ranked = dict.fromkeys(("spearman", "pearson"), NO_RANK_INTERVAL)
    why = dict.fromkeys(("bias", "variance"), NO_REPEATS) if runs > 1 else {}
    return _rating(columns, _counts(runs, asked), kappas, widths, why, ranked)


def against_rest(votes: Sequence[float]) -> list[float]:
    """Return the score, in percent, of every vote against the estimate of the others."""
    return [100 * score(vote, estimate([*votes[:n], *votes[n + 1 :]])) for n, vote in enumerate(votes)]


def longer(humans: Humans, verdicts: Mapping[Key, float]) -> Sample:
    """Return 1 for a clear verdict for the longer output, else 0, where lengths differ by more than 30 characters."""
    found: list[list[float]] = []
    for key, verdict in verdicts.items():
        gap = len(humans.pairs[key].output_2) - len(humans.pairs[key].output_1)
        if abs(gap) > LONGER_BY and verdict != 1.5:
            found.append([float((verdict > 1.5) == (gap > 0))])
    return Sample.of(found, scale=1.0)


def _columns(samples: Mapping[str, Sample], source: Humans | RecordedJudge) -> dict[str, float | None]:
    means = {name: sample.mean for name, sample in samples.items()}
    given = {"price_per_1000": _thousand(source.price), "time_per_1000": _thousand(source.time)}
    return dict.fromkeys(COLUMNS, None) | means | given


def _counts(runs: int, asked: Sequence[Sequence[float | None]]) -> tuple[int, int, int, int]:
    """Return pairs with a readable verdict, runs, readable verdicts, unreadable ones."""
    parsed = sum(vote is not None for votes in asked for vote in votes)
    readable = sum(any(vote is not None for vote in votes) for votes in asked)
    return readable, runs, parsed, sum(map(len, asked)) - parsed


def _human_kappas(votes: Sequence[Sequence[float]]) -> tuple[dict[str, float], Widths]:
    kappas: dict[str, float] = {}
    widths: Widths = {}
    for one, two in combinations(range(len(votes[0]) if votes else 0), 2):
        name = f"{one + 1}-{two + 1}"
        a, b = [nearest(v[one]) for v in votes], [nearest(v[two]) for v in votes]
        kappas[name], widths[f"kappa {name}"] = kappa(a, b), kappa_interval(a, b)
    return kappas, widths


def _judge_kappas(
    humans: Humans, verdicts: Mapping[Key, Sequence[float]], targets: Mapping[Key, float]
) -> tuple[dict[str, float], Widths]:
    """Return kappa of the first run with each human and with their majority, verdicts rounded to 1, 1.5 or 2."""
    if not verdicts:
        return {}, {}
    ours = [nearest(read[0]) for read in verdicts.values()]
    raters = {"majority": [nearest(targets[key]) for key in verdicts]}
    for human in range(humans.runs):
        raters[f"human {human + 1}"] = [nearest(humans.pairs[key].votes[human]) for key in verdicts]
    widths = {f"kappa {name}": kappa_interval(ours, theirs) for name, theirs in raters.items()}
    return {name: kappa(ours, theirs) for name, theirs in raters.items()}, widths


def nearest(verdict: float) -> float:
    """Return 1, 1.5 or 2: the clear verdict nearest to a weighted one."""
    return verdict if verdict in (1, 1.5, 2) else 1.0 if verdict < 1.5 else 2.0


def _rating(
    columns: dict[str, float | None],
    counts: tuple[int, int, int, int],
    kappas: Mapping[str, float],
    widths: Mapping[str, Interval | None],
    why: Mapping[str, str],
    fixed: Mapping[str, str],
) -> Rating:
    """Return the row with a reason for every None; `why` is for columns, `fixed` for intervals."""
    absent = {
        "human_agreement": NO_VERDICTS,
        "price_per_1000": NO_PRICE,
        "time_per_1000": NO_TIME,
        "spearman": NO_SYSTEMS,
        "pearson": NO_SYSTEMS,
        "bias": NO_RUNS,
        "variance": NO_RUNS,
        "prefer_longer": NO_LENGTHS,
    } | dict(why)
    reasons = {name: absent[name] for name, value in columns.items() if value is None}
    known = {name: value for name, value in kappas.items() if not math.isnan(value)}
    intervals = dict.fromkeys(COLUMNS, None) | {k: v for k, v in widths.items() if k[6:] in known or k in COLUMNS}
    stated = dict.fromkeys(("price_per_1000", "time_per_1000"), NOT_ESTIMATED)
    no_width = {name: FEW_PAIRS for name, width in intervals.items() if width is None}
    no_width |= {name: reason for name, reason in {**stated, **fixed, **reasons}.items() if name in no_width}
    return Rating(columns, reasons, *counts, known, intervals, no_width)


def _thousand(value: float | None) -> float | None:
    return None if value is None else 1000 * value
