"""The values of a run: plain dicts of plain values, which any checkpointer and any client can hold."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import ConfigDict, Field, with_config

# typing.TypedDict below Python 3.12 makes the Agent Server's schema endpoint fail, and its MCP endpoint
# list nothing.
from typing_extensions import TypedDict

Status = Literal["ok", "truncated", "empty", "refused", "filtered", "failed", "late", "skipped", "dropped"]

COUNTED: frozenset[str] = frozenset({"ok", "truncated"})
"""Statuses of drafts that later models see."""


Count: TypeAlias = Annotated[int, Field(ge=0, lt=2**53)]
"""A number of things that JSON and every checkpointer can hold."""

Amount: TypeAlias = Annotated[float, Field(ge=0)]
"""Seconds or dollars."""


class Usage(TypedDict):
    """Tokens of one call, or of several calls together.

    `input_tokens` includes `cache_read_tokens` and `cache_write_tokens`; `output_tokens` includes `reasoning_tokens`.
    `cache_write_tokens` includes `cache_write_1h_tokens`: those that the cache keeps for an hour, which Anthropic bills
    higher. It is absent when it is 0.
    """

    input_tokens: Count
    output_tokens: Count
    reasoning_tokens: Count
    cache_read_tokens: Count
    cache_write_tokens: Count
    cache_write_1h_tokens: NotRequired[Count]


def new_usage(
    input_tokens: int = 0,
    output_tokens: int = 0,
    *,
    reasoning_tokens: int = 0,
    cache_read_tokens: int = 0,
    cache_write_tokens: int = 0,
    cache_write_1h_tokens: int = 0,
) -> Usage:
    """Return a usage.

    Args:
        input_tokens: Tokens of the prompt, cached ones included.
        output_tokens: Tokens of the reply, reasoning included.
        reasoning_tokens: Tokens of reasoning.
        cache_read_tokens: Tokens of the prompt that a cache provided.
        cache_write_tokens: Tokens of the prompt that were written into a cache.
        cache_write_1h_tokens: Those of them that the cache keeps for an hour.
    """
    usage = Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        reasoning_tokens=reasoning_tokens,
        cache_read_tokens=cache_read_tokens,
        cache_write_tokens=cache_write_tokens,
    )
    if cache_write_1h_tokens:
        usage["cache_write_1h_tokens"] = cache_write_1h_tokens
    return usage


def as_usage(value: Mapping[str, Any]) -> Usage:
    """Return the usage in plain data, such as a row of a ledger.

    Args:
        value: Counts by name; absent ones are 0.
    """
    return new_usage(**{name: int(value.get(name) or 0) for name in Usage.__annotations__})


@with_config(ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
class Draft(TypedDict):
    """One proposer's answer in one layer, of any status.

    `layer` is 1-based, `slot` 0-based, `cost` in dollars, times in seconds; `None` means unknown.
    """

    layer: int
    slot: int
    proposer: str
    model: str
    status: Status
    text: str
    error: str | None
    usage: Usage | None
    cost: Amount | None
    seconds: Amount
    first_token_seconds: Amount | None
    attempts: Count


class SlotRef(TypedDict):
    """A place in a layer and the node that filled it."""

    layer: int
    slot: int
    proposer: str


class UnusedSlot(SlotRef):
    """A place whose draft no later model saw, with the reason."""

    status: Status
    reason: str


class Record(TypedDict):
    """The record of one run, written once by the last node together with the answer.

    `cost` is None when the price of any of its calls is unknown. `calls` counts model calls that were sent, retries not
    included. `combine` is the combiner, and `decision` how it decided. `agreement` is how alike the counted drafts of
    the last round are, from 0 to 1 (None below two), and `medoid` the draft most alike to the others.

    `degraded` is true when something that the mixture planned is missing, and `degraded_reasons` says what: a draft
    that does not count, a fallback that answered, a combiner that had to give up, drafts cut because a provider found
    the prompt too long. Texts that end at a token limit (`max_tokens`, `draft_tokens`, a window, the provider's own)
    are not: a draft's or the record's status `truncated` says so.
    """

    mixture: str
    preset: str | None
    layers: int
    calls: int
    usage: Usage
    cost: float | None
    seconds: float
    used: list[SlotRef]
    unused: list[UnusedSlot]
    degraded: bool
    degraded_reasons: list[str]
    combine: str
    decision: dict[str, Any]
    agreement: float | None
    medoid: SlotRef | None
    aggregator: str
    fallback: str | None
    prompt: str
    status: Literal["ok", "truncated", "best_draft"]


class RunInfo(TypedDict):
    """Facts of a run that `begin` fixes. `started` is its start in Unix seconds, `mixture` the mixture's hash."""

    id: str
    mixture: str
    layers: int
    combine: str
    started: float


def new_run(mixture: str, layers: int, combine: str) -> RunInfo:
    """Return the facts of a run that begins now.

    Args:
        mixture: The mixture's hash.
        layers: Layers without the combiner's rounds, the aggregator's included.
        combine: The combiner's name.
    """
    return RunInfo(id=uuid.uuid4().hex, mixture=mixture, layers=layers, combine=combine, started=time.time())


class Note(TypedDict):
    """A combiner's result about drafts: of one of its calls, or of reading one draft.

    Attributes:
        layer: The layer whose drafts it is about; 0 before the first round.
        slot: The slot of the draft it is about, or the number of the judge.
        kind: `analysis`, `scores`, `vote`, `check` or `review`.
        by: The node that wrote it.
        text: The reply of the model, or the output of the check.
        data: The values that were read in the text; None when it could not be read.
        status: A status as of a draft; there is something to use when it is `ok`.
        error: The reason when the status is not `ok`.
        usage: Tokens as the provider counted them; None without a call.
        cost: Dollars; None when unknown.
        attempts: Requests that were sent.
    """

    layer: int
    slot: int
    kind: Literal["analysis", "scores", "vote", "check", "review"]
    by: str
    text: str
    data: dict[str, Any] | None
    status: Status
    error: str | None
    usage: Usage | None
    cost: float | None
    attempts: int


Event = dict[str, Any]
"""A custom stream event. Its key `moa` names its kind; docs/events.md lists the fields of each."""


def counted(drafts: Sequence[Draft], layer: int) -> list[Draft]:
    """Return the drafts of a layer that later models see, in their order.

    Args:
        drafts: Drafts of any layers and statuses.
        layer: The layer, from 1.
    """
    return [d for d in drafts if d["layer"] == layer and d["status"] in COUNTED]


def total_cost(costs: Sequence[float | None]) -> float | None:
    """Return the sum of costs in dollars; None when one of them is unknown.

    Args:
        costs: Costs; None for an unknown one.
    """
    return None if None in costs else math.fsum(cost for cost in costs if cost is not None)


def cost_of(made: Sequence[Draft | Note], *, beside: float | None = 0.0) -> float | None:
    """Return the dollars of a run without an answer; None when the cost of one of its calls is unknown.

    Args:
        made: The drafts and notes of the run. Those that sent no request cost nothing.
        beside: What its other calls cost, as `MoAError.cost`.
    """
    return total_cost([*(each["cost"] for each in made if each["attempts"] or each["usage"]), beside])


def total_usage(usages: Sequence[Usage | None]) -> Usage:
    """Return the sum of the usages that are known. Every count stays below 2**53, as in a single usage.

    Args:
        usages: Usages; None for an unknown one.
    """
    known: list[Mapping[str, Any]] = [usage for usage in usages if usage]
    sums = {name: sum(int(usage.get(name) or 0) for usage in known) for name in Usage.__annotations__}
    return new_usage(**{name: min(count, 2**53 - 1) for name, count in sums.items()})
