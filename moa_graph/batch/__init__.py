"""Answer the questions of a file into another file, in the same order. A batch is bounded, resumable and priced."""

from moa_graph.batch.questions import Shard
from moa_graph.batch.run import Batch, Totals

__all__ = ["Batch", "Shard", "Totals"]
