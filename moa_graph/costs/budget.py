"""What a run is expected to cost, and whether its caps allow the next round.

The one estimate: `--estimate`, `max_cost` and the evaluations' dry run all call it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage

from moa_graph.costs.amounts import in_dollars, number_of
from moa_graph.costs.prices import is_free, price
from moa_graph.costs.tokens import has_uncounted, prompt_tokens, tokens
from moa_graph.mixture.combiner import PlannedCall
from moa_graph.mixture.context import BoundContext, MoAContext, Settings
from moa_graph.mixture.price_overrides import Override
from moa_graph.mixture.proposer import Proposer
from moa_graph.state import Draft, Note, new_usage

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
"""Assumed length of an answer without `max_tokens` while no answer is known."""
FRAME_TOKENS = 300
"""Tokens of the instructions around drafts."""


class ExpectedCall(NamedTuple):
    """A model call that has not been made, with its expected size in tokens."""

    spec: Proposer
    input_tokens: int
    output_tokens: int


class Estimate(NamedTuple):
    """The expected calls, tokens and cost of a run or of the rest of it.

    Attributes:
        calls: Model calls, retries not included.
        input_tokens: Tokens sent, over all calls.
        output_tokens: Tokens received, over all calls.
        cost: Dollars; None when the price of any call is unknown.
        unpriced: The models whose price is unknown.
        free: Whether every model runs on the user's own machines.
        uncounted: Whether the conversation has files or audio, whose tokens are not counted.
    """

    calls: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    unpriced: list[str]
    free: bool = False
    uncounted: bool = False

    def __str__(self) -> str:
        tokens = f"{self.input_tokens:,} + {self.output_tokens:,} tokens"
        without = "; the tokens of files and audio are not counted" if self.uncounted else ""
        return f"{number_of(self.calls, 'call')}, about {tokens}, {self.money}{without}"

    @property
    def money(self) -> str:
        """The cost for a person: dollars, free, or unknown with the models it is unknown for."""
        if self.cost is None:
            return f"cost unknown (no price for {', '.join(self.unpriced)})"
        return "free" if self.free else f"about {in_dollars(self.cost)}"


def sum_of(
    calls: Iterable[ExpectedCall],
    prices: Mapping[str, Override] | None = None,
    *,
    in_batch: Callable[[Proposer], bool] = lambda spec: False,
) -> Estimate:
    """Return the estimate of all `calls`.

    Args:
        calls: The calls.
        prices: A mixture's own prices, for models that it names.
        in_batch: Whether a model's calls go through a Batch API, which has prices of its own.
    """
    calls = list(calls)
    costs = [
        price(spec, new_usage(shown, answer), prices=prices, batch=in_batch(spec)) for spec, shown, answer in calls
    ]
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
    run: Settings,
    messages: Sequence[BaseMessage],
    *,
    calls: Sequence[PlannedCall] | None = None,
    answer_tokens: int = ANSWER_TOKENS,
    least_prompt: int = 0,
) -> list[ExpectedCall]:
    """Return the calls of a run with their expected sizes; by default the most that it makes when nothing fails.

    Answers are taken to be `max_tokens` long, or `answer_tokens` where that is not set. A prompt without drafts has at
    least `least_prompt` tokens.
    """
    whole, bound = prompt_tokens(messages) + tokens(run.system), _bound_tokens(run.context)
    each = min(answer_tokens, run.mixture.draft_tokens or answer_tokens)
    found: list[ExpectedCall] = []
    sent: set[tuple[int, int, int]] = set()
    for call in run.planned() if calls is None else calls:
        own = 0 if call.role in bound else FRAME_TOKENS + tokens(run.combine.own_words(call.role))
        shown = call.texts * each + (own or FRAME_TOKENS * bool(call.texts))
        longest = run.max_tokens or call.spec.max_tokens or answer_tokens
        base = max(whole + bound.get(call.role, 0), least_prompt)
        prompt = base + tokens(call.spec.system or "") + shown
        if call.spec.one_request and call.request is not None and not run.context.stream_drafts:
            place = call.layer, call.request, id(call.spec)
            prompt = 0 if place in sent else prompt
            sent.add(place)
        found.append(ExpectedCall(call.spec, prompt, longest))
    return found


def _bound_tokens(context: MoAContext) -> dict[str, int]:
    """Return the tokens of what the caller bound, tools or a schema, in the prompts of proposers and aggregator."""
    bound = context.bound if isinstance(context, BoundContext) else {}
    tools, form = bound.get("tools"), bound.get("response_format")
    described = getattr(context, "form", None) or form or (tools if bound.get("tool_choice") != "none" else None)
    return {"proposer": _json_tokens(described), "aggregator": _json_tokens(tools) + _json_tokens(form)}


def _json_tokens(value: Any) -> int:
    return tokens(json.dumps(value, ensure_ascii=False, default=str)) if value else 0


def estimate(
    run: Settings,
    messages: Sequence[BaseMessage],
    *,
    calls: Sequence[PlannedCall] | None = None,
    answer_tokens: int = ANSWER_TOKENS,
    least_prompt: int = 0,
) -> Estimate:
    """Return the calls, tokens and dollars of a run before they are sent.

    Args:
        run: The mixture with what the context changes.
        messages: The conversation.
        calls: The calls to count; by default the most that the run makes when nothing fails.
        answer_tokens: Tokens of an answer whose `max_tokens` is not set.
        least_prompt: Tokens that the conversation has at least, as far as providers have counted them.
    """
    found = expected_calls(run, messages, calls=calls, answer_tokens=answer_tokens, least_prompt=least_prompt)
    return sum_of(found, run.mixture.prices)._replace(uncounted=has_uncounted(messages))


def over_budget(
    run: Settings,
    messages: Sequence[BaseMessage],
    made: Sequence[Draft | Note],
    coming: Sequence[PlannedCall],
    *,
    what: str,
    following: Sequence[PlannedCall] | None = None,
) -> str | None:
    """Return why the run would exceed its caps, or None. Caps of None never end a run.

    Before the first call this is the estimate of the whole run; later, answers are taken to be as long as the mean of
    those that came, and the conversation as long as providers counted it in the first round.

    Args:
        run: The run's settings.
        messages: The conversation.
        made: The drafts and notes so far, with their costs.
        coming: The next calls, and those that the answer then needs.
        what: What they are, for the message.
        following: All calls to come, where they are more.
    """
    sent = sum(1 for each in made if each["attempts"])
    if run.max_calls is not None and sent + len(coming) > run.max_calls:
        return (
            f"max_calls is {run.max_calls}: {number_of(sent, 'call')} made so far, and {what} would need "
            f"{number_of(len(coming), 'more call')}"
        )
    if run.max_cost is None:
        return None
    known = [usage["output_tokens"] for each in made if (usage := each["usage"])]
    mean = sum(known) // len(known) if known else ANSWER_TOKENS
    expected = estimate(
        run, messages, calls=following or coming, answer_tokens=max(mean, 1), least_prompt=_prompt_as_counted(made)
    )
    if expected.cost is None:
        return (
            f"max_cost is ${run.max_cost:g}, but the price of {', '.join(expected.unpriced)} is unknown: give `prices`"
        )
    spent = _spent(made)
    if spent + expected.cost <= run.max_cost:
        return None
    if not made:
        return f"max_cost is ${run.max_cost:g}, and the run is expected to cost about {in_dollars(expected.cost)}"
    return (
        f"max_cost is ${run.max_cost:g}: about {in_dollars(spent)} spent so far, and {what} would cost about "
        f"{in_dollars(expected.cost)} more"
    )


def _spent(made: Sequence[Draft | Note]) -> float:
    """Return the dollars so far; a call of unknown cost counts as much as the most expensive known one."""
    known = [cost for each in made if (cost := each["cost"]) is not None]
    unknown = sum(1 for each in made if each["cost"] is None and each["attempts"])
    return sum(known) + unknown * max(known, default=0.0)


def _prompt_as_counted(made: Sequence[Draft | Note]) -> int:
    """Return the mean input tokens of the first round, whose prompts have no drafts; 0 where they are unknown.

    Files and audio are in them. Samples of one request have none beside the first.
    """
    sizes = [
        usage["input_tokens"]
        for each in made
        if each["layer"] == 1 and "proposer" in each and (usage := each["usage"]) and usage["input_tokens"]
    ]
    return sum(sizes) // len(sizes) if sizes else 0
