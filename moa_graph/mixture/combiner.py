"""What every combiner declares about itself: plain data that estimates, caps and hashes read without the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from moa_graph.mixture.proposer import Proposer
from moa_graph.mixture.validation import Checked

__all__ = ["Combiner", "Outline", "PlannedCall", "drafting", "writing"]


class PlannedCall(NamedTuple):
    """A model call that a run may make.

    Attributes:
        spec: The model.
        layer: The layer the call works for, from 1; 0 before the first round.
        role: `proposer`, `aggregator`, or a combiner's own role, such as `judge`.
        texts: How many drafts and notes the prompt contains.
        request: The number of the request, in its layer, that the samples of a proposer with `one_request` share, or of
            the batch; None for a request of its own.
    """

    spec: Proposer
    layer: int
    role: str
    texts: int
    request: int | None = None


class Outline(NamedTuple):
    """The models of one run.

    Attributes:
        base: The proposers of each of the mixture's rounds, one per slot.
        extra: The proposers of each round that the combiner may add.
        aggregator: The model that writes the answer.
        sees: For each round of `base`, how many drafts a slot is shown; None means all.
    """

    base: list[list[Proposer]]
    extra: list[list[Proposer]]
    aggregator: Proposer
    sees: list[int | None]

    @property
    def last(self) -> list[Proposer]:
        """The proposers of the last of the mixture's own rounds."""
        return self.base[-1]


class Combiner(Checked):
    """Base class of all combiners' options.

    Attributes:
        name: The combiner's name.
    """

    called: ClassVar[str] = "combine"
    stages: ClassVar[int] = 0
    """How many steps of its own nodes a run can take."""

    name: str

    @property
    def specs(self) -> list[Proposer]:
        """The models of its own calls, besides the mixture's."""
        return []

    @property
    def roster(self) -> list[Proposer]:
        """The proposers of a round that only this combiner runs."""
        return []

    @property
    def calls_authors(self) -> bool:
        """Whether the proposers of the last round may be called again, to judge or to revise."""
        return False

    def own_words(self, role: str) -> str:
        """Return the texts of the mixture's owner in the prompts of the combiner's own calls."""
        return ""

    def base_layers(self, layers: int) -> int:
        """Return how many layers the mixture's own rounds make, of the requested `layers`."""
        return layers

    def extra_rounds(self, base: Sequence[list[str]], roster: list[str]) -> list[list[str]]:
        """Return the rounds that may follow the mixture's own, as node names in slot order."""
        return []

    def refuse_misfit(self, rounds: Sequence[Sequence[Proposer]]) -> None:
        """Refuse a mixture that the combiner cannot work with.

        Args:
            rounds: The proposers of each round, one per slot.

        Raises:
            ConfigError: They do not fit; the message names the field, the reason and the way out.
        """

    def refuse_layers(self, base: Sequence[Sequence[str]]) -> None:
        """Refuse a run whose rounds the combiner cannot work with: it may have fewer layers than the mixture.

        Args:
            base: The mixture's own rounds of the run, as node names in slot order.

        Raises:
            ConfigError: They do not fit; the message names the field, the reason and the way out.
        """

    def planned(self, outline: Outline, *, least: bool) -> list[PlannedCall]:
        """Return the calls of a run that nothing cuts short and in which nothing fails.

        Args:
            outline: The models of the run.
            least: Whether the fewest calls are wanted, or the most.
        """
        calls = drafting(outline)
        return [*calls, writing(outline, len(outline.last))]

    def needed(self, outline: Outline) -> list[PlannedCall]:
        """Return the fewest calls of a run whose first round is called. The caps must leave room for them."""
        return self.planned(outline, least=True)


def drafting(outline: Outline) -> list[PlannedCall]:
    """Return the calls of the mixture's own rounds."""
    found, before = list[PlannedCall](), 0
    for layer, specs in enumerate(outline.base, start=1):
        sees = outline.sees[layer - 1]
        shown = before if sees is None else min(sees, before)
        # With `sees` the samples of a proposer are shown different drafts.
        request = 0 if sees is None or layer == 1 else None
        found += [PlannedCall(spec, layer, "proposer", shown, request) for spec in specs]
        before = len(specs)
    return found


def writing(outline: Outline, texts: int, *, layer: int | None = None) -> PlannedCall:
    """Return the aggregator's call."""
    return PlannedCall(outline.aggregator, layer or len(outline.base) + 1, "aggregator", texts)
