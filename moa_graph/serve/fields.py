"""Field types shared by the API formats, and the error message for a wrong field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from moa_graph.errors import ConfigError, InputError
from moa_graph.graph.checks.messages import check_block
from moa_graph.mixture.context import BoundContext
from moa_graph.serve.problems import Problem
from moa_graph.state.field_errors import field_problems, place_of
from moa_graph.state.value_text import given

__all__ = [
    "Count",
    "Object",
    "Penalty",
    "Seed",
    "Temperature",
    "Text",
    "ToolName",
    "TopP",
    "checked_block",
    "context_of",
    "of_moa",
    "stop_texts",
    "validate",
    "without_nulls",
    "wrong",
]

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
ToolName = Annotated[str, Field(min_length=1, max_length=128)]
"""128 characters are the most that a provider takes."""
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(ge=0, le=1)]

_CONTEXT = re.compile(r"\bcontext(?=[.:])")

PER_RUN = frozenset(
    {"layers", "prompt", "aggregator", "combine", "system", "deadline", "quorum", "grace", "min_drafts"}
)
"""Fields of MoAContext that a client may set in the request's own object `moa`: those that raise no limit on cost."""


class Object(BaseModel):
    """A JSON object of a request. Types are strict; fields without a name here are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


def validate(model: type[Object], fields: Mapping[str, Any]) -> None:
    """Check fields against `model`. The values are not changed.

    Raises:
        Problem: 400, naming the first field that is wrong.
    """
    try:
        model.model_validate(fields)
    except ValidationError as exc:
        first = field_problems(exc, model.model_json_schema(), named=True)[0]
        raise Problem(400, f"{place_of(first.path)}: {first.text}", param=str(first.path[0])) from None


def checked_block(block: dict[str, Any], place: str) -> dict[str, Any]:
    """Return a content block that a model may take.

    Args:
        block: The block, in a form that messages have.
        place: Its place in the request.

    Raises:
        Problem: 400, naming the place.
    """
    try:
        check_block(block, place)
    except InputError as exc:
        raise Problem(400, str(exc), param=place) from exc
    return block


def wrong(place: str, reason: str) -> Problem:
    """Return the error of a wrong part of a request, which the answer names."""
    return Problem(400, f"{place}: {reason}.", param=place)


def without_nulls(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a request that are set: null means the same as absent."""
    return {name: value for name, value in body.items() if value is not None}


def stop_texts(value: Any) -> Any:
    """Return texts that end an answer as a list, without empty ones, which mean none and which providers refuse."""
    texts = [value] if isinstance(value, str) else value
    return [text for text in texts if text != ""] if isinstance(texts, list) else texts


def context_of(extras: Mapping[str, Any], *, stream: bool, bound: dict[str, Any]) -> BoundContext:
    """Return the run's context from the request's object `moa`.

    Args:
        extras: The object `moa`: fields of PER_RUN, and `drafts`.
        stream: Emit the answer's tokens.
        bound: Options of the aggregator's call.

    Raises:
        Problem: 400; a field is unknown or wrong.
    """
    allowed = {*PER_RUN & BoundContext.model_fields.keys(), "drafts"}
    for name in extras:
        if name not in allowed:
            raise Problem(400, f"moa.{name}: must be one of {', '.join(sorted(allowed))}.", param=f"moa.{name}")
    if not isinstance(drafts := extras.get("drafts", False), bool):
        raise Problem(400, f"moa.drafts: expected true or false, got {given(drafts)}.", param="moa.drafts")
    fields = {name: value for name, value in extras.items() if name != "drafts"}
    try:
        return BoundContext(**fields, stream_answer=stream, bound=bound)
    except ConfigError as exc:
        raise of_moa(exc) from exc


def of_moa(error: ConfigError) -> Problem:
    """Return the problem of a context, which a request calls `moa`."""
    return Problem(400, _CONTEXT.sub("moa", str(error)), param="moa")
