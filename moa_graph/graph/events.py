"""The shape of every custom event, for whoever reads them with a type checker; docs/events.md says when each comes."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from moa_graph.state import Draft, Note, Record

__all__ = ["KINDS", "AnyEvent"]


class Asked(TypedDict):
    """A proposer of a round."""

    slot: int
    proposer: str
    model: str


class RoundStarted(TypedDict):
    """A round begins; `layers` are those of the whole run."""

    moa: Literal["round_started"]
    layer: int
    layers: int
    proposers: list[Asked]


class DraftStarted(TypedDict):
    """A proposer begins."""

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
    """A draft is there, whatever became of it."""

    moa: Literal["draft"]
    layer: int
    slot: int
    proposer: str
    draft: Draft


class Quorum(TypedDict):
    """Enough drafts: the round closes."""

    moa: Literal["quorum"]
    layer: int
    counted: int


class NoteDone(TypedDict):
    """A combiner has a result: an analysis, a verdict, a vote, a check or a review."""

    moa: Literal["note"]
    layer: int
    slot: int
    kind: str
    note: Note


class Aggregating(TypedDict):
    """An aggregator is called; whatever was streamed of an answer before is void.

    `restart` is there when the same call goes on, and what was streamed of it turned out to be reasoning.
    """

    moa: Literal["aggregating"]
    model: str
    used: list[int]
    restart: NotRequired[Literal["reasoning"]]


class AnswerToken(TypedDict):
    """A piece of the answer, with `stream_answer`; the pieces of tool calls are LangChain's `ToolCallChunk`."""

    moa: Literal["answer_token"]
    text: str
    tool_call_chunks: NotRequired[list[dict[str, Any]]]


class Finished(TypedDict):
    """The answer is there."""

    moa: Literal["finished"]
    record: Record


class Failed(TypedDict):
    """The run ends without an answer; `error` is the error's class."""

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
"""Any of them; `moa` tells which."""

KINDS: dict[str, type] = {
    "round_started": RoundStarted,
    "draft_started": DraftStarted,
    "draft_token": DraftToken,
    "draft": DraftDone,
    "quorum": Quorum,
    "note": NoteDone,
    "aggregating": Aggregating,
    "answer_token": AnswerToken,
    "finished": Finished,
    "failed": Failed,
}
