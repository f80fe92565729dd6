"""What a run will take, before anything is sent: calls, tokens, dollars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from moa_graph.costs.budget import ANSWER_TOKENS, estimate, listed
from moa_graph.costs.prices import cost
from moa_graph.costs.tokens import tokens
from moa_graph.evals.alpaca_eval import run as alpaca_run
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.mt_bench import run as mt_bench_run
from moa_graph.evals.session import Benchmark
from moa_graph.evals.systems.mixture import MixtureSystem, System, messages
from moa_graph.evals.systems.recorded import SynthesisSystem
from moa_graph.mixture.context import MoAContext, settings
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.state import new_usage

_JUDGE_FRAME = 500
"""Tokens of a judge's instructions around what it judges."""


@dataclass
class Estimate:
    """Sums over calls; `cost` is None when a price in `unpriced` is not known."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0
    unpriced: list[str] = field(default_factory=list)

    def call(self, spec: Proposer, shown: int, answer: int, prices: Any) -> None:
        """Add one call of `shown` tokens in and `answer` out."""
        usage = new_usage(shown, answer)
        dollars = cost(spec.label, usage, overrides=prices, listed=listed(spec) or is_embedded(spec))
        self.add(1, shown, answer, dollars, [] if dollars is not None else [spec.label])

    def add(self, calls: int, shown: int, answer: int, dollars: float | None, unpriced: Iterable[str]) -> None:
        self.calls += calls
        self.input_tokens += shown
        self.output_tokens += answer
        self.cost = None if self.cost is None or dollars is None else self.cost + dollars
        self.unpriced += [name for name in unpriced if name not in self.unpriced]


def of_run(bench: Benchmark[Any], *, max_tokens: int | None = None, prices: Any = None) -> Estimate:
    """The whole benchmark; answers are taken to be `max_tokens` long, or 700 tokens. Recorded calls count as new."""
    whole = Estimate()
    for item in bench.items:
        for turns in _conversations(item):
            _generation(whole, bench.system, turns, max_tokens, prices)
            if bench.judge:
                shown = _JUDGE_FRAME + sum(tokens(text) for _, text in turns) + _judged(item, max_tokens)
                for _ in range(bench.verdicts):
                    whole.call(bench.judge.spec, shown, bench.judge.spec.max_tokens or ANSWER_TOKENS, prices)
    return whole


def _conversations(item: Any) -> list[list[tuple[str, str]]]:
    """The conversations a system is shown for one item; an earlier answer is stood in for by a text of its size."""
    if not isinstance(item, mt_bench_run.Question):
        return [[("user", item.instruction)]]
    shown: list[list[tuple[str, str]]] = []
    history: list[tuple[str, str]] = []
    for text in item.turns:
        history = [*history, ("user", text)]
        shown.append(history)
        history = [*history, ("assistant", "word" * ANSWER_TOKENS)]
    return shown


def _judged(item: Any, max_tokens: int | None) -> int:
    answer = max_tokens or ANSWER_TOKENS
    if isinstance(item, alpaca_run.Item):
        return tokens(item.reference) + answer
    return (tokens(item.answer) if isinstance(item, flask.Item) else 0) + answer


def _generation(
    whole: Estimate, system: System, turns: Sequence[tuple[str, str]], max_tokens: int | None, prices: Any
) -> None:
    shown = sum(tokens(text) + 4 for _, text in turns)
    if isinstance(system, SynthesisSystem):
        spec = system.mixture.aggregator
        each = min(ANSWER_TOKENS, system.mixture.draft_tokens or ANSWER_TOKENS)
        shown += tokens((system.mixture.system or "") + (spec.system or "")) + len(system.drafts) * each
        whole.call(spec, shown, max_tokens or spec.max_tokens or ANSWER_TOKENS, prices)
    elif isinstance(system, MixtureSystem):
        expected = estimate(settings(system.mixture, MoAContext(max_tokens=max_tokens)), messages(turns))
        whole.add(expected.calls, expected.input_tokens, expected.output_tokens, expected.cost, expected.unpriced)
    elif system.specs:
        spec = system.specs[0]
        whole.call(spec, shown, max_tokens or spec.max_tokens or ANSWER_TOKENS, prices)
