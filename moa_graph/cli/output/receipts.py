"""The costs of a question in one line: calls, tokens, dollars, seconds, and the cost without drafts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from moa_graph.costs.amounts import in_dollars, number_of

if TYPE_CHECKING:
    from moa_graph.costs.receipt import Receipt
    from moa_graph.state import Record


def summary(record: Record, extra: Receipt | None = None) -> str:
    """Return a summary of the run in one line."""
    usage, cost = record["usage"], record["cost"]
    calls = number_of(record["calls"], "call")
    parts = [calls, f"{usage['input_tokens']:,} + {usage['output_tokens']:,} tokens"]
    if cost is None:
        parts.append("cost unknown")
    elif cost:
        alone = in_dollars(extra.alone) if extra and extra.alone else ""
        about = "" if alone.startswith("under") else "about "
        parts.append(in_dollars(cost) + (f" (the aggregator alone: {about}{alone})" if alone else ""))
    else:
        parts.append("free")
    if cost and extra and extra.caches_saved and extra.caches_saved > 0:
        parts.append(f"caches saved {in_dollars(extra.caches_saved)}")
    return ", ".join([*parts, f"{record['seconds']:.1f} s"])


def report_failed_drafts(drafts: Sequence[Any]) -> None:
    """Write one line to standard error for every draft that does not count, in the provider's own words."""
    from moa_graph.models.terminal_text import for_terminal

    for draft in drafts:
        if draft["error"] and draft["status"] != "truncated":
            place = f"layer {draft['layer']} {draft['proposer']} ({draft['model']})"
            sys.stderr.write(for_terminal(f"{place}: {draft['status']}: {draft['error']}") + "\n")


def report_end(drafts: Sequence[Any], record: Record, *, shown: bool) -> None:
    """Write the problems of a run to standard error, unless a table or the drafts have `shown` those of drafts."""
    if record["status"] == "best_draft":
        sys.stderr.write("no aggregator answered: this is the best draft, not a synthesis\n")
    if not shown:
        report_failed_drafts(drafts)
