"""Format drafts for a person: a heading with model, time and cost, then the text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from moa_graph.costs.amounts import in_dollars
from moa_graph.models.terminal_text import for_terminal

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from moa_graph.state import Draft, Note

WIDE = 120
"""Minimum terminal width, in columns, for drafts beside the answer."""


def heading(draft: Draft, drafts: Sequence[Draft]) -> str:
    """Return one line about `draft`, one of `drafts`: its position, its model, and its status unless it is ok."""
    of_layer = sum(other["layer"] == draft["layer"] for other in drafts)
    layers = len({other["layer"] for other in drafts})
    place = f"Draft {draft['slot'] + 1} of {of_layer}" + (f", layer {draft['layer']}" if layers > 1 else "")
    cost = f", {in_dollars(draft['cost'])}" if draft["cost"] else ""
    status = "" if draft["status"] == "ok" else f", {draft['status']}"
    return for_terminal(f"{place}: {draft['proposer']} ({draft['model']}), {draft['seconds']:.1f} s{cost}{status}")


def text_of(draft: Draft) -> str:
    """Return the draft's text, or the reason why it has none."""
    return for_terminal(draft["text"] or draft["error"] or "").strip()


def as_text(drafts: Sequence[Draft]) -> str:
    """Return all drafts, each below its heading."""
    return "\n\n".join(f"{heading(draft, drafts)}\n{text_of(draft)}" for draft in drafts)


def rendered(drafts: Sequence[Draft]) -> list[RenderableType]:
    """Return the drafts for rich, with emphasized headings."""
    from rich.padding import Padding
    from rich.text import Text

    from moa_graph.cli.output.markdown import markdown

    parts: list[RenderableType] = []
    for draft in drafts:
        failed = not draft["text"]
        parts.append(Text(heading(draft, drafts), style="bold red" if failed else "bold cyan"))
        parts.append(Padding(Text(text_of(draft)) if failed else markdown(draft["text"]), (0, 0, 1, 2)))
    return parts


def beside(drafts: Sequence[Draft]) -> Callable[[RenderableType], RenderableType]:
    """Return a function that puts an answer into a column to the right of the drafts."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def frame(answer: RenderableType) -> RenderableType:
        grid = Table.grid(padding=(0, 3), expand=True)
        grid.add_column(ratio=1)
        grid.add_column(ratio=1)
        grid.add_row(Group(*rendered(drafts)), Group(Text("Answer", style="bold green"), answer))
        return grid

    return frame


class DraftCollector:
    """An event handler that collects the drafts of a run, so that they survive an interrupt; `show` prints them.

    Attributes:
        drafts: The drafts so far, by layer and slot.
        notes: The notes so far.
    """

    def __init__(self, show: Callable[[Sequence[Draft]], None] | None = None) -> None:
        self._drafts: dict[tuple[int, int], Draft] = {}
        self.notes: list[Note] = []
        self._show = show

    @property
    def drafts(self) -> list[Draft]:
        return [self._drafts[place] for place in sorted(self._drafts)]

    def __call__(self, event: dict[str, Any]) -> None:
        if event["moa"] == "draft":
            draft = event["draft"]
            self._drafts[draft["layer"], draft["slot"]] = draft
        elif event["moa"] == "note":
            self.notes.append(event["note"])
        elif event["moa"] == "aggregating":
            self.show(self.drafts)

    def show(self, drafts: Sequence[Draft]) -> None:
        """Show `drafts`, at most once. The caller shows them if a server sends no events."""
        if self._show and drafts:
            self._show(drafts)
            self._show = None


def print_drafts(drafts: Sequence[Draft], console: Console | None = None) -> None:
    """Write the drafts and the label of the answer to standard error, rendered if a console is given."""
    if console is None:
        sys.stderr.write(f"{as_text(drafts)}\n\nAnswer\n")
        sys.stderr.flush()
        return
    for part in rendered(drafts):
        console.print(part)
    console.print("[bold green]Answer")
