"""Wrong fields in words: what a field takes, from its JSON schema, and what was given.

pydantic's own messages name Python types and speak of "input". They never reach a user: every part of the package that
validates fields describes its errors here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, NamedTuple, TypeAlias

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

__all__ = ["FieldProblem", "Step", "allowed", "expected", "field_problems", "given", "place_of", "refused", "schema_of"]

Step: TypeAlias = str | int
"""A field's name, or an index in a list."""

_PATTERNS = {
    r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:%/-]*)?$": (
        "an address of the form http(s)://host:port/path in ASCII (other names in their xn-- form), without user name, "
        "query and fragment"
    ),
    r"^[A-Za-z_][A-Za-z0-9_]*$": "the name of an environment variable (letters, digits and _)",
    r"^[A-Z]+$": "capital letters from A to Z",
    "^[^:]+:.+$": 'a model as "provider:model"',
}
_LONGEST = 60
"""Characters of a wrong value that an error repeats."""
_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping (`name: value`)",
    "null": "null",
}


_BY_TYPE = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "dict": "a mapping (`name: value`)",
    "path": "the path of a file",
}
"""What a field takes, by the first word of pydantic's name of the error."""


class FieldProblem(NamedTuple):
    """What is wrong with one field.

    Attributes:
        path: The way to the field, from the outermost one.
        text: The reason and the way out.
    """

    path: tuple[Step, ...]
    text: str


class _RefusedError(ValueError):
    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__("refused")
        self.problems = tuple(problems)


def refused(problems: Sequence[FieldProblem]) -> ValueError:
    """Return the error with which a validator inside a larger model reports problems that are already in words."""
    return _RefusedError(problems)


def field_problems(
    error: ValidationError, schema: Mapping[str, Any], *, named: bool = False, quiet: frozenset[str] = frozenset()
) -> list[FieldProblem]:
    """Return the problems in a pydantic error, one for each field.

    Args:
        error: The error.
        schema: The JSON schema of what was validated.
        named: Whether names below the first step are fields. Without it they are the branches of unions, and a field
            that is a model of its own reports its problems with `refused`.
        quiet: Fields whose values are not repeated: a key written into one of them must not reach a log.
    """
    found: dict[tuple[Step, ...], FieldProblem] = {}
    for item in error.errors(include_url=False):
        loc = item["loc"]
        path = tuple(step for n, step in enumerate(loc) if n == 0 or isinstance(step, int))
        if named:
            extra = loc[-1:] if item["type"] == "extra_forbidden" else ()
            path = (*_named(schema, loc[: len(loc) - len(extra)]), *extra)
        if isinstance(cause := item.get("ctx", {}).get("error"), _RefusedError):
            for inner in cause.problems:
                problem = FieldProblem((*path, *inner.path), inner.text)
                found.setdefault(problem.path, problem)
        elif path not in found:
            found[path] = FieldProblem(path, _reason(item, _at(schema, path), silent=bool(quiet & set(path))))
    # A union of a value and a list of such values reports the list's items, and that it is not the value alone.
    items = {path[:-1] for path in found if path and isinstance(path[-1], int)}
    return [problem for path, problem in found.items() if path not in items]


def schema_of(model: type[BaseModel], names: Iterable[str]) -> dict[str, Any]:
    """Return the JSON schemas of some fields of a model that as a whole has no schema."""
    properties: dict[str, Any] = {}
    for name in names:
        field: Any = model.model_fields[name]
        try:
            properties[name] = TypeAdapter(Annotated[field.annotation, field]).json_schema()
        except PydanticUserError:
            properties[name] = {}
    return {"properties": properties}


def place_of(path: Sequence[Step]) -> str:
    """Return a path in the form that messages use: `proposers[0].model`."""
    parts = (f".{step}" if str(step).isidentifier() else f"[{step!r}]" for step in path)
    return "".join(parts).removeprefix(".")


def given(value: Any) -> str:
    """Return a wrong value for a message: as JSON, cut to one short line. Never raises.

    Args:
        value: Any value, also one that JSON cannot hold, that contains itself, or that is very large.
    """
    text = "nothing" if value is None else json.dumps(_beginning(value), ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _beginning(value: Any) -> Any:
    """Return a value that JSON can hold. Its JSON begins with the same characters, as many as a message repeats."""
    # Each value is at least one character of the JSON, so those after the first `_LONGEST` are not repeated.
    left = _LONGEST + 1

    def of(part: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            return None
        if isinstance(part, dict):
            return {_scalar(key): of(each) for key, each in islice(part.items(), left)}
        if isinstance(part, list | tuple):
            return [of(each) for each in islice(part, left)]
        return _scalar(part)

    return of(value)


def _scalar(value: Any) -> str | float | None:
    if isinstance(value, str):
        return value[: _LONGEST + 1]
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        # Python refuses to write numbers of thousands of digits.
        digits = int(value.bit_length() * math.log10(2))
        return value if digits <= _LONGEST else f"a number of about {digits:,} digits"
    try:
        return str(value)[: _LONGEST + 1]
    except Exception:  # a foreign object's own method may raise anything
        return type(value).__name__


def allowed(schema: Mapping[str, Any]) -> str:
    """Return what a JSON schema allows, in words: "a whole number from 1 to 10"."""
    return _allowed(schema, schema.get("$defs", {}))


def _reason(item: Any, schema: Mapping[str, Any], *, silent: bool) -> str:
    kind, value = item["type"], item["input"]
    what = allowed(schema) or expected(item)
    if kind == "missing":
        meaning = str(schema.get("description", "")).strip().rstrip(".")
        says = f": {meaning[0].lower()}{meaning[1:]}" if meaning else ""
        return f"this field is required{says}. Expected {what or 'a value'}."
    if kind == "extra_forbidden":
        return "unknown field. Remove it."
    if kind in ("value_error", "assertion_error"):
        return str(item["ctx"]["error"])
    if kind == "recursion_loop":
        return "contains itself. Write it out."
    got = "" if silent else f", got {given(value)}"
    return f"expected {what or 'another kind of value'}{got}.{_hint(what, value)}"


def expected(item: Any) -> str:
    """Return what a field takes as far as an item of pydantic's `errors()` tells: for fields without a schema."""
    kind, limits = item["type"], item.get("ctx", {})
    for word, name in (("of at least", "ge"), ("above", "gt"), ("at most", "le"), ("below", "lt")):
        if name in limits:
            return f"a number {word} {_amount(limits[name])}"
    if kind in ("literal_error", "enum"):
        return f"one of {limits['expected']}".replace("'", "")
    return _BY_TYPE.get(kind.partition("_")[0], "")


def _hint(what: str, value: Any) -> str:
    """Return the way out where quotes are too many or missing, as is easily done in YAML."""
    if what.startswith("text") and value is not None and not isinstance(value, str | Mapping | Sequence):
        return " Put it in quotes."
    if "number" in what and isinstance(value, str) and _is_number(value):
        return " Remove the quotes."
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _at(schema: Mapping[str, Any], path: Sequence[Step]) -> Mapping[str, Any]:
    """Return the part of a schema that a path leads to; empty where it leads nowhere."""
    defs = schema.get("$defs", {})
    part: Mapping[str, Any] = schema
    for step in path:
        for each in _branches(part, defs):
            inner = each.get("items") if isinstance(step, int) else each.get("properties", {}).get(step)
            if isinstance(inner, Mapping):
                part = inner
                break
        else:
            return {}
    return {**part, "$defs": defs}


def _named(schema: Mapping[str, Any], loc: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps that are fields, keys or indices in a schema: pydantic also names the branches of unions."""
    path: tuple[Step, ...] = ()
    inside = False
    for step in loc:
        branches = [
            each for each in _branches(_at(schema, path), schema.get("$defs", {})) if each.get("type") != "null"
        ]
        if len(branches) > 1 and not inside:
            inside = True
        else:
            path, inside = (*path, step), False
    return path


def _branches(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a schema's alternatives, with references followed."""
    if "$ref" in schema:
        return _branches(defs[schema["$ref"].rpartition("/")[2]], defs)
    parts = schema.get("anyOf") or schema.get("oneOf")
    return [each for part in parts for each in _branches(part, defs)] if parts else [schema]


def _allowed(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    branches = _branches(schema, defs)
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
        return f" from {_amount(least)} to {_amount(most)}"
    words = [
        f"{word} {_amount(schema[key])}"
        for key, word in (
            ("minimum", "of at least"), ("exclusiveMinimum", "above"),
            ("maximum", "at most"), ("exclusiveMaximum", "below"),
        )
        if key in schema
    ]  # fmt: skip
    return f" {' and '.join(words)}" if words else ""


def _amount(number: float) -> str:
    return f"{int(number) if number == int(number) else number:,}"


def _length(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if most is None:
        return " that is not empty" if least else ""
    return f" of {f'{least:,} to' if least else 'at most'} {most:,} characters"
