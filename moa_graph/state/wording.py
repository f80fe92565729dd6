"""The reason of a refused value in plain words, where pydantic would speak of Python's types."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["merged", "reason_of"]

_TEXTS: Mapping[str, str] = {
    "missing": "it is required and not given",
    "extra_forbidden": "there is no such field",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have {max_length} entries or fewer",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have {max_length} characters or fewer",
    "string_pattern_mismatch": "must match {pattern}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "finite_number": "must be a finite number",
    "url_parsing": "must start with http:// or https://",
    "none_required": "must be null",
}
_KINDS: Mapping[str, str] = {
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen_set": "a list",
    "iterable": "a list",
    "dict": "an object of named fields",
    "mapping": "an object of named fields",
    "model": "an object of named fields",
    "model_attributes": "an object of named fields",
    "typed_dict": "an object of named fields",
    "dataclass": "an object of named fields",
    "callable": "a function",
}
_ADDRESS = "^https?://"
_ALTERNATIVE = re.compile(
    r"(?:int|float|str|bool|dict|Dated|constrained-\w+|(?:list|dict|tuple|nullable|function-\w+)\[.*\])$", re.S
)
"""How pydantic names the alternatives of a union in the place of an error."""


def reason_of(error: Mapping[str, Any]) -> str:
    """Return why a value was refused.

    Args:
        error: One of the errors that pydantic lists.
    """
    kind, details = str(error["type"]), error.get("ctx") or {}
    if kind == "string_pattern_mismatch" and str(details.get("pattern", "")).startswith(_ADDRESS):
        return "must start with http:// or https://, without spaces or @"
    if text := _TEXTS.get(kind):
        return text.format(**{name: f"{v:g}" if isinstance(v, float) else v for name, v in details.items()})
    name = re.sub(r"_(?:type|parsing|parsing_size|from_float|attributes_type|sub_type)$", "", kind)
    if name in _KINDS:
        return f"must be {_KINDS[name]}"
    text = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return text.replace("Input should be", "must be").replace("Input should", "must")


def merged(errors: Sequence[Mapping[str, Any]]) -> list[tuple[tuple[int | str, ...], str, Mapping[str, Any]]]:
    """Return the place, the reason and the first error of each refused value.

    A value that no alternative of its field takes is one error with the reasons of all of them.

    Args:
        errors: What pydantic lists.
    """
    found: dict[tuple[int | str, ...], list[Mapping[str, Any]]] = {}
    for error in errors:
        place = tuple(part for part in error["loc"] if isinstance(part, int) or not _ALTERNATIVE.match(part))
        found.setdefault(place, []).append(error)
    return [
        (place, " or ".join(dict.fromkeys(reason_of(each) for each in alike)), alike[0])
        for place, alike in found.items()
    ]
