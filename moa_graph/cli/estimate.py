"""What a question would cost, before it is asked: an estimate from lengths, nothing sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer

ANSWER = 600
"""Tokens an answer is taken to have where `max_tokens` does not say less."""


class Estimate(NamedTuple):
    """`cost` in dollars over the models whose price is known; `unknown` names the others."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost: float
    unknown: list[str]

    def line(self) -> str:
        """The estimate for a person."""
        text = f"{self.calls} calls, about {self.input_tokens}+{self.output_tokens} tokens, about ${self.cost:.4f}"
        return f"{text}; price unknown for {', '.join(self.unknown)}" if self.unknown else text


def estimate(mixture: Mixture, prompt: str, layers: int | None = None) -> Estimate:
    """The calls, tokens (four characters each) and dollars of one question.

    Raises:
        ConfigError: a run of so many layers would be refused.
    """
    from moa_graph.costs.prices import cost
    from moa_graph.mixture.context import MoAContext, settings
    from moa_graph.state import new_usage

    known, unknown, tokens_in, tokens_out = 0.0, list[str](), 0, 0
    calls = _calls(mixture, settings(mixture, MoAContext(layers=layers)).layers)
    question = len(prompt + (mixture.system or "")) // 4 + 20
    for spec, drafts in calls:
        usage = new_usage(question + drafts, _length(spec))
        tokens_in, tokens_out = tokens_in + usage["input_tokens"], tokens_out + usage["output_tokens"]
        price = cost(spec.label, usage, overrides=mixture.prices, listed=spec.base_url is None)
        if price is None:
            unknown.append(spec.label)
        known += price or 0.0
    return Estimate(len(calls), tokens_in, tokens_out, known, list(dict.fromkeys(unknown)))


def _calls(mixture: Mixture, layers: int) -> list[tuple[Proposer, int]]:
    """Every call of a question, with the tokens of the drafts it is shown."""
    specs = {node.name: node.spec for node in mixture.plan[0]}
    calls, shown = list[tuple["Proposer", int]](), 0
    for layer in range(1, layers):
        these = [specs[name] for name in mixture.round_nodes(layer)]
        calls += [(spec, shown) for spec in these]
        shown = sum(map(_length, these))
    return [*calls, (mixture.aggregator, shown)]


def _length(spec: Proposer) -> int:
    return min(spec.max_tokens or ANSWER, ANSWER)
