"""Limits that end a run before its next request: the models' windows, the caps, the run's deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from langchain_core.runnables import RunnableConfig

from moa_graph.costs import prices
from moa_graph.costs.budget import over_budget
from moa_graph.errors import BudgetError, ConfigError, DeadlineError, InputError
from moa_graph.graph.latch import Rule
from moa_graph.graph.runs import Run, Step
from moa_graph.graph.slot import fitted
from moa_graph.graph.targets import AGGREGATOR
from moa_graph.graph.turns import off_loop
from moa_graph.mixture.combiner import PlannedCall
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.tools import bound_to
from moa_graph.state import Draft, Note, counted

__all__ = [
    "deadline_exceeded",
    "late",
    "no_room_for_round",
    "over_caps",
    "refuse_few_steps",
    "refuse_over_budget",
    "refuse_step",
    "refuse_too_long",
    "round_rule",
]

Planned = Callable[[], Sequence[PlannedCall]]


def refuse_too_long(run: Run) -> None:
    """Refuse a conversation that, with the drafts to come, is too long for too many of the models.

    Raises:
        InputError: Too few models can take it. The message has the numbers of each that cannot.
    """
    settings = run.settings
    mixture = settings.mixture
    specs = mixture.plan.specs
    if not any(spec.window for spec in (*mixture.specs, settings.aggregator)):
        return
    drafts = 0
    for layer in range(1, settings.base + 1):
        names = settings.rounds[layer - 1]
        _refuse_misfits(run, [specs[name] for name in names], drafts, settings.min_drafts)
        drafts = len(names)
    if any(call.role == AGGREGATOR for call in settings.planned(least=True)):
        _refuse_misfits(run, [settings.aggregator, *mixture.fallbacks], drafts, 1)


def refuse_few_steps(run: Run, config: RunnableConfig) -> None:
    """Refuse a `recursion_limit` that ends the run before its answer, whatever happens in it.

    Raises:
        ConfigError: The config of the run allows too few steps.
    """
    limit, planned = config.get("recursion_limit"), run.settings.planned(least=True)
    # A quorum may end a round before its last batch.
    batched = run.settings.quorum is None
    kinds = {(call.layer, call.role, call.request if batched else None) for call in planned if call.role != AGGREGATOR}
    # A node and `gather` for each kind of call, beside `begin` and `aggregate`. LangGraph wants one more at the end.
    steps = 3 + 2 * len(kinds)
    if limit is not None and limit < steps:
        raise ConfigError(
            f"config.recursion_limit: {limit} steps are too few, this run takes at least {steps}. Raise it in the "
            "config of the call. A graph, a tool or an agent around this graph passes its own limit on: raise it there."
        )


def _refuse_misfits(run: Run, specs: Sequence[Proposer], drafts: int, needed: int) -> None:
    reasons = [reason for spec in specs if (reason := fitted(run, spec, [""] * drafts).reason)]
    if reasons and len(specs) - len(reasons) < needed:
        raise InputError(f"messages: too long. {'; '.join(reasons)}. Shorten them, or choose larger windows.")


def _round_calls(run: Run, step: Step) -> list[PlannedCall]:
    """Return the calls of a round of drafts, or of the part of it that `step` runs."""
    planned = [c for c in run.settings.planned() if c.role == "proposer" and c.layer == step.layer]
    if not 1 <= step.layer <= len(run.settings.rounds):
        return []
    names = run.settings.rounds[step.layer - 1]
    return [call for name, call in zip(names, planned, strict=True) if name in step.nodes]


def round_rule(run: Run, *, batches: int, optional: bool) -> Rule:
    """Return when the round of `run` ends before all its calls have ended.

    With a `run_deadline`, a round that has enough drafts takes at most its equal share of the time that is left, so
    that one proposer that hangs does not cost the answer. No draft is enough where later calls can give the answer.

    Args:
        run: The run.
        batches: How many further steps the round may take.
        optional: Whether there can be an answer without a draft of the round.
    """
    wanted, layer = run.settings, run.state["layer"]
    enough, share = max(wanted.min_drafts, 1), None
    if wanted.run_deadline is not None:
        share = run.left / max(wanted.layers - layer + 1 + batches, 1)
        if batches or (optional and any(call.layer > layer for call in wanted.planned())):
            enough = 0
    before = len(counted(run.state["drafts"], layer))
    return Rule(wanted.quorum, wanted.grace, enough=enough, share=share, before=before)


async def over_caps(run: Run, coming: Planned, *, what: str, following: Planned | None = None) -> str | None:
    """Return why the run would exceed its caps, or None.

    Args:
        run: The run.
        coming: Returns the next calls, and those that the answer then needs. Called only where a cap is set.
        what: What they are, for the message.
        following: Returns all calls to come, where they are more; they are counted for `max_cost`.
    """
    settings, state = run.settings, run.state
    if settings.max_cost is None and settings.max_calls is None:
        return None
    made: list[Draft | Note] = [*state["drafts"], *state.get("notes", [])]
    after = following() if following else None
    over = partial(over_budget, settings, state["messages"], made, coming(), what=what, following=after)
    if prices.loaded():
        return await off_loop([state["messages"], bound_to(settings).bound], over)
    # The price list is read at its first use, which blocks.
    return await asyncio.to_thread(over)


async def refuse_over_budget(run: Run, coming: Planned, *, what: str, following: Planned | None = None) -> None:
    """Refuse calls that would exceed the run's caps. Arguments are those of `over_caps`.

    Raises:
        BudgetError: A cap would be exceeded. The error carries the drafts.
    """
    if reason := await over_caps(run, coming, what=what, following=following):
        drafts = run.state["drafts"]
        sent = any(each["attempts"] for each in (*drafts, *run.state.get("notes", [])))
        raise BudgetError(f"{reason}.{'' if sent else ' Nothing was sent.'}", drafts=drafts)


async def refuse_step(run: Run, step: Step) -> None:
    """Refuse a step for which, with the calls that the answer needs, the run's caps leave no room.

    Raises:
        BudgetError: A cap would be exceeded. The error carries the drafts.
    """
    await refuse_over_budget(
        run,
        lambda: [*_round_calls(run, step), *run.settings.answering()],
        what=f"layer {step.layer} and the answer",
        following=lambda: [c for c in run.settings.needed() if c.layer >= step.layer or c.role == AGGREGATOR],
    )


async def no_room_for_round(run: Run) -> str | None:
    """Return why a round that only the combiner asked for cannot be paid or waited for; None when it can."""
    if run.over:
        return deadline_exceeded(run)
    step = Step(run.state["layer"], run.state["next"])
    return await over_caps(
        run, lambda: [*_round_calls(run, step), *run.settings.answering()], what="another round and the answer"
    )


def deadline_exceeded(run: Run) -> str:
    """Return the reason of a call that is not made because the run's deadline is over."""
    return f"run_deadline of {run.settings.run_deadline:g} s exceeded"


def late(run: Run, reasons: str = "") -> DeadlineError:
    """Return the error of a run whose deadline is over. It carries the drafts.

    Args:
        run: The run.
        reasons: Why calls failed before.
    """
    more = f" {reasons.rstrip('.')}." if reasons else ""
    return DeadlineError(f"{deadline_exceeded(run)}.{more}", drafts=run.state["drafts"])
