"""Options of `analyze`: an analyst compares the drafts before the aggregator writes."""

from __future__ import annotations

from typing import Literal

from moa_graph.mixture.combiner import Combiner, Outline, PlannedCall, drafting, writing
from moa_graph.mixture.proposer import Proposer, Spec

__all__ = ["Analyze"]


class Analyze(Combiner):
    """An analyst compares the drafts, then the aggregator writes with the comparison at hand.

    Attributes:
        analyst: The analyst's model; the aggregator's by default.
        answer: `reply` answers the user, `report` tells a person where the drafts agree and differ, and what to do.
            `none` calls no writer: the answer is the analysis as JSON.
    """

    stages = 1

    name: Literal["analyze"] = "analyze"
    analyst: Spec | None = None
    answer: Literal["reply", "report", "none"] = "reply"

    @property
    def specs(self) -> list[Proposer]:
        return [self.analyst] if self.analyst else []

    def planned(self, outline: Outline, *, least: bool) -> list[PlannedCall]:
        many = len(outline.last)
        own = [PlannedCall(self.analyst or outline.aggregator, len(outline.base), "analyst", many)] if many > 1 else []
        last = [] if own and self.answer == "none" else [writing(outline, many + len(own))]
        return [*drafting(outline), *own, *last]
