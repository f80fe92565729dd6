"""The result of `moa tune`: the verdict, every candidate with its figures, and the mixture to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from moa_graph.evals.figures import Figures, as_pair, cautions
from moa_graph.evals.stats import Interval, fraction_interval, paired
from moa_graph.evals.tune.ceiling import Ceiling, JudgeNoise, as_figures
from moa_graph.evals.tune.choice import TuneChoice, Use
from moa_graph.evals.tune.race import Measured
from moa_graph.evals.tune.samples import Floats
from moa_graph.mixture.mixture import Mixture

__all__ = ["RESULT", "TuneResult", "expenses", "front"]

RESULT = "tune.json"


@dataclass(frozen=True)
class TuneResult:
    """What `tune` found.

    Attributes:
        run: The run's hash: prompts, pool, drafts per model, seed and package decide it.
        prompts: The prompts' names, in the order of `scores`.
        measured: The candidates with their scores; single models first. See `offered`.
        choice: The decision. Places in it are places in `measured` without those that were stopped: see `finished`.
        ceiling: What can be won at all.
        noise: How noisy the judge is; None without a judge.
        agreement: How alike the pool's drafts are on each prompt, 0 to 1; nan where there is one draft.
        cautions: What limits the result.
        spent: New dollars of this run, and calls.
        settings: What the run was asked for.
        replayed: What the winner's graph gave on the recorded drafts: prompts, and how many answers are the computed
            ones.
        effects: Of a sweep, what every value of every field does.
        folder: Where the files are; None when none were written.
    """

    run: str
    prompts: Sequence[str]
    measured: Sequence[Measured]
    choice: TuneChoice
    ceiling: Ceiling
    noise: JudgeNoise | None
    agreement: Floats
    cautions: Sequence[str] = ()
    spent: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    replayed: Mapping[str, Any] = field(default_factory=dict)
    effects: Sequence[Figures] = ()
    folder: Path | None = None

    def with_replay(self, replayed: Mapping[str, Any]) -> TuneResult:
        """Return the result with what the best mixture's graph gave.

        Args:
            replayed: The figures of the replay.
        """
        return replace(self, replayed=replayed)

    @property
    def finished(self) -> list[Measured]:
        """The candidates that were measured on every prompt."""
        return [each for each in self.measured if each.whole]

    @property
    def offered(self) -> list[Measured]:
        """The candidates that all prompts propose. The others were proposed only by a choosing half."""
        return [each for each in self.measured if each.offered]

    @property
    def verdict(self) -> Use:
        """`mixture`, `single`, or `cannot tell`."""
        return self.choice.use

    @property
    def winner(self) -> Measured:
        """What to use: a mixture, or the best single model."""
        return self.finished[self.choice.winner]

    @property
    def best_single(self) -> Measured:
        """The best single model."""
        return self.finished[self.choice.best_single]

    @property
    def best_mixture(self) -> Measured | None:
        """The mixture that came furthest, whatever the verdict is."""
        return None if self.choice.best_mixture is None else self.finished[self.choice.best_mixture]

    @property
    def mixture(self) -> Mixture:
        """The mixture to use; for a single model, the one that asks that model alone."""
        return self.winner.mixture

    @property
    def sentence(self) -> str:
        """The decision in one sentence."""
        if self.verdict == "mixture":
            return f"Use the mixture {self.winner.plan.name}: {self.choice.reason}."
        alone = self.best_single.plan.name
        if self.verdict == "cannot tell":
            return f"Cannot tell whether a mixture is worth it; until then use {alone} alone: {self.choice.reason}."
        return f"Do not use a mixture; use {alone} alone: {self.choice.reason}."

    @property
    def common(self) -> Any:
        """Which prompts every finished candidate has a score on."""
        return ~np.isnan(np.stack([each.scores for each in self.finished])).any(axis=0)

    def figures(self) -> Figures:
        """Return everything as plain values; scores are in percent, costs in dollars for 1000 questions."""
        choice = self.choice
        return {
            "run": self.run,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "winner": self.winner.plan.name,
            "mixture": self.mixture.hash,
            "best_single": self.best_single.plan.name,
            "n": len(self.prompts),
            "ceiling": {**as_figures(self.ceiling), "sentence": self.ceiling.sentence(self.best_single.plan.name)},
            "judge_noise": None if self.noise is None else dict(as_figures(self.noise)),
            "honest": self._honest(),
            # Without a mixture that was measured, nothing is ruled out.
            "hidden_gain": 100 * choice.hidden if choice.best_mixture is not None else None,
            "p_corrected": choice.p,
            "finalists": [self._finalist(place) for place in range(len(choice.finalists))],
            "candidates": [self._row(each) for each in self.offered],
            "pareto": [each.plan.name for each in front([each for each in self.offered if each.whole])],
            "effects": list(self.effects),
            "agreement": self._agreement(),
            "replayed": dict(self.replayed),
            "spent": dict(self.spent),
            "cautions": list(self.cautions),
            "settings": dict(self.settings),
        }

    def _honest(self) -> Figures | None:
        found = self.choice.honest
        if found is None:
            return None
        names = [each.plan.name for each in self.finished]
        return {
            "gain": 100 * found.gain,
            "interval": [100 * found.low, 100 * found.high],
            "score": 100 * found.score,
            "chosen": {names[place]: times / found.splits for place, times in found.chosen.items()},
            "splits": found.splits,
        }

    def _finalist(self, place: int) -> Figures:
        found = self.choice.finalists[place]
        return {
            "name": self.finished[found.place].plan.name,
            "gain": 100 * found.versus.difference,
            "interval": [100 * found.versus.low, 100 * found.versus.high],
            "caution": found.versus.caution,
            "p_holm": found.p_holm,
            "helped": found.helped,
            "hurt": found.hurt,
            "wins": found.wins,
        }

    def _row(self, each: Measured) -> Figures:
        values = each.scores[~np.isnan(each.scores)]
        width = fraction_interval((100 * values).tolist(), scale=100) if len(values) else None
        base = self.best_single.scores
        both = ~np.isnan(each.scores) & ~np.isnan(base)
        mine, theirs = ((100 * values[both]).tolist() for values in (each.scores, base))
        versus = paired(mine, theirs, most=100) if len(mine) > 1 else None
        versus = None if each is self.best_single else versus
        gain = None if versus is None else Interval(versus.low, versus.high, versus.caution)
        return {
            "name": each.plan.name,
            "kind": each.plan.kind,
            "mixture": each.mixture.hash,
            "status": each.status,
            "why": each.why,
            "n": len(values),
            "score": float(100 * values.mean()) if len(values) else None,
            "interval": as_pair(width),
            "gain": None if versus is None else versus.difference,
            "gain_interval": as_pair(gain),
            "cautions": cautions({"interval": width, "gain_interval": gain}),
            "helped": int((each.scores[both] > base[both] + 1e-12).sum()),
            "hurt": int((each.scores[both] < base[both] - 1e-12).sum()),
            # Twelve digits: the last ones depend on the order in which calls ended.
            "dollars_per_1000": None if each.cost is None else float(f"{1000 * each.cost:.12g}"),
            "tokens": each.tokens,
            "calls": each.calls,
            "seconds": each.seconds,
        }

    def _agreement(self) -> list[Figures]:
        """Return accuracy by quarter of agreement: of what is used, and of the best mixture."""
        known = ~np.isnan(self.agreement) & self.common
        places = np.flatnonzero(known)
        if len(places) < 4:
            return []
        order = places[np.argsort(self.agreement[places], kind="stable")]
        best = self.best_mixture or self.winner
        return [
            {
                "prompts": len(part),
                "agreement": float(self.agreement[part].mean()),
                "best_single": float(100 * self.best_single.scores[part].mean()),
                "best_mixture": float(100 * best.scores[part].mean()),
            }
            for part in np.array_split(order, 4)
        ]

    def by_prompt(self) -> list[Figures]:
        """Return every prompt with the scores of the best single model and of the best mixture."""
        best = self.best_mixture or self.winner
        return [
            {
                "prompt": name,
                "best_single": _percent(self.best_single.scores[place]),
                "best_mixture": _percent(best.scores[place]),
                "agreement": None if np.isnan(self.agreement[place]) else float(self.agreement[place]),
            }
            for place, name in enumerate(self.prompts)
        ]


def _percent(value: float) -> float | None:
    return None if np.isnan(value) else float(100 * value)


def front(measured: Sequence[Measured]) -> list[Measured]:
    """Return the Pareto front: candidates that no other one beats at the same cost or less, the cheapest first."""
    costs = expenses(measured)
    means = [float(np.nanmean(each.scores)) for each in measured]
    order = sorted(range(len(measured)), key=lambda place: (costs[place], -means[place]))
    found: list[Measured] = []
    top = -1.0
    for place in order:
        if means[place] > top + 1e-12:
            found.append(measured[place])
            top = means[place]
    return found


def expenses(measured: Sequence[Measured]) -> list[float]:
    """Return each candidate's cost in the best unit that all have: dollars, tokens (where all is free), or calls."""
    for values in ([each.cost for each in measured], [each.tokens for each in measured]):
        known = [value for value in values if value is not None]
        if len(known) == len(values) and any(known):
            return known
    return [each.calls for each in measured]
