"""The sampling stage: k drafts of every model for every prompt, paid once and graded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from moa_graph.costs.spending_cap import SpendingCap
from moa_graph.evals import engine
from moa_graph.evals.engine import ItemOutcome, Spending
from moa_graph.evals.prompts.questions import OwnPrompt
from moa_graph.evals.tune.answers import Candidate, CandidateAnswer, today
from moa_graph.evals.tune.grading import Grader
from moa_graph.evals.tune.pool import Pool
from moa_graph.evals.tune.samples import GradedDraft, Samples, best_reader
from moa_graph.evals.tune.settings import StageProgress
from moa_graph.evals.tune.shared_ledger import SharedLedger, tracing
from moa_graph.mixture.answers import AnswerReader
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer
from moa_graph.state import COUNTED, Draft

__all__ = ["Paying", "Sampled", "one_model", "sample"]


@dataclass(frozen=True)
class Paying:
    """What every paying stage needs.

    Attributes:
        ledger: Where paid calls are.
        cap: Counts new dollars, over all stages.
        grader: Grades answers.
        concurrency: Prompts that run at once.
        progress: Shown after every prompt of a stage.
    """

    ledger: SharedLedger
    cap: SpendingCap
    grader: Grader
    concurrency: int = 8
    progress: StageProgress | None = None

    async def through(
        self, stage: str, prompts: Sequence[OwnPrompt], work: Any, *, expected: float | None = None
    ) -> list[ItemOutcome]:
        """Run `work` for every prompt under the cap; recorded calls cost nothing.

        Args:
            stage: The name that the progress shows.
            prompts: The prompts.
            work: Does one prompt and fills in its outcome.
            expected: Dollars that the first prompt is expected to take when its drafts are recorded. None for as much
                as prompts of earlier stages.
        """
        if expected is not None:
            self.cap.expect(expected)
        told = None
        if self.progress is not None:
            self.progress.started(stage, len(prompts))
            told = partial(self.progress.moved, stage)

        async def paid(prompt: OwnPrompt, done: ItemOutcome) -> None:
            # New calls alone count: what is recorded was paid for by this run before, or by another run.
            with tracing() as trace:
                try:
                    await work(prompt, done)
                finally:
                    known = math.fsum(call.cost or 0.0 for call in trace.new)
                    unknown = done.generation.cost is None or any(call.cost is None for call in trace.new)
                    done.generation = Spending(len(trace.new), None if unknown else known, known)
                    done.judging = Spending()
                    done.whole = all(call.new for call in trace.calls if expected is None or not call.is_draft)

        return await engine.run(
            prompts,
            lambda prompt: prompt.id,
            paid,
            concurrency=self.concurrency,
            cap=self.cap,
            notify=told,
            recorded_costs=False,
        )


@dataclass
class Sampled:
    """What sampling gave.

    Attributes:
        samples: The drafts of all prompts that were sampled.
        prompts: Those prompts, in the order of the tables.
        skipped: Prompts that the cap left no room for.
        failures: Why drafts are missing, as "prompt: reason".
    """

    samples: Samples
    prompts: list[OwnPrompt]
    skipped: int = 0
    failures: list[str] = field(default_factory=list)


def one_model(spec: Proposer, many: int, pool: Pool) -> Mixture:
    """Return the mixture that samples one model: `many` drafts and no further call.

    It votes on whole texts, so that its answer is one of the drafts.
    """
    slots = spec.model_copy(update={"samples": many})
    return Mixture(
        proposers=[slots],
        aggregator=spec,
        combine={"name": "vote", "answer": "text", "stop": False},
        **pool.shared,
    )


async def sample(
    prompts: Sequence[OwnPrompt], pool: Pool, paying: Paying, *, many: int, reader: AnswerReader
) -> Sampled:
    """Sample every model `many` times on every prompt, and grade the drafts.

    Args:
        prompts: The prompts.
        pool: The models.
        paying: Ledger, cap and grader.
        many: Drafts of each model for each prompt.
        reader: How final answers are read.
    """
    candidates = [Candidate(one_model(spec, many, pool), paying.ledger) for spec in pool.models]
    found: dict[str, list[list[GradedDraft]]] = {}

    async def work(prompt: OwnPrompt, done: ItemOutcome) -> None:
        answers = await engine.all_of(each.answer(prompt) for each in candidates)
        for spec, answer in zip(pool.models, answers, strict=True):
            if answer.error:
                done.failures.append(f"{spec.label}: {answer.error}")
            if answer.unpaid:
                done.generation.cost = None
        rows = [_rows(spec, answer, many, pool.prices) for spec, answer in zip(pool.models, answers, strict=True)]
        found[prompt.id] = [[await _graded(each, prompt, paying.grader, done) for each in row] for row in rows]

    outcomes = await paying.through("drafts", prompts, work)
    failures = [f"{done.item}: {text}" for done in outcomes for text in done.failures]
    whole = [prompt for prompt in prompts if prompt.id in found]
    tables = [[found[prompt.id][m] for prompt in whole] for m in range(len(pool.models))]
    read = best_reader(tables, [prompt.gold for prompt in whole], reader)
    return Sampled(
        Samples.of(pool.names, [prompt.id for prompt in whole], tables, read),
        whole,
        sum(done.skipped for done in outcomes),
        failures,
    )


def _rows(spec: Proposer, answer: CandidateAnswer, many: int, prices: Any) -> list[GradedDraft]:
    """Return one model's drafts on one prompt in order; those that failed say why."""
    drafts = {draft["slot"]: draft for draft in answer.drafts}
    return [_sample(spec, drafts.get(slot), answer.error, prices) for slot in range(many)]


def _sample(spec: Proposer, draft: Draft | None, error: str | None, prices: Any) -> GradedDraft:
    if draft is None:
        return GradedDraft("", 0.0, None, error=error or "no draft")
    if draft["status"] not in COUNTED:
        return GradedDraft("", 0.0, draft["cost"], error=f"{draft['status']}, {draft['error']}")
    usage = draft["usage"]
    return GradedDraft(draft["text"], None, today(spec, usage, draft["cost"], prices), draft["seconds"], usage)


async def _graded(each: GradedDraft, prompt: OwnPrompt, grader: Grader, done: ItemOutcome) -> GradedDraft:
    if each.error:
        return each
    score = await grader.score(prompt, each.text, done)
    return GradedDraft(each.text, score, each.cost, each.seconds, each.usage)
