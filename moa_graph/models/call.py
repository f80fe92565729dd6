"""One model call: its turn at the rate limiter, its deadline, its retries, and its outcome.

This module owns all retries; every client below it has `max_retries=0`. Nothing that a provider does makes `ask` raise.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.errors import GraphBubbleUp

from moa_graph.costs.prices import cost_of
from moa_graph.mixture.price_overrides import Override
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.batching import active, call_key, of_batch
from moa_graph.models.faults.faults import Fault, judged, of_handler, own_cancellation
from moa_graph.models.faults.retries import RetryBudget, backoff
from moa_graph.models.rate_limit import RateLimiter
from moa_graph.models.reply.reply import IN_THREAD, Reply, read, read_reply
from moa_graph.models.reply.samples import choices_of, shared_usage
from moa_graph.models.reply.stream import Pieces
from moa_graph.models.streaming import Sink, call_chunks, read_stream
from moa_graph.models.traced_cost import with_traced_cost
from moa_graph.models.unobserved import MESSAGES_MODE
from moa_graph.state import COUNTED, Status, Usage, as_usage, total_usage

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.runnables import Runnable

__all__ = ["Call", "Outcome", "Sink", "Terms", "ask", "settled"]


@dataclass
class Outcome:
    """The result of one call.

    Attributes:
        status: The status of the draft or answer.
        text: The text without reasoning; what had arrived of it when the call failed.
        error: Why the call failed or its text is not whole; None otherwise.
        message: The reply as a message; None when no attempt got a reply.
        usage: Tokens of all replies; None when unknown.
        cost: Dollars; None when unknown.
        reported: Dollars as the provider stated them; None when it did not for every reply.
        billed: The usage and the stated dollars of each reply.
        fault: The fault of the last attempt.
        seconds: Duration of the call, retries included.
        first_token_seconds: Seconds until the first token of a streamed reply.
        attempts: Requests sent.
        free: True while no attempt can have been billed (refused with a 4xx, or never connected).
        started: Value of `time.perf_counter` when the call began.
        pieces: The streamed reply so far.
        choices: The further replies to a request for several.
        of_batch: Whether the reply came from a Batch API, which has a price of its own.
    """

    status: Status = "failed"
    text: str = ""
    error: str | None = None
    message: AIMessage | None = None
    usage: Usage | None = None
    cost: float | None = None
    reported: float | None = None
    billed: list[tuple[Usage | None, float | None]] = field(default_factory=list, repr=False)
    fault: Fault | None = None
    seconds: float = 0.0
    first_token_seconds: float | None = None
    attempts: int = 0
    free: bool = True
    # A lambda, because tests replace the module's `time`.
    started: float = field(default_factory=lambda: time.perf_counter())
    pieces: Pieces | None = field(default=None, repr=False)
    choices: list[Reply] = field(default_factory=list, repr=False)
    of_batch: bool = False

    @property
    def counts(self) -> bool:
        """Whether other models may see the text."""
        return self.status in COUNTED

    def begin_attempt(self) -> None:
        """Count one more request."""
        self.first_token_seconds, self.pieces, self.choices = None, None, []
        self.attempts += 1

    def first_token(self) -> None:
        """Write that the first token of a stream is there."""
        self.first_token_seconds = time.perf_counter() - self.started

    def failed(self, fault: Fault) -> None:
        """Write the fault of an attempt that got no reply."""
        self.status, self.error, self.fault, self.text = "failed", fault.reason, fault, self._partial()
        begun = self.pieces is not None and (self.pieces.chars or self.pieces.calls_begun)
        turned_down = fault.status is not None and fault.status < 500 and not begun
        self.free = self.free and (turned_down or fault.unsent)

    def answered(self, reply: Reply) -> None:
        """Write a reply, whatever its status."""
        self.status, self.text, self.error, self.fault = reply.status, reply.text, reply.error, reply.fault
        self.message, self.free = reply.message, False
        if reply.usage or reply.cost is not None or reply.text or reply.message.tool_calls:
            self.billed.append((reply.usage, reply.cost))
        usages = [usage for usage, _ in self.billed if usage]
        costs = [cost for _, cost in self.billed if cost is not None]
        # A sum over a part of the replies is not what the call used or cost.
        self.usage = total_usage(usages) if usages and len(usages) == len(self.billed) else None
        self.reported = sum(costs) if costs and len(costs) == len(self.billed) else None

    def batched(self) -> None:
        """Write that the reply came from a Batch API."""
        self.of_batch = True

    def chose(self, others: Sequence[Reply]) -> None:
        """Write the further replies to a request for several."""
        self.choices = list(others)

    def take(self, other: Outcome) -> None:
        """Become the outcome of another call, which was made for this one or in its place."""
        self.__dict__.update(other.__dict__)

    def failed_with(self, other: Outcome) -> None:
        """Write that the request which was to give this reply as well has failed. It is billed there, if at all."""
        self.status, self.error, self.fault, self.cost = other.status, other.error, other.fault, 0.0

    def expired(self, deadline: float) -> None:
        """Write that the deadline is over. What had arrived of a stream is kept as text."""
        before = f"; before that: {self.error}" if self.error else ""
        self.status, self.error = "failed", f"no answer within {deadline:.3g} s{before}"
        self.text = self._partial()

    def unsent(self, reason: str, *, status: Status = "skipped") -> None:
        """Write why no request is sent."""
        self.status, self.error = status, reason
        self.settle()

    def late(self, reason: str) -> None:
        """Write that the round ended before the call did."""
        self.status, self.error = "late", reason
        self.settle()

    def restored(self, reply: Reply, kept: Mapping[str, Any]) -> None:
        """Write a recorded reply with the status, usage, cost, seconds and attempts that it had when it came."""
        self.answered(reply)
        # The message may lack what its status was read from, such as a refusal's words.
        self.status, self.error, self.fault = kept["status"], kept["error"], None
        self.usage = as_usage(kept["usage"]) if kept["usage"] else None
        self.cost, self.seconds, self.attempts = kept["cost"], kept["seconds"], kept["attempts"]

    def cut(self, text: str, *, before: bool = False) -> None:
        """Replace the text by what is left of it without the boundaries of the prompt.

        Args:
            text: What is left.
            before: Boundaries were removed before the reply was read.
        """
        self.text = text
        counted = self.counts and not (self.message is not None and self.message.tool_calls)
        if not text and (counted or (before and self.status == "empty")):
            self.status, self.error = "empty", "the answer only repeated the prompt's boundaries"

    def settle(self) -> None:
        """Write the cost of a call without a reply: a refused request is not billed, an interrupted one may be."""
        if self.message is None:
            self.cost = 0.0 if self.free else None

    def _partial(self) -> str:
        return read(self.pieces.raw()).text if self.pieces and self.pieces.chars <= IN_THREAD else ""


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a model.

    Attributes:
        model: The chat model.
        messages: What it is sent.
        config: The config of the call's span.
        spec: The model's description, for the price of the call; None leaves the cost unknown.
        prices: The mixture's own prices.
        sink: Makes the receiver of a streamed answer, one for each attempt; None does not stream.
        on_restart: Called before each retry; the consumer must discard what it has shown.
        options: Further keyword arguments of the model's call.
        tools: Whether tools are offered, so that a reply that only calls a tool counts.
        samples: How many replies are asked for; more than 1 are not streamed.
        key: The call's key in a ledger; empty without one.
    """

    model: Runnable[LanguageModelInput, AIMessage]
    messages: list[BaseMessage]
    config: RunnableConfig
    spec: Proposer | None = None
    prices: Mapping[str, Override] | None = None
    sink: Callable[[], Sink] | None = None
    on_restart: Callable[[], None] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    tools: bool = False
    samples: int = 1
    key: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a call may take, and how often it may be sent.

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
    """Make a call. Never raises for a provider's fault. What a callback handler raises to stop the run is raised.

    When the task is cancelled, `outcome` holds what had happened by then.

    Args:
        call: The request.
        terms: The limits of time and attempts.
        outcome: Receives the result, within `terms.deadline` seconds of `outcome.started`.
    """
    work = _hedged if terms.hedge and call.sink is None else _attempts
    call_key.set(call.key)
    try:
        # A call that is repeated with a shorter prompt keeps its outcome, and so has only the time that is left.
        async with asyncio.timeout(max(outcome.started + terms.deadline - time.perf_counter(), 0.0)):
            await work(outcome, call, terms)
    except TimeoutError:
        outcome.expired(terms.deadline)
    finally:
        outcome.seconds = time.perf_counter() - outcome.started
    await settled(call, outcome)


async def settled(call: Call, outcome: Outcome) -> None:
    """Write what a call has cost."""
    if outcome.message is None:
        outcome.settle()
    elif call.spec is not None:
        outcome.cost = await cost_of(
            call.spec, outcome.usage, prices=call.prices, reported=outcome.reported, batch=outcome.of_batch
        )


async def _attempts(outcome: Outcome, call: Call, terms: Terms) -> None:
    end = outcome.started + terms.deadline
    while True:
        # Wait for a cool-down for at most a quarter of the deadline, so that the call can still finish.
        patience = terms.deadline / 4
        turn = terms.limiter.permit(order=terms.order, group=terms.group, patience=patience) if terms.limiter else None
        async with turn or nullcontext() as permit:
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


async def _attempt(outcome: Outcome, call: Call) -> Fault | None:
    """Send one request. Return its fault, or None when there is a reply that needs no other attempt."""
    if outcome.attempts and call.on_restart:
        call.on_restart()
    outcome.begin_attempt()
    try:
        named = call.spec is None or isinstance(call.spec.model, str)
        with nullcontext() if named else _silent_within():
            reply = await _reply(outcome, call)
    except GraphBubbleUp:
        raise
    except asyncio.CancelledError as exc:
        if not own_cancellation():
            outcome.free = False
            raise
        fault = judged(exc)
    except Exception as exc:  # providers' packages raise exceptions of any class
        if of_handler(exc):
            raise
        fault = judged(exc)
    else:
        outcome.answered(reply)
        # Of several replies one that counts is enough.
        return None if any(other.counts for other in outcome.choices) else reply.fault
    outcome.failed(fault)
    return fault


@contextmanager
def _silent_within() -> Iterator[None]:
    """Keep what a caller's model itself asks, such as an agent, out of the stream of messages.

    Such calls take the config of the graph's node. Their tokens would be messages beside the answer.
    """
    config = var_child_runnable_config.get() or RunnableConfig()
    manager = config.get("callbacks")
    if isinstance(manager, BaseCallbackManager) and any(map(_streams_messages, manager.handlers)):
        manager = manager.copy()
        for handlers in (manager.handlers, manager.inheritable_handlers):
            handlers[:] = [each for each in handlers if not _streams_messages(each)]
        config = {**config, "callbacks": manager}
    token = var_child_runnable_config.set(config)
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)


def _streams_messages(handler: object) -> bool:
    return type(handler).__module__ == MESSAGES_MODE


async def _reply(outcome: Outcome, call: Call) -> Reply:
    config = with_traced_cost(call.config, call.spec, call.prices)
    if call.samples > 1:
        given_all = await choices_of(call.model, call.messages, config, samples=call.samples, options=call.options)
        if active.get() is not None and any(map(of_batch, given_all)):
            outcome.batched()
        first, *others = shared_usage([await read_reply(each, tools=call.tools) for each in given_all or [None]])
        outcome.chose(others)
        return first
    if call.sink is None:
        given: object = await call.model.ainvoke(call.messages, config, **call.options)
        if active.get() is not None and of_batch(given):
            outcome.batched()
        return await read_reply(given, tools=call.tools)
    sink, outcome.pieces = call.sink(), Pieces()
    chunks = call.model.astream(call.messages, config, **call.options)
    await read_stream(chunks, outcome.pieces, sink, on_first=outcome.first_token)
    reply = await read_reply(outcome.pieces.raw(), tools=call.tools)
    sink.close()
    if reply.message.tool_calls:
        sink("", call_chunks(reply.message))
    return reply


async def _hedged(outcome: Outcome, call: Call, terms: Terms) -> None:
    """Make the call, and after `hedge` seconds without a reply a second one beside it. The first that counts wins.

    The second one is taken from the budget's hedges.
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
    outcome.take(best)
    outcome.attempts, outcome.free = sum(each.attempts for each in tries), free
