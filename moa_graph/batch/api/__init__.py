"""Batches of providers: a layer's requests as one file, answered within a day at half the price."""

from moa_graph.batch.api.collector import HOSTS, BatchApi
from moa_graph.batch.api.graphs import DAY, BatchedGraph, without_limits

__all__ = ["DAY", "HOSTS", "BatchApi", "BatchedGraph", "without_limits"]
