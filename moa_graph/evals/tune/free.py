"""Candidates whose answer is one of the drafts: computed from the samples, without a graph and without a call.

Every function repeats exactly what the combiner of that name does in the graph; a test compares them. With several
drafts of each model a candidate is scored on several draws of them, the same draws for all candidates, and its score on
a prompt is the mean: less of it is luck.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from moa_graph.evals.tune.samples import Floats, Ints, Samples, known_mean
from moa_graph.graph.combine.vote import ahead

__all__ = ["Draws", "FreeOutcome", "adaptive", "alone", "deal", "escalated", "medoids", "voted", "votes"]

DRAWS = 16
"""About how many draws candidates are scored on."""
MEDOID_DRAWS = 8
"""Most draws on which medoids are computed: comparing texts is slower than counting answers."""
_Number = TypeVar("_Number", np.float64, np.int64)


@dataclass(frozen=True)
class FreeOutcome:
    """A candidate's result on every prompt.

    Attributes:
        scores: Mean score, 0 to 1, shape (prompts,); nan where a draft that was chosen has no grade.
        cost: Mean dollars of an answer; None when a price is unknown.
        tokens: Mean tokens of an answer; None when unknown.
        calls: Mean calls of an answer.
        seconds: Mean seconds of the slowest draft; of calls that follow each other, their sum.
        first: The (model, draft) that is the answer in the first draw, shape (prompts, 2).
    """

    scores: Floats
    cost: float | None
    tokens: float | None
    calls: float
    seconds: float
    first: Ints


@dataclass(frozen=True)
class Draws:
    """The same random order of every model's drafts for all candidates, shape (draws, models, prompts, depth).

    The first draw deals the drafts in order, as the graph does by default.
    """

    orders: Ints

    def slots(self, members: Sequence[int]) -> Ints:
        """Return the draft number in each slot, shape (draws, prompts, slots)."""
        used: Counter[int] = Counter()
        found = []
        for member in members:
            found.append(self.orders[:, member, :, used[member]])
            used[member] += 1
        return np.stack(found, axis=-1)


def deal(samples: Samples, *, seed: int = 0) -> Draws:
    """Return random orders of every model's drafts. Each draft takes each slot equally often.

    Orders come in groups: a random one and its rotations. Scores depend less on chance than with independent orders.
    A model with more drafts than `DRAWS` uses only some of them.
    """
    models, prompts, depth = len(samples.models), len(samples.prompts), samples.depth
    rng = np.random.default_rng(seed)
    orders = np.tile(np.arange(depth), (_balanced(depth, DRAWS), models, prompts, 1))
    for model, count in enumerate(samples.counts):
        order = orders[0, model, :, :count]
        for draw in range(1, len(orders)):
            if draw % count == 0:
                order = rng.random((prompts, count)).argsort(axis=-1)
            orders[draw, model, :, :count] = np.roll(order, -draw, axis=-1)
    return Draws(orders)


def _balanced(depth: int, most: int) -> int:
    """Return how many draws to make: whole groups of rotations, about as many as `most`; one of single drafts."""
    if depth < 2:
        return 1
    return max(1, round(most / depth)) * depth if depth <= most else most


def alone(samples: Samples, model: int) -> FreeOutcome:
    """Return a single model, scored on all of its drafts."""
    table = samples.scores[model]
    first = np.stack([np.full(len(table), model), np.zeros(len(table), dtype=np.int64)], axis=-1)
    return FreeOutcome(
        known_mean(table, axis=1),
        _known(samples.costs[model]),
        _known(samples.tokens[model]),
        1.0,
        float(np.nanmean(samples.seconds[model])) if table.size else 0.0,
        first,
    )


def voted(samples: Samples, draws: Draws, members: Sequence[int]) -> FreeOutcome:
    """Return a vote: the earliest slot with the most frequent answer. A draft without an answer has no vote."""
    numbers = draws.slots(members)
    return _verbatim(samples, members, numbers, votes(_of(samples.answers, members, numbers)))


def votes(answers: Ints) -> Ints:
    """Return the slot that wins each vote, from answers of shape (..., slots); the first slot where none is read."""
    counts = (answers[..., :, None] == answers[..., None, :]).sum(axis=-1)
    counts = np.where(answers < 0, 0, counts)
    found: Ints = counts.argmax(axis=-1)
    return found


def medoids(samples: Samples, draws: Draws, members: Sequence[int]) -> FreeOutcome:
    """Return the draft most alike to the others, the longest of equally alike ones."""
    depth = draws.orders.shape[-1]
    numbers = Draws(draws.orders[: _balanced(depth, MEDOID_DRAWS)]).slots(members)
    winners = np.zeros(numbers.shape[:2], dtype=np.int64)
    for draw, prompt in np.ndindex(*winners.shape):
        drafts = [(member, int(n)) for member, n in zip(members, numbers[draw, prompt], strict=True)]
        winners[draw, prompt] = samples.likeness.medoid(prompt, drafts)
    return _verbatim(samples, members, numbers, winners)


def escalated(samples: Samples, draws: Draws, cheap: Sequence[int], strong: int) -> FreeOutcome:
    """Return `escalate` with `agree: exact`: equal answers of the cheap models stand, else the strong model answers."""
    members = [*cheap, strong]
    numbers = draws.slots(members)
    answers = _of(samples.answers, cheap, numbers[..., :-1])
    agreed = (answers >= 0).all(axis=-1) & (answers == answers[..., :1]).all(axis=-1)
    longest = _of(samples.sizes, cheap, numbers[..., :-1]).argmax(axis=-1)
    winners = np.where(agreed, longest, len(cheap))
    called = np.ones((*agreed.shape, len(members)))
    called[..., -1] = ~agreed
    return _verbatim(samples, members, numbers, winners, called=called, steps=True)


def adaptive(samples: Samples, draws: Draws, model: int, *, most: int, sure: float) -> FreeOutcome:
    """Return a vote of one model's drafts, one after the other, that stops when it is decided or sure enough."""
    members = [model] * most
    numbers = draws.slots(members)
    answers = _of(samples.answers, members, numbers)
    used = stopped(answers, sure)
    called = (np.arange(most) < used[..., None]).astype(float)
    winners = votes(np.where(called > 0, answers, -1))
    return _verbatim(samples, members, numbers, winners, called=called, serial=True)


def stopped(answers: Ints, sure: float) -> Ints:
    """Return how many answers each vote reads before it stops.

    Args:
        answers: Answers in the order in which they come, shape (..., answers); -1 is one that cannot be read.
        sure: The probability with which the leader must be ahead of the second.
    """
    most = answers.shape[-1]
    enough = np.array([[ahead(first, second) >= sure for second in range(most + 1)] for first in range(most + 1)])
    found = np.full(answers.shape[:-1], most, dtype=np.int64)
    for read in range(1, most):
        part = answers[..., :read]
        counts = np.where(part < 0, 0, (part[..., :, None] == part[..., None, :]).sum(axis=-1))
        first = counts.max(axis=-1)
        leader = np.take_along_axis(part, counts.argmax(axis=-1)[..., None], axis=-1)
        second = np.where(part == leader, 0, counts).max(axis=-1)
        decided = (first > 0) & ((first > second + most - read) | enough[first, second])
        found = np.where(decided & (found == most), read, found)
    return found


def _of(table: NDArray[_Number], members: Sequence[int], numbers: Ints) -> NDArray[_Number]:
    """Return table[member, prompt, number] for every slot, shape (draws, prompts, slots)."""
    prompts = np.arange(numbers.shape[1])
    return np.stack([table[m][prompts[None, :], numbers[..., s]] for s, m in enumerate(members)], axis=-1)


def _verbatim(
    samples: Samples,
    members: Sequence[int],
    numbers: Ints,
    winners: Ints,
    *,
    called: Floats | None = None,
    serial: bool = False,
    steps: bool = False,
) -> FreeOutcome:
    """Return the outcome of a rule whose answer is the draft in the winning slot."""
    calls = np.ones(numbers.shape) if called is None else called
    chosen = np.take_along_axis(_of(samples.scores, members, numbers), winners[..., None], axis=-1)[..., 0]
    waits = np.where(calls > 0, _of(samples.seconds, members, numbers), 0.0)
    if steps:
        seconds = waits[..., :-1].max(axis=-1) + waits[..., -1]
    else:
        seconds = waits.sum(axis=-1) if serial else waits.max(axis=-1)
    member = np.asarray(members)[winners[0]]
    number = np.take_along_axis(numbers[0], winners[0][:, None], axis=-1)[:, 0]
    return FreeOutcome(
        known_mean(chosen, axis=0),
        # The price of a call that is not made may be unknown.
        _known(np.where(calls > 0, _of(samples.costs, members, numbers), 0.0).sum(axis=-1)),
        _known(np.where(calls > 0, _of(samples.tokens, members, numbers), 0.0).sum(axis=-1)),
        float(calls.sum(axis=-1).mean()),
        float(np.nanmean(seconds)) if seconds.size else 0.0,
        np.stack([member, number], axis=-1),
    )


def _known(table: Floats) -> float | None:
    """Return the mean of what is there, or None when an entry is unknown."""
    return None if np.isnan(table).all() or np.isinf(table).any() else float(np.nanmean(table))
