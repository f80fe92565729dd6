"""Custom events: the shape of each, and the token events of a streamed answer. docs/events.md says when each comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NotRequired

from langchain_core.messages.tool import ToolCallChunk
from typing_extensions import TypedDict

from moa_graph.models.reply.thought_cleaner import Cleaner
from moa_graph.state import Draft, Event, Note, Record

__all__ = [
    "Aggregating",
    "AnswerToken",
    "AnyEvent",
    "DraftDone",
    "DraftStarted",
    "DraftToken",
    "Failed",
    "Finished",
    "NoteDone",
    "Quorum",
    "RoundStarted",
    "SlotModel",
    "Tokens",
]


class SlotModel(TypedDict):
    """A slot of a round, with its proposer and model."""

    slot: int
    proposer: str
    model: str


class RoundStarted(TypedDict):
    """A round begins. `layers` counts the layers of the whole run."""

    moa: Literal["round_started"]
    layer: int
    layers: int
    proposers: list[SlotModel]


class DraftStarted(TypedDict):
    """A proposer's call begins."""

    moa: Literal["draft_started"]
    layer: int
    slot: int
    proposer: str
    model: str


class DraftToken(TypedDict):
    """A piece of a draft, with `stream_drafts`."""

    moa: Literal["draft_token"]
    layer: int
    slot: int
    proposer: str
    text: str


class DraftDone(TypedDict):
    """A proposer's call has ended, with any status."""

    moa: Literal["draft"]
    layer: int
    slot: int
    proposer: str
    draft: Draft


class Quorum(TypedDict):
    """The quorum is complete: the round ends."""

    moa: Literal["quorum"]
    layer: int
    counted: int


class NoteDone(TypedDict):
    """A combiner has a result: an analysis, scores, a vote, a check or a review."""

    moa: Literal["note"]
    layer: int
    slot: int
    kind: str
    note: Note


class Aggregating(TypedDict):
    """An aggregator is called. What was streamed of an answer before is void.

    `restart` is set when the same call goes on, and what was streamed of it turned out to be reasoning.
    """

    moa: Literal["aggregating"]
    model: str
    used: list[int]
    restart: NotRequired[Literal["reasoning"]]


class AnswerToken(TypedDict):
    """A piece of the answer, with `stream_answer`. Tool calls are LangChain's `ToolCallChunk`, each complete."""

    moa: Literal["answer_token"]
    text: str
    tool_call_chunks: NotRequired[list[dict[str, Any]]]


class Finished(TypedDict):
    """The answer is complete."""

    moa: Literal["finished"]
    record: Record


class Failed(TypedDict):
    """The run ends without an answer. `error` is the class of the error."""

    moa: Literal["failed"]
    error: str
    message: str


AnyEvent = (
    RoundStarted
    | DraftStarted
    | DraftToken
    | DraftDone
    | Quorum
    | NoteDone
    | Aggregating
    | AnswerToken
    | Finished
    | Failed
)
"""Any event; the field `moa` names its kind."""


class Tokens:
    """Emits the tokens of one answer, each as a copy of `event` with its text.

    The texts since the last `restart` event, joined, are the answer without reasoning and outer white space. `restart`
    is emitted when a closing mark without an opening mark shows that all text before it was reasoning. Tool calls are
    emitted for the aggregator only.

    Args:
        emit: Sends an event.
        event: The event of a token, without its text.
        restart: The event that voids the text so far.
    """

    def __init__(self, emit: Callable[[Event], None], event: Event, restart: Event) -> None:
        self._emit = emit
        self._event = event
        self._restart = restart
        self._restarts = 0
        self._cleaner = Cleaner()

    def __call__(self, text: str, calls: list[ToolCallChunk]) -> None:
        """Emit what can be shown of the text so far, and tool calls."""
        shown = self._shown(self._cleaner.feed(text))
        if calls and self._event["moa"] == "answer_token":
            self._emit({**self._event, "text": shown, "tool_call_chunks": [{**call} for call in calls]})
        elif shown:
            self._emit({**self._event, "text": shown})

    def close(self) -> None:
        """Emit what was held back."""
        if rest := self._shown(self._cleaner.rest()):
            self._emit({**self._event, "text": rest})

    def _shown(self, text: str) -> str:
        if self._cleaner.restarts > self._restarts:
            self._restarts = self._cleaner.restarts
            self._emit(self._restart)
        return text
