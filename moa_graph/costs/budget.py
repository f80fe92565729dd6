"""What a run is expected to cost, and whether its caps allow the next round.

The one estimate: `--estimate`, `max_cost` and the evaluations' dry run all call it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from langchain_core.messages import BaseMessage

from moa_graph.costs.prices import in_dollars, is_free, price
from moa_graph.costs.tokens import prompt_tokens, tokens
from moa_graph.mixture.context import Settings
from moa_graph.mixture.price_overrides import Override
from moa_graph.mixture.proposer import Proposer
from moa_graph.state import Draft, new_usage

__all__ = [
    "ANSWER_TOKENS",
    "FRAME_TOKENS",
    "Estimate",
    "ExpectedCall",
    "estimate",
    "expected_calls",
    "over_budget",
    "sum_of",
]

ANSWER_TOKENS = 700
"""Taken for an answer whose `max_tokens` is not set, when nothing has been answered yet."""
FRAME_TOKENS = 300
"""The instruction around drafts."""


class ExpectedCall(NamedTuple):
    """A model call that has not been made, with its expected size in tokens."""

    spec: Proposer
    input_tokens: int
    output_tokens: int


class Estimate(NamedTuple):
    """What a run, or the rest of it, is expected to take.

    Attributes:
        calls: Model calls, retries not included.
        input_tokens: Tokens sent, over all calls.
        output_tokens: Tokens received, over all calls.
        cost: Dollars; None when the price of any call is unknown.
        unpriced: The models whose price is unknown.
        free: Whether every model runs on the user's own machines.
    """

    calls: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    unpriced: list[str]
    free: bool = False

    def __str__(self) -> str:
        return f"{self.calls} calls, about {self.input_tokens:,} + {self.output_tokens:,} tokens, {self.money}"

    @property
    def money(self) -> str:
        """The cost for a person: dollars, free, or unknown with the models it is unknown for."""
        if self.cost is None:
            return f"cost unknown (no price for {', '.join(self.unpriced)})"
        return "free" if self.free else f"about {in_dollars(self.cost)}"


def sum_of(calls: Iterable[ExpectedCall], prices: Mapping[str, Override] | None = None) -> Estimate:
    """Return the estimate of all `calls`, with a mixture's own `prices` for models that it names."""
    calls = list(calls)
    costs = [price(spec, new_usage(shown, answer), prices=prices) for spec, shown, answer in calls]
    unpriced = [call.spec.label for call, dollars in zip(calls, costs, strict=True) if dollars is None]
    return Estimate(
        calls=len(calls),
        input_tokens=sum(call.input_tokens for call in calls),
        output_tokens=sum(call.output_tokens for call in calls),
        cost=None if unpriced else sum(dollars for dollars in costs if dollars is not None),
        unpriced=list(dict.fromkeys(unpriced)),
        free=bool(calls) and all(is_free(call.spec) for call in calls),
    )


def expected_calls(
    run: Settings, messages: Sequence[BaseMessage], *, first_layer: int = 1, answer_tokens: int = ANSWER_TOKENS
) -> list[ExpectedCall]:
    """Return the calls of a run from `first_layer` on; the last layer is the aggregator's.

    Answers are taken to be `max_tokens` long, or `answer_tokens` where that is not set.
    """
    base = prompt_tokens(messages) + tokens(run.system)
    specs = {node.name: node.spec for node in run.mixture.plan[0]}
    calls: list[ExpectedCall] = []
    before = len(run.rounds[first_layer - 2]) if first_layer > 1 else 0
    for layer in range(first_layer, run.layers + 1):
        asked = [run.aggregator] if layer == run.layers else [specs[name] for name in run.rounds[layer - 1]]
        shown = before * min(answer_tokens, run.mixture.draft_tokens or answer_tokens) + FRAME_TOKENS * bool(before)
        for spec in asked:
            longest = run.max_tokens or spec.max_tokens or answer_tokens
            calls.append(ExpectedCall(spec, base + tokens(spec.system or "") + shown, longest))
        before = len(asked)
    return calls


def estimate(
    run: Settings, messages: Sequence[BaseMessage], *, first_layer: int = 1, answer_tokens: int = ANSWER_TOKENS
) -> Estimate:
    """Return the calls, tokens and dollars of a run from `first_layer` on, before they are sent.

    Args:
        run: The mixture with what the context changes.
        messages: The conversation.
        first_layer: The first layer that is still to come, from 1.
        answer_tokens: Tokens of an answer whose `max_tokens` is not set.
    """
    calls = expected_calls(run, messages, first_layer=first_layer, answer_tokens=answer_tokens)
    return sum_of(calls, run.mixture.prices)


def over_budget(run: Settings, messages: Sequence[BaseMessage], drafts: Sequence[Draft], layer: int) -> str | None:
    """Return why the run, from `layer` on, would exceed its caps, or None. Caps of None never end a run.

    Before the first layer this is the estimate of the whole run; later, answers are taken to be as long as the mean
    of those that came.
    """
    made = sum(1 for draft in drafts if draft["attempts"])
    if run.max_calls is not None:
        coming = sorted({layer, run.layers})
        more = sum(1 if n == run.layers else len(run.rounds[n - 1]) for n in coming)
        if made + more > run.max_calls:
            return f"max_calls is {run.max_calls}: {made} are made, layer {layer} and the answer need {more} more"
    if run.max_cost is None:
        return None
    known = [usage["output_tokens"] for draft in drafts if (usage := draft["usage"])]
    mean = sum(known) // len(known) if known else ANSWER_TOKENS
    expected = estimate(run, messages, first_layer=layer, answer_tokens=max(mean, 1))
    if expected.cost is None:
        return (
            f"max_cost is ${run.max_cost:g}, but the price of {', '.join(expected.unpriced)} is unknown: give `prices`"
        )
    spent = _spent(drafts)
    if spent + expected.cost <= run.max_cost:
        return None
    if not drafts:
        return f"max_cost is ${run.max_cost:g}, and the run is expected to cost about {in_dollars(expected.cost)}"
    return (
        f"max_cost is ${run.max_cost:g}: about {in_dollars(spent)} are spent, and layer {layer} and what follows need "
        f"about {in_dollars(expected.cost)} more"
    )


def _spent(drafts: Sequence[Draft]) -> float:
    """Dollars so far; a call whose cost is unknown is taken to have cost as much as the dearest known one."""
    known = [cost for draft in drafts if (cost := draft["cost"]) is not None]
    unknown = sum(1 for draft in drafts if draft["cost"] is None and draft["attempts"])
    return sum(known) + unknown * max(known, default=0.0)
