"""Combiners: how the answer is made from the drafts. One file each, named after the combiner."""

from __future__ import annotations

from moa_graph.graph.combine.base import Combiner
from moa_graph.mixture.context import Settings

__all__ = ["combiner"]

_ALL: dict[str, Combiner] = {"synthesize": Combiner()}


def combiner(settings: Settings) -> Combiner:
    """Return the combiner that the run's settings name."""
    return _ALL[settings.combine.name]
