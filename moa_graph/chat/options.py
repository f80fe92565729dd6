"""The options of one call of ChatMoA, checked before anything is paid for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from moa_graph.errors import ConfigError
from moa_graph.mixture.validation import config_error
from moa_graph.state.field_errors import field_problems, given, schema_of

__all__ = ["checked_options"]

_CHOICES = frozenset({"auto", "none", "any", "required"})


class _Options(BaseModel):
    """The options whose meaning is known. Others are the aggregator's provider's own."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    max_tokens: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    stop: str | list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | bool | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | type | None = None


def checked_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a call.

    Raises:
        ConfigError: An option is of the wrong type or out of its bounds, or `tool_choice` is not one of the tools.
    """
    try:
        _Options.model_validate(options)
    except ValidationError as exc:
        raise config_error(field_problems(exc, schema_of(_Options, _Options.model_fields)), what="ChatMoA") from None
    choice, tools = options.get("tool_choice"), options.get("tools")
    known = {*_CHOICES, *(name for tool in tools or () for name in _names(tool))}
    if tools and isinstance(choice, str) and choice not in known:
        raise ConfigError(f"ChatMoA.tool_choice: {given(choice)} is not a tool of this call.")
    return options


def _names(tool: Mapping[str, Any]) -> list[Any]:
    """Return what may choose a tool: its name, or the kind of a provider's own tool."""
    function = tool.get("function")
    return [tool.get("type"), tool.get("name"), function.get("name") if isinstance(function, Mapping) else None]
