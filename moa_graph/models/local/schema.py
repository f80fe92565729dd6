"""JSON schemas whose values fit into an answer's length.

A small model may repeat itself inside a text until the answer is cut off, and half a value is not JSON. So every text
and every list without a limit of its own gets one. The grammar of the runtime enforces it during generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["fitting"]

_MARKS = 8
"""Tokens of a field's name, quotes and punctuation, beside one for every two characters of the name."""
_NUMBER = 20
"""Tokens of a number: the grammar allows about 16 digits."""
_ITEMS = 8
"""Entries of a list without a limit."""
_LIMITED = ("enum", "const", "pattern", "format", "maxLength")
"""Keywords that limit a text already, or that the grammar takes instead of a length."""


def fitting(schema: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    """Return the schema with limits for texts and lists, so that a whole answer takes at most about `tokens`.

    A token has at least one character. Limits that the schema states stay as they are.

    Args:
        schema: A JSON schema of an object.
        tokens: The most tokens of the answer.
    """
    found: dict[str, Any] = _of(schema, tokens)
    for name in ("$defs", "definitions"):
        if isinstance(parts := schema.get(name), Mapping):
            share = tokens // (1 + str(schema).count("'$ref'"))
            found[name] = {key: _of(part, share) for key, part in parts.items()}
    return found


def _of(schema: Any, tokens: int) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    found = dict(schema)
    for name in ("anyOf", "oneOf", "allOf"):
        if isinstance(parts := schema.get(name), list):
            found[name] = [_of(part, tokens) for part in parts]
    if isinstance(properties := schema.get("properties"), Mapping) and properties:
        taken = sum(_MARKS + len(name) // 2 + _fixed(part) for name, part in properties.items())
        share = (tokens - taken) // max(sum(not _fixed(part) for part in properties.values()), 1)
        found["properties"] = {name: _of(part, share) for name, part in properties.items()}
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "string" in kinds and not any(name in schema for name in _LIMITED):
        found["maxLength"] = max(tokens, int(schema.get("minLength", 0)), 1)
    if "array" in kinds and isinstance(schema.get("items"), Mapping):
        most = int(schema.get("maxItems", max(_ITEMS, int(schema.get("minItems", 0)))))
        found |= {"maxItems": most, "items": _of(schema["items"], tokens // max(most, 1) - 2)}
    return found


def _fixed(schema: Any) -> int:
    """Return the tokens of a value whose length the grammar limits by itself; 0 for a text, a list or an object."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    return {"integer": _NUMBER, "number": _NUMBER, "boolean": 2, "null": 2}.get(kind, 0) if isinstance(kind, str) else 0
