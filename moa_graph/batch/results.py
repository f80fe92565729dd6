"""One question to one result, as plain JSON without times: two runs over the same answers write the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from moa_graph.errors import ConfigError, MoAError, ServerError
from moa_graph.state import Draft, total_usage

Result = dict[str, Any]

_TIMES = frozenset({"seconds", "first_token_seconds", "attempts"})
"""Fields of a draft that differ from run to run."""


class Graph(Protocol):
    """A mixture, here or on a server."""

    async def ainvoke(self, input: Any, config: Any = None, *, context: Any = None) -> Any: ...


async def answered(graph: Graph, messages: Sequence[Any], context: Mapping[str, Any]) -> Result:
    """The question's result; an error of the question's own is one too.

    Raises:
        ConfigError: what is wrong is wrong for every question.
        ServerError: the server went away.
    """
    try:
        out = await graph.ainvoke({"messages": list(messages)}, context=dict(context))
    except (ConfigError, ServerError):
        raise
    except MoAError as error:
        return failed(error)
    except Exception as exc:
        # A fault of ours in one question must not cost the others' work; it is told as what it is.
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


def failed(error: MoAError) -> Result:
    """An error as data, with what it had cost."""
    costs = [*(d["cost"] for d in error.drafts if d["attempts"]), error.cost]
    return {
        "answer": None,
        "error": {"type": type(error).__name__, "message": str(error)},
        "cost": None if None in costs else sum((c for c in costs if c is not None), 0.0),
        "usage": total_usage([d["usage"] for d in error.drafts]),
        "drafts": timeless(error.drafts),
    }


def timeless(drafts: Sequence[Draft]) -> list[dict[str, Any]]:
    return [{name: value for name, value in d.items() if name not in _TIMES} for d in drafts]
