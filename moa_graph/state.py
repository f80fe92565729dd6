"""What a run carries and tells: plain dicts of plain values, so that any checkpointer and any client can
hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph.message import add_messages
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

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


@with_config(ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
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
        return add_messages(left, _readable(right))
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


def _readable(given: Any) -> Any:
    """The caller's messages, with assistant's dicts that LangChain cannot read as messages that it can."""
    if isinstance(given, list):
        return [_readable(each) if isinstance(each, Mapping) else each for each in given]
    if not isinstance(given, Mapping) or given.get("role", given.get("type")) not in ("assistant", "ai"):
        return given
    calls = given.get("tool_calls")
    if not isinstance(calls, list) or not any(isinstance(c, Mapping) and "function" in c for c in calls):
        return given
    valid, invalid = [], []
    for call in calls:
        function = call["function"]
        made = {"name": str(function["name"]), "id": call.get("id")}
        args = _arguments(function.get("arguments"))
        if args is None:
            invalid.append({**made, "args": str(function.get("arguments")), "error": None, "type": "invalid_tool_call"})
        else:
            valid.append({**made, "args": args, "type": "tool_call"})
    names = ("name", "id")
    return AIMessage(
        content=given.get("content") or "",
        tool_calls=valid,
        invalid_tool_calls=invalid,
        additional_kwargs={name: given[name] for name in ("refusal", "audio") if given.get(name)},
        **{name: given[name] for name in names if given.get(name)},
    )


def _arguments(given: Any) -> dict[str, Any] | None:
    """A tool call's arguments; None where they are broken. Many servers write "" for a call without arguments."""
    if given is None or (isinstance(given, str) and not given.strip()):
        return {}
    try:
        args = json.loads(given, strict=False) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        return None
    return args if isinstance(args, dict) else None


def merge_drafts(left: Sequence[Draft], right: Any) -> list[Draft]:
    """Return drafts keyed by (layer, slot): a later one replaces an earlier one; ordered by layer, then slot.

    Args:
        left: The drafts of the state.
        right: What a node, or a person who edits the state, writes.

    Raises:
        InputError: `right` is not a list of whole drafts, or one is in the slot of another proposer.
    """
    drafts = list(left)
    for draft in _checked_drafts(right):
        _refuse_foreign_slot(draft, drafts)
        drafts.append(draft)
    return by_place(drafts)


def by_place(drafts: Sequence[Draft]) -> list[Draft]:
    """Return the last draft of every (layer, slot), ordered by layer, then slot."""
    last = {(d["layer"], d["slot"]): d for d in drafts}
    return [last[key] for key in sorted(last)]


def merge_notes(left: Sequence[Note], right: Sequence[Note]) -> list[Note]:
    """Notes keyed by (layer, kind, slot): a later one replaces an earlier one; ordered by that key."""
    merged = {(note["layer"], note["kind"], note["slot"]): note for note in (*left, *right)}
    return [merged[key] for key in sorted(merged)]


_WAY_OUT = (
    "Copy the draft from the state and change `text` or `status` of the copy; `status: dropped` leaves it out of the "
    "answer."
)


@cache
def _drafts_adapter() -> TypeAdapter[list[Draft]]:
    return TypeAdapter(list[Draft])


def _checked_drafts(given: Any) -> list[Draft]:
    try:
        drafts = _drafts_adapter().validate_python(list(given) if isinstance(given, tuple) else given)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise InputError(f"drafts{place}: {first['msg']}. {_WAY_OUT}") from None
    for draft in drafts:
        if draft["layer"] < 1 or draft["slot"] < 0:
            raise InputError(f"drafts: layer {draft['layer']}, slot {draft['slot']} is not a place. {_WAY_OUT}")
    return drafts


def _refuse_foreign_slot(draft: Draft, others: Any) -> None:
    """In one layer, a proposer has one slot and a slot one proposer."""
    for other in others:
        same = other["slot"] == draft["slot"], other["proposer"] == draft["proposer"]
        if other["layer"] == draft["layer"] and any(same) and not all(same):
            place = f"layer {draft['layer']}, slot {draft['slot']}"
            raise InputError(f"drafts: {place} is not the place of {draft['proposer']}. {_WAY_OUT}")


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


if TYPE_CHECKING:
    from langchain_core.messages import MessageLikeRepresentation
    from typing_extensions import ReadOnly

    class MoAInput(TypedDict):
        """Input of the graph: a text, a message, or a list of messages (objects, dicts, or pairs of role and text)."""

        # Read-only, so that the state of another graph, whose `messages` is a list of messages, is accepted as well.
        messages: ReadOnly[MessageLikeRepresentation | Sequence[MessageLikeRepresentation]]

else:

    class MoAInput(TypedDict):
        """Input of the graph: a text, a message, or a list of messages (objects, dicts, or pairs of role and text)."""

        # LangGraph reads the type to describe the input: there it is the list that the state holds.
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
