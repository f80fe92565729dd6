"""What a run cost beside the aggregator alone, and what prompt caches saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from langchain_core.messages import BaseMessage

from moa_graph.costs.prices import cache_savings, price
from moa_graph.costs.tokens import prompt_tokens, tokens
from moa_graph.mixture.mixture import Mixture
from moa_graph.state import Draft, Usage, new_usage

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
    spec = next((spec for spec in (mixture.aggregator, *mixture.fallbacks) if spec.label == aggregator), None)
    nodes = mixture.plan.specs
    calls = [(nodes.get(draft["proposer"]), draft["usage"]) for draft in drafts if draft["usage"]]
    calls += [(spec, usage)] if usage else []
    saved = [cache_savings(each, used, prices=mixture.prices) for each, used in calls if each]
    shown = prompt_tokens(messages) + tokens(mixture.system or "")
    alone = price(spec, new_usage(shown, usage["output_tokens"]), prices=mixture.prices) if spec and usage else None
    return Receipt(alone, None if None in saved else sum(each for each in saved if each is not None))
