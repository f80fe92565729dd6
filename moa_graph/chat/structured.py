"""Structured output of ChatMoA: the options that each method binds, and the parser of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_function
from langchain_core.utils.pydantic import is_basemodel_subclass

from moa_graph.errors import ConfigError

Method = Literal["function_calling", "json_mode", "json_schema"]


def structured(
    model: BaseChatModel,
    schema: dict[str, Any] | type | None,
    *,
    method: Method,
    include_raw: bool,
    strict: bool | None,
    form: str,
    more: Mapping[str, Any],
) -> Runnable[Any, Any]:
    """Return `model` with its answer parsed by `schema`.

    Args:
        model: The chat model.
        schema: A JSON schema, a pydantic class or a TypedDict; None for any JSON.
        method: How the aggregator is made to answer in this form.
        include_raw: Return the message and the parsing error as well.
        strict: Whether the provider enforces the schema.
        form: The name of the option that passes the schema to the proposers.
        more: Further options to bind.

    Raises:
        ConfigError: The method is unknown, or it needs a schema.
    """
    if method not in ("function_calling", "json_mode", "json_schema"):
        raise ConfigError(f"method {method!r}: choose function_calling, json_schema or json_mode.")
    if schema is None and method != "json_mode":
        raise ConfigError(f"method {method!r} needs a schema; only json_mode works without one.")
    options: dict[str, Any] = dict(more)
    if schema is not None:
        traced = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
        options |= {form: convert_to_json_schema(schema), "ls_structured_output_format": traced}
    if method == "function_calling":
        bound = model.bind_tools([_known(schema)], tool_choice="any", strict=strict, **options)
    else:
        bound = model.bind(response_format=response_format(schema, method, strict), **options)
    return _read(bound, _parser(schema, method), include_raw=include_raw)


def _known(schema: dict[str, Any] | type | None) -> dict[str, Any] | type:
    assert schema is not None
    return schema


def response_format(schema: dict[str, Any] | type | None, method: Method, strict: bool | None) -> dict[str, Any]:
    """Return the response format in OpenAI's notation, which most providers read."""
    if method == "json_mode":
        return {"type": "json_object"}
    function = convert_to_openai_function(_known(schema), strict=strict)
    wanted = {"name": function["name"], "schema": function["parameters"]}
    return {"type": "json_schema", "json_schema": wanted if strict is None else {**wanted, "strict": strict}}


def _parser(schema: dict[str, Any] | type | None, method: Method) -> BaseOutputParser[Any]:
    # Other classes than pydantic's are read as plain dicts.
    typed: Any = schema if isinstance(schema, type) and is_basemodel_subclass(schema) else None
    if method != "function_calling":
        return PydanticOutputParser(pydantic_object=typed) if typed else JsonOutputParser()
    if typed:
        return PydanticToolsParser(tools=[typed], first_tool_only=True)
    name = convert_to_openai_function(_known(schema))["name"]
    return JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)


def _read(bound: Runnable[Any, Any], parser: BaseOutputParser[Any], *, include_raw: bool) -> Runnable[Any, Any]:
    if not include_raw:
        return bound | parser
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=bound) | parsed.with_fallbacks([failed], exception_key="parsing_error")
