"""Options of `select`: judges compare the drafts and choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from moa_graph.errors import ConfigError
from moa_graph.mixture.combiner import Combiner, Outline, PlannedCall, drafting, writing
from moa_graph.mixture.proposer import Proposer, Spec

__all__ = ["Select"]


class Select(Combiner):
    """Judges compare all drafts side by side; the best one is the answer, or the best few are synthesized.

    Attributes:
        by: `aggregator`: its model judges, or `judge`. `peers`: every proposer judges all drafts.
        judge: The judges' model when `by` is `aggregator`.
        judges: How many judges, each with the drafts in another order; two see opposite orders.
        verdict: `scores` from 0 to 10, averaged, or a `ranking`, added up by Borda count.
        keep: 1 returns the best draft word for word; more hand that many to the aggregator; `all` hands it all.
        show_scores: Whether the aggregator is shown the verdicts.
        criteria: What to judge by, in words.
    """

    stages = 1

    name: Literal["select"] = "select"
    by: Literal["aggregator", "peers"] = "aggregator"
    judge: Spec | None = None
    judges: int = Field(default=1, ge=1, le=16)
    verdict: Literal["scores", "ranking"] = "scores"
    keep: Annotated[int, Field(ge=1)] | Literal["all"] = 1
    show_scores: bool = False
    criteria: str | None = Field(default=None, min_length=1, max_length=10_000)

    def _check_whole(self) -> None:
        if self.by == "peers" and (self.judge or self.judges != 1):
            raise ConfigError("combine: with `by: peers` every proposer judges. Leave out `judge` and `judges`.")
        if self.show_scores and self.keep == 1:
            raise ConfigError("combine.show_scores: with `keep: 1` no model writes. Set `keep` to more, or to all.")

    @property
    def specs(self) -> list[Proposer]:
        return [self.judge] if self.judge else []

    @property
    def calls_authors(self) -> bool:
        return self.by == "peers"

    def own_words(self, role: str) -> str:
        return self.criteria or ""

    def refuse_misfit(self, rounds: Sequence[Sequence[Proposer]]) -> None:
        if rounds and self.keep != "all" and self.keep > len(rounds[-1]):
            raise ConfigError(f"combine.keep: {self.keep} drafts to keep, but the last round has {len(rounds[-1])}.")

    def planned(self, outline: Outline, *, least: bool) -> list[PlannedCall]:
        many, layer = len(outline.last), len(outline.base)
        specs = outline.last if self.by == "peers" else [self.judge or outline.aggregator] * self.judges
        own = [PlannedCall(spec, layer, "judge", many) for spec in specs] if many > 1 else []
        kept = many if self.keep == "all" else self.keep
        last = [] if self.keep == 1 else [writing(outline, kept + self.show_scores)]
        return [*drafting(outline), *own, *last]
