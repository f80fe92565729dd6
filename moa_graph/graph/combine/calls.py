"""A combiner's own model calls: what they are sent, on whose time, and what they are noted as."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig

from moa_graph.graph.limits import deadline_exceeded, over_caps
from moa_graph.graph.runs import Run
from moa_graph.graph.slot import Shown, SlotCall
from moa_graph.mixture.combiner import PlannedCall
from moa_graph.mixture.proposer import Proposer
from moa_graph.state import Note

__all__ = ["Reader", "call", "unsent"]

Kind = Literal["analysis", "scores", "vote", "check", "review"]
Reader = Callable[[str], dict[str, Any] | None]
"""Reads a reply's data; None when it cannot be read."""


def unsent(kind: Kind, by: str, layer: int, slot: int, reason: str | None = None) -> Note:
    """Return the note of a call that is not sent."""
    return Note(
        layer=layer, slot=slot, kind=kind, by=by, text="", data=None, status="skipped", error=reason, usage=None,
        cost=0.0, attempts=0,
    )  # fmt: skip


async def call(
    run: Run,
    config: RunnableConfig,
    spec: Proposer,
    shown: Shown,
    read: Reader,
    *,
    role: str,
    kind: Kind,
    by: str,
    layer: int,
    slot: int = 0,
    ways: Sequence[Callable[[], Sequence[PlannedCall]]] = (),
) -> Note:
    """Make one call of a combiner's own and return it as a note, whatever became of it.

    Args:
        run: The run.
        config: The node's config.
        spec: The model.
        shown: What its prompt contains.
        read: Reads the reply.
        role: The call's role, for the ledger and the trace.
        kind: The note's kind.
        by: The node.
        layer: The layer whose drafts the call is about.
        slot: The draft it is about, or the number of the judge.
        ways: What must fit the run's caps, each way by itself: functions that return this step's calls and those after
            it; by default this call and the answer's.
    """
    note = unsent(kind, by, layer, slot)
    if run.over:
        return {**note, "error": deadline_exceeded(run)}

    def alone() -> list[PlannedCall]:
        return [PlannedCall(spec, layer, role, len(shown.texts)), *run.settings.answering()]

    for coming in ways or [alone]:
        if reason := await over_caps(run, coming, what=f"the {role} and the answer"):
            return {**note, "error": reason}
    # Half of the time that is left belongs to what comes after.
    slot_call = SlotCall(run, spec, layer, slot, role, shown, config, shares=2)
    await slot_call.send()
    done = slot_call.outcome
    data = read(done.text) if done.counts else None
    unread = done.counts and data is None
    return {
        **note,
        "text": done.text,
        "data": data,
        "status": "failed" if unread else done.status,
        "error": "the reply could not be read" if unread else done.error,
        "usage": done.usage,
        "cost": done.cost,
        "attempts": done.attempts,
    }
