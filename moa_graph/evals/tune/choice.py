"""The honest choice: chosen on one half of the prompts, reported on the other, and compared with the best single model.

Everything here is arithmetic on a table of scores, one row a candidate and one column a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from moa_graph.evals.stats import Difference, holm, paired
from moa_graph.evals.stats.intervals import FEW_CLUSTERS, LEVEL
from moa_graph.evals.tune.ceiling import upper_bound
from moa_graph.evals.tune.samples import Floats
from moa_graph.evals.tune.simultaneous import corrected_p
from moa_graph.evals.tune.splits import Bools, Honest, Splits, honest, pick

__all__ = ["Finalist", "TuneChoice", "Use", "choose", "highest_gain"]

Use = Literal["mixture", "single", "cannot tell"]
FINALISTS = 3
SHARE = 0.2
"""The share of the gain that would matter which a mixture must show on prompts that did not choose it."""
WORTH = 0.05
"""The gain that would matter: while one of this size cannot be ruled out, the verdict is "cannot tell"."""


@dataclass(frozen=True)
class Finalist:
    """A mixture that came far, compared with the best single model on the same prompts; scores 0 to 1.

    Attributes:
        place: The candidate's place.
        versus: Finalist minus best single model.
        p_holm: Its one-sided p, corrected over the finalists: S. Holm, "A simple sequentially rejective multiple test
            procedure", Scandinavian Journal of Statistics 6 (1979) 65-70.
        helped: Prompts on which it scores higher.
        hurt: Prompts on which it scores lower.
    """

    place: int
    versus: Difference
    p_holm: float
    helped: int
    hurt: int

    @property
    def wins(self) -> bool:
        """Whether it beats the best single model by more than its interval."""
        return self.versus.low > 0 and self.p_holm < 1 - LEVEL


@dataclass(frozen=True)
class TuneChoice:
    """The decision.

    Attributes:
        use: `mixture`; `single`; or `cannot tell`, which for now means the single model too.
        winner: The candidate to use, by its place: a mixture, or the best single model.
        best_single: The best single model's place.
        best_mixture: The mixture that came furthest, or None: the best of those that beat the best single model after
            the correction for all candidates, else the best of all.
        honest: What the procedure gains on prompts that did not choose; None with too few prompts.
        finalists: The mixtures that came furthest.
        hidden: The largest gain that the prompts do not rule out, 0 to 1.
        p: The best mixture's one-sided p against the best single model, corrected for all candidates.
        reason: Why, in one sentence.
    """

    use: Use
    winner: int
    best_single: int
    best_mixture: int | None
    honest: Honest | None
    finalists: list[Finalist] = field(default_factory=list)
    hidden: float = 0.0
    p: float = 1.0
    reason: str = ""


def choose(
    scores: Floats,
    costs: Sequence[float | None],
    single: Sequence[bool],
    *,
    kinds: Sequence[str] | None = None,
    worth: float = WORTH,
    seed: int = 0,
    splits: Splits | None = None,
    offers: Bools | None = None,
    offered: Sequence[bool] | None = None,
    stopped: int = 0,
) -> TuneChoice:
    """Decide between the best mixture and the best single model.

    Args:
        scores: Scores 0 to 1 of every candidate on every prompt, shape (candidates, prompts).
        costs: Dollars, or calls, of an answer; None when unknown.
        single: Which candidates are single models; at least one is.
        kinds: What candidates are alike in. At most one finalist of a kind, so that Holm does not correct for copies.
        worth: The gain that would matter, 0 to 1.
        seed: Seed of the splits.
        splits: The halves; random ones by default.
        offers: Which candidates each choosing half proposes, shape (splits, candidates); all by default.
        offered: Which candidates all prompts together propose, so that one of them can be the winner; all by default.
        stopped: Further mixtures that left the race. They were tried too, so the correction for all candidates counts
            them.
    """
    alone = np.asarray(single, dtype=bool)
    price = np.array([np.inf if cost is None else cost for cost in costs])
    means = scores.mean(axis=1)
    solo = np.flatnonzero(alone)
    base = int(solo[pick(means[solo], price[solo])])
    mixed = np.flatnonzero(~alone if offered is None else ~alone & np.asarray(offered, dtype=bool))
    if not len(mixed):
        return _without_mixture(scores[solo], base, scores[base], worth)
    gaps = scores[mixed] - scores[base]
    p = np.minimum(1.0, corrected_p(gaps, seed=seed) * (len(mixed) + stopped) / len(mixed))
    ahead = mixed[p < 1 - LEVEL] if (p < 1 - LEVEL).any() else mixed
    best = int(ahead[pick(means[ahead], price[ahead])])
    if scores.shape[1] < 4:
        return TuneChoice(
            "cannot tell", base, base, best, None, hidden=1.0, reason=f"{scores.shape[1]} prompts are too few"
        )
    halves = honest(scores, price, alone, splits or Splits.of(scores.shape[1], seed=seed), offers=offers)
    finalists = _finalists(scores, means, mixed, best, base, kinds, seed)
    hidden = _hidden(gaps, singles=len(solo))
    found = TuneChoice("single", base, base, best, halves, finalists, hidden, float(p[mixed.tolist().index(best)]))
    return _decided(found, scores.shape[1], worth)


def _without_mixture(singles: Floats, base: int, best: Floats, worth: float) -> TuneChoice:
    """Return the verdict where no mixture was measured.

    What one of several models could win is bounded by all of them, what one model could win by right answers alone.
    """
    lacking, several = "no mixture was measured", len(singles) > 1
    hidden = _hidden((singles.max(axis=0) if several else np.ones_like(best))[None] - best)
    if hidden <= worth:
        return TuneChoice("single", base, base, None, None, reason=lacking)
    reason = (
        f"{lacking}, and the best answers of all models would gain up to {100 * hidden:.2f} points"
        if several
        else f"{lacking}; several drafts of the model (--samples), or more models, can be combined"
    )
    return TuneChoice("cannot tell", base, base, None, None, hidden=hidden, reason=reason)


def _hidden(gains: Floats, *, singles: int = 1) -> float:
    """Return the largest gain that is not ruled out.

    Below 50 prompts it is at least what exact bounds allow: no gain is larger than what a mixture wins where it helps.
    """
    high = float(highest_gain(gains, singles=singles).max())
    n = gains.shape[1]
    if n < FEW_CLUSTERS:
        high = max(high, upper_bound(float(gains.clip(min=0).sum(axis=1).max()), n))
    return max(0.0, high)


def _decided(found: TuneChoice, prompts: int, worth: float) -> TuneChoice:
    """Return the verdict on what was measured."""
    halves = found.honest
    assert halves is not None and found.best_mixture is not None
    winner = next(each for each in found.finalists if each.place == found.best_mixture)
    better = winner.wins and found.p < 1 - LEVEL
    if prompts < FEW_CLUSTERS:
        # Intervals are rough there, so the reported halves must show the gain by themselves.
        better = better and halves.low > 0
    if better and halves.gain >= SHARE * worth:
        reason = (
            f"it beats the best single model by {100 * winner.versus.difference:.2f} points "
            f"[{100 * winner.versus.low:.2f}, {100 * winner.versus.high:.2f}], p = {found.p:.4f} corrected for all "
            f"candidates, and by {100 * halves.gain:.2f} points [{100 * halves.low:.2f}, {100 * halves.high:.2f}] on "
            "prompts that did not choose it"
        )
        return replace(found, use="mixture", winner=found.best_mixture, reason=reason)
    lacking = "no mixture beats the best single model by more than its interval"
    if better:
        lacking = (
            f"the best mixture gains only {100 * halves.gain:.2f} points on prompts that did not choose it, less than "
            f"{100 * SHARE * worth:.2f}"
        )
    if found.hidden > worth:
        reason = f"{lacking}, but {prompts} prompts do not rule out a gain of {100 * found.hidden:.2f} points"
        return replace(found, use="cannot tell", reason=reason)
    reason = f"{lacking}, and a gain of more than {100 * found.hidden:.2f} points is ruled out at 95 %"
    return replace(found, use="single", reason=reason)


def highest_gain(gains: Floats, *, singles: int = 1) -> Floats:
    """Return the upper end of a 95 % interval of each mean gain, also where few prompts differ or none does.

    The best single model looks better than it is, because it was picked on these prompts. A gain over the best one is
    not larger than a gain over any one, so bounds that hold for all single models together (Bonferroni) hold for it.

    Half a prompt is added to each of the four outcomes of a matched pair, after A. Agresti and Y. Min, "Simple improved
    confidence intervals for comparing matched proportions", Statistics in Medicine 24 (2005) 729-740. Without that, a
    mixture that equals the single model on 30 prompts would be taken to equal it on all.

    Args:
        gains: Score minus the single model's, -1 to 1, shape (candidates, prompts).
        singles: How many single models the best one was picked from.
    """
    from scipy.stats import t

    n = gains.shape[1] + 2
    mean = gains.sum(axis=1) / n
    variance = ((gains**2).sum(axis=1) + 1) / n - mean**2
    chance = (1 - LEVEL) / max(singles, 2)
    high: Floats = mean + t.ppf(1 - chance, n - 1) * np.sqrt(variance / n)
    return high


def _finalists(
    scores: Floats, means: Floats, mixed: NDArray[np.intp], best: int, base: int, kinds: Sequence[str] | None, seed: int
) -> list[Finalist]:
    """Return the best mixture and the next ones of other kinds, compared with the best single model."""
    order = [best, *(int(place) for place in mixed[np.argsort(-means[mixed], kind="stable")] if place != best)]
    taken: dict[str, int] = {}
    for place in order:
        taken.setdefault(kinds[place] if kinds else str(place), place)
    places = list(taken.values())[:FINALISTS]
    versus = [paired(scores[place].tolist(), scores[base].tolist(), seed=seed, most=1) for place in places]
    corrected = holm([each.p / 2 if each.difference > 0 else 1 - each.p / 2 for each in versus])
    gaps = [scores[place] - scores[base] for place in places]
    return [
        Finalist(place, each, p, int((gap > 1e-12).sum()), int((gap < -1e-12).sum()))
        for place, each, p, gap in zip(places, versus, corrected, gaps, strict=True)
    ]
