"""Replays of recorded answers: through the real graph, or the combiner's own functions where a set is large."""

import itertools
from collections import Counter
from typing import Any, NamedTuple

from moa_graph import Mixture, create_moa
from moa_graph.graph.combine.vote import Vote
from moa_graph.graph.runs import Live, Run
from moa_graph.mixture.answers import key, normalized
from moa_graph.mixture.combiners import Vote as Options
from moa_graph.mixture.context import settings
from moa_graph.state import Draft, Note
from tests.combine.recorded import Recorded, question_of, recorded

LAST_LINE: dict[str, Any] = {"read": "last_line"}


class Counted(NamedTuple):
    """The outcome of a vote: the winner, the drafts used, and whether the full vote has the same winner."""

    winner: str
    used: int
    same: bool


def sampler(rows: list[dict[str, Any]], name: str) -> Recorded:
    """A model whose every call on a question gives the next recorded answer."""
    left = {row["id"]: itertools.cycle(row["answers"]) for row in rows}
    return recorded(name, lambda messages: next(left[question_of(messages)]))


def voting(rows: list[dict[str, Any]], name: str, slots: int, **options: Any) -> Any:
    """The graph of a vote over `slots` answers of one model; more than 64 are split over several proposers."""
    model = sampler(rows, name)
    parts = [min(64, slots - start) for start in range(0, slots, 64)]
    proposers = [{"model": model, "samples": part, "name": f"part {n}"} for n, part in enumerate(parts)]
    combine = {"name": "vote", "answer": LAST_LINE, **options}
    return create_moa(proposers=proposers, aggregator=recorded("none", lambda m: "none"), combine=combine)


def full_count(answers: list[str]) -> Counter[str]:
    """The votes, counted without the package."""
    return Counter(answer for answer in map(normalized, answers) if answer)


async def counted(answers: list[str], **options: Any) -> Counted:
    """Vote on answers that arrive one after the other, with the combiner's own functions."""
    vote = Vote(Options(answer=LAST_LINE, **options))
    run = _run(len(answers), vote.options)
    names = run.settings.rounds[0]
    notes: list[Note] = []
    for slot, answer in enumerate(answers):
        note = await vote.read(run, _draft(slot, names[slot], answer))
        notes += [note] if note else []
        if vote.closes(run, notes):
            break
    drafts = [_draft(slot, names[slot], answers[slot]) for slot in range(len(notes))]
    ended: Any = {**run.state, "layer": 2, "drafts": drafts, "notes": notes}
    decision = vote.decide(Run(run.settings, ended, run.live))
    winner = str(decision.how["answer"])
    full = full_count(answers)
    return Counted(winner, len(notes), full[winner] == max(full.values()))


_SHAPES: dict[int, Mixture] = {}


def _run(slots: int, options: Options) -> Run:
    if slots not in _SHAPES:
        parts = [min(64, slots - start) for start in range(0, slots, 64)]
        models = [{"model": "openai:m", "samples": part, "name": f"part {n}"} for n, part in enumerate(parts)]
        _SHAPES[slots] = Mixture(proposers=models, aggregator="openai:m", combine=options)
    state: Any = {"messages": [], "drafts": [], "notes": [], "layer": 1, "next": []}
    return Run(settings(_SHAPES[slots], None), state, Live(1))


def _draft(slot: int, name: str, text: str) -> Draft:
    return Draft(
        layer=1, slot=slot, proposer=name, model="m", status="ok", text=text, error=None, usage=None, cost=0.0,
        seconds=0.0, first_token_seconds=None, attempts=1,
    )  # fmt: skip


def vote_of_three(one: str, two: str, strong: str) -> str:
    """The winner of three votes, the strong model's where all differ."""
    first, second = key(one) or "", key(two) or ""
    return first if first == second else key(strong) or ""
