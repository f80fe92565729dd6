"""The graph's state, its input and its output, with the reducer of every field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from langchain_core.messages import AnyMessage

# typing.TypedDict below Python 3.12 makes the Agent Server's schema endpoint fail, and its MCP endpoint
# list nothing.
from typing_extensions import TypedDict

from moa_graph.state.drafts import merge_drafts
from moa_graph.state.messages import add_checked
from moa_graph.state.notes import merge_notes
from moa_graph.state.values import Draft, Note, Record, RunInfo

__all__ = ["MoAInput", "MoAOutput", "MoAState"]


class MoAState(TypedDict):
    """The graph's state.

    `begin` writes `run` and empties drafts and notes; proposers add drafts; a combiner's nodes add notes; `gather`
    writes the next `layer` and the nodes that run for it (`next`); `aggregate` writes the answer and the record.
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
    """Output of the graph with `output="full"`."""

    messages: Annotated[list[AnyMessage], add_checked]
    drafts: Annotated[list[Draft], merge_drafts]
    notes: Annotated[list[Note], merge_notes]
    record: Record | None
