"""Run the items of a benchmark: choose them, limit concurrency, count, and stop before they cost too much."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from moa_graph.batch.api import BatchApi
from moa_graph.batch.in_order import in_order
from moa_graph.costs.spending_cap import SpendingCap
from moa_graph.errors import BudgetError, InputError, UnrecordedError
from moa_graph.evals.data.files import Row
from moa_graph.evals.systems import paid_calls as paid
from moa_graph.evals.systems.mixture import SystemAnswer, SystemRequest
from moa_graph.evals.systems.paid_calls import PaidReply
from moa_graph.graph.recording import UNRECORDED
from moa_graph.models.batching import active
from moa_graph.state import Usage, total_usage

Item = TypeVar("Item")
Part = TypeVar("Part")


@dataclass(frozen=True)
class RunOptions:
    """The user's options.

    Attributes:
        folder: The run's folder.
        limit: Number of items, drawn by `seed`; a higher limit includes the items of a lower one.
        ids: Run only these items.
        seed: Seed of the draw and of the order in which a judge sees the answers.
        max_cost: Start no item that may exceed this many dollars in total.
        concurrency: Items that run at once.
        intervals: Whether figures have intervals.
    """

    folder: Path
    limit: int | None = None
    ids: tuple[str, ...] = ()
    seed: int = 0
    max_cost: float | None = None
    concurrency: int = 8
    intervals: bool = True


@dataclass
class Spending:
    """Calls, dollars, tokens and seconds. `cost` is None if any price is unknown; `known_cost` sums the known ones."""

    calls: int = 0
    cost: float | None = 0.0
    known_cost: float = 0.0
    usage: Usage | None = None
    seconds: float = 0.0

    def add(self, other: SystemAnswer | PaidReply | Spending) -> None:
        """Add one call, or many."""
        self.calls += other.calls if isinstance(other, SystemAnswer | Spending) else 1
        self.cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        self.known_cost += (other.known_cost if isinstance(other, Spending) else other.cost) or 0.0
        self.usage = total_usage([self.usage, other.usage])
        self.seconds += other.seconds


@dataclass
class ItemOutcome:
    """The outcome of one item.

    Attributes:
        item: The item's name.
        rows: Rows by kind of file.
        generation: Spending on answers.
        judging: Spending on verdicts.
        failures: The reasons for missing results.
        skipped: Whether the item did not fit under the cost cap.
        answers: The number of answers.
        degraded: The reasons of each degraded answer.
        unreadable: Verdicts that could not be read, or were refused; the next run requests them again.
        drafts: The drafts of each answer.
        whole: False when a part of its cost was paid earlier, so that it says nothing about the next item's cost.
    """

    item: str
    rows: dict[str, list[Row]] = field(default_factory=dict)
    generation: Spending = field(default_factory=Spending)
    judging: Spending = field(default_factory=Spending)
    failures: list[str] = field(default_factory=list)
    skipped: bool = False
    answers: int = 0
    degraded: list[Sequence[str]] = field(default_factory=list)
    unreadable: int = 0
    drafts: list[Row] = field(default_factory=list)
    whole: bool = True

    def answered(self, answer: SystemAnswer, ask: SystemRequest) -> None:
        """Add one answer of the system. Its drafts keep their prompt."""
        self.generation.add(answer)
        asked = {"prompt": ask.turns[-1][1], "turn": ask.turn + 1, "repeat": ask.repeat}
        self.drafts += [{**asked, **draft} for draft in answer.drafts]
        if answer.error:
            self.failures.append(f"generation: {answer.error}")
        if answer.text is not None:
            self.answers += 1
            self.degraded += [answer.degraded] if answer.degraded else []

    def judged(self, judge: str, reply: PaidReply) -> bool:
        """Add one reply of a judge. Return False if the call failed, so that there is nothing to read."""
        self.judging.add(reply)
        failed = not reply.counts and reply.status != "empty"
        if failed:
            self.failures.append(f"judge {judge}: {reply.error}")
            # A refusal is recorded. Without this, no later run would ask again.
            self.unreadable += reply.status not in UNRECORDED
        return not failed

    def include(self, part: ItemOutcome) -> None:
        """Add the outcome of a part of the item's work."""
        for kind, rows in part.rows.items():
            self.rows.setdefault(kind, []).extend(rows)
        self.generation.add(part.generation)
        self.judging.add(part.judging)
        self.failures += part.failures
        self.answers += part.answers
        self.degraded += part.degraded
        self.unreadable += part.unreadable
        self.drafts += part.drafts
        self.whole = self.whole and part.whole

    @property
    def known_cost(self) -> float:
        """The sum of the known prices in dollars."""
        return self.generation.known_cost + self.judging.known_cost

    @property
    def priced(self) -> bool:
        return self.generation.cost is not None and self.judging.cost is not None


@dataclass
class _Permission:
    """One item's permission to spend, taken before its first call that is not recorded.

    An item whose calls are all recorded needs no permission. With `recorded`, permission is always refused. A refusal
    is final for the item, so that calls of it that run at once cannot reserve money after the item has ended.
    """

    cap: SpendingCap
    held: AsyncExitStack
    recorded: bool
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext
    taken: bool = False
    refused: str | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def take(self) -> None:
        # Calls of one item that run at once need one permission between them.
        async with self.lock:
            await self._take()

    async def _take(self) -> None:
        if self.refused is not None:
            raise BudgetError(self.refused)
        if self.taken:
            return
        if self.recorded:
            raise UnrecordedError("a call of it is not recorded")
        try:
            with self.waiting():
                await self.held.enter_async_context(self.cap.reserve())
        except BudgetError as error:
            self.refused = str(error)
            raise
        self.taken = True


async def at_once(done: ItemOutcome, parts: Sequence[Callable[[ItemOutcome], Awaitable[Part]]]) -> list[Part]:
    """Do independent parts of an item's work and return their results in order.

    Directly, one part follows the other. Through a Batch API they run at once, because each may take a day.

    Args:
        done: Receives the parts' outcomes in order.
        parts: Each fills in the outcome that it is given.

    Raises:
        BudgetError: A part does not fit under the cap. The others were done from recorded calls.
    """
    if active.get() is None:
        return await _in_turn(done, parts)
    outcomes = [ItemOutcome(done.item) for _ in parts]
    try:
        return await all_of(part(outcome) for part, outcome in zip(parts, outcomes, strict=True))
    finally:
        for outcome in outcomes:
            done.include(outcome)


async def _in_turn(done: ItemOutcome, parts: Sequence[Callable[[ItemOutcome], Awaitable[Part]]]) -> list[Part]:
    results: list[Part] = []
    refused: BudgetError | None = None
    for part in parts:
        try:
            results.append(await part(done))
        except BudgetError as error:
            refused = refused or error
    if refused:
        raise refused
    return results


async def all_of(work: Iterable[Awaitable[Part]]) -> list[Part]:
    """Return the results of work that runs at once. An error is raised when all of it has ended, so no call is left."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


def choose(items: Sequence[Item], name: Callable[[Item], str], options: RunOptions) -> list[Item]:
    """Return the items of `ids`, or `limit` of them drawn by the seed, in the drawn order.

    Items run in the drawn order, so that a run that is stopped by a cost cap measures a random part of the benchmark
    and not its first data set. Files are written in the benchmark's own order.

    Raises:
        InputError: An id does not exist.
    """
    if options.ids:
        known = {name(item) for item in items}
        if unknown := [wanted for wanted in options.ids if wanted not in known]:
            raise InputError(f"--ids: there is no item {', '.join(unknown[:5])}")
        items = [item for item in items if name(item) in set(options.ids)]
    places = list(range(len(items)))
    random.Random(options.seed).shuffle(places)
    return [items[place] for place in places[: options.limit]]


async def run(
    items: Sequence[Item],
    name: Callable[[Item], str],
    work: Callable[[Item, ItemOutcome], Coroutine[Any, Any, None]],
    *,
    concurrency: int,
    cap: SpendingCap,
    notify: Callable[[SpendingCap], None] | None = None,
    recorded_costs: bool = True,
    api: BatchApi | None = None,
) -> list[ItemOutcome]:
    """Return every item's outcome, in the order given. `work` fills in the outcome, so no paid result is lost at a cap.

    Under a cap, items whose calls are all recorded run first, because their cost is already spent. Any other item
    starts when it fits under the cap, and is skipped if it cannot fit any more.

    Args:
        items: The items.
        name: Returns an item's name.
        work: Does one item.
        concurrency: The number of items that run at once.
        cap: Counts what items cost.
        notify: Called with the cap after every item.
        recorded_costs: Whether an item whose calls are all recorded counts under the cap.
        api: Sends the items' requests through Batch APIs; None sends them directly. It must be running.
    """
    before: dict[str, float] = {}

    async def one(item: Item, *, recorded: bool) -> ItemOutcome | None:
        done = ItemOutcome(name(item))
        earlier = paid.EarlierCosts()
        paid.EARLIER.set(earlier)
        async with AsyncExitStack() as held:
            permission = _Permission(cap, held, recorded, api.waiting if api else nullcontext)
            paid.PERMISSION.set(permission.take)
            try:
                with api.run() if api else nullcontext():
                    await work(item, done)
            except UnrecordedError:
                # What is kept of it counts now, and no longer when the item is done.
                before[done.item] = earlier.kept
                cap.spent += earlier.kept
                return None
            except BudgetError:
                done.skipped = True
            whole = done.whole and not done.skipped and not done.failures
            if recorded_costs or permission.taken:
                cap.pay(done.known_cost if done.priced else None, least=done.known_cost, whole=whole)
            cap.spent += earlier.lost - before.pop(done.item, 0.0)
            if notify:
                notify(cap)
        return done

    async def through(some: Sequence[Item], *, recorded: bool) -> dict[str, ItemOutcome]:
        async with in_order(some, partial(one, recorded=recorded), concurrency=concurrency) as results:
            return {done.item: done async for done in results if done}

    found = {} if cap.limit is None else await through(items, recorded=True)
    found |= await through([item for item in items if name(item) not in found], recorded=False)
    return [found[name(item)] for item in items]
