"""What a run cost beside the aggregator alone, and what prompt caches saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from langchain_core.messages import BaseMessage

from moa_graph.costs.prices import cache_savings, price
from moa_graph.costs.tokens import prompt_tokens, tokens
from moa_graph.mixture.context import Settings
from moa_graph.mixture.proposer import Proposer
from moa_graph.state import Draft, Note, Record, Usage, new_usage

__all__ = ["Receipt", "receipt"]


class Receipt(NamedTuple):
    """Dollars in addition to the record's; None if a price is unknown.

    Attributes:
        alone: The cost of the aggregator's model alone, for the same question and an answer of this length.
        caches_saved: The savings by the providers' prompt caches.
    """

    alone: float | None
    caches_saved: float | None


def receipt(
    run: Settings,
    messages: Sequence[BaseMessage],
    drafts: Sequence[Draft],
    notes: Sequence[Note],
    usage: Usage | None,
    record: Record,
    answer: str,
) -> Receipt:
    """Return the costs that a run's record does not contain.

    Args:
        run: The run's settings.
        messages: The conversation.
        drafts: The run's drafts.
        notes: The results of the combiner's own calls.
        usage: The tokens of the answer's own call; None if there was none, as where a draft is the answer.
        record: The run's record.
        answer: The answer's text.
    """
    nodes, prices = run.mixture.plan.specs, run.mixture.prices
    writers = [run.aggregator, *run.mixture.fallbacks]
    writer = next((spec for spec in writers if spec.label == record["fallback"]), run.aggregator)
    calls = [(nodes.get(draft["proposer"]), draft["usage"]) for draft in drafts]
    calls += [(_model_of(note, run), note["usage"]) for note in notes]
    calls += [(writer, usage)]
    saved = [cache_savings(spec, used, prices=prices) for spec, used in calls if spec and used]
    shown = prompt_tokens(messages) + tokens(run.system) + tokens(run.aggregator.system or "")
    written = usage["output_tokens"] if usage else tokens(answer)
    alone = price(run.aggregator, new_usage(shown, written), prices=prices)
    return Receipt(alone, None if None in saved else sum(each for each in saved if each is not None))


def _model_of(note: Note, run: Settings) -> Proposer | None:
    """Return the model of a combiner's own call: of those planned for the note's layer, the one for its slot."""
    own = [
        call.spec
        for call in run.planned()
        if call.role not in ("proposer", "aggregator") and call.layer == note["layer"]
    ]
    return own[note["slot"]] if note["slot"] < len(own) else None
