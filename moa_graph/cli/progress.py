"""Progress on standard error: a table of proposers, or one line of counts."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from moa_graph.cli.drafts import plain

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {"ok": "green", "truncated": "yellow", "working": "cyan", "waiting": "dim", "answering": "dim"}
_ANSWER = 10_000
"""Sorts the aggregators' rows after every layer's."""
_WIDE, _NARROW = 72, 50
"""Terminal widths, in columns, below which the model, and then the tokens, are left out."""
_EVERY_SECONDS = 0.5
_LOG_SECONDS = 30.0
"""Seconds between two lines of counts in a log."""


@dataclass
class _Line:
    layer: int
    name: str
    model: str
    state: str = "waiting"
    started: float | None = None
    seconds: float | None = None
    tokens: int | None = None
    error: str = ""

    def end(self, state: str) -> None:
        self.state = state
        if self.started is not None and self.seconds is None:
            self.seconds = time.monotonic() - self.started


@dataclass
class Progress:
    """An event handler that draws a table of all calls until the answer begins. Use it as a context manager.

    Errors are written below the table in full; a column would be too narrow for them.
    """

    lines: dict[tuple[int, int], _Line] = field(default_factory=dict)

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True)
        self._live = Live(console=self._console, get_renderable=self._view, refresh_per_second=8)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop updating the table, so that other output can follow. A second call does nothing."""
        if self._live.is_started:
            for line in self._aggregators():
                if line.state == "working":
                    line.state, line.started = "answering", None  # the line of totals has the seconds
            self._live.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        handle = getattr(self, f"_on_{event['moa']}", None)
        if handle:
            handle(event)

    def _on_round_started(self, event: dict[str, Any]) -> None:
        for one in event["proposers"]:
            line = _Line(event["layer"], one["proposer"], one["model"])
            self.lines[event["layer"], one["slot"]] = line

    def _on_draft_started(self, event: dict[str, Any]) -> None:
        if line := self.lines.get((event["layer"], event["slot"])):
            line.state, line.started = "working", time.monotonic()

    def _on_draft(self, event: dict[str, Any]) -> None:
        draft = event["draft"]
        if line := self.lines.get((event["layer"], event["slot"])):
            line.state, line.seconds, line.error = draft["status"], draft["seconds"], draft["error"] or ""
            line.tokens = draft["usage"]["output_tokens"] if draft["usage"] else None

    def _on_aggregating(self, event: dict[str, Any]) -> None:
        if event.get("restart"):
            return
        self._end_aggregators("failed")
        slot = sum(layer == _ANSWER for layer, _ in self.lines)
        self.lines[_ANSWER, slot] = _Line(_ANSWER, "aggregate", event["model"], "working", time.monotonic())

    def _on_answer_token(self, _: dict[str, Any]) -> None:
        self.stop()

    def _on_finished(self, event: dict[str, Any]) -> None:
        status = event["record"]["status"]
        self._end_aggregators("failed" if status == "best_draft" else status)

    def _on_failed(self, _: dict[str, Any]) -> None:
        self._end_aggregators("failed")

    def _aggregators(self) -> list[_Line]:
        return [line for line in self.lines.values() if line.layer == _ANSWER]

    def _end_aggregators(self, state: str) -> None:
        for line in self._aggregators():
            if line.state in ("working", "answering"):
                line.end(state)

    def _view(self) -> RenderableType:
        from rich.console import Group
        from rich.padding import Padding
        from rich.text import Text

        errors = [_error(line) for line in self.lines.values() if line.error and line.state != "truncated"]
        return Group(
            self._table(), *(Padding(Text(text, style="red", overflow="fold"), (0, 0, 0, 2)) for text in errors)
        )

    def _table(self) -> RenderableType:
        from rich.table import Table

        width = self._console.width
        table = Table(box=None, pad_edge=False, show_header=bool(self.lines))
        table.add_column("layer", no_wrap=True, min_width=5)
        table.add_column("proposer", overflow="ellipsis", no_wrap=True)
        if width >= _WIDE:
            table.add_column("model", overflow="ellipsis", no_wrap=True)
        longest = max((len(line.state) for line in self.lines.values()), default=0)
        table.add_column("state", no_wrap=True, min_width=longest)
        table.add_column("seconds", justify="right", no_wrap=True, min_width=7)
        if width >= _NARROW:
            table.add_column("tokens", justify="right", no_wrap=True, min_width=6)
        for line in self.lines.values():
            table.add_row(*_cells(line, width))
        return table


def _cells(line: _Line, width: int) -> list[Any]:
    from rich.text import Text

    seconds = line.seconds
    if seconds is None and line.started is not None:
        seconds = time.monotonic() - line.started
    cells = ["" if line.layer == _ANSWER else str(line.layer), plain(line.name)]
    cells += [plain(line.model)] if width >= _WIDE else []
    rest: list[Any] = [
        Text(line.state, style=_STYLES.get(line.state, "red")),
        "" if seconds is None else f"{seconds:.1f}",
    ]
    rest += ["" if line.tokens is None else str(line.tokens)] if width >= _NARROW else []
    return [*cells, *rest]


def _error(line: _Line) -> str:
    return f"{plain(line.name)} ({plain(line.model)}): {line.state}: {plain(line.error)}"


async def watch_line(line: Callable[[float], str]) -> None:
    """Show the text of `line`, called with the seconds since the start, until cancelled.

    On a terminal, one line is rewritten; elsewhere a line is written every half minute.
    """
    begun = logged = time.monotonic()
    terminal = sys.stderr.isatty()
    try:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            now = time.monotonic()
            if terminal:
                sys.stderr.write(f"\r\x1b[K{line(now - begun)}")
                sys.stderr.flush()
            elif now - logged >= _LOG_SECONDS:
                logged = now
                sys.stderr.write(f"{line(now - begun)}\n")
    finally:
        if terminal:
            sys.stderr.write("\r\x1b[K")
