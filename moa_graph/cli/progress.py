"""What a person sees while a mixture works: a live line per proposer on standard error."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any, Self

_STYLES = {"ok": "green", "truncated": "yellow", "working": "cyan"}


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


@dataclass
class Progress:
    """A watcher that draws a table and takes it off the screen's end before the answer streams. Use as a context."""

    lines: dict[tuple[int, int], _Line] = field(default_factory=dict)

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), get_renderable=self._table, refresh_per_second=8)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
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
        line = _Line(10_000, "aggregate", event["model"], "working", time.monotonic())
        self.lines[10_000, 0] = line

    def _on_answer_token(self, _: dict[str, Any]) -> None:
        if self._live.is_started:
            if line := self.lines.get((10_000, 0)):
                line.state = "answering"
            self._live.stop()

    def _table(self) -> Any:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_header=bool(self.lines))
        for name in ("layer", "proposer", "model", "state"):
            table.add_column(name)
        table.add_column("seconds", justify="right")
        table.add_column("tokens", justify="right")
        table.add_column("", overflow="ellipsis", no_wrap=True, ratio=1)
        for line in self.lines.values():
            table.add_row(*_cells(line))
        return table


def _cells(line: _Line) -> list[Any]:
    from rich.text import Text

    seconds = line.seconds
    if seconds is None and line.started is not None:
        seconds = time.monotonic() - line.started
    style = _STYLES.get(line.state, "dim" if line.state in ("waiting", "answering") else "red")
    return [
        "" if line.layer == 10_000 else str(line.layer),
        line.name,
        line.model,
        Text(line.state, style=style),
        "" if seconds is None else f"{seconds:.1f}",
        "" if line.tokens is None else str(line.tokens),
        Text(line.error),
    ]


def tell_trouble(drafts: list[Any]) -> None:
    """One line on standard error for every draft that did not count, in the provider's own words."""
    for draft in drafts:
        if draft["error"] and draft["status"] != "truncated":
            place = f"layer {draft['layer']} {draft['proposer']} ({draft['model']})"
            sys.stderr.write(f"{place}: {draft['status']}: {draft['error']}\n")


def tell_end(drafts: list[Any], record: Any, *, live: bool) -> None:
    """Says on standard error how a run went: in short where the table was `live`, else what went wrong."""
    if record["status"] == "best_draft":
        sys.stderr.write("no aggregator answered: this is the best draft, not a synthesis\n")
    if live:
        sys.stderr.write(f"{summary(record)}\n")
    else:
        tell_trouble(drafts)


def summary(record: Any) -> str:
    """The run in one line: calls, tokens, dollars, seconds."""
    usage, cost = record["usage"], record["cost"]
    money = "cost unknown" if cost is None else f"${cost:.4f}" if cost else "free"
    tokens = f"{usage['input_tokens']}+{usage['output_tokens']} tokens"
    return f"{record['calls']} calls, {tokens}, {money}, {record['seconds']:.1f} s"
