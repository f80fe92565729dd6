"""What a combiner decides. The base class is `synthesize`: the aggregator reads all drafts of the last round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from moa_graph.graph.slot import Shown
from moa_graph.mixture.context import Settings
from moa_graph.state import Draft, MoAState, counted

__all__ = ["Combiner", "Decision", "Step"]

ANSWER = "aggregate"
"""The node that writes the answer."""


class Step(NamedTuple):
    """What the graph runs next.

    Attributes:
        layer: The layer that the nodes work for.
        nodes: Their names: proposers, a combiner's own nodes, or the node that writes the answer.
    """

    layer: int
    nodes: list[str]

    @property
    def last(self) -> bool:
        """Whether the answer comes next."""
        return self.nodes == [ANSWER]


class Decision(NamedTuple):
    """What the answer is made from.

    Attributes:
        drafts: The drafts that count for the answer.
        shown: What the aggregator's prompt contains.
    """

    drafts: Sequence[Draft]
    shown: Shown


class Combiner:
    """How the answer is made from the drafts; this base class is `synthesize`."""

    def next(self, settings: Settings, state: MoAState) -> Step:
        """Return what runs after the rounds so far. Total and pure."""
        layer = state["layer"] + 1
        return Step(layer, settings.rounds[layer - 1] if layer < settings.layers else [ANSWER])

    def shown(self, settings: Settings, state: MoAState, slot: int) -> Shown:
        """Return what a proposer's prompt contains of the round before."""
        return Shown([draft["text"] for draft in counted(state["drafts"], state["layer"] - 1)])

    def decide(self, settings: Settings, state: MoAState) -> Decision:
        """Return what the answer is made from."""
        drafts = counted(state["drafts"], state["layer"] - 1)
        return Decision(drafts, Shown([draft["text"] for draft in drafts]))
