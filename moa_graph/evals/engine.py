"""Run the items of a benchmark: choose them, limit how many run at once, count, and stop before they cost too much."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from moa_graph.batch.in_order import in_order
from moa_graph.costs.spending_cap import SpendingCap
from moa_graph.errors import BudgetError, InputError, UnrecordedError
from moa_graph.evals.data.files import Row
from moa_graph.evals.systems import paid_calls as paid
from moa_graph.evals.systems.mixture import SystemAnswer, SystemRequest
from moa_graph.evals.systems.paid_calls import PaidReply
from moa_graph.state import Usage, total_usage

Item = TypeVar("Item")


@dataclass(frozen=True)
class RunOptions:
    """What the user chose.

    Attributes:
        folder: The run's folder.
        limit: So many items, drawn by `seed`; a higher limit contains a lower one's items.
        ids: These items only.
        seed: Seed of the draw and of the order in which a judge is shown answers.
        max_cost: Begin no item that may exceed so many dollars.
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
    """Calls, dollars, tokens and seconds. `cost` is None when any price is unknown; `known_cost` sums the others."""

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
        generation: What the answers took.
        judging: What the verdicts took.
        failures: Why something is missing.
        skipped: Whether the cost cap left no room for it.
        answers: How many answers were given.
        degraded: The reasons of each degraded answer.
        unreadable: Verdicts that could not be read; running again asks for them anew.
        drafts: The drafts of each answer.
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

    def answered(self, answer: SystemAnswer, ask: SystemRequest) -> None:
        """Add one answer of the system; its drafts keep the prompt that they answer."""
        self.generation.add(answer)
        asked = {"prompt": ask.turns[-1][1], "turn": ask.turn + 1, "repeat": ask.repeat}
        self.drafts += [{**asked, **draft} for draft in answer.drafts]
        if answer.error:
            self.failures.append(f"generation: {answer.error}")
        if answer.text is not None:
            self.answers += 1
            self.degraded += [answer.degraded] if answer.degraded else []

    @property
    def known_cost(self) -> float:
        """Dollars as far as prices are known."""
        return self.generation.known_cost + self.judging.known_cost

    @property
    def priced(self) -> bool:
        return self.generation.cost is not None and self.judging.cost is not None


@dataclass
class _Leave:
    """One item's permission to spend, taken before its first call that is not recorded.

    An item whose calls are all recorded needs none. With `recorded`, none is given.
    """

    cap: SpendingCap
    held: AsyncExitStack
    recorded: bool
    taken: bool = False

    async def take(self) -> None:
        if self.taken:
            return
        if self.recorded:
            raise UnrecordedError("a call of it is not recorded")
        await self.held.enter_async_context(self.cap.reserve())
        self.taken = True


def choose(items: Sequence[Item], name: Callable[[Item], str], options: RunOptions) -> list[Item]:
    """Return the items of `ids`, or `limit` of them drawn by the seed, in the drawn order.

    The drawn order is the one in which they are run, so that a run that a cost cap ends measures a random part of the
    benchmark, not its first data set. Files are written in the benchmark's own order.

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
    tell: Callable[[ItemOutcome, SpendingCap], None] | None = None,
) -> list[ItemOutcome]:
    """Return every item's outcome, in the order given. `work` fills it in, so that nothing paid is lost at a cost cap.

    Under a cap, items whose calls are all recorded come first, because their cost is spent already. Any other item
    begins when the cap has room for it, and is skipped when there will be none.
    """

    async def one(item: Item, *, recorded: bool) -> ItemOutcome | None:
        done = ItemOutcome(name(item))
        async with AsyncExitStack() as held:
            paid.LEAVE.set(_Leave(cap, held, recorded).take)
            try:
                await work(item, done)
            except UnrecordedError:
                return None
            except BudgetError:
                done.skipped = True
            whole = not done.skipped and not done.failures
            cap.pay(done.known_cost if done.priced else None, least=done.known_cost, whole=whole)
            if tell:
                tell(done, cap)
        return done

    async def through(some: Sequence[Item], *, recorded: bool) -> dict[str, ItemOutcome]:
        async with in_order(some, partial(one, recorded=recorded), concurrency=concurrency) as results:
            return {done.item: done async for done in results if done}

    found = {} if cap.limit is None else await through(items, recorded=True)
    found |= await through([item for item in items if name(item) not in found], recorded=False)
    return [found[name(item)] for item in items]
