"""One model call: its turn at the rate limiter, its deadline, its retries, and its outcome.

This module owns all retries; every client below it has `max_retries=0`. Nothing that a provider does makes `ask` raise.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp

from moa_graph.models.faults import STREAM_CUT, Fault, ProviderError, judged, own_cancellation
from moa_graph.models.rate_limit import Permit, RateLimiter
from moa_graph.models.reply import Reply, read
from moa_graph.models.reply_stream import Pieces
from moa_graph.models.retries import RetryBudget, backoff
from moa_graph.state import COUNTED, Status, Usage, total_usage

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.runnables import Runnable

__all__ = ["Call", "Outcome", "Sink", "Terms", "ask"]

_AFTER_FINISH = 2.0
"""Seconds to wait for the end of a stream after its finish reason: only the usage may still come."""

_SLICE = 0.004
"""Seconds of work on a stream after which other tasks get their turn."""

_PIECE = 2**15
"""Characters that are handled at once: longer pieces let the event loop run in between."""

_IN_THREAD = 2**17
"""Characters from which on a reply is read in a thread."""


class Sink(Protocol):
    """Receives an answer piece by piece."""

    def __call__(self, text: str, calls: list[ToolCallChunk]) -> None:
        """Take a piece of text, or tool calls, which come whole."""

    def close(self) -> None:
        """The text is complete."""


@dataclass
class Outcome:
    """What became of one call. Only `answered`, `failed` and `expired` write it.

    Attributes:
        message: the reply as a message; None when no attempt got a reply.
        usage: tokens of all replies.
        cost: dollars, written by the caller, who knows the prices.
        reported: dollars as the provider stated them.
        fault: the fault of the last attempt.
        free: True while no attempt can have been billed (refused with a 4xx, or never connected).
        started: value of `time.perf_counter` when the call began.
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
    pieces: Pieces | None = field(default=None, repr=False)

    @property
    def counts(self) -> bool:
        """Whether other models may see the text."""
        return self.status in COUNTED

    def failed(self, fault: Fault) -> None:
        """Note an attempt that got no reply."""
        self.status, self.error, self.fault, self.text = "failed", fault.reason, fault, self._partial()
        turned_down = fault.status is not None and fault.status < 500
        self.free = self.free and (turned_down or fault.unsent)

    def answered(self, reply: Reply) -> None:
        """Note a reply, whatever it amounts to."""
        self.status, self.text, self.error, self.fault = reply.status, reply.text, reply.error, reply.fault
        self.message, self.free = reply.message, False
        self.usage = total_usage([self.usage, reply.usage]) if self.usage and reply.usage else reply.usage or self.usage
        if reply.cost is not None:
            self.reported = reply.cost + (self.reported or 0.0)

    def expired(self, deadline: float) -> None:
        """Note that the time is over. What had arrived of a stream is kept as text."""
        before = f"; before that: {self.error}" if self.error else ""
        self.status, self.error = "failed", f"no answer within {deadline:.3g} s{before}"
        self.text = self._partial()

    def _partial(self) -> str:
        return read(self.pieces.raw()).text if self.pieces and self.pieces.chars <= _IN_THREAD else ""


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a model.

    Attributes:
        sink: makes the receiver of a streamed answer, one for each attempt; None: do not stream.
        on_restart: called before each retry; the consumer must discard what it has shown.
        options: further keyword arguments of the model's call.
        tools: whether tools are offered, so that a reply that only calls a tool counts.
    """

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

    When the task is cancelled, `outcome` tells what had happened by then.
    """
    work = _hedged if terms.hedge and call.sink is None else _attempts
    try:
        # A call that is repeated with a shorter prompt goes on with its outcome, and so with what is left of its time.
        async with asyncio.timeout(max(outcome.started + terms.deadline - time.perf_counter(), 0.0)):
            await work(outcome, call, terms)
    except TimeoutError:
        outcome.expired(terms.deadline)
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
    """Send one request. Return its fault, or None when there is a reply that needs no other attempt."""
    if outcome.attempts and call.on_restart:
        call.on_restart()
    outcome.first_token_seconds, outcome.pieces = None, None
    outcome.attempts += 1
    try:
        reply = await _reply(outcome, call)
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
        outcome.answered(reply)
        return reply.fault
    outcome.failed(fault)
    return fault


async def _reply(outcome: Outcome, call: Call) -> Reply:
    if call.sink is None:
        message = await call.model.ainvoke(call.messages, call.config, **call.options)
        return await _read(message, call.tools)
    sink, pieces = call.sink(), Pieces()
    outcome.pieces = pieces
    try:
        paused = time.perf_counter()
        async for piece in _pieces(call, pieces):
            if time.perf_counter() - paused > _SLICE:
                # Thousands of events that arrived in one read must not hold up the event loop.
                await asyncio.sleep(0)
                paused = time.perf_counter()
            if outcome.first_token_seconds is None and (piece or pieces.calls_begun):
                outcome.first_token_seconds = time.perf_counter() - outcome.started
            for start in range(0, len(piece), _PIECE):
                sink(piece[start : start + _PIECE], [])
                if start:
                    await asyncio.sleep(0)
    except GraphBubbleUp:
        raise
    except Exception:
        # What breaks after the finish reason takes nothing from the answer.
        if not pieces.ended:
            raise
    if pieces.broken:
        raise ProviderError(STREAM_CUT)
    reply = await _read(pieces.raw(), call.tools)
    sink.close()
    if reply.message.tool_calls:
        sink("", _chunks(reply.message))
    return reply


async def _pieces(call: Call, pieces: Pieces) -> AsyncIterator[str]:
    """Yield the texts of a stream, and end soon after its finish reason even when the server does not."""
    chunks: Any = call.model.astream(call.messages, call.config, **call.options)
    async with aclosing(chunks):
        while True:
            try:
                async with asyncio.timeout(_AFTER_FINISH if pieces.ended else None):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            yield pieces.add(chunk)


async def _read(given: object, tools: bool) -> Reply:
    content = getattr(given, "content", "")
    size = len(content) if isinstance(content, str) else sum(len(str(block)) for block in content or ())
    return await asyncio.to_thread(read, given, tools=tools) if size > _IN_THREAD else read(given, tools=tools)


def _chunks(message: AIMessage) -> list[ToolCallChunk]:
    """Return the tool calls as pieces, each complete, so that arguments that were cut off are never passed on."""
    return [
        tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=place)
        for place, call in enumerate(message.tool_calls)
    ]


async def _hedged(outcome: Outcome, call: Call, terms: Terms) -> None:
    """Make the call, and after `hedge` silent seconds a second one beside it; the first that counts wins.

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
