"""Options of `vote`: answers are read from the drafts and counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from moa_graph.errors import ConfigError
from moa_graph.mixture.answers import AnswerReader, Reader
from moa_graph.mixture.combiner import Combiner, Outline, PlannedCall, drafting
from moa_graph.mixture.proposer import Proposer

__all__ = ["Vote"]


class Vote(Combiner):
    """Answers are read from the drafts and counted; the earliest draft with the winning answer is the answer.

    Attributes:
        answer: How an answer is read.
        weights: What each slot's vote counts; all 1 by default.
        batch: How many slots of the last round are called at a time; all by default.
        stop: Whether the round ends as soon as the leader cannot be caught.
        sure: Ends the round also when the leader is ahead of the second with this probability.
    """

    name: Literal["vote"] = "vote"
    answer: Reader = AnswerReader()
    weights: list[Annotated[float, Field(gt=0, le=1e6)]] | None = None
    batch: int | None = Field(default=None, ge=1)
    stop: bool = True
    sure: float | None = Field(default=None, gt=0.5, lt=1)

    def _check_whole(self) -> None:
        if self.weights is not None and self.sure is not None:
            raise ConfigError("combine.sure: counts votes of equal weight. Leave out `weights` or `sure`.")

    def refuse_misfit(self, rounds: Sequence[Sequence[Proposer]]) -> None:
        many = len(rounds[-1]) if rounds else 0
        if self.weights is not None and len(self.weights) != many:
            raise ConfigError(f"combine.weights: {len(self.weights)} weights for {many} slots. Give one for each slot.")

    def refuse_layers(self, base: Sequence[Sequence[str]]) -> None:
        if self.weights and base and len(self.weights) != len(base[-1]):
            raise ConfigError(
                f"combine.weights: {len(self.weights)} weights, but with {len(base) + 1} layers the last round has "
                f"{len(base[-1])} slots. Ask for layers whose last round has one slot for each weight."
            )

    def planned(self, outline: Outline, *, least: bool) -> list[PlannedCall]:
        calls, slots = drafting(outline), len(outline.last)
        if self.batch:
            batches = [slot // self.batch for slot in range(slots)]
            calls[-slots:] = [
                call if call.request is None else call._replace(request=batch)
                for call, batch in zip(calls[-slots:], batches, strict=True)
            ]
        if least and self.batch and (self.stop or self.sure):
            drop = slots - self._fewest(slots)
            calls = calls[: len(calls) - drop]
        return calls

    def _fewest(self, slots: int) -> int:
        """Return how many slots are called when all answers are equal."""
        batch = self.batch or slots
        weights = self.weights or [1.0] * slots
        for sent in range(batch, slots, batch):
            if self.stop and sum(weights[:sent]) > sum(weights[sent:]):
                return sent
            if self.sure is not None and 1 - 0.5 ** (sent + 1) >= self.sure:
                return sent
        return slots
