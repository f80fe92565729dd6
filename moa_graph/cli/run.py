"""One question through a graph, with its events shown as they come; shared by `ask` and `chat`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from moa_graph.cli.drafts import plain
from moa_graph.cli.langsmith import quiet_traces
from moa_graph.cli.source import Server, opened

if TYPE_CHECKING:
    from moa_graph.mixture.context import MoAContext
    from moa_graph.mixture.mixture import Mixture
    from moa_graph.state import Draft, Record


class Answered(NamedTuple):
    """What a run gave."""

    answer: str
    drafts: list[Draft]
    record: Record


class Watcher(Protocol):
    """Who is told of a run's events (docs/events.md)."""

    def __call__(self, event: dict[str, Any]) -> None: ...


def streams() -> bool:
    """Whether pieces of the answer are wanted: what broke off cannot be taken back, and only a person can be told."""
    return sys.stdout.isatty()


class AnswerPrinter:
    """Writes the answer to standard output: piece by piece where pieces come (`streams`), else whole."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._started = False

    def __call__(self, event: dict[str, Any]) -> None:
        if event["moa"] == "answer_token":
            self._write(event["text"])
        elif event["moa"] == "aggregating":
            self._void("; the answer follows" if "restart" in event else "; it is asked for anew")
        elif event["moa"] == "failed":
            self._void("")

    def finish(self, result: Answered) -> None:
        """Ends the line; writes the whole answer where it is not what came piece by piece."""
        if result.record["status"] == "best_draft":
            self._void("; the best draft follows")
        if not self._started:
            self._write(result.answer)
        sys.stdout.write("\n")
        sys.stdout.flush()

    def _void(self, then: str) -> None:
        """Sets off what was written of an answer that broke off."""
        if self._started:
            self._started = False
            sys.stdout.write("\n\n")
            sys.stdout.flush()
            sys.stderr.write(f"the answer broke off{then}\n")

    def _write(self, text: str) -> None:
        if not self._started:
            text = text.lstrip()
        if text:
            self._started = True
            sys.stdout.write(plain(text) if self._terminal else text)
            sys.stdout.flush()


def ask(
    source: Mixture | Server, messages: Sequence[Any], context: MoAContext, watchers: Sequence[Watcher]
) -> Answered:
    """Runs the mixture, here or on a server, on `messages`, telling every watcher of every event.

    Raises:
        MoAError: as `create_moa`'s graphs do.
    """
    quiet_traces()
    _warm(source)
    return asyncio.run(_ask(source, messages, context, watchers))


def _warm(source: Mixture | Server) -> None:
    """Embedded models load while LangGraph is imported: half a second and more, on a second core."""
    if isinstance(source, Server):
        return
    names = {spec.label for spec in source.specs if spec.base_url is None and spec.label.startswith("local:")}
    if names:
        from moa_graph.models.local import preload

        for name in names:
            preload(name.removeprefix("local:"))


async def _ask(
    source: Mixture | Server, messages: Sequence[Any], context: MoAContext, watchers: Sequence[Watcher]
) -> Answered:
    state: dict[str, Any] = {}
    async with opened(source) as (graph, _):
        async for kind, data in graph.astream(
            {"messages": list(messages)}, context=context, stream_mode=["custom", "values"]
        ):
            if kind == "values":
                state = data
            else:
                for watcher in watchers:
                    watcher(data)
    return Answered(str(state["messages"][-1].text), state["drafts"], state["record"])
