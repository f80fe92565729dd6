"""From graded drafts to a decision: free candidates, paid ones, the honest choice, the winner's graph as a check."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from moa_graph.costs.budget import ANSWER_TOKENS
from moa_graph.errors import MoAError
from moa_graph.evals.engine import ItemOutcome
from moa_graph.evals.prompts.questions import OwnPrompt
from moa_graph.evals.tune.answers import Candidate
from moa_graph.evals.tune.candidates import CandidatePlan, by_score, offers
from moa_graph.evals.tune.ceiling import JudgeNoise, ceiling, judge_noise
from moa_graph.evals.tune.choice import choose
from moa_graph.evals.tune.free import deal
from moa_graph.evals.tune.mixtures import mixture_of
from moa_graph.evals.tune.paid_candidates import complement, paid_plans
from moa_graph.evals.tune.pool import Pool, names_of
from moa_graph.evals.tune.race import Measured, race
from moa_graph.evals.tune.result import TuneResult, expenses
from moa_graph.evals.tune.samples import Floats, Samples, known_mean
from moa_graph.evals.tune.sampling import Paying
from moa_graph.evals.tune.settings import FEWEST, Options
from moa_graph.evals.tune.splits import Splits, design_size
from moa_graph.evals.tune.sweep import grid, main_effects
from moa_graph.graph.agreement import compare
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer

__all__ = ["Decider", "agreements"]

SECOND_VERDICTS = 50
"""Prompts on which a judge is asked a second time."""


@dataclass(frozen=True)
class Decider:
    """Decides on graded drafts.

    Attributes:
        samples: The drafts.
        prompts: The prompts, in the order of the tables.
        pool: The models.
        options: What the user chose.
        paying: Ledger, cap and grader; None measures what is free and replays nothing.
        texts: Whether the drafts are texts that can be compared, not final answers alone.
        criteria: The criteria of judges inside candidates.
        named: The pool as files and hashes have it; the pool itself by default. Recorded models are named differently.
        tried: Whether a plan whose last step is a call can be run; all can by default.
        subset: The members of the candidates whose last step is a call; by default the most complementary models.
    """

    samples: Samples
    prompts: Sequence[OwnPrompt]
    pool: Pool
    options: Options
    paying: Paying | None = None
    texts: bool = True
    criteria: str | None = None
    named: Pool | None = None
    tried: Callable[[CandidatePlan], bool] | None = None
    subset: Sequence[int] | None = None

    async def decide(self, run: str, *, cautions: Sequence[str] = (), settings: Mapping[str, Any]) -> TuneResult:
        """Return the result of the run called `run`.

        Args:
            run: The run's hash.
            cautions: Warnings about the drafts.
            settings: What the run was asked for.
        """
        found = offers(self.samples, self.splits, texts=self.texts)
        measured = self._free(found.plans, found.whole)
        noise = await self._noise() if self.paying and self.paying.grader.grading.judged else None
        effects: list[Any] = []
        if self.paying and (self.options.paid or self.options.sweep):
            paid = await self._paid(self.paying, measured)
            measured += paid
            effects = main_effects(self.options.sweep, paid) if self.options.sweep else []
        finished = [each for each in measured if each.whole]
        # Paid candidates were proposed by prompts that are in every choosing half, so every half proposes them.
        proposed = np.ones((len(self.splits.train), len(measured)), dtype=bool)
        proposed[:, : len(found.plans)] = found.halves
        table = np.stack([each.scores for each in finished])
        common = np.asarray(~np.isnan(table).any(axis=0))
        if common.sum() < FEWEST:
            raise MoAError(
                f"only {int(common.sum())} prompts have a grade for every candidate; {FEWEST} are needed. Every paid "
                "call is in the ledger: run again for the verdicts that failed"
            )
        choice = choose(
            table[:, common],
            expenses(finished),
            [each.plan.single for each in finished],
            kinds=[each.plan.kind for each in finished],
            worth=self.options.worth / 100,
            seed=self.options.seed,
            splits=self.splits.on(common),
            offers=proposed[:, [each.whole for each in measured]],
            offered=[each.offered for each in finished],
            stopped=sum(each.status == "stopped" for each in measured),
        )
        result = TuneResult(
            run=run,
            prompts=self.samples.prompts,
            measured=measured,
            choice=choice,
            # Of the model that the sentence names, on the prompts that decide.
            ceiling=ceiling(self.samples.scores[:, common], single=finished[choice.best_single].plan.members[0]),
            noise=noise,
            agreement=agreements(self.samples, texts=self.texts),
            cautions=[*cautions, *self._cautions(int(common.sum()), measured)],
            settings=settings,
            effects=effects,
        )
        replayed = await self._replay(self.paying, result) if self.paying else {}
        return result.with_replay(replayed)

    @cached_property
    def _design(self) -> list[int]:
        """The prompts that choose the members and the writer of paid candidates; none where the user chose them."""
        if self.paying is None or self.subset is not None or not (self.options.paid or self.options.sweep):
            return []
        places = list(range(len(self.prompts)))
        random.Random(self.options.seed).shuffle(places)
        return places[: design_size(len(places))]

    @cached_property
    def splits(self) -> Splits:
        """The halves that choose and report."""
        return Splits.of(len(self.prompts), seed=self.options.seed, design=self._design)

    @cached_property
    def _seen(self) -> Floats:
        """The grades that paid candidates are proposed by."""
        return self.samples.scores[:, self._design] if self._design else self.samples.scores

    def _free(self, plans: Sequence[CandidatePlan], whole: Sequence[bool]) -> list[Measured]:
        draws = deal(self.samples, seed=self.options.seed)
        found = []
        for plan, offered in zip(plans, whole, strict=True):
            if plan.compute is None:
                continue
            outcome = plan.compute(self.samples, draws)
            found.append(
                Measured(
                    plan,
                    self._mixture(plan),
                    outcome.scores,
                    outcome.cost,
                    outcome.tokens,
                    outcome.calls,
                    outcome.seconds,
                    done=len(self.prompts),
                    first=outcome.first,
                    offered=offered,
                )
            )
        return found

    def _mixture(self, plan: CandidatePlan) -> Mixture:
        """Return a plan's mixture as files and hashes have it."""
        pool = self.named or self.pool
        return mixture_of(plan, pool, self._writers_of(pool))

    def _writers_of(self, pool: Pool) -> list[Proposer]:
        """The models that may write or judge: those of the pool, or its best model."""
        if pool.aggregators:
            return pool.aggregators
        if "aggregator" in self.options.sweep:
            return pool.models
        return [pool.models[by_score(self._seen)[0]]]

    async def _paid(self, paying: Paying, free: Sequence[Measured]) -> list[Measured]:
        names = names_of(self._writers_of(self.pool))
        if self.options.sweep:
            plans = grid(
                self.options.sweep,
                self.samples.models,
                names,
                depth=min(self.samples.counts),
                verify=self.pool.verify,
            )
        else:
            plans = paid_plans(
                self.samples,
                best=by_score(self._seen)[0],
                writers=names,
                subset=self.subset or complement(self._seen),
                verify=self.pool.verify,
                criteria=self.criteria,
            )
        plans = [plan for plan in plans if self.tried is None or self.tried(plan)]
        pairs = [(plan, self._runnable(plan)) for plan in plans]
        best = max(free, key=lambda each: float(known_mean(each.scores, axis=0)))
        target = np.nan_to_num(best.scores)
        # A sweep compares settings with each other, so none of them is stopped.
        found = await race(
            pairs,
            self.prompts,
            target,
            paying,
            stop=not self.options.sweep,
            answer_tokens=max(self.samples.longest, ANSWER_TOKENS),
        )
        return [replace(each, mixture=self._mixture(each.plan)) for each in found]

    def _runnable(self, plan: CandidatePlan) -> Mixture:
        return mixture_of(plan, self.pool, self._writers_of(self.pool))

    async def _noise(self) -> JudgeNoise:
        """Ask the judge a second time about a random draft and about the best draft of some prompts."""
        assert self.paying is not None
        rng = random.Random(self.options.seed)
        pairs: list[tuple[float, float]] = []
        best: list[tuple[float, float]] = []
        places = {prompt.id: place for place, prompt in enumerate(self.prompts)}
        grader = self.paying.grader

        async def work(prompt: OwnPrompt, done: ItemOutcome) -> None:
            drafts = [row for model in self.samples.rows for row in model[places[prompt.id]] if row.score is not None]
            if not drafts:
                return
            top = max(drafts, key=lambda each: each.score or 0.0)
            for each, found in ((rng.choice(drafts), pairs), (top, best)):
                again = await grader.again(prompt, each.text, done) if each.text else None
                if again is not None and each.score is not None:
                    found.append((each.score, again))

        await self.paying.through("second verdicts", self.prompts[:SECOND_VERDICTS], work)
        return judge_noise(pairs, best)

    def _cautions(self, common: int, measured: Sequence[Measured]) -> list[str]:
        found = []
        if common < len(self.prompts):
            found.append(f"prompts left out because an answer has no grade: {len(self.prompts) - common}")
        if common < 50:
            found.append(f"{common} prompts: intervals are rough below 50, and small gains cannot be seen")
        if not np.nan_to_num(self.samples.scores).any():
            found.append("every draft scores 0: check the right answers, and how answers are compared with them")
        if missing := self.samples.missing:
            again = "" if self.named else "; run again to request them"
            found.append(f"missing drafts, which score 0: {missing}{again}")
        if unpaid := sum(each.status == "unpaid" for each in measured):
            found.append(f"candidates that were not measured because of the cap on cost: {unpaid}")
        return found

    async def _replay(self, paying: Paying, found: TuneResult) -> dict[str, Any]:
        """Have the graph of the best free mixture answer every prompt, and compare with what was computed."""
        free = [each for each in found.offered if each.whole and each.first is not None and not each.plan.single]
        if not free:
            return {}
        best = max(free, key=lambda each: (each is found.best_mixture, float(np.nanmean(each.scores))))
        graph = Candidate(self._runnable(best.plan), paying.ledger)
        same: list[bool] = []
        places = {prompt.id: place for place, prompt in enumerate(self.prompts)}

        async def work(prompt: OwnPrompt, done: ItemOutcome) -> None:
            answer = await graph.answer(prompt)
            assert best.first is not None
            model, number = best.first[places[prompt.id]]
            row = self.samples.rows[model][places[prompt.id]][number]
            # A graph strips white space from a draft.
            same.append("".join((answer.text or "").split()) == "".join(row.text.split()))

        await paying.through(f"replay of {best.plan.name}", self.prompts, work)
        return {"candidate": best.plan.name, "prompts": len(same), "same": sum(same)}


def agreements(samples: Samples, *, texts: bool) -> Floats:
    """Return how alike the first drafts of each prompt are, 0 to 1: of their final answers, or of their words."""
    if len(samples.models) < 2:
        numbers = [(0, number) for number in range(min(samples.counts, default=0))]
    else:
        numbers = [(model, 0) for model in range(len(samples.models))]
    if len(numbers) < 2:
        return np.full(len(samples.prompts), np.nan)
    if samples.votable:
        said = np.stack([samples.answers[model, :, number] for model, number in numbers], axis=-1)
        equal = (said[:, :, None] == said[:, None, :]) & (said[:, :, None] >= 0)
        many = len(numbers)
        found: Floats = (equal.sum(axis=(1, 2)) - (said >= 0).sum(axis=1)) / (many * (many - 1))
        return found
    means = []
    for place in range(len(samples.prompts)):
        rows = [samples.rows[model][place][number].text for model, number in numbers]
        alike = compare([text for text in rows if text]).mean if texts else None
        means.append(np.nan if alike is None else alike)
    return np.array(means, dtype=float)
