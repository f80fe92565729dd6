"""What a JSON schema allows, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moa_graph.state.value_text import given

__all__ = ["allowed", "alternatives", "amount"]

_PATTERNS = {
    r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:%/-]*)?$": (
        "an address of the form http(s)://host:port/path in ASCII (other names in their xn-- form), without user name, "
        "query and fragment"
    ),
    r"^[A-Za-z_][A-Za-z0-9_]*$": "the name of an environment variable (letters, digits and _)",
    r"^[A-Z]+$": "capital letters from A to Z",
    "^[^:]+:.+$": 'a model as "provider:model"',
}
_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping (`name: value`)",
    "null": "null",
}


def allowed(schema: Mapping[str, Any]) -> str:
    """Return what a JSON schema allows, in words: "a whole number from 1 to 10"."""
    return _allowed(schema, schema.get("$defs", {}))


def alternatives(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a schema's alternatives, with references followed."""
    if "$ref" in schema:
        return alternatives(defs[schema["$ref"].rpartition("/")[2]], defs)
    parts = schema.get("anyOf") or schema.get("oneOf")
    return [each for part in parts for each in alternatives(part, defs)] if parts else [schema]


def _allowed(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    branches = alternatives(schema, defs)
    if any(each.get("title") == "Proposer" for each in branches):
        return 'a model as "provider:model", or a mapping with `model`'
    words = [_one(each, defs) for each in branches if each.get("type") != "null"]
    return " or ".join(dict.fromkeys(filter(None, words)))


def _one(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    """Return what a schema without alternatives allows."""
    if "const" in schema:
        return given(schema["const"])
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    kind = str(schema.get("type", ""))
    if kind == "string":
        pattern = schema.get("pattern")
        other = f"text that matches {pattern}" if pattern else f"text{_length(schema)}"
        return _PATTERNS.get(pattern or "", other)
    if kind == "array":
        each = _allowed(schema.get("items", {}), defs)
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        many = f" of {least} to {most} values" if most else " that is not empty" if least else ""
        return f"a list{many}{f' (each: {each})' if each else ''}"
    if "const" in schema.get("properties", {}).get("name", {}):
        return "a mapping with `name`"
    if required := schema.get("required"):
        return f"a mapping with {', '.join(f'`{name}`' for name in required)}"
    return _KINDS.get(kind, "") + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f" from {amount(least)} to {amount(most)}"
    words = [
        f"{word} {amount(schema[key])}"
        for key, word in (
            ("minimum", "of at least"), ("exclusiveMinimum", "above"),
            ("maximum", "at most"), ("exclusiveMaximum", "below"),
        )
        if key in schema
    ]  # fmt: skip
    return f" {' and '.join(words)}" if words else ""


def amount(number: float) -> str:
    return f"{int(number) if number == int(number) else number:,}"


def _length(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if most is None:
        return " that is not empty" if least else ""
    return f" of {f'{least:,} to' if least else 'at most'} {most:,} characters"
