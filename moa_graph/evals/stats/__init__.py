"""Statistics of the reports: intervals, paired tests, corrections, agreement.

A *cluster* is one independent draw: a prompt with all its rows. The two turns of an MT-Bench question are one cluster.
"""

from moa_graph.evals.stats.agreement import correlation, kappa, kappa_interval
from moa_graph.evals.stats.intervals import Interval, fraction_interval, mean_interval
from moa_graph.evals.stats.paired import Difference, holm, mcnemar, paired, sign_flip_p

__all__ = [
    "Difference",
    "Interval",
    "correlation",
    "fraction_interval",
    "holm",
    "kappa",
    "kappa_interval",
    "mcnemar",
    "mean_interval",
    "paired",
    "sign_flip_p",
]
