"""`vote`: answers are read from the drafts and counted; the earliest draft with the winning answer is the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from moa_graph.graph.combine.base import ANSWER, Combiner, Decision, Step, latest_drafts, notes_of
from moa_graph.graph.runs import Run
from moa_graph.mixture.answers import key, read
from moa_graph.mixture.combiners import Vote as Options
from moa_graph.state import Draft, Note, counted

__all__ = ["Vote", "ahead"]


class Vote(Combiner[Options]):
    """Counts answers while they come, and stops as soon as the rest cannot change the winner."""

    def next(self, run: Run) -> Step:
        layer, base = run.state["layer"], run.settings.base
        batch = self.options.batch
        if not base or batch is None or layer < base - 1:
            return super().next(run)
        slots = run.settings.rounds[base - 1]
        sent = 0
        if layer == base:
            sent = _sent(run)
            decided = self._decided(notes_of(run.state, "vote", base), range(sent, len(slots)))
            enough = len(counted(run.state["drafts"], base)) >= (run.settings.quorum or math.inf)
            if sent >= len(slots) or decided or enough:
                return Step(base + 1, [ANSWER])
        return Step(base, slots[sent : sent + batch])

    def batches_left(self, run: Run) -> int:
        layer, batch = run.state["layer"], self.options.batch
        if batch is None or layer != run.settings.base:
            return 0
        return math.ceil((len(run.settings.rounds[layer - 1]) - _sent(run)) / batch)

    async def read(self, run: Run, draft: Draft) -> Note | None:
        if draft["layer"] != run.settings.base:
            return None
        how = self.options.answer
        answer, counted_as = read(draft["text"], how), key(draft["text"], how)
        return Note(
            layer=draft["layer"], slot=draft["slot"], kind="vote", by=draft["proposer"], text=answer or "",
            data={"answer": counted_as} if counted_as is not None else None,
            status="ok" if counted_as is not None else "empty",
            error=None if counted_as is not None else "no answer could be read",
            usage=None, cost=0.0, attempts=0,
        )  # fmt: skip

    def closes(self, run: Run, notes: Sequence[Note]) -> str | None:
        layer = run.state["layer"]
        before = notes_of(run.state, "vote", layer)
        ended = {note["slot"] for note in (*before, *notes)}
        # Slots of this step that failed are taken to be still open: they only delay the end.
        ended |= {draft["slot"] for draft in run.state["drafts"] if draft["layer"] == layer}
        left = [slot for slot in range(len(run.settings.rounds[layer - 1])) if slot not in ended]
        return self._decided([*before, *notes], left) if left else None

    def _decided(self, notes: Sequence[Note], left: Sequence[int]) -> str | None:
        """Return why the votes of the slots `left` are not needed, or None."""
        counts = self._counts(notes)
        if not counts:
            return None
        most = sorted(counts.values(), reverse=True)
        first, second = most[0], most[1] if len(most) > 1 else 0.0
        open_votes = math.fsum(map(self._weight, left))
        if self.options.stop and first > second + open_votes:
            return "the vote was decided: the leader could not be caught"
        sure = self.options.sure
        if sure is not None and ahead(round(first), round(second)) >= sure:
            return f"the vote was decided: the leader was ahead with a probability of at least {sure:g}"
        return None

    def _weight(self, slot: int) -> float:
        return self.options.weights[slot] if self.options.weights else 1.0

    def _counts(self, notes: Sequence[Note]) -> dict[str, float]:
        """Return the weight of every answer, in the order of their first slots."""
        found: dict[str, float] = {}
        for note in sorted(notes, key=lambda note: note["slot"]):
            if note["data"]:
                answer = note["data"]["answer"]
                found[answer] = found.get(answer, 0.0) + self._weight(note["slot"])
        return found

    def decide(self, run: Run) -> Decision:
        notes = notes_of(run.state, "vote", run.state["layer"] - 1)
        drafts = {draft["slot"]: draft for draft in latest_drafts(run)}
        read_notes = [note for note in notes if note["slot"] in drafts]
        counts = self._counts(read_notes)
        if not counts:
            return self.synthesis(run, degraded="vote: no answer could be read in any draft" if drafts else None)
        how = _summary(counts, run)
        winner = next(note["slot"] for note in read_notes if note["data"] and note["data"]["answer"] == how["answer"])
        return self.verbatim(run, drafts[winner], how=how)


def _sent(run: Run) -> int:
    """Return how many slots of the round this step and those before it call."""
    slots = run.settings.rounds[run.state["layer"] - 1]
    return max((slots.index(name) + 1 for name in run.state["next"] if name in slots), default=0)


def _summary(counts: Mapping[str, float], run: Run) -> dict[str, Any]:
    # Of equal counts the answer of the earliest slot wins.
    best = max(counts.values())
    answer = next(answer for answer, votes in counts.items() if votes >= best - 1e-9)
    total = math.fsum(counts.values())
    layer = run.state["layer"] - 1
    slots = len(run.settings.rounds[layer - 1])
    ended = sum(1 for draft in run.state["drafts"] if draft["layer"] == layer and draft["status"] != "late")
    return {
        "answer": answer,
        "counts": {each: round(votes, 6) for each, votes in counts.items()},
        "share": round(counts[answer] / total, 6),
        "read": len(counted(run.state["drafts"], layer)),
        "stopped_at": ended if ended < slots else None,
    }


def ahead(first: int, second: int) -> float:
    """Return the probability that the answer with `first` votes is more common than the one with `second`.

    That is the posterior probability of Beta(first + 1, second + 1) above one half: with a uniform prior, and of those
    two answers only.
    """
    many = first + second + 1
    return float(sum(math.comb(many, n) for n in range(first + 1)) / 2**many)
