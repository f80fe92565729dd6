"""Batches of providers: a layer's requests as one file, answered within a day at half the price."""

from moa_graph.batch.api.collector import DAY, HOSTS, BatchApi, BatchedGraph, without_limits

__all__ = ["DAY", "HOSTS", "BatchApi", "BatchedGraph", "without_limits"]
