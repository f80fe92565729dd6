"""What fits: drafts into a model's window, and a round into what a run may cost.

Tokens are estimated, four bytes of UTF-8 each: no tokenizer knows every provider's models, and loading one
costs more than the whole graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage

from moa_graph.context import Settings
from moa_graph.mixture import Proposer
from moa_graph.models import is_embedded
from moa_graph.prices import cost
from moa_graph.state import Draft, Usage

__all__ = ["Estimate", "Fitted", "estimate", "fit", "listed", "over_budget", "price", "prompt_tokens", "tokens"]

ANSWER_TOKENS = 700
"""Taken for an answer whose `max_tokens` is not set, when nothing has been answered yet."""
_IMAGE_TOKENS = 800
_FRAME_TOKENS = 300
"""The instruction around drafts."""
_SMALLEST = 64
"""A draft cut to fewer tokens than this says nothing any more."""


def tokens(text: str) -> int:
    """About how many tokens `text` is."""
    return (len(text.encode("utf-8", "replace")) + 3) // 4


def prompt_tokens(messages: Sequence[BaseMessage]) -> int:
    """About how many tokens a conversation is."""
    images = sum(
        isinstance(block, dict) and "image" in str(block.get("type"))
        for message in messages
        if isinstance(message.content, list)
        for block in message.content
    )
    return sum(tokens(str(message.text)) + 4 for message in messages) + _IMAGE_TOKENS * images


class Fitted(NamedTuple):
    """Drafts as a model is shown them. `reason` says why the model cannot be asked at all."""

    texts: list[str]
    cut: bool = False
    reason: str | None = None


def fit(
    texts: Sequence[str], spec: Proposer, *, prompt: int, draft_tokens: int | None, answer: int | None, shrink: int = 1
) -> Fitted:
    """Cut drafts to the mixture's `draft_tokens` and to what the model's window leaves beside the prompt.

    `prompt` is the conversation's tokens, `answer` those to keep free for the answer. `shrink` divides the
    room: a provider that found the prompt too long is asked again with half.
    """
    room = None
    if spec.window is not None:
        reserve = min(answer or ANSWER_TOKENS, spec.window // 2)
        room = spec.window - prompt - reserve - (_FRAME_TOKENS if texts else 0)
        if room < (_SMALLEST * len(texts) if texts else 0):
            need = spec.window - room + _SMALLEST * len(texts)
            return Fitted(
                [], False, f"the prompt needs about {need} tokens, the window of {spec.label} is {spec.window}"
            )
    if shrink > 1:
        whole = sum(map(tokens, texts))
        room = min(whole if room is None else room, whole) // shrink
    share = _share([tokens(text) for text in texts], room)
    limit = min((each for each in (share, draft_tokens) if each is not None), default=None)
    shown = [text if limit is None else _cut(text, limit) for text in texts]
    return Fitted(shown, shown != list(texts))


def _share(sizes: Sequence[int], room: int | None) -> int | None:
    """The most tokens each draft may have so that all fit: what short drafts leave goes to the long ones."""
    if room is None or sum(sizes) <= room:
        return None
    left = room
    for place, size in enumerate(sorted(sizes)):
        even = left // (len(sizes) - place)
        if size > even:
            return max(even, 1)
        left -= size
    return None


def _cut(text: str, limit: int) -> str:
    if tokens(text) <= limit:
        return text
    # Bytes, not characters: cutting inside a character drops that character.
    head = text.encode("utf-8", "replace")[: 4 * limit].decode("utf-8", "ignore")
    return f"{head}\n[cut here: {len(head)} of {len(text)} characters are shown]"


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
        shown = before * min(answer_tokens, run.mixture.draft_tokens or answer_tokens) + _FRAME_TOKENS * bool(before)
        for spec in asked:
            longest = run.max_tokens or spec.max_tokens or answer_tokens
            calls.append((spec, base + tokens(spec.system or "") + shown, longest))
    costs = [price(run, s, Usage(input_tokens=i, output_tokens=o, reasoning_tokens=0)) for s, i, o in calls]
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


def as_usage(value: Mapping[str, Any]) -> Usage:
    """A usage read back from plain data."""
    return Usage(
        input_tokens=int(value["input_tokens"]),
        output_tokens=int(value["output_tokens"]),
        reasoning_tokens=int(value["reasoning_tokens"]),
    )
