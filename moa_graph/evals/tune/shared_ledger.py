"""One ledger for all runs: a draft is known by what was sent and by its number, not by who asked for it.

Sampling asks every model for its drafts 0, 1, 2 ... on a prompt. A candidate's graph asks for "slot 3 of layer 1". The
current `Draw` says which draft stands in that slot, so the graph finds it in the ledger, and only new calls are
paid for. Prompt files, run folders and candidates do not enter the keys, so all of them share the drafts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from moa_graph.costs.ledger import Ledger
from moa_graph.evals.systems.paid_calls import await_permission
from moa_graph.evals.tune.pool import identity_of
from moa_graph.mixture.mixture import Mixture
from moa_graph.state import Usage, as_usage

__all__ = ["Draw", "PaidCall", "SharedLedger", "Trace", "prompt_key", "traced", "tracing"]

SCOPE = "tune"
_DRAFT = "proposer"
_OPEN, _LOST = "open", "lost"
_SPENT = "SELECT total(cost) FROM calls WHERE run = ? AND role != 'open'"
_UNDER_WAY = """
    SELECT sent.call, coalesce((SELECT max(paid.cost) FROM calls paid
                                WHERE paid.run = sent.run AND paid.model = sent.model
                                AND paid.role NOT IN ('open', 'lost')), sent.cost)
    FROM (SELECT run, model, cost, substr(key, length('open:') + 1) AS call FROM calls
          WHERE run = ? AND role = 'open') sent
    WHERE NOT EXISTS (SELECT 1 FROM calls lost WHERE lost.key = 'lost:' || sent.call)
    AND NOT EXISTS (SELECT 1 FROM calls paid WHERE paid.key = substr(sent.call, ?))
"""
"""The calls that were sent, are not recorded, and were not counted before, with what each may have cost.

A call is its process and its key. No time is compared: a clock may be set back between two runs.
"""


@dataclass(frozen=True)
class Draw:
    """Which draft of its model stands in each slot of a mixture.

    Attributes:
        numbers: The draft's number by (layer, slot).
    """

    numbers: Mapping[tuple[int, int], int]

    @classmethod
    def of(cls, mixture: Mixture, order: Mapping[str, Sequence[int]] | None = None) -> Draw:
        """Return the draw in which every slot of a model has another of its drafts.

        Args:
            mixture: The mixture, with its own combiner.
            order: The order in which a model's drafts are dealt, by `identity_of`; 0, 1, 2 ... by default.
        """
        specs = mixture.plan.specs
        rounds, _ = mixture.run_rounds(mixture.total_layers, mixture.combine)
        used: Counter[str] = Counter()
        numbers: dict[tuple[int, int], int] = {}
        for layer, names in enumerate(rounds, start=1):
            for slot, name in enumerate(names):
                who = identity_of(specs[name])
                dealt = (order or {}).get(who, ())
                numbers[layer, slot] = dealt[used[who]] if used[who] < len(dealt) else used[who]
                used[who] += 1
        return cls(numbers)


@dataclass(frozen=True)
class PaidCall:
    """A call that an answer took.

    Attributes:
        layer: The layer, from 1.
        role: The role of the call, such as `aggregator`.
        model: The model.
        seconds: How long the call took.
        cost: Dollars when it was paid for; None when unknown.
        usage: Its tokens; None when unknown.
        new: Whether it was paid for now, and not found in the ledger.
    """

    layer: int
    role: str
    model: str
    seconds: float
    cost: float | None
    usage: Usage | None
    new: bool

    @property
    def is_draft(self) -> bool:
        """Whether it is one of the drafts that every candidate shares."""
        return self.layer == 1 and self.role == _DRAFT


@dataclass
class Trace:
    """The calls that were made or found while this trace was current."""

    calls: list[PaidCall] = field(default_factory=list)

    @property
    def new(self) -> list[PaidCall]:
        """The calls that were paid for now."""
        return [call for call in self.calls if call.new]

    @property
    def seconds(self) -> float:
        """Seconds of the slowest call of every step, added up: what an answer takes when nothing waits for a limit."""
        steps: dict[tuple[int, str], float] = {}
        for call in self.calls:
            place = (call.layer, call.role)
            steps[place] = max(steps.get(place, 0.0), call.seconds)
        return math.fsum(steps.values())


@dataclass(frozen=True)
class _Place:
    layer: int
    role: str
    model: str


_DRAW: ContextVar[Draw | None] = ContextVar("draw", default=None)
_TRACES: ContextVar[tuple[Trace, ...]] = ContextVar("traces", default=())


@contextmanager
def tracing() -> Iterator[Trace]:
    """Note the calls that are made inside, tasks that are started inside included."""
    trace = Trace()
    token = _TRACES.set((*_TRACES.get(), trace))
    try:
        yield trace
    finally:
        _TRACES.reset(token)


@contextmanager
def traced(draw: Draw) -> Iterator[Trace]:
    """Note the calls of a graph that runs inside and finds the drafts of `draw`."""
    token = _DRAW.set(draw)
    try:
        with tracing() as trace:
            yield trace
    finally:
        _DRAW.reset(token)


def prompt_key(turns: Sequence[tuple[str, str]]) -> str:
    """Return a name for a conversation that is the same in every prompt file."""
    return hashlib.sha256(json.dumps(list(map(list, turns))).encode()).hexdigest()[:24]


class SharedLedger(Ledger):
    """A ledger whose keys are the calls' contents. `run` only says who paid for a row.

    Attributes:
        expected: Dollars that a call is expected to cost, by model. With it, every call is noted before it is sent, so
            that calls that were under way when the process was killed count as spent: a provider may bill them.
    """

    def __init__(self, path: str | PathLike[str], *, run: str) -> None:
        super().__init__(path, run=run, scope=SCOPE)
        self.expected: Mapping[str, float] = {}
        self._places: dict[str, _Place] = {}
        self._process = uuid.uuid4().hex

    def call_key(
        self,
        *,
        item: str,
        layer: int,
        slot: int,
        role: str,
        repeat: int,
        model: str,
        params: Mapping[str, Any],
        messages: Sequence[Any],
    ) -> str:
        """Return the key of a call: a draft's number replaces its layer and slot, and `item` does not count."""
        draw = _DRAW.get()
        number = draw.numbers.get((layer, slot), slot) if draw and role == _DRAFT else slot
        key = super().call_key(
            item="", layer=0, slot=number, role=role, repeat=repeat, model=model, params=params, messages=messages
        )
        self._places[key] = _Place(layer, role, model)
        return key

    async def get(self, key: str, *, wait: float = math.inf) -> dict[str, Any] | None:
        """Return the recorded call. A graph that does not find one asks for permission to spend before it pays.

        Raises:
            BudgetError: The cap leaves no room.
            UnrecordedError: Only recorded calls are allowed now.
        """
        value = await super().get(key, wait=wait)
        if value is not None:
            self._note(key, value, new=False)
            return value
        if _DRAW.get() is not None:
            await await_permission()
        place = self._places.get(key)
        if self.expected and place is not None and place.role != "refusal":
            await self._open(key, place.model)
        return None

    async def _open(self, key: str, model: str) -> None:
        """Note that a call is about to be sent."""
        cost = self.expected.get(model, max(self.expected.values()))
        await super().put(f"{_OPEN}:{self._process}:{key}", {}, role=_OPEN, model=model, cost=cost)

    async def spent(self) -> float:
        """Return the dollars of this run so far. Calls that a killed process left under way count as spent, once.

        Each counts as much as the most expensive recorded call of its model.
        """
        await self._count(await self._under_way())
        return float((await self._worker.run(lambda: self._rows.one(_SPENT, self.run)))[0])

    async def finish(self) -> None:
        """Note that no call of this process is under way."""
        if self.expected:
            await self._count([(call, 0.0) for call, _ in await self._under_way() if call.startswith(self._process)])

    async def _under_way(self) -> list[tuple[str, float]]:
        start = len(f"{self._process}:") + 1
        return await self._worker.run(lambda: self._rows.all(_UNDER_WAY, self.run, start))

    async def _count(self, calls: Sequence[tuple[str, float]]) -> None:
        """Note what calls that were not recorded count as spent, once and for all."""
        await asyncio.gather(
            *(super(SharedLedger, self).put(f"{_LOST}:{call}", {}, role=_LOST, cost=cost) for call, cost in calls)
        )

    async def put(self, key: str, value: Mapping[str, Any], **columns: Any) -> None:
        """Record a call and note it in the current traces."""
        self._note(key, value, new=True)
        await super().put(key, value, **columns)

    def _note(self, key: str, value: Mapping[str, Any], *, new: bool) -> None:
        place = self._places.pop(key, None)
        if place is None or "usage" not in value:
            return
        usage = as_usage(value["usage"]) if value["usage"] else None
        call = PaidCall(place.layer, place.role, place.model, value["seconds"], value["cost"], usage, new)
        for trace in _TRACES.get():
            trace.calls.append(call)
