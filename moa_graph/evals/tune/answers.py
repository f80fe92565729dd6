"""One candidate's answers: its real graph on the shared ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from moa_graph.costs.prices import price
from moa_graph.errors import BudgetError, ConfigError, MoAError, UnrecordedError
from moa_graph.evals.prompts.questions import OwnPrompt
from moa_graph.evals.systems.mixture import messages
from moa_graph.evals.tune.shared_ledger import Draw, PaidCall, SharedLedger, Trace, prompt_key, traced
from moa_graph.graph.build import create_moa
from moa_graph.mixture.context import MoAContext
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer
from moa_graph.state import Draft, Usage, total_cost

__all__ = ["Candidate", "CandidateAnswer", "today"]


@dataclass(frozen=True)
class CandidateAnswer:
    """One answer of a mixture and what it takes in production, recorded drafts included.

    Attributes:
        text: The answer; None when there is none.
        drafts: All drafts, in the order of layers and slots.
        calls: Calls that count, found or made.
        cost: Dollars at today's prices; None when a price is unknown.
        tokens: Tokens sent and received; None when unknown.
        seconds: Seconds of the slowest call of every step, added up.
        agreement: How alike the drafts are.
        degraded: Reasons why the answer is degraded.
        error: Why there is no answer; None when there is one.
        unpaid: Whether a failed call may be billed although its cost is unknown.
    """

    text: str | None
    drafts: Sequence[Draft] = ()
    calls: int = 0
    cost: float | None = 0.0
    tokens: int | None = None
    seconds: float = 0.0
    agreement: float | None = None
    degraded: Sequence[str] = field(default_factory=list)
    error: str | None = None
    unpaid: bool = False


class Candidate:
    """A mixture's graph on the shared ledger. It answers a prompt with any draw of the drafts."""

    def __init__(self, mixture: Mixture, ledger: SharedLedger) -> None:
        self.mixture = mixture
        self.graph = create_moa(mixture, ledger=ledger)
        self._specs = {spec.label: spec for spec in mixture.specs}

    async def answer(self, prompt: OwnPrompt, draw: Draw | None = None) -> CandidateAnswer:
        """Return the answer to a prompt; a provider's fault is an `error`, never an exception.

        Raises:
            ConfigError: Something is wrong for every prompt: a key, a model, the ledger.
            BudgetError: The cap leaves no room for its calls.
        """
        context = MoAContext(item=prompt_key(prompt.turns))
        with traced(draw or Draw.of(self.mixture)) as trace:
            try:
                state = await self.graph.ainvoke({"messages": messages(prompt.turns)}, context=context)
            except (ConfigError, BudgetError, UnrecordedError):
                raise
            except MoAError as error:
                return self._failed(error, trace)
        record = state["record"]
        return CandidateAnswer(
            text=str(state["messages"][-1].text),
            drafts=state["drafts"],
            calls=len(trace.calls),
            cost=self._cost(trace),
            tokens=_tokens(trace),
            seconds=trace.seconds,
            agreement=record["agreement"],
            degraded=record["degraded_reasons"],
            unpaid=any(draft["cost"] is None and draft["usage"] is None for draft in state["drafts"]),
        )

    def _failed(self, error: MoAError, trace: Trace) -> CandidateAnswer:
        reason = f"{type(error).__name__}: {error}"
        unpaid = error.cost is None or any(d["cost"] is None and d["usage"] is None for d in error.drafts)
        return CandidateAnswer(
            None, error.drafts, len(trace.calls), self._cost(trace), None, trace.seconds, error=reason, unpaid=unpaid
        )

    def _cost(self, trace: Trace) -> float | None:
        return total_cost([self._today(call) for call in trace.calls])

    def _today(self, call: PaidCall) -> float | None:
        spec = self._specs.get(call.model)
        return call.cost if spec is None else today(spec, call.usage, call.cost, self.mixture.prices)


def _tokens(trace: Trace) -> int | None:
    usages = [call.usage for call in trace.calls]
    if None in usages:
        return None
    return sum(usage["input_tokens"] + usage["output_tokens"] for usage in usages if usage is not None)


def today(spec: Proposer, usage: Usage | None, then: float | None, prices: Any) -> float | None:
    """Return what a recorded call costs at today's prices, cached tokens counted; where unknown, what it cost then."""
    now = price(spec, usage, prices=prices)
    return then if now is None else now
