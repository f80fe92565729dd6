"""JSON schemas whose values fit into an answer's length.

A small model may repeat itself inside a text until the answer is cut off, and half a value is not JSON. So every text
and every list without a limit of its own gets one. The grammar of the runtime enforces it during generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["fitting"]

_ITEMS = 8
"""Most entries of a list without a limit."""
_TEXT = 12
"""Characters that a text in a list should have room for; a list gets fewer entries rather than shorter ones."""
_NUMBER = 20
"""Characters of a number: the grammar allows about 16 digits."""
_LIMITED = ("enum", "const", "pattern", "format", "maxLength")
"""Keywords that limit a text already, or that the grammar takes instead of a length."""

_MOST_PARTS = 2_000
"""Parts of a schema in which references are replaced. Each level of references to references may double them."""


class _Definitions(dict[str, Any]):
    """Definitions by their references.

    Attributes:
        left: How many more parts may be visited before references stay as they are.
    """

    left = _MOST_PARTS

    def in_place_of(self, schema: Mapping[str, Any], inside: tuple[str, ...]) -> str | None:
        """Return the schema's reference if its definition is to replace it, else None. Counts the part as visited."""
        self.left -= 1
        name = schema.get("$ref")
        return name if isinstance(name, str) and name in self and name not in inside and self.left > 0 else None


def fitting(schema: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    """Return the schema with limits for texts and lists, so that the longest answer has about `tokens` characters.

    A token has at least one character of common text. Limits that the schema states stay as they are.

    Args:
        schema: A JSON schema.
        tokens: The most tokens of the answer.
    """
    defs = _Definitions(
        (f"#/{name}/{key}", part) for name in ("$defs", "definitions") for key, part in schema.get(name, {}).items()
    )
    found: dict[str, Any] = _of(schema, tokens, defs, ())
    for name in ("$defs", "definitions"):
        if name in schema:
            # What is still referred to contains itself, or comes after too many parts. How deep it goes cannot be
            # limited, so its texts are short.
            found[name] = {key: _of(part, tokens // _ITEMS, defs, tuple(defs)) for key, part in schema[name].items()}
    return found


def _of(schema: Any, room: int, defs: _Definitions, inside: tuple[str, ...]) -> Any:
    """Return a part of the schema that fits into `room` characters. `inside` names the references around it."""
    if not isinstance(schema, Mapping):
        return schema
    if name := defs.in_place_of(schema, inside):
        # In place of the reference: the same form may stand where there is more room and where there is less.
        more = {key: value for key, value in schema.items() if key != "$ref"}
        return {**_of(defs[name], room, defs, (*inside, name)), **more}
    found = dict(schema)
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(parts := schema.get(key), list):
            found[key] = [_of(part, room, defs, inside) for part in parts]
    if isinstance(properties := schema.get("properties"), Mapping) and properties:
        fixed = {key: size for key, part in properties.items() if (size := _fixed(part))}
        left = room - 2 - sum(len(key) + 4 for key in properties) - sum(fixed.values())
        share = left // max(len(properties) - len(fixed), 1)
        found["properties"] = {key: _of(part, share, defs, inside) for key, part in properties.items()}
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "string" in kinds and not any(key in schema for key in _LIMITED):
        found["maxLength"] = max(room - 2, int(schema.get("minLength", 0)), 1)
    if "array" in kinds and isinstance(schema.get("items"), Mapping):
        most = max(min(_ITEMS, room // _least(schema["items"], defs, inside)), int(schema.get("minItems", 0)), 1)
        found["maxItems"] = most = int(schema.get("maxItems", most))
        found["items"] = _of(schema["items"], (room - 2) // max(most, 1) - 1, defs, inside)
    return found


def _least(schema: Any, defs: _Definitions, inside: tuple[str, ...]) -> int:
    """Return the characters that a value should have room for."""
    if not isinstance(schema, Mapping):
        return _TEXT
    if name := defs.in_place_of(schema, inside):
        return _least(defs[name], defs, (*inside, name))
    if isinstance(properties := schema.get("properties"), Mapping):
        return 2 + sum(len(key) + 4 + _least(part, defs, inside) for key, part in properties.items())
    if isinstance(parts := schema.get("anyOf", schema.get("oneOf")), list):
        return max((_least(part, defs, inside) for part in parts), default=_TEXT)
    return 3 + _least(schema["items"], defs, inside) if "items" in schema else _fixed(schema) or _TEXT


def _fixed(schema: Any) -> int:
    """Return the characters of a value whose length does not depend on the room; 0 for other values."""
    if not isinstance(schema, Mapping):
        return 0
    if isinstance(schema.get("enum"), list):
        return max(len(str(value)) for value in schema["enum"]) + 2 if schema["enum"] else 0
    if isinstance(most := schema.get("maxLength"), int):
        return most + 2
    kind = schema.get("type")
    return {"integer": _NUMBER, "number": _NUMBER, "boolean": 5, "null": 4}.get(kind, 0) if isinstance(kind, str) else 0
