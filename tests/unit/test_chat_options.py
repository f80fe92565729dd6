"""Wrong options of a call of ChatMoA are refused before anything is paid for."""

import re
from typing import Any

import pytest

from moa_graph import ChatMoA, ConfigError, InputError
from moa_graph.errors import MoAError
from moa_graph.graph.schema_checks import check_schemas
from tests.fakes import fake

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": "hot"}, 'ChatMoA.temperature: expected a number from 0 to 2, got "hot".'),
        ({"temperature": 9}, "ChatMoA.temperature: expected a number from 0 to 2, got 9."),
        ({"max_tokens": 0}, "ChatMoA.max_tokens: expected a whole number from 1"),
        ({"max_tokens": "x"}, 'ChatMoA.max_tokens: expected a whole number from 1 to 1,000,000, got "x".'),
        ({"stop": 5}, "ChatMoA.stop: expected text or a list"),
        ({"response_format": "json"}, "ChatMoA.response_format: expected"),
        ({"tools": [TOOL], "tool_choice": "other"}, 'ChatMoA.tool_choice: "other" is not a tool of this call.'),
        ({"tools": [TOOL], "tool_choice": 5}, "ChatMoA.tool_choice: expected"),
    ],
)
async def test_a_wrong_option_is_refused_before_any_request(options: dict[str, Any], words: str) -> None:
    drafts, answer = fake("draft"), fake("answer")
    with pytest.raises(ConfigError) as caught:
        await ChatMoA(proposers=[drafts], aggregator=answer).ainvoke("q", **options)
    assert str(caught.value).startswith(words)
    assert not drafts.sent and not answer.sent


@pytest.mark.parametrize("options", [{"temperature": 0}, {"max_tokens": 5, "stop": ["x"]}, {"stop": "x"}])
async def test_a_right_option_passes(options: dict[str, Any]) -> None:
    assert (await ChatMoA(proposers=[fake("draft")], aggregator=fake("answer")).ainvoke("q", **options)).text


def _spec() -> dict[str, str]:
    # Nothing listens on port 9: a request would be an error of another kind.
    return {"model": "openai:x", "base_url": "http://127.0.0.1:9/v1"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tempreature": 1}, "does not take the option 'tempreature' of a call. Did you mean 'temperature'?"),
        ({"wobble": 1}, "does not take the option 'wobble' of a call. What only its server knows goes into"),
        ({"tools": [TOOL], "wobble": 1}, "does not take the option 'wobble' of a call."),
        ({"wobble": 1, "reasoning": {"effort": "low"}}, "does not take the option 'wobble' of a call."),
    ],
)
async def test_an_option_that_the_sdk_would_refuse_is_refused_before_any_request(
    options: dict[str, Any], words: str
) -> None:
    draft = fake("draft")
    with pytest.raises(ConfigError, match=re.escape(words)):
        await ChatMoA(proposers=[draft], aggregator=_spec()).ainvoke("q", **options)
    assert not draft.sent


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 1, "top_p": 0.5, "stream_usage": True},
        {"extra_body": {"wobble": 1}, "max_completion_tokens": 5},
        {"tools": [TOOL], "tool_choice": "auto", "strict": True, "parallel_tool_calls": False},
        {"reasoning": {"effort": "low"}},
    ],
)
async def test_an_option_that_the_sdk_takes_is_not_refused(options: dict[str, Any]) -> None:
    draft = fake("draft")
    with pytest.raises(MoAError) as caught:
        await ChatMoA(proposers=[draft], aggregator=_spec(), max_retries=0).ainvoke("q", **options)
    assert not isinstance(caught.value, ConfigError)
    assert draft.sent  # the run went as far as the aggregator's call


_TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "objekt"}, 'tools[0].function.parameters.type: expected "object", got "objekt"'),
        ({"type": ["string", "null"]}, 'tools[0].function.parameters.type: expected "object", got'),
        ({"type": 5}, "tools[0].function.parameters.type: expected the name of a type or a list of names, got 5."),
        ({"properties": 5}, "tools[0].function.parameters.properties: expected a JSON Schema for each name, got 5."),
        ({"properties": {"a": 5}}, "tools[0].function.parameters.properties.a: expected a JSON Schema, got 5."),
        ({"properties": {"a": {"items": "x"}}}, "tools[0].function.parameters.properties.a.items: expected"),
        ({"properties": {"a": {"enum": 1}}}, "tools[0].function.parameters.properties.a.enum: expected a list"),
        ({"required": "a"}, 'tools[0].function.parameters.required: expected a list of names, got "a".'),
        ({"anyOf": {"a": 1}}, "tools[0].function.parameters.anyOf: expected a list of JSON Schemas"),
        ({"$defs": {"A": {"oneOf": [_TEXT, 1]}}}, "tools[0].function.parameters.$defs.A.oneOf[1]: expected a JSON"),
    ],
)
async def test_a_malformed_schema_is_refused_before_any_request(schema: dict[str, Any], words: str) -> None:
    drafts, answer = fake("draft"), fake("answer")
    mine = ChatMoA(proposers=[drafts], aggregator=answer)
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    with pytest.raises(InputError) as caught:
        await mine.ainvoke("q", tools=[tool])
    assert str(caught.value).startswith(words)
    if schema.get("type", "object") == "object":
        form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
        with pytest.raises(InputError, match=r"^response_format\.json_schema\.schema\."):
            await mine.ainvoke("q", response_format=form)
    assert not drafts.sent and not answer.sent


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"type": _TEXT, "properties": {"type": ["string", "null"]}, "any": True}},
        {"type": ["object", "null"], "required": [], "additionalProperties": False},
        {"$ref": "#/$defs/A", "$defs": {"A": {"items": [_TEXT, _TEXT], "enum": [1, None], "default": {"items": 5}}}},
        {"properties": {"a": {"type": None, "required": True, "const": {"anyOf": 1}}}},
    ],
)
def test_a_schema_with_right_forms_passes(schema: dict[str, Any]) -> None:
    check_schemas({"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]})
    check_schemas({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}})


def test_what_is_a_providers_own_is_left_to_it() -> None:
    check_schemas({"tools": [{"type": "web_search"}, {"name": "f", "input_schema": 5}]})
    check_schemas({"tools": [{"type": "function", "function": {"name": "f"}}], "response_format": {"type": "text"}})


def test_a_schema_of_any_depth_is_checked() -> None:
    schema: dict[str, Any] = {}
    for _ in range(100_000):
        schema = {"items": schema}
    check_schemas({"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]})
