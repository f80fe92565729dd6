"""The context of one mixture's graph: MoAContext whose JSON schema lists what that mixture has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import GetJsonSchemaHandler

from moa_graph.mixture.context import MoAContext, answering_models
from moa_graph.mixture.mixture import Mixture

__all__ = ["context_schema"]

_FOR_BATCHES = ("item", "repeat")
"""Fields that only a batch sets: no form shows them."""


def context_schema(mixture: Mixture) -> type[MoAContext]:
    """Return the context class of a mixture's graph, from whose JSON schema Studio makes its form.

    It validates as MoAContext does. In its JSON schema, `aggregator` and `combine` are enums of the mixture's models
    and combiners, and `system` and `aggregator` name the nodes at which Studio shows them.
    """
    changes: dict[str, dict[str, Any]] = {
        "aggregator": _choices(spec.name or spec.label for spec in answering_models(mixture)),
        "combine": _choices(mixture.choices),
        "system": {"langgraph_nodes": [*(node.name for node in mixture.plan.nodes), "aggregate"]},
    }

    class Context(MoAContext):
        @classmethod
        def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
            schema = super().__get_pydantic_json_schema__(core_schema, handler)
            properties = handler.resolve_ref_schema(schema)["properties"]
            for name, change in changes.items():
                properties[name].update(change)
            for name in _FOR_BATCHES:
                del properties[name]
            return schema

    Context.__name__ = Context.__qualname__ = MoAContext.__name__
    return Context


def _choices(names: Iterable[str]) -> dict[str, Any]:
    """Return the part of a JSON schema that allows one of some names, or null."""
    return {"anyOf": [{"enum": list(dict.fromkeys(names)), "type": "string"}, {"type": "null"}]}
