"""What a run is expected to cost, and whether its caps allow the next round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from langchain_core.messages import BaseMessage

from moa_graph.costs.prices import cost
from moa_graph.costs.tokens import prompt_tokens, tokens
from moa_graph.mixture.context import Settings
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.state import Draft, Usage, new_usage

__all__ = ["ANSWER_TOKENS", "FRAME_TOKENS", "Estimate", "estimate", "listed", "over_budget", "price"]

ANSWER_TOKENS = 700
"""Taken for an answer whose `max_tokens` is not set, when nothing has been answered yet."""
FRAME_TOKENS = 300
"""The instruction around drafts."""


def price(run: Settings, spec: Proposer, usage: Usage | None, reported: float | None = None) -> float | None:
    """Dollars for one call of `spec`, or None when unknown. Loads the price list at first use: about a
    second."""
    return cost(
        spec.label,
        usage,
        overrides=run.mixture.prices,
        provider_cost=reported,
        listed=listed(spec) or is_embedded(spec),
    )


def listed(spec: Proposer) -> bool:
    """Whether a public price list speaks of the model: it runs at its provider's own host. What another
    server costs only its owner can say."""
    return isinstance(spec.model, str) and spec.base_url is None and not is_embedded(spec)


class Estimate(NamedTuple):
    """What a run, or the rest of it, is expected to take. `unpriced` are models whose price is unknown."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    unpriced: list[str]


def estimate(
    run: Settings,
    messages: Sequence[BaseMessage],
    *,
    layers: Sequence[int] | None = None,
    answer_tokens: int = ANSWER_TOKENS,
) -> Estimate:
    """Calls, tokens and dollars of `layers` (all by default; the last is the aggregator's) before they are
    sent.

    Answers are taken to be `max_tokens` long, or `answer_tokens` where that is not set; retries are not
    counted.
    """
    base = prompt_tokens(messages) + tokens(run.system)
    specs = {node.name: node.spec for node in run.mixture.plan[0]}
    calls: list[tuple[Proposer, int, int]] = []
    for layer in layers or range(1, run.layers + 1):
        asked = [run.aggregator] if layer == run.layers else [specs[n] for n in run.mixture.round_nodes(layer)]
        before = len(run.mixture.round_nodes(layer - 1)) if layer > 1 else 0
        shown = before * min(answer_tokens, run.mixture.draft_tokens or answer_tokens) + FRAME_TOKENS * bool(before)
        for spec in asked:
            longest = run.max_tokens or spec.max_tokens or answer_tokens
            calls.append((spec, base + tokens(spec.system or "") + shown, longest))
    costs = [price(run, s, new_usage(i, o)) for s, i, o in calls]
    unpriced = [spec.label for (spec, _, _), dollars in zip(calls, costs, strict=True) if dollars is None]
    total = None if unpriced else sum(dollars for dollars in costs if dollars is not None)
    sent, received = sum(i for _, i, _ in calls), sum(o for _, _, o in calls)
    return Estimate(len(calls), sent, received, total, list(dict.fromkeys(unpriced)))


def over_budget(run: Settings, messages: Sequence[BaseMessage], drafts: Sequence[Draft], layer: int) -> str | None:
    """Why `layer` (and the aggregator after it) would pass the run's caps, or None. Caps of None never end
    a run."""
    coming = sorted({layer, run.layers})
    made = sum(1 for draft in drafts if draft["attempts"])
    if run.max_calls is not None:
        more = sum(1 if n == run.layers else len(run.mixture.round_nodes(n)) for n in coming)
        if made + more > run.max_calls:
            return f"max_calls is {run.max_calls}: {made} are made, layer {layer} and the answer need {more} more"
    if run.max_cost is None:
        return None
    known = [usage["output_tokens"] for draft in drafts if (usage := draft["usage"])]
    mean = sum(known) // len(known) if known else ANSWER_TOKENS
    expected = estimate(run, messages, layers=coming, answer_tokens=max(mean, 1))
    if expected.cost is None:
        return (
            f"max_cost is ${run.max_cost:g}, but the price of {', '.join(expected.unpriced)} is unknown: give `prices`"
        )
    spent = _spent(drafts)
    if spent + expected.cost <= run.max_cost:
        return None
    return (
        f"max_cost is ${run.max_cost:g}: about ${spent:.4g} are spent, and layer {layer} and the answer need about "
        f"${expected.cost:.4g} more"
    )


def _spent(drafts: Sequence[Draft]) -> float:
    """Dollars so far; a call whose cost is unknown is taken to have cost as much as the dearest known one."""
    known = [cost for draft in drafts if (cost := draft["cost"]) is not None]
    unknown = sum(1 for draft in drafts if draft["cost"] is None and draft["attempts"])
    return sum(known) + unknown * max(known, default=0.0)
