"""Thousands of questions from a file, answered in its order into another: bounded, resumable, priced."""

from moa_graph.batch.questions import Shard
from moa_graph.batch.run import Batch, Totals

__all__ = ["Batch", "Shard", "Totals"]
