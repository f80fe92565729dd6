"""The graph's state with messages that checkpoints hold once.

LangGraph writes a whole channel into every checkpoint, so a thread of 200 turns writes its history 200 times. With
LangGraph's `DeltaChannel` (beta in LangGraph 1.2) a checkpoint holds the messages of its own turn.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated, Any

from langchain_core.messages import AnyMessage
from langgraph.channels import DeltaChannel

from moa_graph.state import MoAInput, MoAOutput, MoAState, add_checked

__all__ = ["DeltaInput", "DeltaOutput", "DeltaState"]

_SNAPSHOT_EVERY = 1000
"""Updates between two whole copies. A turn makes two: the question and the answer."""


def _add_all(messages: list[AnyMessage], writes: Sequence[Any]) -> list[AnyMessage]:
    """Add several writes at once. As `DeltaChannel` requires, the result does not depend on how they are grouped."""
    for write in writes:
        items = write if isinstance(write, list) else [write]
        messages = add_checked(messages, [_identified(item, len(messages) + n) for n, item in enumerate(items)])
    return messages


def _identified(item: Any, place: int) -> Any:
    """Return a text or a pair of role and text as a message with an id that every reading of the thread gives it.

    LangGraph stores ids for messages and dicts, but not for these.
    """
    if not isinstance(item, str | tuple):
        return item
    [message] = add_checked([], [item])
    name = f"{place}:{message.content}".encode("utf-8", "replace").decode()  # `uuid5` takes no lone surrogates
    return message.model_copy(update={"id": str(uuid.uuid5(uuid.NAMESPACE_OID, name))})


class DeltaState(MoAState):
    """`MoAState` with messages in a `DeltaChannel`."""

    messages: Annotated[list[AnyMessage], DeltaChannel(_add_all, snapshot_frequency=_SNAPSHOT_EVERY)]


class DeltaInput(MoAInput):
    """`MoAInput` with messages in a `DeltaChannel`."""

    messages: Annotated[list[AnyMessage], DeltaChannel(_add_all, snapshot_frequency=_SNAPSHOT_EVERY)]


class DeltaOutput(MoAOutput):
    """`MoAOutput` with messages in a `DeltaChannel`."""

    messages: Annotated[list[AnyMessage], DeltaChannel(_add_all, snapshot_frequency=_SNAPSHOT_EVERY)]
