"""The limits that a schema gets so that the embedded model's answer is whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, Field

from moa_graph.models.local.schema import fitting


class Part(BaseModel):
    label: str
    notes: list[str]


class Form(BaseModel):
    title: str
    parts: list[Part]
    ready: bool
    size: float
    other: str | None
    short: str = Field(max_length=5)


def largest(schema: dict[str, Any], whole: dict[str, Any]) -> Any:
    """Return the longest value that a fitted schema allows."""
    if "$ref" in schema:
        return largest(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    if "anyOf" in schema:
        return max((largest(each, whole) for each in schema["anyOf"]), key=lambda value: len(json.dumps(value)))
    kind = schema["type"]
    if kind == "object":
        return {name: largest(each, whole) for name, each in schema["properties"].items()}
    if kind == "array":
        return [largest(schema["items"], whole)] * schema["maxItems"]
    return {"string": "x" * schema.get("maxLength", 10**6), "boolean": False, "number": 1.5, "null": None}[kind]


@pytest.mark.parametrize("model", [Part, Form])
@pytest.mark.parametrize("tokens", [300, 512, 2000])
def test_the_longest_answer_fits(model: type[BaseModel], tokens: int) -> None:
    """A token has at least one character, so an answer of so many characters is never cut."""
    fitted = fitting(model.model_json_schema(), tokens)
    assert len(json.dumps(largest(fitted, fitted), separators=(",", ":"))) <= tokens


def test_limits_that_a_schema_states_stay() -> None:
    given = Form.model_json_schema()
    before = json.dumps(given)
    fitted = fitting(given, 512)
    assert json.dumps(given) == before, "the caller's schema was changed"
    assert fitted["properties"]["short"]["maxLength"] == 5
    assert fitting({"type": "string", "enum": ["a" * 900]}, 10) == {"type": "string", "enum": ["a" * 900]}
    listed = {"type": "array", "items": {"type": "string"}, "minItems": 20}
    assert fitting(listed, 300)["maxItems"] == 20


def test_a_form_that_cannot_fit_keeps_a_character_for_each_text() -> None:
    fitted = fitting(Form.model_json_schema(), 5)
    assert fitted["properties"]["title"]["maxLength"] == 1


class Node(BaseModel):
    name: str
    kids: list[Node]


def test_a_form_that_contains_itself_has_short_texts() -> None:
    fitted = fitting(Node.model_json_schema(), 400)
    inner = fitted["$defs"]["Node"]["properties"]
    assert inner["name"]["maxLength"] < 50 and inner["kids"]["maxItems"] <= 8
