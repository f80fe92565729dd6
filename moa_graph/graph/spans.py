"""What a node writes onto its own span in LangSmith; nothing at all where nobody traces."""

from __future__ import annotations

from langsmith.run_helpers import get_current_run_tree

from moa_graph.state import Draft

_FAILED = frozenset({"failed", "empty", "refused", "filtered"})
"""Statuses that are somebody's fault: being late or skipped is the mixture's own doing."""


def mark(draft: Draft) -> None:
    """Marks the current node's span with its draft: place, proposer and status; as failed, with the reason, though
    the run goes on."""
    span = get_current_run_tree()
    # Another name: the graph itself is not traced, and this is a span of its caller's.
    if span is None or span.name != draft["proposer"]:
        return
    place = {"moa_layer": draft["layer"], "moa_slot": draft["slot"], "moa_proposer": draft["proposer"]}
    span.add_metadata({**place, "moa_model": draft["model"], "moa_status": draft["status"]})
    span.add_tags([f"moa:layer:{draft['layer']}", f"moa:slot:{draft['slot']}", f"moa:status:{draft['status']}"])
    if draft["status"] in _FAILED:
        span.error = f"{draft['status']}: {draft['error']}"
