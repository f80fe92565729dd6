"""Mixture-of-Agents as a LangGraph graph: several models draft, one synthesizes.

from moa_graph import create_moa

graph = create_moa("local")
print(graph.invoke({"messages": "Name three fruits."})["messages"][-1].content)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moa_graph.chat_model import ChatMoA
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
    "ChatMoA",
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

# Imported when first asked for: `moa --help` and whoever wants only one room do not wait for LangGraph.
_HOMES = {
    "moa_graph.chat_model": ("ChatMoA",),
    "moa_graph.context": ("MoAContext",),
    "moa_graph.errors": (
        "AggregationError",
        "BudgetError",
        "ConfigError",
        "DeadlineError",
        "InputError",
        "MissingKeyError",
        "MoAError",
        "NotEnoughDraftsError",
    ),
    "moa_graph.graph": ("create_moa",),
    "moa_graph.mixture": ("Mixture", "Proposer"),
    "moa_graph.state": ("Draft", "MoAState", "Record"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
