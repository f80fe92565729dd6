"""Mixture-of-Agents as a LangGraph graph: several models draft in parallel, one model synthesizes the answer.

from moa_graph import create_moa

graph = create_moa("local")
print(graph.invoke({"messages": "What is the capital of France?"})["messages"][-1].text)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moa_graph.batch import Batch
    from moa_graph.chat.model import ChatMoA
    from moa_graph.costs.ledger import Ledger
    from moa_graph.errors import (
        AggregationError,
        BudgetError,
        ConfigError,
        DeadlineError,
        InputError,
        MissingKeyError,
        MoAError,
        NotEnoughDraftsError,
        ServerError,
        UnrecordedError,
    )
    from moa_graph.graph.build import create_moa
    from moa_graph.graph.remote import RemoteMoA
    from moa_graph.mixture.context import MoAContext
    from moa_graph.mixture.mixture import Mixture
    from moa_graph.mixture.proposer import Proposer
    from moa_graph.state import Draft, MoAState, Note, Record

__version__ = "0.1.0"

__all__ = [
    "AggregationError",
    "Batch",
    "BudgetError",
    "ChatMoA",
    "ConfigError",
    "DeadlineError",
    "Draft",
    "InputError",
    "Ledger",
    "MissingKeyError",
    "Mixture",
    "MoAContext",
    "MoAError",
    "MoAState",
    "NotEnoughDraftsError",
    "Note",
    "Proposer",
    "Record",
    "RemoteMoA",
    "ServerError",
    "UnrecordedError",
    "__version__",
    "create_moa",
]

# Imported on first use: `moa --help` and `import moa_graph` do not wait for LangGraph.
_HOMES = {
    "moa_graph.batch": ("Batch",),
    "moa_graph.chat.model": ("ChatMoA",),
    "moa_graph.costs.ledger": ("Ledger",),
    "moa_graph.errors": tuple(name for name in __all__ if name.endswith("Error")),
    "moa_graph.graph.build": ("create_moa",),
    "moa_graph.graph.remote": ("RemoteMoA",),
    "moa_graph.mixture.context": ("MoAContext",),
    "moa_graph.mixture.mixture": ("Mixture",),
    "moa_graph.mixture.proposer": ("Proposer",),
    "moa_graph.state": ("Draft", "MoAState", "Note", "Record"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
