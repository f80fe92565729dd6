"""Batches of providers: a layer's requests as one file, answered within a day at half the price."""

from moa_graph.batch.api.collector import HOSTS, BatchApi, BatchedGraph

__all__ = ["HOSTS", "BatchApi", "BatchedGraph"]
