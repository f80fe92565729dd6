"""A mixture whose runs go through Batch APIs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moa_graph.batch.api.collector import BatchApi
from moa_graph.batch.results import Graph
from moa_graph.mixture.mixture import Mixture

__all__ = ["DAY", "BatchedGraph", "without_limits"]

DAY = 86_400.0
"""Seconds that a call in a batch may take."""


def without_limits(mixture: Mixture) -> Mixture:
    """Return the mixture without the time limits of direct calls. A batch takes up to a day."""
    return mixture.changed(hedge=None, run_deadline=None)


@dataclass
class BatchedGraph:
    """A mixture whose runs send their requests through a Batch API."""

    graph: Graph
    api: BatchApi

    async def ainvoke(self, input: Any, config: Any = None, *, context: Any = None) -> Any:
        """Run the mixture and return its final state."""
        with self.api.run():
            return await self.graph.ainvoke(input, config, context=context)
