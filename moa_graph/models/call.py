"""One model call: its turn, its deadline, its retries, and what its answer amounts to.

This is the one owner of retries; every client below it has `max_retries=0`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import ToolCallChunk
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp

from moa_graph.models.answer import broken, judge, reported_cost, usage_of
from moa_graph.models.faults import Fault, judged, own_cancellation
from moa_graph.models.rate_limit import Permit, RateLimiter
from moa_graph.models.retries import RetryBudget, backoff
from moa_graph.state import COUNTED, Status, Usage

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.runnables import Runnable

__all__ = ["Call", "Outcome", "Sink", "Terms", "ask"]


class Sink(Protocol):
    """Who is told of an answer piece by piece: its text, and the pieces of tool calls in it."""

    def __call__(self, text: str, calls: list[ToolCallChunk]) -> None: ...
    def close(self) -> None:
        """The answer is whole."""


_BROKEN = Fault("connection", True, None, None, "the stream ended before the answer did")


@dataclass
class Outcome:
    """What became of one call. `message` is there when a model answered, whatever it said.

    `fault` is the last failed request's; `free` says that every request was turned down or never got there, so
    none is billed.
    """

    status: Status = "failed"
    text: str = ""
    error: str | None = None
    message: AIMessage | None = None
    usage: Usage | None = None
    cost: float | None = None
    reported: float | None = None
    fault: Fault | None = None
    seconds: float = 0.0
    first_token_seconds: float | None = None
    attempts: int = 0
    free: bool = True
    started: float = field(default_factory=time.perf_counter)

    @property
    def counts(self) -> bool:
        return self.status in COUNTED

    def failed(self, fault: Fault) -> None:
        """Note a failed request."""
        self.status, self.error, self.fault = "failed", fault.reason, fault
        turned_down = fault.status is not None and fault.status < 500
        self.free = self.free and (turned_down or fault.unsent)

    def answered(self, message: AIMessage, *, tools: bool = False) -> None:
        """Note an answer, whatever it amounts to; `tools` says that tools were offered."""
        self.message, self.usage, self.reported = message, usage_of(message), reported_cost(message)
        self.status, self.text, self.error = judge(message, tools=tools)
        self.fault, self.free = None, False


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of whom. With a `sink` the answer is streamed, to a new sink each time the call is sent;
    `on_restart` is told when it is sent anew, so that pieces handed out before are void."""

    model: Runnable[LanguageModelInput, AIMessage]
    messages: list[BaseMessage]
    config: RunnableConfig
    sink: Callable[[], Sink] | None = None
    on_restart: Callable[[], None] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    tools: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """How long and how often.

    Attributes:
        deadline: Seconds for the whole call, retries included.
        budget: Retries and hedges that may still be sent.
        max_attempts: Requests at most, the first included.
        limiter: The model's rate limiter; None for a model in this process.
        order: The run's start time; earlier runs go first.
        group: Calls of one group go together where the limiter's order leaves a choice.
        hedge: Seconds after which a second request is sent beside a silent one.
    """

    deadline: float
    budget: RetryBudget
    max_attempts: int = 3
    limiter: RateLimiter | None = None
    order: float = 0.0
    group: str = ""
    hedge: float | None = None


async def ask(call: Call, terms: Terms, outcome: Outcome) -> None:
    """Fill in `outcome` within `terms.deadline` seconds of its start; never raises for a provider's fault.

    When cancelled, `outcome` tells what had happened by then.
    """
    work = _hedged if terms.hedge and call.sink is None else _attempts
    try:
        # A call that is repeated with a shorter prompt goes on with its outcome, and so with what is left of its time.
        async with asyncio.timeout(max(outcome.started + terms.deadline - time.perf_counter(), 0.0)):
            await work(outcome, call, terms)
    except TimeoutError:
        before = f"; before that: {outcome.error}" if outcome.error else ""
        outcome.status = "failed"
        outcome.error = f"no answer within {terms.deadline:.3g} s{before}"
    finally:
        outcome.seconds = time.perf_counter() - outcome.started


async def _attempts(outcome: Outcome, call: Call, terms: Terms) -> None:
    end = outcome.started + terms.deadline
    while True:
        async with _turn(terms) as permit:
            fault = await _attempt(outcome, call)
            if permit and fault and fault.kind == "rate_limit":
                permit.refused(fault.retry_after)
            elif permit and not fault:
                permit.succeeded()
        if fault is None or not fault.retryable or outcome.attempts >= terms.max_attempts:
            return
        wait = backoff(outcome.attempts, fault)
        if time.perf_counter() + wait >= end or not terms.budget.take():
            return
        await asyncio.sleep(wait)


def _turn(terms: Terms) -> AbstractAsyncContextManager[Permit | None]:
    if terms.limiter is None:
        return nullcontext()
    # Wait for a cool-down for at most a quarter of the deadline, so that the call can still finish.
    return terms.limiter.permit(order=terms.order, group=terms.group, patience=terms.deadline / 4)


async def _attempt(outcome: Outcome, call: Call) -> Fault | None:
    """One request; its fault, or None when the model answered."""
    if outcome.attempts and call.on_restart:
        call.on_restart()
    outcome.first_token_seconds = None
    outcome.attempts += 1
    try:
        message = await _answer(outcome, call)
    except GraphBubbleUp:
        raise
    except asyncio.CancelledError as exc:
        if not own_cancellation():
            outcome.free = False
            raise
        fault = judged(exc)
    except Exception as exc:  # whatever class a provider's fault has, it ends as data
        fault = judged(exc)
    else:
        if not broken(message):
            outcome.answered(message, tools=call.tools)
            return None
        fault = _BROKEN
    outcome.failed(fault)
    return fault


async def _answer(outcome: Outcome, call: Call) -> AIMessage:
    if call.sink is None:
        return await call.model.ainvoke(call.messages, call.config, **call.options)
    sink = call.sink()
    whole: AIMessageChunk | None = None
    async for chunk in call.model.astream(call.messages, call.config, **call.options):
        text, calls = str(chunk.text), getattr(chunk, "tool_call_chunks", [])
        if text or calls:
            if outcome.first_token_seconds is None:
                outcome.first_token_seconds = time.perf_counter() - outcome.started
            sink(text, calls)
        if isinstance(chunk, AIMessageChunk):
            whole = chunk if whole is None else whole + chunk
    sink.close()
    return whole or AIMessage(content="")


async def _hedged(outcome: Outcome, call: Call, terms: Terms) -> None:
    """The call, and after `hedge` silent seconds a second one beside it; the first that counts wins.

    The second is taken from the budget's hedges.
    """
    tries = [Outcome(started=outcome.started)]
    tasks = {asyncio.ensure_future(_attempts(tries[0], call, terms))}
    try:
        done, waiting = await asyncio.wait(tasks, timeout=terms.hedge)
        if not done and terms.budget.take_hedge():
            tries.append(Outcome(started=outcome.started))
            waiting.add(asyncio.ensure_future(_attempts(tries[1], call, terms)))
            tasks |= waiting
        while waiting and not any(each.counts for each in tries):
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        _take_best(outcome, tries)
    for task in tasks:
        if not task.cancelled():
            task.result()


def _take_best(outcome: Outcome, tries: list[Outcome]) -> None:
    best = max(tries, key=lambda each: (each.counts, each.message is not None, each.error is not None))
    free = all(each.free for each in tries)
    outcome.__dict__.update(best.__dict__)
    outcome.attempts, outcome.free = sum(each.attempts for each in tries), free
