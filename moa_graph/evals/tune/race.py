"""Candidates whose last step is paid race: in growing blocks of prompts, and those that cannot win any more stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from moa_graph.costs.budget import ANSWER_TOKENS, expected_calls, sum_of
from moa_graph.evals.engine import ItemOutcome
from moa_graph.evals.prompts.questions import OwnPrompt
from moa_graph.evals.systems.mixture import messages
from moa_graph.evals.tune.answers import Candidate, CandidateAnswer
from moa_graph.evals.tune.candidates import CandidatePlan
from moa_graph.evals.tune.samples import Floats, Ints, known_mean
from moa_graph.evals.tune.sampling import Paying
from moa_graph.mixture.context import settings
from moa_graph.mixture.mixture import Mixture

__all__ = ["Measured", "blocks", "hopeless", "out_of_race", "race"]

FIRST = 20
"""Prompts of the first block; every further block doubles what is done."""
LEVEL = 0.995
"""One-sided level at which a candidate is behind: at most one in 200 that is not behind is stopped at a look."""


@dataclass
class Measured:
    """A candidate with its result.

    Attributes:
        plan: What it is.
        mixture: Its mixture.
        scores: Score on every prompt, 0 to 1; nan where it was not run or has no grade.
        cost: Mean dollars of an answer at today's prices; None when unknown.
        tokens: Mean tokens of an answer; None when unknown.
        calls: Mean calls of an answer.
        seconds: Mean seconds of the slowest call of every step, added up.
        answers: Its answers by prompt, where they were made by its graph.
        status: `measured`, or why it is not: `stopped`, `unpaid`, `failed`.
        why: The reason in words.
        done: Prompts that it was run on.
        first: The (model, draft) that is its answer in the first draw, for one that returns a draft.
        offered: Whether all prompts together propose it, so that it can be the winner; some of the halves do.
    """

    plan: CandidatePlan
    mixture: Mixture
    scores: Floats
    cost: float | None = None
    tokens: float | None = None
    calls: float = 0.0
    seconds: float = 0.0
    answers: dict[str, str] = field(default_factory=dict)
    status: str = "measured"
    why: str = ""
    done: int = 0
    first: Ints | None = None
    offered: bool = True

    @property
    def whole(self) -> bool:
        """Whether it was run on every prompt."""
        return self.status == "measured"


def blocks(many: int) -> list[range]:
    """Return the blocks of prompts: 20, then as many as are done already."""
    found, done = [], 0
    while done < many:
        end = min(many, max(FIRST, 2 * done))
        found.append(range(done, end))
        done = end
    return found


def hopeless(own: Floats, best: Floats, done: int) -> str | None:
    """Return why a candidate cannot win any more, or None.

    Args:
        own: Its scores on the prompts that it was run on.
        best: The scores to beat, on all prompts in the same order.
        done: How many prompts it was run on.
    """
    from scipy.stats import t

    # A prompt without a grade, whose verdict failed, could still have full marks.
    if np.nansum(own) + np.isnan(own).sum() + (len(best) - done) < np.nansum(best):
        return f"after {done} prompts it cannot reach the best score even with full marks on the rest"
    gaps = own - best[:done]
    gaps = gaps[~np.isnan(gaps)]
    if len(gaps) < FIRST:
        return None
    high = gaps.mean() + t.ppf(LEVEL, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps))
    if high < 0:
        return f"after {done} prompts it is {-100 * gaps.mean():.1f} points behind, at least {-100 * high:.1f}"
    return None


def out_of_race(scores: Sequence[Floats], best: Floats, done: int) -> list[str | None]:
    """Return why each candidate stops after `done` prompts; None for one that goes on.

    The target is the best so far: on the prompts that are done the best candidate of the race, where it is ahead.

    Args:
        scores: The candidates' scores on all prompts; those behind `done` are not read.
        best: The scores to beat, on all prompts.
        done: How many prompts were run.
    """
    leader = max(
        [best[:done], *(own[:done] for own in scores)], key=lambda own: float(np.nan_to_num(known_mean(own, 0)))
    )
    target = np.concatenate([leader, best[done:]])
    return [hopeless(own[:done], target, done) for own in scores]


@dataclass
class _Runner:
    """One candidate in the race."""

    measured: Measured
    graph: Candidate
    answers: dict[str, CandidateAnswer] = field(default_factory=dict)
    scores: dict[str, float | None] = field(default_factory=dict)


async def race(
    plans: Sequence[tuple[CandidatePlan, Mixture]],
    prompts: Sequence[OwnPrompt],
    best: Floats,
    paying: Paying,
    *,
    stop: bool = True,
    answer_tokens: int = ANSWER_TOKENS,
) -> list[Measured]:
    """Measure candidates by their graphs; drafts are found in the ledger, only further calls are paid.

    Args:
        plans: What to measure, the most promising first.
        prompts: The prompts, in an order that is random.
        best: The scores to beat on these prompts: those of the best candidate so far.
        paying: Ledger, cap and grader.
        stop: Whether candidates that cannot win any more stop.
        answer_tokens: Length of an answer that a cap on cost assumes until a candidate has given one.
    """
    runners = [
        _Runner(Measured(plan, mixture, np.full(len(prompts), np.nan)), Candidate(mixture, paying.ledger))
        for plan, mixture in plans
    ]
    racing = list(runners)
    for block in blocks(len(prompts)):
        for runner in racing:
            await _run(runner, [prompts[place] for place in block], paying, answer_tokens)
            _note(runner, prompts, block.stop)
        racing = [runner for runner in racing if runner.measured.whole]
        if stop and racing and block.stop < len(prompts):
            found = out_of_race([runner.measured.scores for runner in racing], best, block.stop)
            for runner, why in zip(racing, found, strict=True):
                if why:
                    runner.measured.status, runner.measured.why = "stopped", why
        racing = [runner for runner in racing if runner.measured.whole]
    return [_finished(runner) for runner in runners]


async def _run(runner: _Runner, prompts: Sequence[OwnPrompt], paying: Paying, answer_tokens: int) -> None:
    async def work(prompt: OwnPrompt, done: ItemOutcome) -> None:
        answer = await runner.graph.answer(prompt)
        if answer.error:
            done.failures.append(answer.error)
        if answer.unpaid:
            done.generation.cost = None
        score = 0.0 if answer.text is None else await paying.grader.score(prompt, answer.text, done)
        runner.answers[prompt.id], runner.scores[prompt.id] = answer, score

    expected = max(
        (_expected(runner.measured.mixture, prompt, paying, answer_tokens) for prompt in prompts), default=0.0
    )
    await paying.through(runner.measured.plan.name, prompts, work, expected=expected)


def _expected(mixture: Mixture, prompt: OwnPrompt, paying: Paying, answer_tokens: int) -> float:
    """Return the dollars that a candidate's answer and its verdicts are expected to take; drafts are recorded."""
    run = settings(mixture, None)
    calls = [call for call in run.planned() if (call.layer, call.role) != (1, "proposer")]
    found = expected_calls(run, messages(prompt.turns), calls=calls, answer_tokens=answer_tokens)
    verdicts = paying.grader.verdict_calls(prompt, answer_tokens)
    return sum_of([*found, *verdicts], mixture.prices).cost or 0.0


def _note(runner: _Runner, prompts: Sequence[OwnPrompt], done: int) -> None:
    """Enter the block's scores; say why the candidate is out if it is."""
    found = runner.measured
    for place in range(done):
        score = runner.scores.get(prompts[place].id)
        found.scores[place] = np.nan if score is None else score
    found.done = len(runner.answers)
    errors = [answer.error for answer in runner.answers.values() if answer.error]
    if len(runner.answers) < done:
        found.status, found.why = "unpaid", "the cap on cost left no room for it"
    elif len(errors) > done / 2:
        found.status, found.why = "failed", errors[0] or ""


def _finished(runner: _Runner) -> Measured:
    found, answers = runner.measured, list(runner.answers.values())
    given = [answer for answer in answers if answer.text is not None]
    if given:
        costs = [answer.cost for answer in given]
        known = [cost for cost in costs if cost is not None]
        found.cost = sum(known) / len(known) if len(known) == len(costs) else None
        found.tokens = _mean([answer.tokens for answer in given])
        found.calls = sum(answer.calls for answer in given) / len(given)
        found.seconds = sum(answer.seconds for answer in given) / len(given)
    found.answers = {name: answer.text for name, answer in runner.answers.items() if answer.text is not None}
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
