"""One paid call of a benchmark, made at most once: read from the ledger, or else sent and recorded."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig

from moa_graph.batch.api import DAY
from moa_graph.costs.ledger import Ledger
from moa_graph.costs.prices import price
from moa_graph.evals.alpaca_eval.judge import logprob, top_logprobs
from moa_graph.graph.recording import UNRECORDED
from moa_graph.mixture.price_overrides import Override
from moa_graph.mixture.proposer import Proposer
from moa_graph.models import rate_limit, registry
from moa_graph.models.batching import batched
from moa_graph.models.call import Call, Outcome, Terms, ask
from moa_graph.models.faults.retries import RetryBudget
from moa_graph.models.reply.reply import read
from moa_graph.models.secrets.keys import host
from moa_graph.state import COUNTED, Usage, as_usage

ATTEMPTS = 4

PERMISSION: ContextVar[Callable[[], Awaitable[None]] | None] = ContextVar("permission", default=None)
"""Requests permission to spend, for the current item. It is a context variable because only the code that reads the
ledger knows whether a call costs anything."""


@dataclass
class EarlierCosts:
    """What earlier runs paid for one item and the item's own figures do not show.

    Attributes:
        kept: Dollars of an answer or a verdict that exists and may be made again.
        lost: Dollars of those that were made again now.
    """

    kept: float = 0.0
    lost: float = 0.0


EARLIER: ContextVar[EarlierCosts | None] = ContextVar("earlier", default=None)
"""The current item's costs of earlier runs."""


async def allow_again(cost: float) -> None:
    """Wait until the current item may spend on something that exists, and that cost these dollars.

    Raises:
        BudgetError: As `await_permission` does.
        UnrecordedError: As `await_permission` does.
    """
    earlier = EARLIER.get() or EarlierCosts()
    earlier.kept += cost
    await await_permission()
    earlier.kept -= cost


async def replaced(ledger: Ledger, cost: float, *, item: str) -> None:
    """Note what was paid for something that has been made again."""
    if earlier := EARLIER.get():
        earlier.lost += cost
    await ledger.lose(cost, item=item)


async def await_permission() -> None:
    """Wait until the current item may spend. Call it before every call that is not recorded.

    Raises:
        BudgetError: The item does not fit under the cap.
        UnrecordedError: Only recorded calls are allowed at this time.
    """
    if request := PERMISSION.get():
        await request()


@dataclass(frozen=True)
class PaidReply:
    """A model's reply.

    Attributes:
        text: The reply's text.
        status: The status of the call.
        error: Why it failed; None if it did not.
        usage: Tokens; None if unknown.
        cost: Dollars; None if unknown.
        seconds: Wall time.
        served: The model id that the provider reports.
        top: The first token's alternatives with their log probabilities.
        reported: The cost in dollars that the provider reports.
        batch: Whether it came from a Batch API, which has a price of its own.
    """

    text: str
    status: str
    error: str | None
    usage: Usage | None
    cost: float | None
    seconds: float
    served: str
    top: list[dict[str, Any]] = field(default_factory=list)
    reported: float | None = None
    batch: bool = False

    @property
    def counts(self) -> bool:
        return self.status in COUNTED


@dataclass(frozen=True)
class Payer:
    """Calls single models for a run. Paid replies are recorded before they are used."""

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
    ) -> PaidReply:
        """Return the reply of `spec`. A provider's fault is a status, never an exception."""
        place, key = self._key(spec, messages, item, role, slot, repeat, temperature, max_tokens)
        if kept := await self.ledger.get(key):
            return self._recalled(spec, kept)
        await await_permission()
        model = registry.chat_model(spec, temperature=temperature, max_tokens=max_tokens, quiet=True)
        outcome = Outcome()
        deadline, limiter = (DAY, None) if batched(spec) else (self.deadline, rate_limit.limiter_for(spec))
        terms = Terms(deadline, RetryBudget(ATTEMPTS), ATTEMPTS, limiter)
        config: RunnableConfig = {"run_name": f"{role} {spec.label}"}
        await ask(Call(model, list(messages), config, spec, self.prices, key=key), terms, outcome)
        reply = self._reply(spec, outcome)
        if outcome.message is not None and outcome.status not in UNRECORDED:
            await self.ledger.put(key, asdict(reply), **place, cost=reply.cost, seconds=reply.seconds)
        else:
            await self.ledger.lose(reply.cost, item=item)
        return reply

    async def recorded(
        self, spec: Proposer, messages: Sequence[BaseMessage], *, item: str, role: str, slot: int = 0, repeat: int = 0
    ) -> PaidReply | None:
        """Return the recorded reply; None if there is none. Nothing is sent."""
        _, key = self._key(spec, messages, item, role, slot, repeat, None, None)
        kept = await self.ledger.get(key)
        return self._recalled(spec, kept) if kept else None

    def _key(
        self,
        spec: Proposer,
        messages: Sequence[BaseMessage],
        item: str,
        role: str,
        slot: int,
        repeat: int,
        temperature: float | None,
        max_tokens: int | None,
    ) -> tuple[dict[str, Any], str]:
        """Return a call's columns in the ledger, and its key."""
        columns: dict[str, Any] = {
            "item": item,
            "layer": 0,
            "slot": slot,
            "role": role,
            "repeat": repeat,
            "model": spec.label,
        }
        # What says nothing about one call is left out, also so that the keys of version 0.1.0 stay.
        unsent = {"model", "name", "system", "samples", "one_request", "window"}
        params = spec.model_dump(mode="json", exclude=unsent)
        params |= {"spec": spec.identity(), "host": host(spec)}
        params |= {"temperature": spec.temperature if temperature is None else temperature}
        params |= {"max_tokens": spec.max_tokens if max_tokens is None else max_tokens}
        return columns, self.ledger.call_key(**columns, params=params, messages=messages)

    def _recalled(self, spec: Proposer, kept: Mapping[str, Any]) -> PaidReply:
        """Return a recorded reply with its cost at current prices; the price may have been unknown when it was made."""
        usage = as_usage(kept["usage"]) if kept["usage"] else None
        reply = PaidReply(**{**kept, "top": _alternatives(kept["top"]), "usage": usage})
        cost = price(spec, reply.usage, prices=self.prices, reported=reply.reported, batch=reply.batch)
        return replace(reply, cost=cost)

    def _reply(self, spec: Proposer, outcome: Outcome) -> PaidReply:
        said = read(outcome.message or AIMessage(content=""))
        return PaidReply(
            text=outcome.text,
            status=outcome.status,
            error=outcome.error,
            usage=outcome.usage,
            cost=outcome.cost,
            seconds=round(outcome.seconds, 4),
            served=said.model or spec.label,
            top=_alternatives(top_logprobs({"logprobs": said.logprobs})),
            reported=outcome.reported,
            batch=outcome.of_batch,
        )


def _alternatives(top: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return tokens and log probabilities in one order of keys, so that files do not depend on the ledger."""
    read = [(str(entry.get("token")), logprob(entry)) for entry in top]
    return [{"token": token, "logprob": value} for token, value in read if value > -math.inf]
