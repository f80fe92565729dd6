"""`synthesize`: the aggregator reads all drafts of the last round and writes the answer."""

from __future__ import annotations

from moa_graph.graph.combine.base import Combiner
from moa_graph.mixture.combiners import Synthesize as Options

__all__ = ["Synthesize"]


class Synthesize(Combiner[Options]):
    """The combiner that every other one falls back to."""
