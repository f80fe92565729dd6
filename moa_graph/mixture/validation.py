"""Data that is checked as a whole: every mistake is one `ConfigError` with the field, the reason and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import cached_property
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
from moa_graph.state.wording import merged


class Checked(BaseModel):
    """A frozen model whose every mistake is one `ConfigError`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, ignored_types=(cached_property,)
    )

    called: ClassVar[str] = "mixture"
    """What error messages call it."""

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(data, Mapping):
            data = cls._known(data)
        try:
            return handler(data)
        except ValidationError as exc:
            raise ConfigError(explain(exc, what=cls.called)) from None

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
    def _known(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the data without keys that may be ignored; refuse other unknown keys."""
        refuse_unknown(data, cls.model_fields, what=cls.called)
        return data


def refuse_unknown(data: Mapping[str, Any], known: Mapping[str, Any], *, what: str) -> None:
    """Refuse unknown keys, and name the nearest field.

    Raises:
        ConfigError: For the first unknown key.
    """
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known fields: {', '.join(known)}."
            raise ConfigError(f"{what}: unknown field {str(key)!r}. {hint}")


def explain(error: ValidationError, *, what: str) -> str:
    """Return a pydantic error as one line: each field, what is wrong with it, and what was given."""
    parts = []
    for loc, reason, item in merged(error.errors(include_url=False)):
        place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in loc)
        # A key written into one of these fields by mistake must not reach a log.
        quiet = item["type"] == "missing" or {"api_key_env", "base_url"} & set(loc)
        given = "" if quiet else f" (got {_given(item['input'])})"
        parts.append(f"{what}{place}: {reason}{given}")
    return "; ".join(parts)


def _given(value: Any) -> str:
    """Return a refused value for an error: numbers as they are, everything else in quotes and cut."""
    return str(value) if isinstance(value, int | float) else repr(str(value)[:60])
