"""What a run carries and tells: plain dicts of plain values, so that any checkpointer and any client can
hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages

# typing.TypedDict below Python 3.12 makes the Agent Server's schema endpoint fail, and its MCP endpoint
# list nothing.
from typing_extensions import TypedDict

from moa_graph.errors import InputError, MoAError

Status = Literal["ok", "truncated", "empty", "refused", "filtered", "failed", "late", "skipped", "dropped"]

COUNTED: frozenset[str] = frozenset({"ok", "truncated"})
"""The statuses of a draft that others get to see."""


class Usage(TypedDict):
    """Tokens of one call, or of several calls together.

    `input_tokens` includes `cache_read_tokens` and `cache_write_tokens`; `output_tokens` includes `reasoning_tokens`.
    """

    input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int


def new_usage(
    input_tokens: int = 0,
    output_tokens: int = 0,
    *,
    reasoning_tokens: int = 0,
    cache_read_tokens: int = 0,
    cache_write_tokens: int = 0,
) -> Usage:
    """Return a usage; the counts that are not given are 0."""
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        reasoning_tokens=reasoning_tokens,
        cache_read_tokens=cache_read_tokens,
        cache_write_tokens=cache_write_tokens,
    )


def as_usage(value: Mapping[str, Any]) -> Usage:
    """Return the usage in plain data, such as a row of a ledger. Counts that are absent are 0."""
    return new_usage(**{name: int(value.get(name) or 0) for name in Usage.__annotations__})


class Draft(TypedDict):
    """One proposer's answer in one layer, whatever became of it.

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
    cost: float | None
    seconds: float
    first_token_seconds: float | None
    attempts: int


class SlotRef(TypedDict):
    """A place in a layer and the node that filled it."""

    layer: int
    slot: int
    proposer: str


class UnusedSlot(SlotRef):
    """A place whose draft no later model saw, and why."""

    status: Status
    reason: str


class Record(TypedDict):
    """What one run did, written once by the last node together with the answer.

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
    """What `begin` fixes for the run. `started` is its start in Unix seconds, `mixture` a hash."""

    id: str
    mixture: str
    layers: int
    combine: str
    started: float


class Note(TypedDict):
    """What a combiner made of drafts: the result of one of its calls, or what it read in one draft.

    Attributes:
        layer: The layer whose drafts it is about; 0 before the first round.
        slot: The slot of the draft it is about, or the number of the judge.
        kind: `analysis`, `scores`, `vote`, `check` or `review`.
        by: The node that wrote it.
        text: The model's or the check's own words.
        data: What was read in them; None when they could not be read.
        status: As of a draft: `ok`, or why there is nothing to use.
        error: The reason when the status is not `ok`.
        usage: Tokens, as the provider counted them; None without a call.
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


def add_checked(left: Any, right: Any) -> Any:
    """LangGraph's message reducer, with malformed messages refused as `InputError`."""
    try:
        return add_messages(left, right)
    except MoAError:
        raise
    except Exception as exc:
        # Whatever LangChain's coercion raises (ValueError, KeyError, pydantic's error), the cause is the
        # input.
        reason = " ".join(str(exc).split())[:300]
        raise InputError(
            f"messages: not a valid list of messages ({reason}). "
            'Give LangChain messages or {"role": ..., "content": ...} dicts with text or content blocks.'
        ) from exc


def merge_drafts(left: Sequence[Draft], right: Sequence[Draft]) -> list[Draft]:
    """Drafts keyed by (layer, slot): a later one replaces an earlier one; ordered by layer, then slot."""
    merged = {(d["layer"], d["slot"]): d for d in left}
    merged.update({(d["layer"], d["slot"]): d for d in right})
    return [merged[key] for key in sorted(merged)]


def merge_notes(left: Sequence[Note], right: Sequence[Note]) -> list[Note]:
    """Notes keyed by (layer, kind, slot): a later one replaces an earlier one; ordered by that key."""
    merged = {(note["layer"], note["kind"], note["slot"]): note for note in (*left, *right)}
    return [merged[key] for key in sorted(merged)]


class MoAState(TypedDict):
    """The graph's state.

    `begin` writes `run` and empties drafts and notes; proposers add drafts; a combiner's nodes add notes; `gather`
    moves `layer` and `next` on; `aggregate` writes the answer and the record. `layer` is the layer at work, `next` the
    nodes that run for it.
    """

    messages: Annotated[list[AnyMessage], add_checked]
    drafts: Annotated[list[Draft], merge_drafts]
    notes: Annotated[list[Note], merge_notes]
    layer: int
    next: list[str]
    run: RunInfo
    record: Record | None


class MoAInput(TypedDict):
    """What a caller gives."""

    messages: Annotated[list[AnyMessage], add_checked]


class MoAOutput(TypedDict):
    """What `output="full"` returns."""

    messages: Annotated[list[AnyMessage], add_checked]
    drafts: Annotated[list[Draft], merge_drafts]
    notes: Annotated[list[Note], merge_notes]
    record: Record | None


def counted(drafts: Sequence[Draft], layer: int) -> list[Draft]:
    """The drafts of `layer` that others get to see, in slot order."""
    return [d for d in drafts if d["layer"] == layer and d["status"] in COUNTED]


def total_usage(usages: Sequence[Usage | None]) -> Usage:
    """Return the sum of the usages that are known."""
    known = [as_usage(usage) for usage in usages if usage]
    return new_usage(**{name: sum(usage[name] for usage in known) for name in Usage.__annotations__})  # type: ignore[literal-required]  # the names are Usage's own
