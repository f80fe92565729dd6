"""Estimate the calls, tokens and dollars of a run before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moa_graph.costs.budget import ANSWER_TOKENS, Estimate, ExpectedCall, expected_calls, sum_of
from moa_graph.costs.tokens import tokens
from moa_graph.evals.alpaca_eval import run as alpaca_run
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.judge import JUDGE_FRAME
from moa_graph.evals.judge_table.run import JudgedPair
from moa_graph.evals.mt_bench import run as mt_bench_run
from moa_graph.evals.prompts.questions import OwnPrompt
from moa_graph.evals.session import Benchmark
from moa_graph.evals.systems.mixture import MixtureSystem, System, messages
from moa_graph.evals.systems.recorded import SynthesisSystem
from moa_graph.mixture.context import MoAContext, settings
from moa_graph.mixture.price_overrides import Override
from moa_graph.models.secrets.keys import host


def of_run(
    bench: Benchmark[Any],
    *,
    max_tokens: int | None = None,
    prices: Mapping[str, Override] | None = None,
    batch_hosts: frozenset[str] = frozenset(),
) -> Estimate:
    """Estimate the whole benchmark. Recorded calls count as new.

    Args:
        bench: The benchmark.
        max_tokens: The assumed length of an answer; 700 when None.
        prices: Prices given for the run.
        batch_hosts: Hosts whose models have the price of batches.
    """
    calls: list[ExpectedCall] = []
    for item in bench.items:
        for turns in _conversations(item):
            calls += _generation(bench.system, turns, max_tokens)
            input_tokens = JUDGE_FRAME + sum(tokens(text) for _, text in turns) + _judged(item, max_tokens)
            for judge in bench.judges if _rated(item, bench) else ():
                verdict = ExpectedCall(judge.spec, input_tokens, judge.spec.max_tokens or ANSWER_TOKENS)
                calls += [verdict] * bench.verdicts
    return sum_of(calls * bench.repeats, _prices(bench.system, prices), in_batch=lambda spec: host(spec) in batch_hosts)


def _rated(item: Any, bench: Benchmark[Any]) -> bool:
    """Return whether the judges rate the item: an own prompt only by criteria."""
    return not isinstance(item, OwnPrompt) or bool(item.criteria or bench.settings["criteria"])


def _prices(system: System, prices: Mapping[str, Override] | None) -> dict[str, Override]:
    """Return the prices given for the run; models without one use the mixture's."""
    own = system.mixture.prices if isinstance(system, MixtureSystem | SynthesisSystem) else {}
    return {**own, **(prices or {})}


def _conversations(item: Any) -> list[list[tuple[str, str]]]:
    """Return the conversations of one item; a placeholder of the expected length replaces an earlier answer."""
    if isinstance(item, OwnPrompt):
        return [list(item.turns)]
    if not isinstance(item, mt_bench_run.MTBenchQuestion):
        return [[("user", item.instruction)]]
    conversations: list[list[tuple[str, str]]] = []
    history: list[tuple[str, str]] = []
    for text in item.turns:
        history = [*history, ("user", text)]
        conversations.append(history)
        history = [*history, ("assistant", "word" * ANSWER_TOKENS)]
    return conversations


def _judged(item: Any, max_tokens: int | None) -> int:
    answer = max_tokens or ANSWER_TOKENS
    if isinstance(item, JudgedPair):
        return tokens(item.pair.output_1) + tokens(item.pair.output_2)
    if isinstance(item, alpaca_run.AlpacaItem):
        return tokens(item.reference) + answer
    return (tokens(item.answer) if isinstance(item, flask.FlaskItem) else 0) + answer


def _generation(system: System, turns: Sequence[tuple[str, str]], max_tokens: int | None) -> list[ExpectedCall]:
    """Return the calls of one answer."""
    input_tokens = sum(tokens(text) + 4 for _, text in turns)
    if isinstance(system, MixtureSystem):
        run = settings(system.mixture, MoAContext(max_tokens=max_tokens))
        planned = system.planned() if isinstance(system, SynthesisSystem) else None
        return expected_calls(run, messages(turns), calls=planned)
    if not system.specs:
        return []
    spec = system.specs[0]
    return [ExpectedCall(spec, input_tokens, max_tokens or spec.max_tokens or ANSWER_TOKENS)]
