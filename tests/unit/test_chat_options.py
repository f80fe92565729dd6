"""Wrong options of a call of ChatMoA are refused before anything is paid for."""

import math
import re
import sys
from datetime import date
from types import FrameType
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from moa_graph import ChatMoA, ConfigError, InputError
from moa_graph.chat.options import checked_options
from moa_graph.errors import MoAError
from moa_graph.graph.checks.schemas import check_schemas
from tests.fakes import Fake, Log, fake
from tests.provider.server import Provider

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
        ({"tool_choice": "any"}, 'ChatMoA.tool_choice: "any" needs at least one tool.'),
        ({"tools": [], "tool_choice": {"type": "any"}}, "ChatMoA.tool_choice: {"),
        ({"response_format": {"type": "object", "properties": {}}}, "ChatMoA.response_format: Unsupported"),
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
        ({"layers": 3}, "does not take the option 'layers' of a call. It is a field of the mixture, not of a call"),
        ({"tools": [TOOL], "wobble": 1}, "does not take the option 'wobble' of a call."),
        ({"wobble": 1, "reasoning": {"effort": "low"}}, "does not take the option 'wobble' of a call."),
        ({"strict": True}, "does not take the option 'strict' of a call. It belongs to a tool,"),
        ({"model": 5, "reasoning": {}}, "does not take these options of a call (model, reasoning): "),
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
        {"parallel_tool_calls": False, "tool_choice": "auto", "tools": []},
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
        ({"default": {1}}, 'tools[0].function.parameters.default: expected a value that JSON has, got "{1}".'),
        ({"default": float("nan")}, "tools[0].function.parameters.default: expected a number that JSON has, got NaN."),
        ({"default": 10**5000}, "tools[0].function.parameters.default: expected a number that JSON has, got"),
        ({"title": "\ud83d"}, "tools[0].function.parameters.title: the text holds half a character, at position 0."),
        ({"properties": {"x" * 10**6: 5}}, f"tools[0].function.parameters.properties.{'x' * 60}…: expected a JSON"),
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
        {"required": ("a",), "properties": {"a": {"type": ("string", "null"), "enum": ("x",), "anyOf": ({}, True)}}},
        {"properties": {"a": {"items": ({}, {}), "default": date(2026, 1, 2)}}},
        {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
        {"properties": {"a": {"maximum": 2**64, "default": None, "title": "Größe \0 null"}, 1: {}}},
    ],
)
def test_a_schema_with_right_forms_passes(schema: dict[str, Any]) -> None:
    check_schemas({"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]})
    check_schemas({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}})


def test_what_is_a_providers_own_is_left_to_it() -> None:
    check_schemas({"tools": [{"type": "web_search"}, {"name": "f", "input_schema": 5}]})
    check_schemas({"tools": [{"type": "function", "function": {"name": "f"}}], "response_format": {"type": "text"}})


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        (
            {"tools": [{"type": "function", "function": "f"}]},
            'tools[0].function: expected a mapping with `name`, got "f"',
        ),
        ({"tools": [{"type": "function"}]}, "tools[0].function: expected a mapping with `name`, got nothing."),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name: expected the name of"),
        ({"tools": [TOOL, {"type": "function", "function": {"name": 5}}]}, "tools[1].function.name: expected the name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "description": 5}}]},
            "tools[0].function.description: expected text, got 5.",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": True}}]},
            "tools[0].function.parameters: expected a JSON Schema, got true.",
        ),
        (
            {"response_format": {}},
            'response_format.type: expected "text", "json_object" or "json_schema", got nothing.',
        ),
        ({"response_format": {"type": 5}}, "response_format.type: expected"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema: expected a mapping with `name`"),
        ({"response_format": {"type": "json_schema", "json_schema": 5}}, "response_format.json_schema: expected"),
    ],
)
def test_a_malformed_tool_or_format_is_refused(bound: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        check_schemas(bound)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_schema", "schema": {"type": "object"}},
        {"type": "json_object", "schema": {"type": "object"}},
        {"type": "grammar", "grammar": "root ::= 'x'"},
    ],
)
def test_the_formats_of_other_servers_pass(form: dict[str, Any]) -> None:
    check_schemas({"response_format": form})


def test_a_schema_of_any_depth_is_checked() -> None:
    schema: dict[str, Any] = {}
    for _ in range(100_000):
        schema = {"items": schema}
    with pytest.raises(InputError, match=r"items\.items\.…\.items.*: nested more than 250 levels deep\.$"):
        check_schemas({"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]})


async def test_a_deep_schema_is_sent() -> None:
    schema: dict[str, Any] = {}
    for _ in range(240):
        schema = {"items": schema}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    assert (await ChatMoA(proposers=[fake("draft")], aggregator=fake("answer")).ainvoke("q", response_format=form)).text


def _tools(schema: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}


def test_a_place_in_an_error_is_short_for_long_names() -> None:
    schema = {"type": "object", "properties": {"x" * 1_000_000: {"properties": {"y": 5}}}}
    with pytest.raises(InputError, match=r"…\.properties\.y: expected a JSON Schema, got 5\.$") as caught:
        check_schemas(_tools(schema))
    assert len(str(caught.value)) < 300


MANY: dict[str, tuple[dict[str, Any], str]] = {
    "a long text": (_tools({"description": "x" * 2_000_000}), "have more than 2,000,000 bytes of JSON."),
    "a long format": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"title": "x" * 2_000_000}}}},
        "response_format: the tools and the response format have more than 2,000,000 bytes",
    ),
    "all tools together": ({"tools": _tools({"description": "x" * 400_000})["tools"] * 5}, "tools[4]: the tools and"),
    "many parts": (_tools({"properties": {str(n): {} for n in range(10_000)}}), "more than 10,000 lists and objects."),
    "many tools": ({"tools": _tools({})["tools"] * 2_001}, "tools: expected at most 2,000, got 2,001."),
    "nothing, many times": (_tools({"enum": [None] * 500_000}), "have more than 2,000,000 bytes of JSON."),
    "a huge number among many": (_tools({"enum": [2**70] + [1] * 30_000}), "one of more than 20,000 values"),
    "no number among many": (
        _tools({"enum": [None] * 10_000 + [math.nan]}),
        "expected a number that JSON has, got NaN.",
    ),
}


@pytest.mark.parametrize("name", MANY)
def test_tools_of_any_size_are_checked_in_few_steps(name: str) -> None:
    """A step is a line of the checks. The largest request has a hundred times as many values, on the event loop."""
    bound, words = MANY[name]
    steps = 0

    def count(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal steps
        steps += 1
        return count

    sys.settrace(count)
    try:
        with pytest.raises(InputError, match=re.escape(words)):
            check_schemas(bound)
    finally:
        sys.settrace(None)
    assert steps < 500_000


def test_nothing_and_large_numbers_pass() -> None:
    check_schemas(_tools({"enum": [None] * 300_000}))
    check_schemas(_tools({"default": None, "maximum": 2**70, "title": "null"}))


class _Answer(BaseModel):
    """The answer."""

    number: int


@pytest.mark.parametrize("schema", [_Answer, _Answer.model_json_schema()])
async def test_a_response_format_may_be_a_schema(schema: Any) -> None:
    options = checked_options({"response_format": schema})
    assert options["response_format"]["type"] == "json_schema"
    described = options["response_format"]["json_schema"]
    assert described["name"] == "_Answer"
    assert described["schema"]["properties"]["number"]["type"] == "integer"


def test_a_function_in_the_notation_of_the_responses_api_is_one_of_chat_completions() -> None:
    tool = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    (made,) = checked_options({"tools": [tool], "tool_choice": "f"})["tools"]
    assert made == {"type": "function", "function": {name: tool[name] for name in tool if name != "type"}}
    assert checked_options({"tools": [{"type": "web_search"}]})["tools"] == [{"type": "web_search"}]


async def test_what_is_bound_to_no_tools_is_not_sent() -> None:
    """Providers refuse options of tools without tools, and an empty list of tools, when the drafts are paid for."""
    with Provider() as provider:
        answer = {"model": "openai:x", "base_url": provider.url}
        mine = ChatMoA(proposers=[fake("draft")], aggregator=answer).bind_tools([], parallel_tool_calls=False)
        history = [
            HumanMessage("q"),
            AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
            ToolMessage("found", tool_call_id="1"),
        ]
        await mine.ainvoke(history)
        (sent,) = provider.requests("x")
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & sent.json.keys()
    # As without any tools, the history is sent as text: some providers refuse calls where there are no tools.
    assert "tool" not in {message["role"] for message in sent.messages}


class _Own(ChatOpenAI):
    """A class of a user's own, which reads an option itself."""

    async def _agenerate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, *, hint: str = "", **_: Any
    ) -> Any:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(hint))])


async def test_an_option_that_a_derived_class_reads_is_not_refused() -> None:
    answer = _Own(model="x", api_key=SecretStr("k"), base_url="http://127.0.0.1:9/v1")
    assert (await ChatMoA(proposers=[fake("draft")], aggregator=answer).ainvoke("q", hint="mine")).text == "mine"


class _Bound(Fake):
    """A model that calls tools. It keeps what was bound to it, in a field that LangChain's bindings have as well."""

    bound: list[Any]

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        self.bound.extend(tools)
        return self


@pytest.mark.parametrize(
    ("tool", "line"),
    [
        ({"type": "web_search_20250305", "name": "web_search", "max_uses": 3}, "- web_search\n"),
        ({"type": "mcp_toolset", "mcp_server_name": "x"}, "- mcp_toolset\n"),
        ({"google_search": {}}, "- google_search\n"),
        ({"type": "web_search_preview"}, "- web_search_preview\n"),
    ],
)
async def test_a_providers_own_tool_reaches_it_unchanged(tool: dict[str, Any], line: str) -> None:
    """LangChain made a function without arguments of it, or refused it."""
    draft = fake("draft")
    answer = _Bound(model="answer", log=Log(["I found it."]), bound=[])
    mine = ChatMoA(proposers=[draft], aggregator=answer)
    assert (await mine.bind_tools([tool]).ainvoke("q")).text == "I found it."
    assert answer.bound == [tool]
    assert line in draft.sent[0].text
    assert mine.get_num_tokens_from_messages([HumanMessage("q")], tools=[tool]) > 5


@pytest.mark.parametrize(
    "tool",
    [
        {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}},
        {"type": "custom", "name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}},
        {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}},
        {"title": "f", "description": "d", "type": "object", "properties": {}},
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}},
    ],
)
def test_a_function_in_any_notation_is_one_of_chat_completions(tool: dict[str, Any]) -> None:
    bound: Any = ChatMoA(proposers=[fake("draft")], aggregator=fake("answer")).bind_tools([tool])
    (made,) = bound.kwargs["tools"]
    assert (made["type"], made["function"]["name"], made["function"]["description"]) == ("function", "f", "d")
