"""What a request to the endpoint may hold: each field's type and bounds. Fields that are not named here are ignored.

What is wrong for any model is refused here, since a provider would refuse it only after all drafts are paid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from moa_graph.serve.problems import Problem

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


class _Object(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class _Function(_Object):
    name: Text
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(_Object):
    type: Literal["function"]
    function: _Function


class _Schema(_Object):
    name: Text
    form: Annotated[dict[str, Any] | None, Field(alias="schema")] = None


class _Format(_Object):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Schema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema is missing")
        return self


class _Body(_Object):
    """The fields, all without null: it counts as left out."""

    model: str
    messages: list[Any]
    stream: bool = False
    stream_options: dict[str, Any] = {}
    temperature: Annotated[float, Field(ge=0, le=2)] = 1
    top_p: Annotated[float, Field(ge=0, le=1)] = 1
    max_tokens: Count = 1
    max_completion_tokens: Count = 1
    stop: list[str] = []
    seed: int = 0
    presence_penalty: Penalty = 0
    frequency_penalty: Penalty = 0
    reasoning_effort: str = ""
    tools: list[_Tool] = []
    tool_choice: str | dict[str, Any] = "auto"
    parallel_tool_calls: bool = True
    response_format: _Format | None = None
    moa: dict[str, Any] = {}


def check_body(fields: Mapping[str, Any]) -> None:
    """Checks a request's fields; the values stay as they are.

    Raises:
        Problem: 400, naming the first field that is wrong.
    """
    try:
        _Body.model_validate(fields)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        name, *rest = map(str, first["loc"])
        place = "".join([name, *(f"[{part}]" if part.isdecimal() else f".{part}" for part in rest)])
        given = "" if first["type"] == "missing" else f" (got {str(first['input'])[:60]!r})"
        raise Problem(400, f"{place}: {first['msg']}{given}.", param=name) from None
    if fields.get("tools"):
        _check_choice(fields.get("tool_choice", "auto"), [tool["function"]["name"] for tool in fields["tools"]])


def _check_choice(choice: str | Mapping[str, Any], names: list[str]) -> None:
    if isinstance(choice, str):
        fits = choice in ("none", "auto", "required")
    elif choice.get("type") == "function":
        function = choice.get("function")
        fits = isinstance(function, Mapping) and function.get("name") in names
    else:
        fits = choice.get("type") == "allowed_tools"
    if not fits:
        raise Problem(
            400, "tool_choice: none, auto, required, or a function that is among the tools.", param="tool_choice"
        )
