"""Wrong fields in words: what a field takes, and what was given.

pydantic's own messages name Python types and speak of "input". They never reach a user: every part of the package that
validates fields describes its errors here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from pydantic import BaseModel, ValidationError, create_model
from pydantic.errors import PydanticUserError

from moa_graph.state.schema_words import allowed, alternatives, amount
from moa_graph.state.value_text import given

__all__ = ["FieldProblem", "Step", "expected", "field_problems", "place_of", "refused", "schema_of"]

Step: TypeAlias = str | int
"""A field's name, or an index in a list."""

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
    defs: dict[str, Any] = {}
    for name in names:
        field = model.model_fields[name]
        alone: dict[str, Any] = {name: (field.annotation, field)}
        try:
            schema = create_model(name, **alone).model_json_schema()
        except PydanticUserError:
            properties[name] = {}
        else:
            properties[name] = schema["properties"][name]
            defs |= schema.get("$defs", {})
    return {"properties": properties, "$defs": defs}


def place_of(path: Sequence[Step]) -> str:
    """Return a path in the form that messages use: `proposers[0].model`."""
    steps = (step if isinstance(step, int) else step[:60] for step in path)
    parts = (f".{step}" if str(step).isidentifier() else f"[{step!r}]" for step in steps)
    return "".join(parts).removeprefix(".")


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
            return f"a number {word} {amount(limits[name])}"
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
        for each in alternatives(part, defs):
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
            each for each in alternatives(_at(schema, path), schema.get("$defs", {})) if each.get("type") != "null"
        ]
        if len(branches) > 1 and not inside:
            inside = True
        else:
            path, inside = (*path, step), False
    return path
