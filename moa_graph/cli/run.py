"""One question through a graph, with its events shown as they come; shared by `ask` and `chat`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from moa_graph.cli.drafts import WIDE, DraftCollector, beside, plain, print_drafts
from moa_graph.cli.langsmith import quiet_traces
from moa_graph.cli.progress import Progress
from moa_graph.cli.receipts import tell_end
from moa_graph.cli.source import Server, opened

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from moa_graph.cli.markdown import MarkdownStream
    from moa_graph.mixture.context import MoAContext
    from moa_graph.mixture.mixture import Mixture
    from moa_graph.state import Draft, Note, Record, Usage


class Answered(NamedTuple):
    """What a run gave. `usage` is the aggregator's own, None when unknown."""

    answer: str
    drafts: list[Draft]
    record: Record
    usage: Usage | None = None
    notes: Sequence[Note] = ()


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run.

    Attributes:
        drafts: The drafts that had come.
        answer: The part of the answer that had come.
    """

    def __init__(self, drafts: list[Draft], answer: str) -> None:
        super().__init__()
        self.drafts, self.answer = drafts, answer


class Watcher(Protocol):
    """Called with every event of a run (docs/events.md)."""

    def __call__(self, event: dict[str, Any]) -> None: ...


def streams() -> bool:
    """Whether pieces of the answer are wanted: what broke off cannot be taken back, and only a person can be told."""
    return sys.stdout.isatty()


def _terminal() -> Console | None:
    """Return a console for standard output where it is a terminal that can move its cursor."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal and not console.is_dumb_terminal else None


@dataclass
class View:
    """How one question is shown.

    Attributes:
        answer: Write the answer to standard output.
        raw: Write it as the model did, without rendering its Markdown.
        drafts: Show the drafts before the answer, or beside it on a wide terminal.
        live: Show progress on standard error.
    """

    answer: bool = True
    raw: bool = False
    drafts: bool = False
    live: bool = field(default_factory=lambda: sys.stderr.isatty())


class AnswerPrinter:
    """Writes the answer to standard output: rendered or raw, piece by piece where pieces come, else whole."""

    def __init__(self, console: Console | None = None) -> None:
        self.text = ""
        self.frame: Callable[[RenderableType], RenderableType] | None = None
        self._console = console
        self._stream: MarkdownStream | None = None
        self._terminal = sys.stdout.isatty()
        self._started = False

    def __call__(self, event: dict[str, Any]) -> None:
        if event["moa"] == "answer_token":
            self._write(event["text"])
        elif event["moa"] == "aggregating":
            self._void("" if event.get("restart") else "; another attempt follows")
        elif event["moa"] == "failed":
            self._void("")

    def finish(self, result: Answered) -> None:
        """End the line; write the whole answer where it did not come piece by piece."""
        if result.record["status"] == "best_draft":
            self._void("; the best draft follows")
        if not self._started:
            self._write(result.answer)
        self._started = True  # a blank answer is a line, too
        self.close()

    def close(self) -> None:
        """End what was written, so that other output begins on a line of its own."""
        if self._stream:
            self._stream.finish()
        elif self._started:
            sys.stdout.write("\n")
        sys.stdout.flush()
        self._started = False

    def _void(self, then: str) -> None:
        """Take back an answer that broke off, or set off what cannot be taken back."""
        if not self._started:
            return
        self._started, self.text = False, ""
        if self._stream:
            if self._stream.discard():
                sys.stderr.write(f"\nthe answer above broke off{then}\n\n")
            return
        sys.stdout.write("\n\n")
        sys.stdout.flush()
        sys.stderr.write(f"the answer broke off{then}\n")

    def _write(self, text: str) -> None:
        if not self._started:
            text = text.lstrip()
        if not text:
            return
        self._started = True
        self.text += text
        if self._console is None:
            sys.stdout.write(plain(text) if self._terminal else text)
            sys.stdout.flush()
            return
        if self._stream is None:
            from moa_graph.cli.markdown import MarkdownStream

            self._stream = MarkdownStream(self._console, frame=self.frame)
        self._stream.feed(text)


def ask(source: Mixture | Server, messages: Sequence[Any], context: MoAContext, view: View) -> Answered:
    """Run the mixture, here or on a server, on `messages`, and show what happens.

    Raises:
        MoAError: as `create_moa`'s graphs do.
        Interrupted: Ctrl-C was pressed.
    """
    quiet_traces()
    _warm(source)
    console = _terminal() if view.answer and not view.raw and sys.stdout.isatty() else None
    printer = AnswerPrinter(console) if view.answer else None
    # Entered before the loop: the table has to be off the screen before the first word of the answer.
    with Progress() if view.live else nullcontext() as progress:
        collector = DraftCollector(_shower(view, console, printer, progress))
        watchers: list[Watcher] = [w for w in (progress, collector, printer) if w is not None]
        try:
            result = asyncio.run(_ask(source, messages, context, watchers))
        except KeyboardInterrupt:
            if progress:
                progress.stop()
            if printer:
                printer.close()
            raise Interrupted(collector.drafts, printer.text if printer else "") from None
    collector.show(result.drafts)
    if printer:
        printer.finish(result)
    tell_end(result.drafts, result.record, live=view.live and not view.drafts)
    return result


def _shower(
    view: View, console: Console | None, printer: AnswerPrinter | None, progress: Progress | None
) -> Callable[[Sequence[Draft]], None] | None:
    """Return the function that shows a run's drafts when they are complete, if they are to be shown."""
    if not view.drafts:
        return None

    def show(drafts: Sequence[Draft]) -> None:
        if progress:
            progress.stop()
        both = console is not None and sys.stderr.isatty()
        if printer and console and both and console.width >= WIDE:
            printer.frame = beside(drafts)
        else:
            print_drafts(drafts, console if both else None)

    return show


def _warm(source: Mixture | Server) -> None:
    """Load embedded models while LangGraph is imported: half a second and more, on a second core."""
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
    from moa_graph.models.reply import read

    answer = state["messages"][-1]
    return Answered(str(answer.text), state["drafts"], state["record"], read(answer).usage, state.get("notes", ()))
