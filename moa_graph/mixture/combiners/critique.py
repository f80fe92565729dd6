"""Options of `critique`: reviewers name problems, authors revise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from moa_graph.mixture.combiner import Combiner, Outline, PlannedCall, drafting, writing
from moa_graph.mixture.combiners.makers import maker
from moa_graph.mixture.proposer import Proposer, Spec

__all__ = ["Critique"]


class Critique(Combiner):
    """Reviewers say what is unsupported, missing or wrong; authors revise only that; then the aggregator writes.

    Attributes:
        reviewers: Who reviews, in turn; by default the other proposers and the aggregator, of another maker if there
            is one.
        rubric: What to look for, in words.
    """

    stages = 1

    name: Literal["critique"] = "critique"
    reviewers: list[Spec] = Field(default_factory=list)
    rubric: str | None = Field(default=None, min_length=1, max_length=10_000)

    @property
    def specs(self) -> list[Proposer]:
        return list(self.reviewers)

    @property
    def calls_authors(self) -> bool:
        return True

    def own_words(self, role: str) -> str:
        return self.rubric or ""

    def extra_rounds(self, base: Sequence[list[str]], roster: list[str]) -> list[list[str]]:
        return [list(base[-1])] if base else []

    def reviewer_of(self, slot: int, proposers: Sequence[Proposer], aggregator: Proposer) -> Proposer:
        """Return who reviews the draft of `slot`: the next model in the ring that is of another maker, if any is."""
        author = proposers[slot]
        ring = [*proposers[slot + 1 :], *proposers[:slot], aggregator]
        if self.reviewers:
            start = slot % len(self.reviewers)
            ring = [*self.reviewers[start:], *self.reviewers[:start]]
        return next((spec for spec in ring if maker(spec) != maker(author)), ring[0])

    def planned(self, outline: Outline, *, least: bool) -> list[PlannedCall]:
        many, layer = len(outline.last), len(outline.base)
        calls = drafting(outline)
        reviewers = [self.reviewer_of(slot, outline.last, outline.aggregator) for slot in range(many)]
        calls += [PlannedCall(spec, layer, "reviewer", 1) for spec in reviewers]
        if not least:
            calls += [PlannedCall(spec, layer + 1, "proposer", 2) for spec in outline.extra[0]]
        return calls if many == 1 else [*calls, writing(outline, many, layer=layer + 2)]
