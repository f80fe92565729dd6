"""The options of one call of ChatMoA, checked before anything is paid for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from moa_graph.chat.structured import response_format
from moa_graph.errors import ConfigError
from moa_graph.mixture.validation import config_error
from moa_graph.models.secrets.redaction import one_line
from moa_graph.state.field_errors import field_problems, schema_of
from moa_graph.state.value_text import given

__all__ = ["checked_options", "in_chat_form"]

_NO_CALL = (None, False, "auto", "none")
"""Values of `tool_choice` that do not demand a call."""
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
    tools, form, choice = options.get("tools"), options.get("response_format"), options.get("tool_choice")
    if tools:
        options = {**options, "tools": [_in_chat_form(tool) for tool in tools]}
    if isinstance(form, type) or (form and form.get("type", "object") == "object"):
        options = {**options, "response_format": _as_format(form)}
    known = {*_CHOICES, *(name for tool in tools or () for name in _names(tool))}
    if not tools and choice not in _NO_CALL:
        raise ConfigError(f"ChatMoA.tool_choice: {given(choice)} needs at least one tool. Bind one, or leave it out.")
    if isinstance(choice, str) and choice not in known:
        raise ConfigError(f"ChatMoA.tool_choice: {given(choice)} is not a tool of this call.")
    return options


def in_chat_form(tool: dict[str, Any] | type | Callable[..., Any] | BaseTool, strict: bool | None) -> dict[str, Any]:
    """Return a tool in the notation of chat completions, or a provider's own tool unchanged, such as its web search.

    Args:
        tool: A tool in any form that LangChain or the aggregator's provider takes.
        strict: Whether the provider enforces the tool's schema.
    """
    if isinstance(tool, dict) and not _describes_function(tool):
        return tool
    return convert_to_openai_tool(tool, strict=strict)


def _describes_function(tool: Mapping[str, Any]) -> bool:
    if "function" in tool or "title" in tool or tool.keys() & {"parameters", "input_schema"}:
        return True
    return "name" in tool and "type" not in tool


def _in_chat_form(tool: dict[str, Any]) -> dict[str, Any]:
    """Return a function in the notation of chat completions if it is in that of the Responses API.

    LangChain makes every provider's own notation of that of chat completions, but not of the other.
    """
    if tool.get("type") != "function" or "function" in tool or "name" not in tool:
        return tool
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}


def _as_format(schema: Any) -> dict[str, Any]:
    """Return the response format of a schema: a class, or a JSON schema with a title.

    Raises:
        ConfigError: It is not a schema.
    """
    try:
        return response_format(schema, "json_schema", None)
    except Exception as exc:  # LangChain raises errors of several classes
        raise ConfigError(f"ChatMoA.response_format: {one_line(str(exc))}") from None


def _names(tool: Mapping[str, Any]) -> list[Any]:
    """Return what may choose a tool: its name, or the kind of a provider's own tool."""
    function = tool.get("function")
    return [tool.get("type"), tool.get("name"), function.get("name") if isinstance(function, Mapping) else None]
