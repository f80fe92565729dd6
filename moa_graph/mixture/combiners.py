"""The options of every combiner, and what it asks beside the drafts: plain data, read without importing the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BeforeValidator, Discriminator, Tag

from moa_graph.errors import ConfigError
from moa_graph.mixture.proposer import Proposer
from moa_graph.mixture.validation import Checked

__all__ = ["NAMES", "AnyCombiner", "Combiner", "PlannedCall", "Synthesize"]


class PlannedCall(NamedTuple):
    """A model call that a run may make.

    Attributes:
        spec: The model.
        layer: The layer the call belongs to, from 1; 0 before the first round.
        role: `proposer`, `aggregator`, or the combiner's own (`judge`, `analyst`, ...).
        texts: How many drafts or notes the model is shown.
    """

    spec: Proposer
    layer: int
    role: str
    texts: int


class Combiner(Checked):
    """What every combiner declares. Subclasses add their options."""

    called: ClassVar[str] = "combine"

    name: str

    @property
    def specs(self) -> list[Proposer]:
        """The models of its own calls, besides the mixture's."""
        return []

    def extra_rounds(self, base: Sequence[Sequence[str]]) -> list[list[str]]:
        """Rounds that may follow those of the mixture, as node names in slot order."""
        return []

    def check(self, rounds: Sequence[Sequence[Proposer]]) -> None:
        """Refuse a mixture that the combiner cannot work with.

        Args:
            rounds: The proposers of each round, one per slot.

        Raises:
            ConfigError: naming the field, the reason and the way out.
        """


class Synthesize(Combiner):
    """The aggregator reads all drafts and writes the answer."""

    name: Literal["synthesize"] = "synthesize"


NAMES: tuple[str, ...] = ("synthesize",)


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _which(value: Any) -> str:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    if name not in NAMES:
        raise ConfigError(f"mixture.combine: unknown combiner {name!r}. Choose one of: {', '.join(NAMES)}.")
    return str(name)


AnyCombiner = Annotated[Annotated[Synthesize, Tag("synthesize")], Discriminator(_which), BeforeValidator(_named)]
