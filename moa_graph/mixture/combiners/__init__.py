"""The combiners' options, one module each. Each class states its fewest and its most calls."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from moa_graph.errors import ConfigError
from moa_graph.mixture.combiner import Combiner
from moa_graph.mixture.combiners.analyze import Analyze
from moa_graph.mixture.combiners.checks import CommandCheck, SchemaCheck
from moa_graph.mixture.combiners.critique import Critique
from moa_graph.mixture.combiners.escalate import Escalate, Gate
from moa_graph.mixture.combiners.makers import maker
from moa_graph.mixture.combiners.select import Select
from moa_graph.mixture.combiners.synthesize import Synthesize
from moa_graph.mixture.combiners.verify import Verify
from moa_graph.mixture.combiners.vote import Vote

__all__ = [
    "NAMES",
    "Analyze",
    "AnyCombiner",
    "CommandCheck",
    "Critique",
    "Escalate",
    "Gate",
    "SchemaCheck",
    "Select",
    "Synthesize",
    "Verify",
    "Vote",
    "maker",
]

_ALL: dict[str, type[Combiner]] = {
    "synthesize": Synthesize,
    "analyze": Analyze,
    "select": Select,
    "vote": Vote,
    "verify": Verify,
    "escalate": Escalate,
    "critique": Critique,
}
NAMES = tuple(_ALL)
"""The combiners' names."""


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _which(value: Any) -> str:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    if name not in _ALL:
        given = "no name" if name is None else f"unknown combiner {name!r}"
        raise ConfigError(f"mixture.combine: {given}. Give a name, or a mapping with `name`: {', '.join(NAMES)}.")
    return str(name)


_Mapping = Annotated[
    Annotated[Synthesize, Tag("synthesize")]
    | Annotated[Analyze, Tag("analyze")]
    | Annotated[Select, Tag("select")]
    | Annotated[Vote, Tag("vote")]
    | Annotated[Verify, Tag("verify")]
    | Annotated[Escalate, Tag("escalate")]
    | Annotated[Critique, Tag("critique")],
    Discriminator(_which),
]
_Name = Annotated[str, Field(json_schema_extra={"enum": list(NAMES)})]

AnyCombiner = Annotated[_Mapping, BeforeValidator(_named, json_schema_input_type=_Name | _Mapping)]
"""A combiner's name, or a mapping of its name and options."""
