"""The one loop over a graph's stream: the events of a run as they happen, and its result."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from moa_graph.errors import ConfigError
from moa_graph.graph.owned import owned
from moa_graph.state import Draft, Event, Note, Record

__all__ = ["RunResult", "follow", "follow_sync", "result_of"]

_MODES = ("custom", "values")


class RunResult(NamedTuple):
    """The result of a finished run.

    Attributes:
        message: The answer.
        drafts: All drafts, by layer and slot.
        record: The record of the run.
        notes: The notes of its combiner.
    """

    message: AIMessage
    drafts: list[Draft]
    record: Record
    notes: Sequence[Note] = ()


async def follow(
    graph: Any, input: Mapping[str, Any] | None, config: RunnableConfig | None = None, *, context: Any = None
) -> AsyncGenerator[Event | RunResult]:
    """Run a graph. Yield its events as they happen, and last its `RunResult`.

    Args:
        graph: A graph of `create_moa` with the full output, or a `RemoteMoA`.
        input: The input of the graph; None continues the thread that `config` names.
        config: The config of the run.
        context: The context of the run.

    Raises:
        MoAError: The run failed; its `failed` event has been yielded.
    """
    reader = _Reader()
    async with owned(graph.astream(input, config, context=context, stream_mode=[*_MODES])) as parts:
        async for mode, part in parts:
            if reader.is_event(mode, part):
                yield part
    yield reader.result()


def follow_sync(
    graph: Any, input: Mapping[str, Any] | None, config: RunnableConfig | None = None, *, context: Any = None
) -> Generator[Event | RunResult]:
    """Run a graph for a sync caller. Arguments, results and errors are those of `follow`."""
    reader = _Reader()
    with closing(graph.stream(input, config, context=context, stream_mode=[*_MODES])) as parts:
        for mode, part in parts:
            if reader.is_event(mode, part):
                yield part
    yield reader.result()


class _Reader:
    """Tells a run's events from its states, and keeps the last state."""

    def __init__(self) -> None:
        self._state: Mapping[str, Any] = {}

    def is_event(self, mode: str, part: Any) -> bool:
        """Return whether a part of the stream is an event of this package."""
        if mode == "values":
            self._state = part
            return False
        # A node of a caller may write custom parts of its own.
        return isinstance(part, Mapping) and "moa" in part

    def result(self) -> RunResult:
        """Return the result, after the last part."""
        return result_of(self._state)


def result_of(state: Mapping[str, Any]) -> RunResult:
    """Return the result in the last state of a run.

    Raises:
        ConfigError: The run has paused. The error carries the drafts.
    """
    drafts, record = state.get("drafts", []), state.get("record")
    if record is None:
        raise ConfigError(
            "a model of this mixture paused the run with `interrupt`, and nothing here can continue it. Use the graph "
            "of `create_moa` with a checkpointer, alone or as a node of a graph that has one.",
            drafts=drafts,
        )
    return RunResult(state["messages"][-1], drafts, record, state.get("notes", ()))
