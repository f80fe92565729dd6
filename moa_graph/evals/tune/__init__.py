"""Is a mixture worth it on your own prompts, and which one? `tune` answers; `moa tune` is the command."""

from moa_graph.evals.tune.pool import Pool
from moa_graph.evals.tune.result import TuneResult
from moa_graph.evals.tune.run import atune, tune
from moa_graph.evals.tune.settings import Options

__all__ = ["Options", "Pool", "TuneResult", "atune", "tune"]
