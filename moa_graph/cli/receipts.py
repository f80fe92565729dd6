"""The costs of a question in one line: calls, tokens, dollars, seconds, and the cost without drafts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from moa_graph.costs.amounts import in_dollars, number_of

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

    from moa_graph.mixture.mixture import Mixture
    from moa_graph.state import Draft, Record, Usage


class Receipt(NamedTuple):
    """Dollars in addition to the record's; None if a price is unknown.

    Attributes:
        alone: The cost of the aggregator's model alone, for the same question and an answer of this length.
        caches_saved: The savings by the providers' prompt caches.
    """

    alone: float | None
    caches_saved: float | None


def receipt(
    mixture: Mixture, messages: Sequence[BaseMessage], drafts: Sequence[Draft], usage: Usage | None, aggregator: str
) -> Receipt:
    """Return the costs that a run's record does not contain.

    Args:
        mixture: The mixture that answered.
        messages: The conversation.
        drafts: The run's drafts.
        usage: The tokens of the answer's own call.
        aggregator: The label of the model that answered.
    """
    from moa_graph.costs.prices import cache_savings, price
    from moa_graph.costs.tokens import prompt_tokens, tokens
    from moa_graph.state import new_usage

    spec = next((spec for spec in (mixture.aggregator, *mixture.fallbacks) if spec.label == aggregator), None)
    nodes = {node.name: node.spec for node in mixture.plan[0]}
    calls = [(nodes.get(draft["proposer"]), draft["usage"]) for draft in drafts if draft["usage"]]
    calls += [(spec, usage)] if usage else []
    saved = [cache_savings(each, used, prices=mixture.prices) for each, used in calls if each]
    shown = prompt_tokens(messages) + tokens(mixture.system or "")
    alone = price(spec, new_usage(shown, usage["output_tokens"]), prices=mixture.prices) if spec and usage else None
    return Receipt(alone, None if None in saved else sum(each for each in saved if each is not None))


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
    from moa_graph.cli.drafts import plain

    for draft in drafts:
        if draft["error"] and draft["status"] != "truncated":
            place = f"layer {draft['layer']} {draft['proposer']} ({draft['model']})"
            sys.stderr.write(plain(f"{place}: {draft['status']}: {draft['error']}") + "\n")


def report_end(drafts: Sequence[Any], record: Record, *, shown: bool) -> None:
    """Write the problems of a run to standard error, unless a table or the drafts have `shown` those of drafts."""
    if record["status"] == "best_draft":
        sys.stderr.write("no aggregator answered: this is the best draft, not a synthesis\n")
    if not shown:
        report_failed_drafts(drafts)
