"""The progress of a question on standard error: a table of its proposers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from moa_graph.costs.amounts import in_dollars, number_of
from moa_graph.models.terminal_text import for_terminal

if TYPE_CHECKING:
    from rich.console import JustifyMethod, RenderableType

_STYLES = {"ok": "green", "truncated": "yellow", "working": "cyan", "waiting": "dim"}
_ANSWER, _NOTES = 10_000, 10_001
"""Stand for the layer of the rows of aggregators, and of a combiner's own calls."""
_WIDE, _NARROW, _NARROWEST = 72, 60, 50
"""Terminal widths, in columns, below which the model, then the cost and the requests, then the tokens are left out."""


@dataclass
class _Line:
    layer: int
    name: str
    model: str
    state: str = "waiting"
    started: float | None = None
    seconds: float | None = None
    tokens: int | None = None
    cost: float | None = None
    error: str = ""

    @property
    def status(self) -> str:
        """The state without the number of requests."""
        return self.state.partition(",")[0]

    def take(self, result: dict[str, Any]) -> None:
        """Take over the result of a draft or of a note."""
        tries = f", {number_of(result['attempts'], 'request')}" if result["attempts"] > 1 else ""
        self.state, self.error = result["status"] + tries, result["error"] or ""
        self.tokens = result["usage"]["output_tokens"] if result["usage"] else None
        self.cost = result["cost"]

    def end(self, state: str) -> None:
        self.state = state
        if self.started is not None and self.seconds is None:
            self.seconds = time.monotonic() - self.started


@dataclass
class _Column:
    title: str
    text: Callable[[_Line], str]
    width: int = 0


@dataclass
class Progress:
    """An event handler that draws a table of all calls until the answer begins. Use it as a context manager.

    Errors are written below the table in full; a column would be too narrow for them.
    """

    lines: dict[tuple[int, int], _Line] = field(default_factory=dict)
    ended: bool = False

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True)
        self._live = Live(console=self._console, get_renderable=self._growing, refresh_per_second=8)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop updating the table, so that other output can follow. A second call does nothing."""
        if self._live.is_started:
            # The table stays on the screen: a row that nothing ends would look like a call that never ended. The line
            # of totals below the answer has its model, seconds and cost.
            self.lines = {
                place: line for place, line in self.lines.items() if line.state != "working" or line.layer != _ANSWER
            }
            self.ended = True
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
            line.seconds = draft["seconds"]
            line.take(draft)

    def _on_note(self, event: dict[str, Any]) -> None:
        note = event["note"]
        if note["usage"] is None and not note["attempts"]:
            return  # read from the drafts, without a call
        line = _Line(note["layer"], note["by"], note["kind"])
        line.take(note)
        slot = sum(layer == _NOTES for layer, _ in self.lines)
        self.lines[_NOTES, slot] = line

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
            if line.state == "working":
                line.end(state)

    def _growing(self) -> RenderableType:
        """Return the table and, until it ends, an empty line on which the cursor rests.

        A `^C` that the terminal prints behind a full line would begin a further line.
        """
        from rich.console import Group
        from rich.text import Text

        return self._view() if self.ended else Group(self._view(), Text())

    def _view(self) -> RenderableType:
        from rich.console import Group
        from rich.padding import Padding
        from rich.text import Text

        errors = [_error(line) for line in self.lines.values() if line.error and line.status != "truncated"]
        return Group(
            self._table(), *(Padding(Text(text, style="red", overflow="fold"), (0, 0, 0, 2)) for text in errors)
        )

    def _table(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        lines = list(self.lines.values())
        columns = _columns(lines, self._console.width)
        # The gap between columns is a part of their texts: releases of rich disagree on padding beside a fixed width.
        table = Table(box=None, padding=0, pad_edge=False, show_header=bool(lines))
        gaps = [2 * (column is not columns[0]) for column in columns]
        for column, gap in zip(columns, gaps, strict=True):
            side: JustifyMethod = "right" if column.title in ("seconds", "tokens", "cost") else "left"
            # A width of its own: rich would cut the last columns to make room for the names.
            title = f"{'':{gap}}{column.title}"
            table.add_column(title, width=column.width + gap, justify=side, overflow="ellipsis", no_wrap=True)
        for line in lines:
            style = _STYLES.get(line.status, "red")
            cells = [f"{'':{gap}}{for_terminal(column.text(line))}" for column, gap in zip(columns, gaps, strict=True)]
            states = [style if column.title == "state" else "" for column in columns]
            table.add_row(*(Text(text, style=state) for text, state in zip(cells, states, strict=True)))
        return table


def _columns(lines: Sequence[_Line], width: int) -> list[_Column]:
    """Return the columns that fit into the width: names are cut, everything else is whole."""
    from rich.cells import cell_len

    found = [_Column("layer", lambda line: "" if line.layer == _ANSWER else str(line.layer))]
    found += [_Column("proposer", lambda line: line.name)]
    found += [_Column("model", lambda line: line.model)] if width >= _WIDE else []
    found += [
        _Column("state", lambda line: line.state if width >= _NARROW else line.status),
        _Column("seconds", _seconds),
    ]
    if width >= _NARROWEST:
        found.append(_Column("tokens", lambda line: "" if line.tokens is None else str(line.tokens)))
    if width >= _NARROW:
        # A mixture without prices, or the embedded model's, has nothing to show there.
        found += [_Column("cost", _cost)] if any(line.cost for line in lines) else []
    for column in found:
        column.width = max([len(column.title), *(cell_len(for_terminal(column.text(line))) for line in lines)])
    names = [column for column in found if column.title in ("proposer", "model")]
    room = width - sum(column.width + 2 for column in found if column not in names) - 2 * len(names) + 2
    while sum(column.width for column in names) > max(room, 4 * len(names)):
        max(names, key=lambda column: column.width).width -= 1
    return found


def _seconds(line: _Line) -> str:
    seconds = line.seconds
    if seconds is None and line.started is not None:
        seconds = time.monotonic() - line.started
    return "" if seconds is None else f"{seconds:.1f}"


def _cost(line: _Line) -> str:
    if line.cost is None:
        known_later = line.layer == _ANSWER or line.status in ("waiting", "working")
        return "" if known_later else "unknown"
    return in_dollars(line.cost).replace("under ", "<")


def _error(line: _Line) -> str:
    return f"{for_terminal(line.name)} ({for_terminal(line.model)}): {line.state}: {for_terminal(line.error)}"
