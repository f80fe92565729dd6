"""Items through a benchmark: chosen, bounded, counted, and stopped before they cost too much."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from moa_graph.batch.in_order import in_order
from moa_graph.costs.spending_cap import Purse
from moa_graph.errors import BudgetError, InputError, UnrecordedError
from moa_graph.evals.data.files import Row
from moa_graph.evals.systems import paid_calls as paid
from moa_graph.evals.systems.mixture import Answer
from moa_graph.evals.systems.paid_calls import Reply
from moa_graph.state import Usage, total_usage

Item = TypeVar("Item")


@dataclass(frozen=True)
class Options:
    """What the user chose. `limit` items are a draw by `seed`; a higher limit contains a lower one's items."""

    folder: Path
    limit: int | None = None
    ids: tuple[str, ...] = ()
    seed: int = 0
    max_cost: float | None = None
    concurrency: int = 8
    resamples: int = 500


@dataclass
class Spent:
    """What calls took. `cost` is None as soon as one price is unknown, `known_cost` the sum of the others."""

    calls: int = 0
    cost: float | None = 0.0
    known_cost: float = 0.0
    usage: Usage | None = None
    seconds: float = 0.0

    def add(self, other: Answer | Reply | Spent) -> None:
        """Add one call, or many."""
        self.calls += other.calls if isinstance(other, Answer | Spent) else 1
        self.cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        self.known_cost += (other.known_cost if isinstance(other, Spent) else other.cost) or 0.0
        self.usage = total_usage([self.usage, other.usage])
        self.seconds += other.seconds


@dataclass
class Done:
    """What became of one item: rows by file, what it took, why something is missing, how many answers were given, and
    for each that is less than it was meant to be the reasons."""

    item: str
    rows: dict[str, list[Row]] = field(default_factory=dict)
    generation: Spent = field(default_factory=Spent)
    judging: Spent = field(default_factory=Spent)
    failures: list[str] = field(default_factory=list)
    skipped: bool = False
    answers: int = 0
    degraded: list[Sequence[str]] = field(default_factory=list)

    def answered(self, answer: Answer) -> None:
        """Note what the system said."""
        self.generation.add(answer)
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
    """One item's leave to spend. It is taken when the first call that is not recorded comes up, so that an item whose
    calls are all recorded needs none. `recorded`: none is given."""

    purse: Purse
    held: AsyncExitStack
    recorded: bool
    taken: bool = False

    async def take(self) -> None:
        if self.taken:
            return
        if self.recorded:
            raise UnrecordedError("a call of it is not recorded")
        await self.held.enter_async_context(self.purse.room())
        self.taken = True


def choose(items: Sequence[Item], name: Callable[[Item], str], options: Options) -> list[Item]:
    """The items of `ids`, or `limit` of them drawn by the seed, in the benchmark's own order.

    Raises InputError naming ids that do not exist.
    """
    if options.ids:
        known = {name(item) for item in items}
        if unknown := [wanted for wanted in options.ids if wanted not in known]:
            raise InputError(f"--ids: there is no item {', '.join(unknown[:5])}")
        items = [item for item in items if name(item) in set(options.ids)]
    if options.limit is None or options.limit >= len(items):
        return list(items)
    places = list(range(len(items)))
    random.Random(options.seed).shuffle(places)
    return [items[place] for place in sorted(places[: options.limit])]


async def run(
    items: Sequence[Item],
    name: Callable[[Item], str],
    work: Callable[[Item, Done], Coroutine[Any, Any, None]],
    *,
    concurrency: int,
    purse: Purse,
    tell: Callable[[Done, Purse], None] | None = None,
) -> list[Done]:
    """Every item's outcome in order. `work` fills it in, so that what was had before the budget ended is kept.

    Under a limit, items that are wholly recorded come first: what they cost is spent already. Any other item begins
    when there is room for it, and is skipped when none will come.
    """

    async def one(item: Item, *, recorded: bool) -> Done | None:
        done = Done(name(item))
        async with AsyncExitStack() as held:
            paid.LEAVE.set(_Leave(purse, held, recorded).take)
            try:
                await work(item, done)
            except UnrecordedError:
                return None
            except BudgetError:
                done.skipped = True
            whole = not done.skipped and not done.failures
            purse.pay(done.known_cost if done.priced else None, least=done.known_cost, whole=whole)
            if tell:
                tell(done, purse)
        return done

    async def through(some: Sequence[Item], *, recorded: bool) -> dict[str, Done]:
        async with in_order(some, partial(one, recorded=recorded), concurrency=concurrency) as results:
            return {done.item: done async for done in results if done}

    found = {} if purse.limit is None else await through(items, recorded=True)
    found |= await through([item for item in items if name(item) not in found], recorded=False)
    return [found[name(item)] for item in items]
