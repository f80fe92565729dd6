"""Tools of OpenAI's APIs in every form that clients send: custom tools, namespaces, searches, mixed notations."""

import json

import pytest
from openai import OpenAI

from moa_graph.serve.openai.tools import OfferedTools, function_name
from tests.serve.test_openai_errors import ASK, TOOL, post

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "name": "weather", "description": "The weather.", "parameters": PARAMETERS}
FORMAT = {"syntax": "lark", "definition": "start: PATCH"}
PATCH = {"name": "patch", "description": "Edit."}
CUSTOM = {"type": "custom", "custom": {**PATCH, "format": {"type": "grammar", "grammar": FORMAT}}}
FLAT_CUSTOM = {"type": "custom", **PATCH, "format": {"type": "grammar", **FORMAT}}
DOCS = {"type": "namespace", "name": "mcp__docs", "description": "The docs.", "tools": [{**WEATHER, "name": "find"}]}
ANTHROPIC = {"name": "weather", "input_schema": PARAMETERS}
SEARCH = {"type": "tool_search", "execution": "client", "description": "Find tools.", "parameters": PARAMETERS}


@pytest.fixture
def client(served):
    with OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def sent(provider):
    """The aggregator's request at the provider."""
    return provider.requests()[-1].json


def respond(served, *items, **fields):
    """The items of an answer of the Responses API."""
    body = {"model": "tools", "input": [{"role": "user", "content": "Go."}, *items], **fields}
    status, answer = post(served, body, path="/v1/responses")
    assert status == 200, answer
    return answer["output"]


@pytest.mark.parametrize("tool", [CUSTOM, FLAT_CUSTOM])
@pytest.mark.parametrize(
    "choice", ["required", {"type": "custom", "custom": {"name": "patch"}}, {"type": "custom", "name": "patch"}]
)
def test_a_custom_tool_of_chat_completions_takes_and_gives_plain_text(client, provider, tool, choice):
    answer = client.chat.completions.create(model="tools", messages=ASK, tools=[tool], tool_choice=choice)
    function = sent(provider)["tools"][0]["function"]
    assert function["parameters"]["required"] == ["input"] and function["description"] == "Edit.\n\nstart: PATCH"
    (call,) = answer.choices[0].message.tool_calls
    assert (call.type, call.custom.name) == ("custom", "patch") and isinstance(call.custom.input, str)
    assert answer.choices[0].finish_reason == "tool_calls"
    result = {"role": "tool", "tool_call_id": call.id, "content": "done"}
    turns = [*ASK, answer.choices[0].message.model_dump(exclude_none=True), result]
    client.chat.completions.create(model="tools", messages=turns, tools=[tool])
    said = next(message for message in sent(provider)["messages"] if message.get("tool_calls"))
    assert json.loads(said["tool_calls"][0]["function"]["arguments"]) == {"input": call.custom.input}


def test_a_streamed_call_of_a_custom_tool_is_a_custom_call(client):
    pieces = list(client.chat.completions.create(model="tools", messages=ASK, tools=[CUSTOM], stream=True))
    (call,) = [call for piece in pieces for call in (piece.choices[0].delta.tool_calls or [])]
    assert call.type == "custom" and call.model_extra["custom"]["name"] == "patch"


@pytest.mark.parametrize("choice", [{"type": "function", "name": "weather"}, "required"])
def test_chat_completions_take_the_flat_tools_of_cursor(served, provider, choice):
    body = {"model": "tools", "messages": ASK, "tools": [WEATHER, FLAT_CUSTOM], "tool_choice": choice}
    status, answer = post(served, body)
    assert status == 200, answer
    assert sent(provider)["tools"][0]["function"] == {key: WEATHER[key] for key in WEATHER if key != "type"}
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "weather"


def test_responses_take_the_tools_of_chat_completions(served, provider):
    respond(served, tools=[TOOL], tool_choice={"type": "function", "function": {"name": "weather"}})
    assert sent(provider)["tools"] == [TOOL]


@pytest.mark.parametrize("messages", [None, []])
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_of_the_responses_api_to_chat_completions_has_a_chat_completion(client, provider, stream, messages):
    """As Cursor sends it."""
    body = {
        "model": "tools",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Go."}]}],
        "instructions": "Be brief.",
        "tools": [WEATHER, {"type": "web_search"}],
        "reasoning": {"effort": "high"},
    }
    options = {"include_usage": True}
    fields = {"stream": True, "stream_options": options} if stream else {}
    answer = client.chat.completions.create(
        messages=ASK, extra_body={**body, "messages": messages}, **fields, model="x"
    )
    pieces = list(answer) if stream else [answer]
    found = [p.choices[0].delta.tool_calls if stream else p.choices[0].message.tool_calls for p in pieces if p.choices]
    assert [call.function.name for calls in found for call in calls or []] == ["weather"]
    assert pieces[-1].usage.total_tokens
    request = sent(provider)
    assert request["reasoning_effort"] == "high" and "Be brief." in str(request["messages"])


@pytest.mark.parametrize("stream", [False, True])
def test_the_tools_of_a_namespace_are_offered_and_their_calls_name_it(client, provider, stream):
    asked = [{"role": "user", "content": "Go."}]
    fields = {"model": "tools", "tools": [DOCS, {"type": "web_search"}], "stream": stream}
    choice = {"type": "function", "name": "find", "namespace": "mcp__docs"}
    answer = client.responses.create(input=asked, tool_choice=choice, **fields)
    output = list(answer)[-1].response.output if stream else answer.output
    request = sent(provider)
    (function,) = [tool["function"] for tool in request["tools"]]
    assert function["name"] == request["tool_choice"]["function"]["name"] == "mcp__docs__find"
    assert function["description"] == "The docs.\n\nThe weather."
    (call,) = output
    assert (call.type, call.name, call.namespace) == ("function_call", "find", "mcp__docs")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "found"}
    client.responses.create(input=[*asked, call.model_dump(), result], **{**fields, "stream": False})
    said = next(message for message in sent(provider)["messages"] if message.get("tool_calls"))
    assert said["tool_calls"][0]["function"]["name"] == "mcp__docs__find"


def test_tools_in_the_input_are_offered(served, provider):
    """Codex sends all its tools like this to models that it knows."""
    group = {"type": "namespace", "name": "functions", "description": "", "tools": [FLAT_CUSTOM]}
    (call,) = respond(served, {"type": "additional_tools", "role": "developer", "tools": [group]})
    assert (call["type"], call["name"], call["namespace"]) == ("custom_tool_call", "patch", "functions")
    assert "[additional_tools]" not in str(sent(provider)["messages"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_search_of_the_clients_own_goes_round_and_loads_tools(client, provider, stream):
    asked = [{"role": "user", "content": "Go."}]
    answer = client.responses.create(model="tools", input=asked, tools=[SEARCH], stream=stream)
    (call,) = list(answer)[-1].response.output if stream else answer.output
    assert (call.type, call.execution, call.status) == ("tool_search_call", "client", "completed")
    assert isinstance(call.arguments, dict)
    found = {"type": "tool_search_output", "call_id": call.call_id, "execution": "client", "tools": [DOCS]}
    client.responses.create(model="tools", input=[*asked, call.model_dump(), found], tools=[SEARCH])
    request = sent(provider)
    assert [tool["function"]["name"] for tool in request["tools"]] == ["tool_search", "mcp__docs__find"]
    roles = {message["role"]: message for message in request["messages"]}
    assert roles["assistant"]["tool_calls"][0]["function"]["name"] == "tool_search"
    assert "mcp__docs__find" in roles["tool"]["content"]


def test_a_search_of_openais_servers_is_not_offered(served, provider):
    found = {"type": "tool_search_output", "call_id": None, "execution": "server", "tools": [DOCS]}
    call = {"type": "tool_search_call", "execution": "server", "arguments": {}}
    respond(served, call, found, tools=[{"type": "tool_search"}, {**WEATHER, "defer_loading": True}])
    assert [tool["function"]["name"] for tool in sent(provider)["tools"]] == ["weather", "mcp__docs__find"]


def test_a_message_of_one_agent_to_another_is_a_question(served, provider):
    content = [{"type": "input_text", "text": "NEW_TASK"}, {"type": "encrypted_content", "encrypted_content": "Say hi"}]
    item = {"type": "agent_message", "author": "/main", "recipient": "/main/x", "content": content}
    status, answer = post(served, {"model": "prompt", "input": [item]}, path="/v1/responses")
    assert status == 200 and "Say hi" in answer["output"][0]["content"][0]["text"]


def test_a_long_name_is_cut_and_stays_unique_and_a_model_may_leave_the_namespace_out():
    names = [function_name(f"{'x' * 60}{n}", "mcp__server__") for n in range(3)]
    assert {len(name) for name in names} == {64} and len(set(names)) == 3
    tools = OfferedTools(hosted=True)
    tools.add([DOCS, {**DOCS, "name": "other", "tools": [{**WEATHER, "name": "look"}]}], "tools")
    assert tools.origin("find").namespace == "mcp__docs" and tools.origin("other__look").namespace == "other"
    assert tools.origin("made_up").namespace is None and tools.origin("weather").kind == "function"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/chat/completions", {"messages": ASK, "tools": [TOOL, TOOL]}),
        ("/v1/responses", {"input": "Go.", "tools": [WEATHER, {**WEATHER, "description": "Another."}]}),
        (
            "/v1/messages",
            {"messages": ASK, "max_tokens": 9, "tools": [{"name": "weather", "input_schema": PARAMETERS}] * 2},
        ),
    ],
)
def test_several_tools_of_one_name_are_one(served, provider, path, fields):
    """Anthropic, Gemini and DeepSeek refuse them, after the drafts are paid for."""
    status, answer = post(served, {"model": "tools", **fields}, path=path)
    assert status == 200, answer
    assert [tool["function"]["name"] for tool in sent(provider)["tools"]] == ["weather"]


@pytest.mark.parametrize(
    ("path", "tool", "word"),
    [
        ("/v1/chat/completions", {"type": "function"}, "tools[0].function: expected a mapping with `name`"),
        ("/v1/chat/completions", {"type": "custom", "custom": {}}, "tools[0].custom.name: "),
        ("/v1/chat/completions", {"type": "web_search"}, 'tools[0].type: expected "function" or "custom"'),
        ("/v1/chat/completions", DOCS, 'tools[0].type: expected "function" or "custom"'),
        ("/v1/responses", {**DOCS, "tools": None}, "tools[0]: a namespace needs a name and a list of tools"),
        ("/v1/responses", {**DOCS, "tools": [{"type": "function"}]}, "tools[0].tools[0].name: "),
        ("/v1/responses", None, "tools[0]: expected a mapping"),
    ],
)
def test_a_wrong_tool_is_refused_by_its_place_before_anything_is_sent(served, provider, path, tool, word):
    body = {"model": "tools", "messages" if "chat" in path else "input": ASK, "tools": [tool]}
    status, answer = post(served, body, path=path)
    assert status == 400 and word in answer["error"]["message"] and answer["error"]["param"] == "tools", answer
    assert provider.requests() == []
