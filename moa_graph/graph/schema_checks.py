"""Check the schemas of a caller's tools and response format before any request is sent.

A provider refuses a wrong schema with the aggregator's call, when the drafts are paid for. The check finds what is
wrong with any provider: a keyword whose value has the wrong form. Which keywords a provider supports is its own matter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import orjson

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
_LONGEST_STEP, _MOST_STEPS = 60, 20
"""Characters of a name, and steps of a place, that an error repeats."""
_DEEPEST = 250
"""Levels of nesting. Providers take about ten."""
_LONGEST_NUMBER = 4096
"""Bits of a whole number."""
_NULL = re.compile(rb"(^|[:,\[])null")


def check_schemas(bound: Mapping[str, Any]) -> None:
    """Refuse tools and a response format whose JSON Schema is malformed.

    Args:
        bound: What is bound to the aggregator's call: tools and a response format as OpenAI's chat completions write
            them. Other forms are a provider's own and are left to it.

    Raises:
        InputError: The schema of a tool's arguments is not one of an object, or a keyword has a value of a wrong form.
    """
    for place, tool in enumerate(bound.get("tools") or ()):
        _check_json(tool, _At(f"tools[{place}]"))
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if isinstance(tool, Mapping) and tool.get("type") == "function":
            _check_function(function, f"tools[{place}].function")
        if isinstance(function, Mapping) and (schema := function.get("parameters")) is not None:
            at = f"tools[{place}].function.parameters"
            _check(schema, at)
            kinds = schema.get("type", "object")
            # Gemini's own notation has capital letters.
            if "object" not in [str(kind).lower() for kind in (kinds if isinstance(kinds, list | tuple) else [kinds])]:
                raise InputError(f'{at}.type: expected "object", got {given(kinds)}: arguments have names.')
    form = bound.get("response_format")
    _check_json(form, _At("response_format"))
    described = form.get("json_schema") if isinstance(form, Mapping) else None
    if isinstance(form, Mapping):
        _check_form(form)
    if isinstance(described, Mapping) and (schema := described.get("schema")) is not None:
        _check(schema, "response_format.json_schema.schema")


class _At(NamedTuple):
    """The place of a schema. It is written out for an error alone: names may be long, and schemas deep."""

    step: str
    parent: _At | None = None

    def __str__(self) -> str:
        steps, at = [], self
        while at.parent is not None:
            steps.append(at.step if len(at.step) <= _LONGEST_STEP else f"{at.step[:_LONGEST_STEP]}…")
            at = at.parent
        inner = steps if len(steps) <= _MOST_STEPS else [*steps[: _MOST_STEPS // 2], "…", *steps[-_MOST_STEPS // 2 :]]
        return ".".join([at.step, *reversed(inner)])


def _check_function(function: Any, at: str) -> None:
    if not isinstance(function, Mapping):
        raise InputError(f"{at}: expected a mapping with `name`, got {given(function)}.")
    if not isinstance(name := function.get("name"), str) or not name:
        raise InputError(f"{at}.name: expected the name of the function, got {given(name)}.")
    if not isinstance(about := function.get("description"), str | None):
        raise InputError(f"{at}.description: expected text, got {given(about)}.")


def _check_form(form: Mapping[str, Any]) -> None:
    if not isinstance(kind := form.get("type"), str):
        wanted = 'expected "text", "json_object" or "json_schema"'
        raise InputError(f"response_format.type: {wanted}, got {given(kind)}.")
    # Some servers take the schema without a name, in a field of its own.
    if kind == "json_schema" and not isinstance(form.get("json_schema"), Mapping) and "schema" not in form:
        at = "response_format.json_schema"
        raise InputError(f"{at}: expected a mapping with `name` and `schema`, got {given(form.get('json_schema'))}.")


def _check_json(value: Any, at: _At) -> None:
    """Refuse a value that cannot be sent as JSON, or that is nested too deeply."""
    try:
        # Quick, but it writes numbers that JSON does not have as null.
        quick = orjson.dumps(value)
    except TypeError:
        quick = b"[null]"
    if _NULL.search(quick):
        _check_value(value, at, _DEEPEST)


def _check_value(value: Any, at: _At, levels: int) -> None:
    if isinstance(value, str):
        # Half of a surrogate pair, as in a text that was cut inside an emoji, has no encoding.
        try:
            value.encode()
        except UnicodeEncodeError as exc:
            raise InputError(f"{at}: the text holds half a character, at position {exc.start}. Remove it.") from None
    elif isinstance(value, int | float):
        # Python writes no whole number of more than 4,300 digits.
        if value.bit_length() > _LONGEST_NUMBER if isinstance(value, int) else not math.isfinite(value):
            raise InputError(f"{at}: expected a number that JSON has, got {given(value)}.")
    elif isinstance(value, Mapping | list | tuple):
        if not levels:
            raise InputError(f"{at}: nested more than {_DEEPEST} levels deep.")
        for name, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            inner = _At(str(name), at)
            if isinstance(name, str):
                _check_value(name, at, levels)
            _check_value(part, inner, levels - 1)
    else:
        _check_foreign(value, at)


def _check_foreign(value: Any, at: _At) -> None:
    """Refuse a value of a further type, except those that can be sent to an API of OpenAI's protocol, as dates can."""
    try:
        orjson.dumps(value)
    except TypeError:
        raise InputError(f"{at}: expected a value that JSON has, got {given(value)}.") from None


def _check(schema: Any, place: str) -> None:
    if not isinstance(schema, Mapping):
        raise InputError(f"{place}: expected a JSON Schema, got {given(schema)}.")
    for part, at in islice(_walked(schema, _At(place)), _MOST):
        if not isinstance(part, Mapping | bool):
            raise InputError(f"{at}: expected a JSON Schema, got {given(part)}.")
        if isinstance(part, Mapping):
            _check_texts(part, at)


def _walked(schema: Any, place: _At) -> Iterator[tuple[Any, _At]]:
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


def _check_texts(schema: Mapping[str, Any], at: _At) -> None:
    kind, required = schema.get("type"), schema.get("required")
    if not (kind is None or isinstance(kind, str) or _are_texts(kind)):
        raise InputError(f"{at}.type: expected the name of a type or a list of names, got {given(kind)}.")
    # Before draft 4, and in some generators still, each property says whether it is required.
    if not (required is None or isinstance(required, bool) or _are_texts(required)):
        raise InputError(f"{at}.required: expected a list of names, got {given(required)}.")
    if not isinstance(enum := schema.get("enum"), list | tuple | None):
        raise InputError(f"{at}.enum: expected a list of values, got {given(enum)}.")


def _parts(schema: Mapping[str, Any], at: _At) -> Iterator[tuple[Any, _At]]:
    """Yield the schemas in a schema, each with its place."""
    for keyword in _BY_NAME:
        if (named := schema.get(keyword)) is None:
            continue
        if not isinstance(named, Mapping):
            raise InputError(f"{at}.{keyword}: expected a JSON Schema for each name, got {given(named)}.")
        yield from ((part, _At(str(name), _At(keyword, at))) for name, part in named.items())
    for keyword in _LISTS:
        if (parts := schema.get(keyword)) is None:
            continue
        if not isinstance(parts, list | tuple):
            raise InputError(f"{at}.{keyword}: expected a list of JSON Schemas, got {given(parts)}.")
        yield from ((part, _At(f"{keyword}[{number}]", at)) for number, part in enumerate(parts))
    for keyword in _SINGLE:
        if (part := schema.get(keyword)) is None:
            continue
        several = part if keyword == "items" and isinstance(part, list | tuple) else [part]
        yield from ((each, _At(keyword, at)) for each in several if each is not None)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value[:_MOST])
