"""Run one question through a graph and show its events; used by `ask` and `chat`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from moa_graph.cli.langsmith import quiet_traces
from moa_graph.cli.output.drafts import WIDE, DraftCollector, beside, print_drafts
from moa_graph.cli.output.progress import Progress
from moa_graph.cli.output.receipts import report_end
from moa_graph.cli.resumable import terminable
from moa_graph.cli.source import Server, opened
from moa_graph.models.terminal_text import for_terminal

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from moa_graph.cli.output.markdown import MarkdownStream
    from moa_graph.mixture.context import MoAContext
    from moa_graph.mixture.mixture import Mixture
    from moa_graph.state import Draft, Note, Record, Usage


class Answered(NamedTuple):
    """The result of a run. `usage` is the aggregator's own, None if unknown."""

    answer: str
    drafts: list[Draft]
    record: Record
    usage: Usage | None = None
    notes: Sequence[Note] = ()


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP during a run, or a terminal that cannot be written to any more.

    Attributes:
        drafts: The drafts received so far.
        notes: The notes received so far.
        cost: Dollars of other calls: 0, because nothing is known of those that were interrupted.
        answer: The part of the answer received so far.
        terminated: The exit code after SIGTERM or SIGHUP; 0 after anything else.
    """

    cost = 0.0

    def __init__(self, drafts: list[Draft], answer: str, *, notes: Sequence[Note] = (), terminated: int = 0) -> None:
        super().__init__("terminated" if terminated else "interrupted")
        self.drafts, self.answer, self.notes, self.terminated = drafts, answer, notes, terminated


class Watcher(Protocol):
    """Called with every event of a run (docs/events.md)."""

    def __call__(self, event: dict[str, Any]) -> None: ...


def streams() -> bool:
    """Return whether to stream the answer: only to a terminal, where a person sees that an answer is incomplete."""
    return sys.stdout.isatty()


def _terminal() -> Console | None:
    """Return a console for standard output if it is a terminal that can move its cursor."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal and not console.is_dumb_terminal else None


@dataclass
class View:
    """The display options of one question.

    Attributes:
        answer: Whether to write the answer to standard output.
        raw: Whether to write it without rendering its Markdown.
        drafts: Whether to show the drafts before the answer, or beside it on a wide terminal.
        live: Whether to show progress on standard error.
        end: Writes what a finished run has not shown yet. It may fail, so the caller stores the result first.
    """

    answer: bool = True
    raw: bool = False
    drafts: bool = False
    live: bool = field(default_factory=lambda: sys.stderr.isatty())
    end: Callable[[Answered], None] = field(default=lambda result: None, init=False)


class AnswerPrinter:
    """Writes the answer to standard output, rendered or raw, streamed or in one piece."""

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
        """End the line. Write the whole answer if it was not streamed."""
        if result.record["status"] == "best_draft":
            self._void("; the best draft follows")
        if not self._started:
            self._write(result.answer)
        self._started = True  # a blank answer is a line as well
        self.close()

    def close(self) -> None:
        """End the written text, so that other output begins on a new line."""
        if self._stream:
            self._stream.finish()
        elif self._started:
            sys.stdout.write("\n")
        sys.stdout.flush()
        self._started = False

    def _void(self, then: str) -> None:
        """Remove a partial answer from the screen, or mark it if it cannot be removed."""
        if not self._started:
            return
        self._started, self.text = False, ""
        if self._stream:
            if self._stream.discard():
                sys.stderr.write(f"\nthe answer above is incomplete{then}\n\n")
            return
        sys.stdout.write("\n\n")
        sys.stdout.flush()
        sys.stderr.write(f"the answer is incomplete{then}\n")

    def _write(self, text: str) -> None:
        if not self._started:
            text = text.lstrip()
        if not text:
            return
        self._started = True
        self.text += text
        if self._console is None:
            sys.stdout.write(for_terminal(text) if self._terminal else text)
            sys.stdout.flush()
            return
        if self._stream is None:
            from moa_graph.cli.output.markdown import MarkdownStream

            self._stream = MarkdownStream(self._console, frame=self.frame)
        self._stream.feed(text)


def ask(source: Mixture | Server, messages: Sequence[Any], context: MoAContext, view: View) -> Answered:
    """Run the mixture, here or on a server, on `messages`, and show its progress. `view.end` shows the answer.

    Raises:
        MoAError: As the graphs of `create_moa` do.
        Interrupted: The run was interrupted or terminated.
    """
    quiet_traces()
    _warm(source)
    console = _terminal() if view.answer and not view.raw and sys.stdout.isatty() else None
    printer = AnswerPrinter(console) if view.answer else None
    # Entered before the loop, because the table must be closed before the first word of the answer.
    with Progress() if view.live else nullcontext() as progress, terminable() as runner:
        collector = DraftCollector(_shower(view, console, printer, progress))
        watchers: list[Watcher] = [w for w in (progress, collector, printer) if w is not None]
        try:
            result = runner.run(_ask(source, messages, context, watchers))
        except (KeyboardInterrupt, asyncio.CancelledError):
            with suppress(OSError):  # the terminal may be closed
                if progress:
                    progress.stop()
                if printer:
                    printer.close()
            text = printer.text if printer else ""
            drafts, notes = collector.drafts, collector.notes
            raise Interrupted(drafts, text, notes=notes, terminated=runner.terminated) from None

    def end(result: Answered) -> None:
        collector.show(result.drafts)
        if printer:
            printer.finish(result)
        report_end(result.drafts, result.record, shown=view.live or view.drafts)

    view.end = end
    return result


def _shower(
    view: View, console: Console | None, printer: AnswerPrinter | None, progress: Progress | None
) -> Callable[[Sequence[Draft]], None] | None:
    """Return the function that shows a run's complete drafts; None if they are not shown."""
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
    """Load embedded models in a thread while LangGraph is imported, which takes at least half a second."""
    if isinstance(source, Server):
        return
    from moa_graph.mixture.proposer import is_embedded

    if names := {spec.label for spec in source.specs if is_embedded(spec)}:
        from moa_graph.models.local import preload

        for name in names:
            preload(name.removeprefix("local:"))


def _show_event(event: dict[str, Any], watchers: Sequence[Watcher]) -> None:
    """Show an event of a run. Where it cannot be written, the terminal is gone, and the run ends as after Ctrl-C."""
    try:
        for watcher in watchers:
            watcher(event)
    except OSError as exc:
        raise asyncio.CancelledError from exc


async def _ask(
    source: Mixture | Server, messages: Sequence[Any], context: MoAContext, watchers: Sequence[Watcher]
) -> Answered:
    # Imported here, with LangChain: `--help` needs none of it.
    from moa_graph.graph.follow import RunResult, follow
    from moa_graph.models.reply.reply import read

    async with (
        opened(source) as (graph, _),
        aclosing(follow(graph, {"messages": list(messages)}, context=context)) as parts,
    ):
        async for part in parts:
            if isinstance(part, RunResult):
                result = part
            else:
                _show_event(part, watchers)
    answer = result.message
    return Answered(str(answer.text), result.drafts, result.record, read(answer).usage, result.notes)
