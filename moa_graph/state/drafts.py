"""The reducer of drafts, which also checks drafts that a person edits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from moa_graph.state.field_errors import field_problems, place_of
from moa_graph.state.updates import UpdateError
from moa_graph.state.values import Draft

__all__ = ["by_place", "merge_drafts"]


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
    """Return the last draft of every (layer, slot), ordered by layer, then slot.

    Args:
        drafts: Drafts in the order in which they were written.
    """
    last = {(d["layer"], d["slot"]): d for d in drafts}
    return [last[key] for key in sorted(last)]


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
        first = field_problems(exc, _drafts_adapter().json_schema(), named=True)[0]
        raise UpdateError(f"{place_of(('drafts', *first.path))}: {first.text} {_WAY_OUT}") from None
    for draft in drafts:
        if not (1 <= draft["layer"] < 2**53 and 0 <= draft["slot"] < 2**53):
            raise UpdateError(f"drafts: layer {draft['layer']}, slot {draft['slot']} is not a place. {_WAY_OUT}")
    return drafts


def _refuse_foreign_slot(draft: Draft, others: Any) -> None:
    """Check that in one layer a proposer has one slot, and a slot one proposer."""
    for other in others:
        same = other["slot"] == draft["slot"], other["proposer"] == draft["proposer"]
        if other["layer"] == draft["layer"] and any(same) and not all(same):
            place = f"layer {draft['layer']}, slot {draft['slot']}"
            raise UpdateError(f"drafts: {place} is not the place of {draft['proposer']}. {_WAY_OUT}")
