"""Check the schemas of a caller's tools and response format before any request is sent.

A provider refuses a wrong schema with the aggregator's call, when the drafts are paid for. The check finds what is
wrong with any provider: a keyword whose value has the wrong form. Which keywords a provider supports is its own matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from moa_graph.errors import InputError
from moa_graph.state.field_errors import given

__all__ = ["check_schemas"]

_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords of JSON Schema whose value holds a schema for each name."""
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
"""Keywords whose value is a list of schemas."""
_SINGLE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
"""Keywords whose value is a schema. `items` may be a list of schemas in drafts before 2020-12."""

_MOST = 5_000
"""Parts of one schema that are checked, about 10 ms. The provider sees what is wrong beyond them."""


def check_schemas(bound: Mapping[str, Any]) -> None:
    """Refuse tools and a response format whose JSON Schema is malformed.

    Args:
        bound: What is bound to the aggregator's call: tools and a response format as OpenAI's chat completions write
            them. Other forms are a provider's own and are left to it.

    Raises:
        InputError: The schema of a tool's arguments is not one of an object, or a keyword has a value of a wrong form.
    """
    for place, tool in enumerate(bound.get("tools") or ()):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if isinstance(function, Mapping) and (schema := function.get("parameters")) is not None:
            at = f"tools[{place}].function.parameters"
            _check(schema, at)
            kinds = schema.get("type", "object")
            if "object" not in (kinds if isinstance(kinds, list) else [kinds]):
                raise InputError(f'{at}.type: expected "object", got {given(kinds)}: arguments have names.')
    form = bound.get("response_format")
    described = form.get("json_schema") if isinstance(form, Mapping) else None
    if isinstance(described, Mapping) and (schema := described.get("schema")) is not None:
        _check(schema, "response_format.json_schema.schema")


def _check(schema: Any, place: str) -> None:
    for part, at in islice(_walked(schema, place), _MOST):
        if not isinstance(part, Mapping | bool):
            raise InputError(f"{at}: expected a JSON Schema, got {given(part)}.")
        if isinstance(part, Mapping):
            _check_texts(part, at)


def _walked(schema: Any, place: str) -> Iterator[tuple[Any, str]]:
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


def _check_texts(schema: Mapping[str, Any], at: str) -> None:
    kind, required = schema.get("type"), schema.get("required")
    if not (kind is None or isinstance(kind, str) or _are_texts(kind)):
        raise InputError(f"{at}.type: expected the name of a type or a list of names, got {given(kind)}.")
    # Before draft 4, and in some generators still, each property says whether it is required.
    if not (required is None or isinstance(required, bool) or _are_texts(required)):
        raise InputError(f"{at}.required: expected a list of names, got {given(required)}.")
    if not isinstance(enum := schema.get("enum"), list | None):
        raise InputError(f"{at}.enum: expected a list of values, got {given(enum)}.")


def _parts(schema: Mapping[str, Any], at: str) -> Iterator[tuple[Any, str]]:
    """Yield the schemas in a schema, each with its place."""
    for keyword in _BY_NAME:
        named = schema.get(keyword)
        if named is not None and not isinstance(named, Mapping):
            raise InputError(f"{at}.{keyword}: expected a JSON Schema for each name, got {given(named)}.")
        yield from ((part, f"{at}.{keyword}.{name}") for name, part in (named or {}).items())
    for keyword in _LISTS:
        parts = schema.get(keyword)
        if not isinstance(parts, list | None):
            raise InputError(f"{at}.{keyword}: expected a list of JSON Schemas, got {given(parts)}.")
        yield from ((part, f"{at}.{keyword}[{number}]") for number, part in enumerate(parts or ()))
    for keyword in _SINGLE:
        part = schema.get(keyword)
        several = part if keyword == "items" and isinstance(part, list) else [part]
        yield from ((each, f"{at}.{keyword}") for each in several if each is not None)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value[:_MOST])
