"""Run one question and return its result as plain JSON. A result has no times, so equal answers give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from moa_graph.errors import ConfigError, MoAError, ServerError
from moa_graph.state import Draft, cost_of, total_usage

BatchResult = dict[str, Any]

_TIMES = frozenset({"seconds", "first_token_seconds", "attempts"})
"""Fields of a draft that differ from run to run."""


class Graph(Protocol):
    """A mixture in this process or on a server."""

    async def ainvoke(self, input: Any, config: Any = None, *, context: Any = None) -> Any:
        """Run the mixture and return its final state."""


async def answered(graph: Graph, messages: Sequence[Any], context: Mapping[str, Any]) -> BatchResult:
    """Run one question and return its result. An error that concerns only this question becomes a result as well.

    Args:
        graph: The mixture.
        messages: The question's messages.
        context: Fields of MoAContext.

    Raises:
        ConfigError: The configuration is wrong, so every question would fail.
        ServerError: The server cannot be reached.
    """
    try:
        out = await graph.ainvoke({"messages": list(messages)}, context=dict(context))
    except (ConfigError, ServerError):
        raise
    except MoAError as error:
        return failed(error)
    except Exception as exc:
        # A bug that one question triggers must not end the batch. The result has the exception's class and message.
        return failed(MoAError(f"{type(exc).__name__}: {exc}"))
    record = out["record"]
    answer = {
        "answer": str(out["messages"][-1].text),
        "error": None,
        "status": record["status"],
        "degraded": record["degraded"],
    }
    facts = {name: record[name] for name in ("cost", "usage", "calls", "mixture", "aggregator", "fallback", "unused")}
    return {**answer, **facts, "drafts": timeless(out["drafts"])}


def failed(error: MoAError) -> BatchResult:
    """Return an error as a result, with the cost, usage, drafts and notes of the run until then."""
    made = [*error.drafts, *error.notes]
    return {
        "answer": None,
        "error": {"type": type(error).__name__, "message": str(error)},
        "cost": cost_of(made, beside=error.cost),
        "usage": total_usage([each["usage"] for each in made]),
        "drafts": timeless(error.drafts),
        "notes": error.notes,
    }


def timeless(drafts: Sequence[Draft]) -> list[dict[str, Any]]:
    """Return the drafts without the fields that differ from run to run."""
    return [{name: value for name, value in d.items() if name not in _TIMES} for d in drafts]
