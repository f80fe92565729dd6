"""Options of `synthesize`: the aggregator reads all drafts and writes the answer."""

from __future__ import annotations

from typing import Literal

from moa_graph.mixture.combiner import Combiner

__all__ = ["Synthesize"]


class Synthesize(Combiner):
    """The aggregator reads all drafts and writes the answer."""

    name: Literal["synthesize"] = "synthesize"
