"""Data that is checked as a whole: every mistake is one `ConfigError` with the field, the reason and the way out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import cache, cached_property, wraps
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from moa_graph.errors import ConfigError
from moa_graph.mixture.descriptions import descriptions
from moa_graph.mixture.unknown_fields import unknown_field
from moa_graph.state.field_errors import FieldProblem, Step, field_problems, place_of, refused

__all__ = ["Checked", "as_list", "check_all", "collected", "config_error", "refuse_unknown"]

_QUIET = frozenset({"api_key_env", "base_url"})
"""Fields whose values are not repeated: a key written into one of them by mistake must not reach a log."""

_SHOWN = 20
"""Unknown fields that an error names. Finding the nearest known field takes a third of a millisecond for each."""

_HALF, _DEPTH = re.compile("[\ud800-\udfff]"), 20

_inside: ContextVar[bool] = ContextVar("_inside", default=False)
"""Whether a larger model is being validated, which reports the problems of the models in it."""


class Checked(BaseModel):
    """A frozen model; all its mistakes, and those of the models in it, are one `ConfigError`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, ignored_types=(cached_property,)
    )

    called: ClassVar[str] = "mixture"
    """What error messages call it."""

    checked_later: ClassVar[frozenset[str]] = frozenset()
    """Fields whose texts are checked when the run begins, in the words of the caller's API."""

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        problems: list[FieldProblem] = []
        outermost = not _inside.get()
        if isinstance(data, Mapping):
            texts = {name: value for name, value in data.items() if name not in cls.checked_later}
            if outermost and (halves := list(_halves(texts, (), set()))):
                raise config_error(halves, what=cls.called)
            data, problems = cls._known(data)
        token = _inside.set(True)
        try:
            built = handler(data)
            built._check_whole()
        except ValidationError as exc:
            problems += field_problems(exc, _schema(cls), quiet=_QUIET)
        except ConfigError as exc:
            problems += _problems_of(exc, cls)
        else:
            if not problems:
                return built
        finally:
            _inside.reset(token)
        raise config_error(problems, what=cls.called) if outermost else refused(problems)

    def _check_whole(self) -> None:
        """Refuse fields that do not fit together. Called when every field by itself is right.

        Raises:
            ConfigError: Names the field ("combine.keep: ..."), the reason and the way out.
        """

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema with the descriptions of the docstring, which editors show."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in descriptions(cls).items():
            if name in properties:
                properties[name].setdefault("description", text)
        return schema

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield the fields that differ from their defaults, so that a mixture is printed as it was written."""
        for name, value in super().__repr_args__():
            field = type(self).model_fields.get(name or "")
            if field is None or value != field.get_default(call_default_factory=True, validated_data={}):
                yield name, value

    @classmethod
    def _known(cls, data: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[FieldProblem]]:
        """Return the data without unknown keys, and a problem for each of those that may not be ignored."""
        unknown = [key for key in data if key not in cls.model_fields]
        problems = [FieldProblem((str(key),), unknown_field(key, cls.model_fields)) for key in unknown[:_SHOWN]]
        if len(unknown) > _SHOWN:
            problems.append(FieldProblem((), f"{len(unknown) - _SHOWN:,} more unknown fields."))
        return {key: value for key, value in data.items() if key in cls.model_fields}, problems


def _halves(value: Any, path: tuple[Step, ...], seen: set[int]) -> Iterator[FieldProblem]:
    """Yield a problem for each text with a lone surrogate. Every request with it would fail.

    Values that hold themselves, or that are nested deeper than any field may be, are refused by the fields.
    """
    if isinstance(value, str):
        if not value.isascii() and (found := _HALF.search(value)):
            text = f"half a character (a lone surrogate, U+{ord(found[0]):X}) at position {found.start()}. Remove it."
            yield FieldProblem(path, text)
    elif isinstance(value, Mapping | list | tuple) and id(value) not in seen and len(path) < _DEPTH:
        seen.add(id(value))
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, each in pairs:
            yield from _halves(name, (*path, str(name).encode("utf-8", "replace").decode()), seen)
            yield from _halves(each, (*path, name if isinstance(name, int) else str(name)), seen)


@cache
def _schema(cls: type[Checked]) -> dict[str, Any]:
    return cls.model_json_schema()


def config_error(problems: Sequence[FieldProblem], *, what: str) -> ConfigError:
    """Return one error for all problems of what is called `what`."""
    texts = [f"{place_of((what, *problem.path))}: {problem.text}" for problem in problems]
    error = ConfigError(texts[0] if len(texts) == 1 else "\n  ".join([f"{len(texts)} problems.", *texts]))
    error.problems = tuple(problems)
    return error


def _problems_of(error: ConfigError, cls: type[Checked]) -> list[FieldProblem]:
    """Return the problems that an error raised in the validation of `cls` reports: "combine.keep: reason"."""
    if error.problems:
        return [FieldProblem(path, text) for path, text in error.problems]
    text = str(error)
    found = re.match(r"([a-z_]+)((?:\.\w+|\[\d+\])*): ", text)
    if not found or not (
        found[1] == cls.called.rpartition(".")[2] or text.startswith(cls.called) or found[1] in cls.model_fields
    ):
        return [FieldProblem((), text)]
    head = text[: found.end() - 2]
    inner = head.removeprefix(cls.called) if head.startswith(cls.called) else f".{head}"
    steps = re.findall(r"\.(\w+)|\[(\d+)\]", inner)
    return [FieldProblem(tuple(name or int(number) for name, number in steps), text[found.end() :])]


def check_all(cls: type[Checked], checks: Iterable[Callable[[], None]]) -> None:
    """Run checks that do not depend on each other.

    Raises:
        ConfigError: Names the problems of all of them.
    """
    problems: list[FieldProblem] = []
    for check in checks:
        try:
            check()
        except ConfigError as exc:
            problems += _problems_of(exc, cls)
    if problems:
        raise config_error(problems, what=cls.called)


def as_list(value: Any) -> Any:
    """Return a tuple as a list; strict validation refuses tuples for lists. Other values are returned unchanged."""
    return list(value) if isinstance(value, tuple) else value


def collected(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a validator whose ConfigError is reported beside the problems of other fields."""

    @wraps(check)
    def validator(value: Any) -> Any:
        try:
            return check(value)
        except ConfigError as exc:
            raise refused([FieldProblem(path, text) for path, text in exc.problems or (((), str(exc)),)]) from None

    return validator


def refuse_unknown(data: Mapping[str, Any], known: Mapping[str, Any], *, what: str) -> None:
    """Refuse unknown keys, and name the nearest field.

    Raises:
        ConfigError: For the unknown keys.
    """
    if unknown := [key for key in data if key not in known]:
        raise ConfigError("\n".join(f"{what}: {unknown_field(key, known)}" for key in unknown))
