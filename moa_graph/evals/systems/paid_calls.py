"""One paid call of a benchmark, made once: looked up in the ledger, else asked and recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from moa_graph.costs.ledger import Ledger
from moa_graph.costs.prices import price
from moa_graph.evals.alpaca_eval.judge import top_logprobs
from moa_graph.mixture.price_overrides import Override
from moa_graph.mixture.proposer import Proposer
from moa_graph.models import rate_limit, registry
from moa_graph.models.call import Call, Outcome, Terms, ask
from moa_graph.models.reply import read
from moa_graph.models.retries import RetryBudget
from moa_graph.state import COUNTED, Usage, as_usage

ATTEMPTS = 4

LEAVE: ContextVar[Callable[[], Awaitable[None]] | None] = ContextVar("leave", default=None)
"""Asks for leave to spend, for the item under way. It stands here and not in arguments, since only the places that
look a call up in the ledger know whether anything is to be paid."""


async def leave() -> None:
    """Waits until the item under way may spend; call it before a call that is not recorded.

    Raises:
        BudgetError: it may not: the cap leaves no room.
        UnrecordedError: it may not yet.
    """
    if ask_leave := LEAVE.get():
        await ask_leave()


@dataclass(frozen=True)
class Reply:
    """What a model said. `served` is the model id that the provider names, `top` the first token's alternatives,
    `reported` the dollars that the provider itself named."""

    text: str
    status: str
    error: str | None
    usage: Usage | None
    cost: float | None
    seconds: float
    served: str
    top: list[dict[str, Any]] = field(default_factory=list)
    reported: float | None = None

    @property
    def counts(self) -> bool:
        return self.status in COUNTED


@dataclass(frozen=True)
class Payer:
    """Asks single models for a run. Replies that were paid for are recorded before they are used."""

    ledger: Ledger
    deadline: float = 120.0
    prices: Mapping[str, Override] = field(default_factory=dict)

    async def ask(
        self,
        spec: Proposer,
        messages: Sequence[BaseMessage],
        *,
        item: str,
        role: str,
        slot: int = 0,
        repeat: int = 0,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> Reply:
        """The reply of `spec`; a provider's fault is a status, never an exception."""
        place: dict[str, Any] = {
            "item": item,
            "layer": 0,
            "slot": slot,
            "role": role,
            "repeat": repeat,
            "model": spec.label,
        }
        params = spec.model_dump(mode="json", exclude={"model", "name", "system", "samples", "window"})
        params |= {"temperature": spec.temperature if temperature is None else temperature}
        params |= {"max_tokens": spec.max_tokens if max_tokens is None else max_tokens}
        key = self.ledger.call_key(**place, params=params, messages=messages)
        if kept := await self.ledger.get(key):
            return self._recalled(spec, kept)
        await leave()
        model = registry.chat_model(spec, temperature=temperature, max_tokens=max_tokens, quiet=True)
        outcome = Outcome()
        terms = Terms(self.deadline, RetryBudget(ATTEMPTS), ATTEMPTS, rate_limit.limiter_for(spec))
        await ask(Call(model, list(messages), {"run_name": f"{role} {spec.label}"}), terms, outcome)
        reply = self._reply(spec, outcome)
        if outcome.message is not None and outcome.status not in ("empty", "failed"):
            await self.ledger.put(key, asdict(reply), **place, cost=reply.cost, seconds=reply.seconds)
        return reply

    def _recalled(self, spec: Proposer, kept: Mapping[str, Any]) -> Reply:
        """A recorded reply. Its cost is that of today's prices: they may not have been known when it was recorded."""
        usage = as_usage(kept["usage"]) if kept["usage"] else None
        reply = Reply(**{**kept, "top": _alternatives(kept["top"]), "usage": usage})
        return replace(reply, cost=self._cost(spec, reply.usage, reply.reported))

    def _cost(self, spec: Proposer, usage: Usage | None, reported: float | None) -> float | None:
        return price(spec, usage, prices=self.prices, reported=reported)

    def _reply(self, spec: Proposer, outcome: Outcome) -> Reply:
        said = read(outcome.message or AIMessage(content=""))
        free = outcome.message is None and outcome.free
        dollars = 0.0 if free else self._cost(spec, outcome.usage, outcome.reported)
        return Reply(
            text=outcome.text,
            status=outcome.status,
            error=outcome.error,
            usage=outcome.usage,
            cost=dollars,
            seconds=round(outcome.seconds, 4),
            served=said.model or spec.label,
            top=_alternatives(top_logprobs({"logprobs": said.logprobs})),
            reported=outcome.reported,
        )


def _alternatives(top: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tokens and log probabilities, in one order of keys: new or from the ledger, files hold the same bytes."""
    return [{"token": str(entry["token"]), "logprob": float(entry["logprob"])} for entry in top]
