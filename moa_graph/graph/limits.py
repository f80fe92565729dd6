"""What ends a run before its next request: a prompt too long for its models, a cap, the run's deadline."""

from __future__ import annotations

import asyncio

from moa_graph.costs import prices
from moa_graph.costs.budget import over_budget
from moa_graph.errors import BudgetError, DeadlineError, InputError
from moa_graph.graph.slot import Run, fitted

__all__ = ["late", "refuse_over_budget", "refuse_too_long"]


def refuse_too_long(run: Run) -> None:
    """Refuse a conversation that, with the drafts to come, is too long for too many of the models.

    Raises:
        InputError: with the numbers of every model that it does not fit.
    """
    settings = run.settings
    mixture = settings.mixture
    if not any(spec.window for spec in (*mixture.specs, settings.aggregator)):
        return
    specs = {node.name: node.spec for node in mixture.plan[0]}
    drafts = 0
    for layer in range(1, settings.layers + 1):
        last = layer == settings.layers
        names = [] if last else settings.rounds[layer - 1]
        asked = [settings.aggregator, *mixture.fallbacks] if last else [specs[name] for name in names]
        reasons = [reason for spec in asked if (reason := fitted(run, spec, [""] * drafts).reason)]
        if reasons and len(asked) - len(reasons) < (1 if last else settings.min_drafts):
            raise InputError(f"messages: too long. {'; '.join(reasons)}. Shorten them, or choose larger windows.")
        drafts = len(names)


async def refuse_over_budget(run: Run, layer: int) -> None:
    """Refuse `layer` when it, or the answer after it, would exceed the run's caps.

    Raises:
        BudgetError: with the drafts.
    """
    settings, state = run.settings, run.state
    if settings.max_cost is None and settings.max_calls is None:
        return
    args = (settings, state["messages"], state["drafts"], layer)
    # The price list is read at its first use, which blocks.
    reason = over_budget(*args) if prices.loaded() else await asyncio.to_thread(over_budget, *args)
    if reason:
        kept = " The drafts are attached." if state["drafts"] else " Nothing was sent."
        raise BudgetError(f"{reason}.{kept}", drafts=state["drafts"])


def late(run: Run, reasons: str = "") -> DeadlineError:
    """Return the error of a run whose deadline is over; `reasons` are those of failed calls."""
    more = f" {reasons}." if reasons else ""
    return DeadlineError(
        f"run_deadline: {run.settings.run_deadline:g} s are over.{more} The drafts are attached.",
        drafts=run.state["drafts"],
    )
