"""Items through a benchmark: chosen, bounded, metered, and stopped before they cost too much."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from moa_graph.errors import ConfigError, InputError
from moa_graph.evals.files import Row
from moa_graph.evals.paid import Reply
from moa_graph.evals.systems import Answer
from moa_graph.runner import in_order
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
    """What became of one item: rows by file, what it took, and why something is missing."""

    item: str
    rows: dict[str, list[Row]] = field(default_factory=dict)
    generation: Spent = field(default_factory=Spent)
    judging: Spent = field(default_factory=Spent)
    failures: list[str] = field(default_factory=list)
    skipped: bool = False

    @property
    def known_cost(self) -> float:
        """Dollars as far as prices are known."""
        return self.generation.known_cost + self.judging.known_cost

    @property
    def priced(self) -> bool:
        return self.generation.cost is not None and self.judging.cost is not None


@dataclass
class Meter:
    """Money spent so far, and whether the next item may begin.

    An item reserves the most that any item has cost yet, so items under way together stay below the cap.
    """

    max_cost: float | None
    expected: float = 0.0
    spent: float = 0.0
    unknown: int = 0
    running: int = 0

    def begin(self) -> bool:
        """Reserve for one item; False when the cap leaves no room."""
        if self.max_cost is not None and self.spent + (self.running + 1) * self.expected > self.max_cost:
            return False
        self.running += 1
        return True

    def end(self, cost: float, *, priced: bool = True) -> None:
        """Book an item. Raises ConfigError when there is a cap and a price of it is unknown."""
        self.running -= 1
        self.spent += cost
        self.expected = max(self.expected, cost)
        if not priced:
            self.unknown += 1
            if self.max_cost is not None:
                raise ConfigError("--max-cost: a model's price is unknown. Give `prices` in the mixture, or no cap.")


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
    work: Callable[[Item], Coroutine[Any, Any, Done]],
    *,
    concurrency: int,
    meter: Meter,
    tell: Callable[[Done, Meter], None] | None = None,
) -> list[Done]:
    """Every item's outcome in order; an item that no longer fits the budget is skipped."""

    async def one(item: Item) -> Done:
        if not meter.begin():
            return Done(name(item), skipped=True)
        try:
            done = await work(item)
        except BaseException:
            meter.end(0.0)
            raise
        meter.end(done.known_cost, priced=done.priced)
        if tell:
            tell(done, meter)
        return done

    async with in_order(items, one, concurrency=concurrency) as results:
        return [done async for done in results]
