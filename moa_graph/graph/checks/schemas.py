"""Check the schemas of a caller's tools and response format before any request is sent.

A provider refuses a wrong schema with the aggregator's call, when the drafts are paid for. The check finds what is
wrong with any provider: a keyword whose value has the wrong form. Which keywords a provider supports is its own matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from moa_graph.errors import InputError
from moa_graph.graph.checks.json_values import JsonCheck, SchemaPlace
from moa_graph.state.value_text import given

__all__ = ["check_schemas"]

_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords of JSON Schema whose value holds a schema for each name."""
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
"""Keywords whose value is a list of schemas."""
_SINGLE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
"""Keywords whose value is a schema. `items` may be a list of schemas in drafts before 2020-12."""

_MOST = 5_000
"""Parts of all schemas that are checked, about 10 ms. The provider sees what is wrong beyond them."""
_MOST_TOOLS = 2_000
"""Tools. OpenAI takes 128."""


def check_schemas(bound: Mapping[str, Any]) -> None:
    """Refuse tools and a response format whose JSON Schema is malformed.

    Args:
        bound: What is bound to the aggregator's call: tools and a response format as OpenAI's chat completions write
            them. Other forms are a provider's own and are left to it.

    Raises:
        InputError: The schema of a tool's arguments is not one of an object, a keyword has a value of a wrong form, or
            the tools are too many or too large.
    """
    tools, form = bound.get("tools") or (), bound.get("response_format")
    if len(tools) > _MOST_TOOLS:
        raise InputError(f"tools: expected at most {_MOST_TOOLS:,}, got {len(tools):,}. Offer fewer.")
    sent, left = JsonCheck(), iter(range(_MOST))
    for place, tool in enumerate(tools):
        sent.add(tool, SchemaPlace(f"tools[{place}]"))
        _check_tool(tool, f"tools[{place}].function", left)
    sent.add(form, SchemaPlace("response_format"))
    if isinstance(form, Mapping):
        _check_form(form, left)


def _check_tool(tool: Any, at: str, left: Iterator[int]) -> None:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if isinstance(tool, Mapping) and tool.get("type") == "function":
        _check_function(function, at)
    if not isinstance(function, Mapping) or (schema := function.get("parameters")) is None:
        return
    _check(schema, f"{at}.parameters", left)
    kinds = schema.get("type", "object")
    # Gemini's own notation has capital letters.
    if "object" not in [str(kind).lower() for kind in (kinds if isinstance(kinds, list | tuple) else [kinds])]:
        raise InputError(f'{at}.parameters.type: expected "object", got {given(kinds)}: arguments have names.')


def _check_function(function: Any, at: str) -> None:
    if not isinstance(function, Mapping):
        raise InputError(f"{at}: expected a mapping with `name`, got {given(function)}.")
    if not isinstance(name := function.get("name"), str) or not name:
        raise InputError(f"{at}.name: expected the name of the function, got {given(name)}.")
    if not isinstance(about := function.get("description"), str | None):
        raise InputError(f"{at}.description: expected text, got {given(about)}.")


def _check_form(form: Mapping[str, Any], left: Iterator[int]) -> None:
    if not isinstance(kind := form.get("type"), str):
        wanted = 'expected "text", "json_object" or "json_schema"'
        raise InputError(f"response_format.type: {wanted}, got {given(kind)}.")
    described = form.get("json_schema")
    # Some servers take the schema without a name, in a field of its own.
    if kind == "json_schema" and not isinstance(described, Mapping) and "schema" not in form:
        at = "response_format.json_schema"
        raise InputError(f"{at}: expected a mapping with `name` and `schema`, got {given(described)}.")
    if isinstance(described, Mapping) and (schema := described.get("schema")) is not None:
        _check(schema, "response_format.json_schema.schema", left)


def _check(schema: Any, place: str, left: Iterator[int]) -> None:
    if not isinstance(schema, Mapping):
        raise InputError(f"{place}: expected a JSON Schema, got {given(schema)}.")
    for _, (part, at) in zip(left, _walked(schema, SchemaPlace(place)), strict=False):
        if not isinstance(part, Mapping | bool):
            raise InputError(f"{at}: expected a JSON Schema, got {given(part)}.")
        if isinstance(part, Mapping):
            _check_texts(part, at)


def _walked(schema: Any, place: SchemaPlace) -> Iterator[tuple[Any, SchemaPlace]]:
    """Yield a schema and every schema in it, each with its place.

    Without recursion, which has a limit that a caller's schema could reach, and no part before it is needed, because
    a request may hold a million.
    """
    left = [iter([(schema, place)])]
    while left:
        found = next(left[-1], None)
        if found is None:
            left.pop()
            continue
        yield found
        if isinstance(found[0], Mapping):
            left.append(_parts(*found))


def _check_texts(schema: Mapping[str, Any], at: SchemaPlace) -> None:
    kind, required = schema.get("type"), schema.get("required")
    if not (kind is None or isinstance(kind, str) or _are_texts(kind)):
        raise InputError(f"{at}.type: expected the name of a type or a list of names, got {given(kind)}.")
    # Before draft 4, and in some generators still, each property says whether it is required.
    if not (required is None or isinstance(required, bool) or _are_texts(required)):
        raise InputError(f"{at}.required: expected a list of names, got {given(required)}.")
    if not isinstance(enum := schema.get("enum"), list | tuple | None):
        raise InputError(f"{at}.enum: expected a list of values, got {given(enum)}.")


def _parts(schema: Mapping[str, Any], at: SchemaPlace) -> Iterator[tuple[Any, SchemaPlace]]:
    """Yield the schemas in a schema, each with its place."""
    for keyword in _BY_NAME:
        if (named := schema.get(keyword)) is None:
            continue
        if not isinstance(named, Mapping):
            raise InputError(f"{at}.{keyword}: expected a JSON Schema for each name, got {given(named)}.")
        yield from ((part, SchemaPlace(str(name), SchemaPlace(keyword, at))) for name, part in named.items())
    for keyword in _LISTS:
        if (parts := schema.get(keyword)) is None:
            continue
        if not isinstance(parts, list | tuple):
            raise InputError(f"{at}.{keyword}: expected a list of JSON Schemas, got {given(parts)}.")
        yield from ((part, SchemaPlace(f"{keyword}[{number}]", at)) for number, part in enumerate(parts))
    for keyword in _SINGLE:
        if (part := schema.get(keyword)) is None:
            continue
        several = part if keyword == "items" and isinstance(part, list | tuple) else [part]
        yield from ((each, SchemaPlace(keyword, at)) for each in several if each is not None)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value[:_MOST])
