"""Mixture-of-Agents as a LangGraph graph: several models draft, one synthesizes.

from moa_graph import create_moa

graph = create_moa("local")
print(graph.invoke({"messages": "Name three fruits."})["messages"][-1].content)
"""

from moa_graph.context import MoAContext
from moa_graph.errors import (
    AggregationError,
    BudgetError,
    ConfigError,
    DeadlineError,
    InputError,
    MissingKeyError,
    MoAError,
    NotEnoughDraftsError,
)
from moa_graph.graph import create_moa
from moa_graph.mixture import Mixture, Proposer
from moa_graph.state import Draft, MoAState, Record

__version__ = "0.1.0"

__all__ = [
    "AggregationError",
    "BudgetError",
    "ConfigError",
    "DeadlineError",
    "Draft",
    "InputError",
    "MissingKeyError",
    "Mixture",
    "MoAContext",
    "MoAError",
    "MoAState",
    "NotEnoughDraftsError",
    "Proposer",
    "Record",
    "__version__",
    "create_moa",
]
