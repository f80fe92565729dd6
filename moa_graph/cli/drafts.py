"""Drafts as a person reads them: a heading with who wrote it, how long it took and what it cost, then the text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moa_graph.state import Draft


def plain(text: str) -> str:
    """Return `text` without control characters, so that a model's text cannot steer the terminal."""
    return "".join(c for c in text if c in "\n\t" or c.isprintable())


def heading(draft: Draft, drafts: Sequence[Draft]) -> str:
    """Return one line about `draft`, one of `drafts`: its place, its model, and its status unless it is ok."""
    of_layer = sum(other["layer"] == draft["layer"] for other in drafts)
    layers = len({other["layer"] for other in drafts})
    place = f"Draft {draft['slot'] + 1} of {of_layer}" + (f", layer {draft['layer']}" if layers > 1 else "")
    status = "" if draft["status"] == "ok" else f", {draft['status']}"
    return f"{place}: {draft['proposer']} ({draft['model']}), {draft['seconds']:.1f} s{status}"


def as_text(drafts: Sequence[Draft]) -> str:
    """Return all drafts, each under its heading."""
    return "\n\n".join(f"{heading(d, drafts)}\n{plain(d['text'] or d['error'] or '').strip()}" for d in drafts)


class DraftPrinter:
    """A watcher that writes the drafts to standard error once they are complete, before the answer."""

    def __init__(self) -> None:
        self._drafts: list[Draft] = []
        self._printed = False

    def __call__(self, event: dict[str, Any]) -> None:
        if event["moa"] == "draft":
            self._drafts.append(event["draft"])
        elif event["moa"] == "aggregating":
            self.finish(sorted(self._drafts, key=lambda draft: (draft["layer"], draft["slot"])))

    def finish(self, drafts: Sequence[Draft]) -> None:
        """Write `drafts` unless drafts were written before."""
        if not self._printed and drafts:
            self._printed = True
            sys.stderr.write(f"{as_text(drafts)}\n\nAnswer\n")
            sys.stderr.flush()
