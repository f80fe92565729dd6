"""OpenAI's Responses API over a real socket, with OpenAI's own SDK."""

import http.client
import json

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.serve.test_openai_errors import post

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def client(served):
    with OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_a_plain_answer_with_the_usage_of_all_calls(client):
    answer = client.responses.create(model="good", input="What is it?", metadata={"a": "b"})
    assert (answer.output_text, answer.status, answer.model) == ("the whole answer", "completed", "good")
    assert answer.usage.output_tokens == 7
    assert answer.usage.total_tokens == answer.usage.input_tokens + 7
    assert answer.metadata == {"a": "b"} and answer.model_extra["store"] is False
    assert answer.model_extra["moa"]["record"]["calls"] == 3


def test_a_stream_numbers_its_events_and_ends_with_the_response(client):
    events = list(client.responses.create(model="good", input="What is it?", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = list(dict.fromkeys(event.type for event in events))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "the whole answer"
    assert events[-1].response.output_text == "the whole answer"
    assert events[-1].response.usage.output_tokens == 7


def test_an_answer_that_was_cut_says_so_itself(client):
    whole = client.responses.create(model="short", input="x")
    assert (whole.status, whole.output[0].status) == ("incomplete", "incomplete")
    events = list(client.responses.create(model="short", input="x", stream=True))
    assert events[-2].type == "response.output_item.done" and events[-2].item.status == "incomplete"
    assert events[-1].type == "response.incomplete" and events[-1].response.output[0].status == "incomplete"


def test_the_stream_helper_collects_the_answer(client):
    with client.responses.stream(model="good", input="What is it?") as stream:
        assert stream.get_final_response().output_text == "the whole answer"


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call_and_its_result_go_round(client, provider, stream):
    asked = [{"role": "user", "content": "How is the weather in Oslo?"}]
    options = {"model": "tools", "tools": [WEATHER], "tool_choice": {"type": "function", "name": "weather"}}
    if stream:
        events = list(client.responses.create(input=asked, stream=True, **options))
        assert any(event.type == "response.function_call_arguments.done" for event in events)
        answer = events[-1].response
    else:
        answer = client.responses.create(input=asked, **options)
    call = next(item for item in answer.output if item.type == "function_call")
    assert call.name == "weather" and isinstance(json.loads(call.arguments), dict)
    provider.reset()
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "12 degrees"}
    client.responses.create(model="tools", input=[*asked, call.model_dump(), result], tools=[WEATHER])
    last = provider.requests()[-1].json["messages"]
    assert [m["role"] for m in last if m["role"] == "tool"] == ["tool"]
    assert next(m for m in last if m.get("tool_calls"))["tool_calls"][0]["id"] == call.call_id
    assert next(m for m in last if m["role"] == "tool")["content"] == "12 degrees"


def test_a_custom_tool_takes_and_gives_plain_text(served, provider):
    tool = {"type": "custom", "name": "weather", "description": "Plain text."}
    body = {"model": "tools", "input": "Go.", "tools": [tool], "tool_choice": {"type": "custom", "name": "weather"}}
    status, answer = post(served, body, path="/v1/responses")
    assert status == 200, answer
    sent = provider.requests()[-1].json["tools"][0]["function"]
    assert sent["parameters"]["required"] == ["input"]
    item = next(item for item in answer["output"] if item["type"] == "custom_tool_call")
    assert isinstance(item["input"], str) and item["name"] == "weather"


class City(BaseModel):
    """A parsed answer."""

    name: str


def test_a_schema_reaches_the_aggregator_as_a_response_format(client, provider):
    answer = client.responses.parse(model="tools", input="Which city?", text_format=City)
    assert isinstance(answer.output_parsed, City)
    form = provider.requests()[-1].json["response_format"]
    assert form["type"] == "json_schema" and form["json_schema"]["name"] == "City"


def test_input_items_of_every_kind_become_one_conversation(client, provider):
    items = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "first"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xyz"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "said", "annotations": []}]},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"role": "user", "content": "second"},
    ]
    client.responses.create(model="good", instructions="Speak as a pirate.", input=items)
    messages = provider.requests()[0].json["messages"]
    said = "\n".join(str(m["content"]) for m in messages)
    for text in ("Speak as a pirate.", "Be brief.", "first", "said", "[web_search_call]", "second"):
        assert text in said
    assert "xyz" not in said


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": [{"role": "pirate", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "call_id"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "file_id"),
        ({"input": 7}, "input"),
        ({"input": ""}, "input: the last question is blank"),
        ({"input": []}, "input: there are none"),
        ({"input": [None]}, "input[0]: expected an object, got nothing"),
        ({"input": [{"type": ["message"], "role": "user", "content": "x"}]}, "input[0].type"),
        ({"input": [{"type": "mesage", "role": "user", "content": "x"}]}, 'input[0].type: "mesage" is not supported'),
        ({"input": [{"role": ["user"], "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": 5}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": ["x"]}]}, "input[0].content[0]: expected a part"),
        ({"input": [{"role": "user", "content": [{"type": True}]}]}, "input[0].content[0].type: true is not supported"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0]: the image block"),
        ({"tools": [WEATHER], "tool_choice": {"type": "allowed_tools", "tools": 5}}, "tool_choice.tools"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "allowed_tools", "tools": [{"name": {}}], "mode": "x"}},
            "choice",
        ),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": "x"}}}, "text.format.schema"),
        ({"metadata": {"a": float("inf")}}, "metadata"),
        ({"user": float("nan")}, "user"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 9}, "temperature"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "other"}, "tools": [WEATHER]}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "type"),
        ({"moa": {"max_cost": 5}}, "moa.max_cost"),
        ({"moa": {"layers": "x"}}, "moa.layers: expected a whole number"),
    ],
)
def test_an_unsupported_request_is_a_400_and_sends_nothing(served, provider, change, word):
    status, answer = post(served, {"model": "good", "input": "x", **change}, path="/v1/responses")
    assert status == 400 and word in answer["error"]["message"], answer
    assert provider.requests() == []


def test_a_failed_run_is_reported_with_its_drafts_whole_and_streamed(client, commenting):
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.create(model="noagg", input="x")
    assert caught.value.status_code == 424
    assert [draft["status"] for draft in caught.value.response.json()["moa"]["drafts"]] == ["ok", "ok"]
    begun = client.with_options(base_url=f"{commenting.url}/v1")
    events = list(begun.responses.create(model="late", input="x", stream=True))
    assert events[-1].type == "response.failed" and "500" in events[-1].response.error.message


def test_text_completions_work_and_refuse_unsupported_options(client):
    answer = client.completions.create(model="good", prompt="What is it?")
    assert answer.choices[0].text == "the whole answer"
    pieces = list(client.completions.create(model="good", prompt="What is it?", stream=True))
    assert "".join(piece.choices[0].text for piece in pieces) == "the whole answer"
    with pytest.raises(openai.BadRequestError, match="echo"):
        client.completions.create(model="good", prompt="x", echo=True)


def test_every_answer_has_a_request_id(client):
    assert client.responses.create(model="good", input="x")._request_id.startswith("req_")
    assert client.chat.completions.create(model="good", messages=[{"role": "user", "content": "x"}])._request_id


def test_the_list_of_models_takes_a_slash_and_health_needs_no_host(served):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    for path in ("/v1/models", "/v1/models/"):
        connection.request("GET", path)
        assert "good" in [model["id"] for model in json.loads(connection.getresponse().read())["data"]]
    connection.request("GET", "/health", headers={"Host": "probe.example"})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())) == (200, {"status": "ok"})
    connection.close()


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/responses", {"input": "x", "top_logprobs": 2}, "top_logprobs"),
        ("/v1/responses", {"input": "x", "include": ["message.output_text.logprobs"]}, "include"),
        ("/v1/responses", {"input": "x", "include": 3}, "include"),
        ("/v1/completions", {"prompt": ["x", "y"]}, "prompt"),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "x"}], "modalities": ["audio"]},
            "modalities",
        ),
    ],
)
def test_what_a_mixture_cannot_give_is_refused_by_name(served, path, body, field):
    status, answer = post(served, {"model": "good", **body}, path=path)
    assert status == 400 and answer["error"]["param"] == field, answer


def test_the_reasoning_that_agents_include_is_no_error(client):
    answer = client.responses.create(model="good", input="x", include=["reasoning.encrypted_content"])
    assert answer.output_text == "the whole answer"
