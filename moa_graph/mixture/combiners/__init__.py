"""The combiners' options, one module each. Each class states its fewest and its most calls."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from moa_graph.errors import ConfigError
from moa_graph.mixture.combiner import Combiner
from moa_graph.mixture.combiners.analyze import Analyze
from moa_graph.mixture.combiners.checks import CommandCheck, SchemaCheck
from moa_graph.mixture.combiners.critique import Critique
from moa_graph.mixture.combiners.escalate import Escalate
from moa_graph.mixture.combiners.select import Select
from moa_graph.mixture.combiners.synthesize import Synthesize
from moa_graph.mixture.combiners.verify import Verify
from moa_graph.mixture.combiners.vote import Vote
from moa_graph.mixture.validation import collected
from moa_graph.state.value_text import given

__all__ = [
    "NAMES",
    "Analyze",
    "AnyCombiner",
    "CommandCheck",
    "Critique",
    "Escalate",
    "SchemaCheck",
    "Select",
    "Synthesize",
    "Verify",
    "Vote",
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
    """Return the options with their combiner's name, so that the union below always finds its class."""
    options = {"name": value} if isinstance(value, str) else value
    if isinstance(options, Combiner):
        return options
    name = options.get("name") if isinstance(options, Mapping) else None
    if not isinstance(name, str) or name not in _ALL:
        near = difflib.get_close_matches(str(name), NAMES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        own = " A rule of your own is the `check` of verify." if callable(value) else ""
        raise ConfigError(
            f"expected a combiner's name, or a mapping with `name`, got {given(value)}.{hint} "
            f"Names: {', '.join(NAMES)}.{own}"
        )
    return dict(options)


def _which(value: Any) -> str:
    return str(value["name"] if isinstance(value, dict) else value.name)


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

AnyCombiner = Annotated[_Mapping, BeforeValidator(collected(_named), json_schema_input_type=_Name | _Mapping)]
"""A combiner's name, or a mapping of its name and options."""
