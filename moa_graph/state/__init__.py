"""What a run carries: its values, the graph's state and the reducers of its fields."""

from moa_graph.state.channels import MoAInput, MoAOutput, MoAState
from moa_graph.state.drafts import by_place, merge_drafts
from moa_graph.state.messages import add_checked
from moa_graph.state.values import (
    COUNTED,
    Draft,
    Event,
    Note,
    Record,
    RunInfo,
    SlotRef,
    Status,
    UnusedSlot,
    Usage,
    as_usage,
    cost_of,
    counted,
    new_run,
    new_usage,
    total_cost,
    total_usage,
)

__all__ = [
    "COUNTED",
    "Draft",
    "Event",
    "MoAInput",
    "MoAOutput",
    "MoAState",
    "Note",
    "Record",
    "RunInfo",
    "SlotRef",
    "Status",
    "UnusedSlot",
    "Usage",
    "add_checked",
    "as_usage",
    "by_place",
    "cost_of",
    "counted",
    "merge_drafts",
    "new_run",
    "new_usage",
    "total_cost",
    "total_usage",
]
