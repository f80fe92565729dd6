"""Options of `escalate`: a strong round follows only where the cheap one disagrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from moa_graph.errors import ConfigError
from moa_graph.mixture.answers import AnswerReader, Reader
from moa_graph.mixture.combiner import Combiner, Outline, PlannedCall, drafting, writing
from moa_graph.mixture.proposer import Proposer, Spec
from moa_graph.mixture.validation import Checked

__all__ = ["Escalate", "Gate"]


class Gate(Checked):
    """One cheap question before the first round: does the conversation need a mixture?

    Attributes:
        model: Who answers it.
        question: The question, to be answered with yes or no.
    """

    called = "combine.gate"

    model: Spec
    question: str = Field(
        default="Would several independent attempts at a reply to the latest message be likely to differ in substance, "
        "so that comparing them is worth several times the cost of one reply?",
        min_length=1,
        max_length=2_000,
    )


class Escalate(Combiner):
    """A cheap round first; when its drafts agree, one of them is the answer, else a strong round is called.

    Attributes:
        strong: The proposers of the strong round.
        agree: `exact`: all answers, as `answer` reads them, are equal. A number from 0 to 1: the drafts' agreement is
            at least that. `model`: `comparator` finds that they say the same.
        answer: How answers are read for `exact`.
        comparator: The model for `agree: model`; the aggregator's by default.
        show_cheap: Whether the strong round is shown the cheap drafts.
        finish: `draft` returns the strong draft most alike to the others word for word; `synthesize` has the aggregator
            write. By default `draft` for one strong slot, else `synthesize`.
        gate: A question before the first round; a "no" sends the conversation to the aggregator alone.
    """

    stages = 2

    name: Literal["escalate"] = "escalate"
    strong: Annotated[list[Spec], Field(min_length=1)]
    agree: Literal["exact", "model"] | Annotated[float, Field(ge=0, le=1)] = "exact"
    answer: Reader = AnswerReader()
    comparator: Spec | None = None
    show_cheap: bool = False
    finish: Literal["draft", "synthesize"] | None = None
    gate: Gate | None = None

    def _check_whole(self) -> None:
        if self.comparator and self.agree != "model":
            raise ConfigError("combine.comparator: goes with `agree: model` only.")

    @property
    def specs(self) -> list[Proposer]:
        return [*([self.comparator] if self.comparator else []), *([self.gate.model] if self.gate else [])]

    @property
    def roster(self) -> list[Proposer]:
        return self.strong

    @property
    def verbatim(self) -> bool:
        """Whether the strong round's draft is the answer word for word."""
        slots = sum(spec.samples for spec in self.strong)
        return self.finish == "draft" or (self.finish is None and slots == 1)

    def own_words(self, role: str) -> str:
        return self.gate.question if self.gate and role == "gate" else ""

    def base_layers(self, layers: int) -> int:
        return 2

    def extra_rounds(self, base: Sequence[list[str]], roster: list[str]) -> list[list[str]]:
        return [roster]

    def refuse_misfit(self, rounds: Sequence[Sequence[Proposer]]) -> None:
        if len(rounds) != 1:
            raise ConfigError(
                f"combine: escalate needs one cheap round, and this mixture has {len(rounds)}. "
                "Set `layers` to 2 and list the strong models in `combine.strong`."
            )

    def planned(self, outline: Outline, *, least: bool) -> list[PlannedCall]:
        gate = [PlannedCall(self.gate.model, 0, "gate", 0)] if self.gate else []
        if least:
            return [*gate, writing(outline, 0, layer=1)] if gate else self.needed(outline)
        shown = len(outline.last) if self.show_cheap else 0
        strong = [PlannedCall(spec, 2, "proposer", shown, 0) for spec in outline.extra[0]]
        calls = [*gate, *self.needed(outline), *strong]
        return calls if self.verbatim else [*calls, writing(outline, len(strong), layer=3)]

    def needed(self, outline: Outline) -> list[PlannedCall]:
        calls, many = drafting(outline), len(outline.last)
        if self.agree == "model" and many > 1:
            calls.append(PlannedCall(self.comparator or outline.aggregator, 1, "comparator", many))
        return calls
