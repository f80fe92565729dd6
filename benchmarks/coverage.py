"""Coverage of every interval that `moa eval` shows, by simulation: `make coverage` writes reports/coverage.json.

A 95 % interval should hold the true value in 95 % of samples. A case is `ok` between 93 and 97 %; outside of that the
interval must carry a caution in most samples, and is `caution`; anything else is `outside`, and the command fails.
Win rates are exact sums over the binomial distribution; everything else is simulated with a fixed seed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from moa_graph.evals.formats.style_control import Battle, style_controlled
from moa_graph.evals.stats import Interval, fraction_interval, kappa, kappa_interval, mean_interval, paired

OUT = Path("reports/coverage.json")
LOW, HIGH = 93.0, 97.0
RATES = (0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98)
SIZES = (10, 20, 50, 100, 200, 400, 805)
Row = dict[str, Any]
Sampled = Callable[[np.random.Generator], tuple[Interval | None, float]]


def judged(figure: str, case: str, n: int, coverage: float, cautioned: float) -> Row:
    """Return one row of the table with its verdict."""
    verdict = "ok" if LOW <= coverage <= HIGH else "caution" if cautioned >= 0.5 else "outside"
    return {
        "figure": figure,
        "case": case,
        "n": n,
        "coverage": round(coverage, 2),
        "cautioned": round(100 * cautioned, 1),
        "verdict": verdict,
    }


def simulated(figure: str, case: str, n: int, draw: Sampled, *, samples: int = 2000) -> Row:
    """Return the coverage of `draw`, which returns an interval and the true value."""
    rng = np.random.default_rng(7)
    held = marked = shown = 0
    for _ in range(samples):
        interval, truth = draw(rng)
        if interval is not None:
            shown += 1
            held += interval.low - 1e-9 <= truth <= interval.high + 1e-9
            marked += interval.caution is not None
    return judged(figure, case, n, 100 * held / max(1, shown), marked / max(1, shown))


def win_rates() -> Iterator[Row]:
    """Wins and losses, exactly; weighted verdicts as a judge's probabilities, simulated."""
    for n in SIZES:
        intervals = [fraction_interval([1.0] * wins + [0.0] * (n - wins)) for wins in range(n + 1)]
        for rate in RATES:
            weights = binom.pmf(np.arange(n + 1), n, rate)
            held = sum(w for w, i in zip(weights, intervals, strict=True) if i and i.low <= rate <= i.high)
            marked = sum(w for w, i in zip(weights, intervals, strict=True) if i and i.caution)
            yield judged("win rate", f"wins and losses, {100 * rate:g} %", n, 100 * float(held), float(marked))
        for rate in RATES:
            yield simulated("win rate", f"weighted verdicts, {100 * rate:g} %", n, _weighted(n, rate))


def _weighted(n: int, rate: float) -> Sampled:
    """Shares of probability as a judge gives them: most near 0 or 1, some between."""
    from scipy.optimize import brentq

    base = 4 * np.random.default_rng(1).normal(size=200_000)
    centre = float(brentq(lambda c: float(_shares(base + c).mean()) - rate, -40, 40))

    def draw(rng: np.random.Generator) -> tuple[Interval | None, float]:
        return fraction_interval(_shares(centre + 4 * rng.normal(size=n)).tolist()), rate

    return draw


def _shares(logits: Any) -> Any:
    return 1 / (1 + np.exp(-logits))


def mean_scores() -> Iterator[Row]:
    """MT-Bench (two turns of a question go together), FLASK's skills, and differences of two systems."""
    for n in (10, 20, 50, 80, 160):
        for shift in (0.0, 3.0):
            yield simulated("MT-Bench score", f"two turns, skewed by {shift:g}", n, _turns(n, shift))
    for n in (10, 50, 145, 1168):
        yield simulated("FLASK skill", "1 to 5, skewed", n, _skills(n), samples=1000)
    for n in (10, 50, 100, 805):
        for tie in (0.0, 0.7):
            yield simulated("difference of two systems", f"{100 * tie:g} % equal", n, _difference(n, tie), samples=600)
    for n in (50, 80, 160, 500, 805):
        yield simulated("MT-Bench score", "one turn, 80 % are 10 and 2 % are 1", n, _near_the_end(n))
        yield simulated("difference of two systems", "right on 2 % that the other fails", n, _seldom(n))


def _turns(n: int, shift: float) -> Sampled:
    def scores(rng: np.random.Generator, size: int) -> Any:
        question = rng.normal(6 + shift, 2, size)[:, None]
        return np.clip(np.round(question + rng.normal(0, 1.2, (size, 2))), 1, 10)

    truth = float(scores(np.random.default_rng(1), 400_000).mean())

    def draw(rng: np.random.Generator) -> tuple[Interval | None, float]:
        clusters = np.repeat(np.arange(n), 2).tolist()
        return mean_interval(scores(rng, n).ravel().tolist(), clusters=clusters, scale=(1, 10)), truth

    return draw


def _near_the_end(n: int) -> Sampled:
    ratings, shares = np.array([1, 8, 9, 10]), np.array([0.02, 0.03, 0.15, 0.8])

    def draw(rng: np.random.Generator) -> tuple[Interval | None, float]:
        return mean_interval(rng.choice(ratings, n, p=shares).tolist(), scale=(1, 10)), float(ratings @ shares)

    return draw


def _seldom(n: int) -> Sampled:
    def draw(rng: np.random.Generator) -> tuple[Interval | None, float]:
        found = paired((rng.random(n) < 0.02).astype(float).tolist(), [0.0] * n)
        return Interval(found.low, found.high, found.caution), 0.02

    return draw


def _skills(n: int) -> Sampled:
    shares = np.array([0.04, 0.06, 0.15, 0.3, 0.45])
    truth = float(shares @ np.arange(1, 6))

    def draw(rng: np.random.Generator) -> tuple[Interval | None, float]:
        return mean_interval(rng.choice(np.arange(1, 6), n, p=shares).astype(float).tolist(), scale=(1, 5)), truth

    return draw


def _difference(n: int, tie: float) -> Sampled:
    def draw(rng: np.random.Generator) -> tuple[Interval | None, float]:
        base = rng.random(n)
        moved = np.where(rng.random(n) < tie, 0.0, rng.normal(0.1, 0.4, n))
        found = paired((base + moved).tolist(), base.tolist())
        return Interval(found.low, found.high, found.caution), 0.1 * (1 - tie)

    return draw


def agreements() -> Iterator[Row]:
    """Agreement of a judge with several humans, and kappa."""
    for n in (50, 200, 999):
        yield simulated("human agreement", "three votes a pair", n, _agreement(n), samples=1000)
    for n in (20, 50, 200, 900):
        yield simulated("kappa", "two labels, 80 % equal", n, _kappa(n), samples=1500)
    for n in (200, 900):
        yield simulated("kappa", "one label in 20, by chance", n, _kappa(n, share=0.05, same=None), samples=1500)
        yield simulated("kappa", "one label in 20, 95 % equal", n, _kappa(n, share=0.05, same=0.95), samples=1500)
    for n in (50, 200, 900):
        yield simulated("kappa", "two labels, 99 % equal", n, _kappa(n, same=0.99), samples=1500)


def _agreement(n: int) -> Sampled:
    def draw(rng: np.random.Generator) -> tuple[Interval | None, float]:
        easy = rng.beta(4, 1.2, n)[:, None]
        votes = 100.0 * (rng.random((n, 3)) < easy)
        clusters = np.repeat(np.arange(n), 3).tolist()
        return fraction_interval(votes.ravel().tolist(), clusters=clusters, scale=100), 100 * 4 / 5.2

    return draw


def _kappa(n: int, *, share: float = 0.6, same: float | None = 0.8) -> Sampled:
    """Two raters of two labels, the second of which has that share; `same` is None where they agree by chance."""

    def labels(rng: np.random.Generator, size: int) -> tuple[list[int], list[int]]:
        a = (rng.random(size) < share).astype(int)
        b = (rng.random(size) < share).astype(int) if same is None else np.where(rng.random(size) < same, a, 1 - a)
        return a.tolist(), b.tolist()

    truth = kappa(*labels(np.random.default_rng(1), 300_000))

    def draw(rng: np.random.Generator) -> tuple[Interval | None, float]:
        return kappa_interval(*labels(rng, n)), truth

    return draw


def arena_hard() -> Iterator[Row]:
    """Arena-Hard's win rates: two games of a question go together, and strong verdicts count three times."""
    for n in (20, 50, 150, 500):
        for strength in (0.0, 1.0):
            case = f"two games, strength {strength:g}"
            yield simulated("Arena-Hard win rate", case, n, _games(n, strength, styled=False), samples=600)
    for n in (50, 150, 500):
        yield simulated(
            "Arena-Hard style-controlled", "length moves verdicts", n, _games(n, 0.5, styled=True), samples=300
        )


def _games(n: int, strength: float, *, styled: bool) -> Sampled:
    """Verdicts of a model against the baseline: quality by question, and length where it is to be controlled."""

    def drawn(rng: np.random.Generator, size: int, effect: float) -> tuple[list[Battle], list[Any]]:
        long = rng.normal(0.1, 0.25, size)
        # A question's own difficulty is a random effect, so both of its games go together.
        logit = strength + effect * (long - 0.1) + rng.normal(0, 0.0 if styled else 0.8, size)
        battles: list[Battle] = []
        for question in range(size):
            for _ in range(2):
                won = float(rng.random() < 1 / (1 + np.exp(-logit[question])))
                battles += [("m", str(question), won)] * (3 if rng.random() < 0.3 else 1)
        lengths = np.round(500 * np.exp(2 * long)).astype(int)
        rows = [{"model": "m", "uid": str(q), "metadata": {"token_len": int(v)}} for q, v in enumerate(lengths)]
        rows += [{"model": "base", "uid": str(q), "metadata": {"token_len": 500}} for q in range(size)]
        return battles, rows

    def shown(battles: list[Battle], rows: list[Any]) -> tuple[Interval | None, float]:
        if styled:
            rate, interval = style_controlled(battles, rows, "base")["m"]
            return interval, rate
        values = [score for _, _, score in battles]
        return fraction_interval(values, clusters=[question for _, question, _ in battles]), sum(values) / len(values)

    effect = 3.0 if styled else 0.0
    truth = shown(*drawn(np.random.default_rng(1), 60_000 if styled else 300_000, effect))[1]

    def draw(rng: np.random.Generator) -> tuple[Interval | None, float]:
        return shown(*drawn(rng, n, effect))[0], truth

    return draw


def length_controlled() -> Iterator[Row]:
    """The length-controlled win rate: samples of the 805 prompts of four published models, where they are on disk."""
    from moa_graph.errors import MoAError
    from moa_graph.evals.alpaca_eval import length_control as length
    from moa_graph.evals.alpaca_eval.figures import length_data
    from moa_graph.evals.alpaca_eval.scores import read_annotations
    from moa_graph.evals.data import assets
    from moa_graph.evals.data.files import read_rows

    for model in ("claude-2", "alpaca-7b", "NullModel", "gpt-3.5-turbo-0301"):
        try:
            data = length_data()
            found = assets.present(f"alpaca_eval/annotations/{model}.json")
        except MoAError:
            found = None
        if not found:
            continue
        rows, _ = length.model_rows(read_annotations(read_rows(found.path)), data.difficulty)
        whole = length.refit(rows, data.gamed)
        truth = length.predict(whole, rows.x[:, 1].tolist())
        for n in (200, len(rows.y)):
            yield simulated(
                "length-controlled win rate", model, n, _length(rows, data.gamed, whole.C or 1.0, truth, n), samples=300
            )


def _length(rows: Any, gamed: Any, strength: float, truth: float, n: int) -> Sampled:
    from moa_graph.evals.alpaca_eval import length_control as length

    def draw(rng: np.random.Generator) -> tuple[Interval | None, float]:
        sample = rows.take(rng.integers(0, len(rows.y), n))
        return length.interval(sample, gamed, length.fit(gamed + sample, strength)), truth

    return draw


def main() -> int:
    rows: list[Row] = []
    for part in (win_rates, mean_scores, agreements, arena_hard, length_controlled):
        for row in part():
            rows.append(row)
            print(
                f"{row['figure']:27} {row['case']:32} n {row['n']:5}  coverage {row['coverage']:6.2f} %  "
                f"cautioned {row['cautioned']:5.1f} %  {row['verdict']}"
            )
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in ("ok", "caution", "outside")}
    none = {"spearman": "no interval is shown", "pearson": "no interval is shown"}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({**counts, "level": 95, "not_shown": none, "rows": rows}, indent=2) + "\n")
    print(f"{counts}; {OUT}")
    return 1 if counts["outside"] else 0


if __name__ == "__main__":
    sys.exit(main())
