"""Anthropic's Messages API over a real socket, with Anthropic's own SDK."""

import http.client
import json

import anthropic
import pytest
from anthropic import Anthropic

from moa_graph import Mixture
from tests.ruled_api import RuledApi
from tests.serve.test_openai_errors import post
from tests.serving import Served
from tests.serving import model as spec

ASK = [{"role": "user", "content": "What is it?"}]
ASK_BLOCK = {"type": "text", "text": "What is it?"}
WEATHER = {
    "name": "weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture
def client(served):
    with Anthropic(base_url=served.url, api_key="none", max_retries=0) as client:
        yield client


def test_a_plain_answer_with_the_usage_of_all_calls(client):
    answer = client.messages.create(model="good", max_tokens=50, messages=ASK)
    assert [block.text for block in answer.content] == ["the whole answer"]
    assert (answer.stop_reason, answer.role, answer.model) == ("end_turn", "assistant", "good")
    assert answer.usage.output_tokens == 7
    assert answer.model_extra["moa"]["record"]["calls"] == 3


def test_a_stream_has_its_blocks_and_its_end(client):
    with client.messages.stream(model="good", max_tokens=50, messages=ASK) as stream:
        assert "".join(stream.text_stream) == "the whole answer"
        final = stream.get_final_message()
    assert final.stop_reason == "end_turn" and final.usage.output_tokens == 7
    kinds = [event.type for event in client.messages.create(model="good", max_tokens=9, messages=ASK, stream=True)]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call_and_its_result_go_round(client, provider, stream):
    options = {"model": "tools", "max_tokens": 50, "tools": [WEATHER], "tool_choice": {"type": "any"}}
    if stream:
        with client.messages.stream(messages=ASK, **options) as events:
            answer = events.get_final_message()
    else:
        answer = client.messages.create(messages=ASK, **options)
    call = next(block for block in answer.content if block.type == "tool_use")
    assert answer.stop_reason == "tool_use" and call.name == "weather" and isinstance(call.input, dict)
    assert provider.requests()[-1].json["tool_choice"] == "required"
    provider.reset()
    turns = [
        *ASK,
        {"role": "assistant", "content": [{"type": "tool_use", "id": call.id, "name": "weather", "input": call.input}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "12 degrees"}]},
                {"type": "text", "text": "Go on."},
            ],
        },
    ]
    client.messages.create(model="tools", max_tokens=50, messages=turns, tools=[WEATHER])
    last = provider.requests()[-1].json["messages"]
    tool = next(m for m in last if m["role"] == "tool")
    assert (tool["tool_call_id"], tool["content"]) == (call.id, "12 degrees")
    assert any(m["role"] == "user" and "Go on." in str(m["content"]) for m in last)


def test_a_turn_in_several_messages_keeps_the_results_of_its_tools(client, provider):
    """Anthropic joins neighbouring messages of one role."""

    def use(id_):
        return {"role": "assistant", "content": [{"type": "tool_use", "id": id_, "name": "weather", "input": {}}]}

    def result(id_, *more):
        return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id_, "content": id_}, *more]}

    note = {"type": "text", "text": "Go on."}
    turns = [*ASK, use("a"), {"role": "assistant", "content": "And:"}, use("b"), result("a", note), result("b")]
    client.messages.create(model="tools", max_tokens=50, messages=turns, tools=[WEATHER])
    sent = [m for m in provider.requests()[-1].json["messages"] if m["role"] != "system"]
    assert [m["role"] for m in sent] == ["user", "assistant", "tool", "tool", "user"]
    assert [call["id"] for call in sent[1]["tool_calls"]] == [m["tool_call_id"] for m in sent[2:4]] == ["a", "b"]
    assert sent[1]["content"] == "And:" and "Go on." in str(sent[4]["content"])


def test_system_blocks_thinking_and_images_reach_the_models(client, provider):
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "first"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "secret thought", "signature": "sig"},
                {"type": "text", "text": "said"},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                {"type": "text", "text": "second"},
            ],
        },
    ]
    client.messages.create(
        model="good",
        max_tokens=50,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        thinking={"type": "enabled", "budget_tokens": 1024},
        messages=turns,
    )
    messages = provider.requests()[0].json["messages"]
    assert messages[0]["content"].startswith("Be brief.")
    whole = str(messages)
    assert PIXEL in whole and "secret thought" not in whole
    assert [m["role"] for m in messages[1:]] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "input_text", "text": PIXEL},
    ],
)
def test_a_block_of_openais_apis_is_not_lost(served, provider, block):
    body = {"model": "good", "max_tokens": 9, "messages": [{"role": "user", "content": [block, ASK_BLOCK]}]}
    assert post(served, body, path="/v1/messages")[0] == 200
    assert all(PIXEL in json.dumps(request.json["messages"]) for request in provider.requests())


class Stopped(RuledApi):
    """Anthropic's API with a model whose answer ends at the stop sequence "#"."""

    def broken(self, body):
        return ""

    def answer(self, body, path):
        text, end = {"type": "text", "text": "one"}, {"stop_reason": "stop_sequence", "stop_sequence": "#"}
        usage = {"input_tokens": 5, "output_tokens": 5}
        message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
        if not body.get("stream"):
            return {**message, "content": [text], **end}
        return [
            {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None}},
            {"type": "content_block_start", "index": 0, "content_block": {**text, "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "one"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": end, "usage": usage},
            {"type": "message_stop"},
        ]


@pytest.mark.parametrize("stream", [False, True])
def test_the_stop_sequence_that_ended_an_answer_is_named(provider_server, stream):
    package = pytest.importorskip("langchain_anthropic")
    options = {"model": "stopped", "max_tokens": 9, "messages": ASK, "stop_sequences": ["#"]}
    with Stopped().running() as api:
        model = package.ChatAnthropic(model_name="m", api_key="none", base_url=api.url, max_retries=0)
        stopped = Mixture(proposers=[spec(provider_server, "one-say=draft")], aggregator=model)
        with Served({"stopped": stopped}) as server, Anthropic(base_url=server.url, api_key="none") as client:
            if stream:
                with client.messages.stream(**options) as parts:
                    answer = parts.get_final_message()
            else:
                answer = client.messages.create(**options)
    assert api.bodies[0]["stop_sequences"] == ["#"]
    assert (answer.content[0].text, answer.stop_reason, answer.stop_sequence) == ("one", "stop_sequence", "#")


def test_the_tools_that_a_search_found_are_named(served, provider):
    """Claude Code searches for tools with `ENABLE_TOOL_SEARCH`."""
    call = {"type": "tool_use", "id": "c1", "name": "ToolSearch", "input": {}}
    found = [{"type": "tool_reference", "tool_name": f"mcp__docs__{name}"} for name in ("find", "list")]
    result = {"type": "tool_result", "tool_use_id": "c1", "content": found}
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": [call]}]
    body = {"model": "good", "max_tokens": 9, "messages": [*turns, {"role": "user", "content": [result]}]}
    assert post(served, body, path="/v1/messages")[0] == 200
    said = str(provider.requests()[0].json["messages"])
    assert "mcp__docs__find" in said and "mcp__docs__list" in said


def test_documents_and_search_results_reach_the_models_as_text(client, provider):
    found = [{"type": "text", "text": "found words"}]
    blocks = [
        {
            "type": "document",
            "title": "A",
            "context": "written in haste",
            "source": {"type": "text", "media_type": "text/plain", "data": "plain words"},
        },
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "inner words"}]}},
        {"type": "search_result", "title": "T", "source": "https://a.example", "content": found},
    ]
    turn = {"role": "user", "content": [*blocks, {"type": "text", "text": "What do they say?"}]}
    client.messages.create(model="good", max_tokens=50, messages=[turn])
    said = str(provider.requests()[0].json["messages"])
    for words in (
        "[about the document A]\\nwritten in haste",
        "[file A]",
        "plain words",
        "inner words",
        "https://a.example",
        "found words",
    ):
        assert words in said


def test_a_file_by_its_address_is_for_models_that_take_addresses(served, provider):
    source = {"type": "url", "url": "https://a.example/b.pdf"}
    turn = {"role": "user", "content": [{"type": "document", "source": source}, {"type": "text", "text": "Read it."}]}
    status, answer = post(served, {"model": "good", "max_tokens": 5, "messages": [turn]}, path="/v1/messages")
    assert status == 424 and "takes no files by their address, only their data" in answer["error"]["message"]
    assert provider.requests() == []


def test_the_number_of_tokens_is_an_estimate_that_grows(client):
    short = client.messages.count_tokens(model="good", messages=ASK).input_tokens
    with_tools = client.messages.count_tokens(model="good", messages=ASK, tools=[WEATHER]).input_tokens
    assert 0 < short < with_tools


def asked(block, role="user"):
    return {"messages": [{"role": role, "content": [block]}]}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 1.5}, "temperature"),
        ({"messages": [{"role": "pirate", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]}, "source"),
        ({"tools": [{"name": "x", "input_schema": 3}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "tool", "name": "other"}, "tools": [WEATHER]}, "tool_choice"),
        ({"system": [{"type": "image"}]}, "system"),
        ({"system": [{"type": "text", "text": 5}]}, "system[0].text: expected text, got 5."),
        ({"messages": []}, "messages: there are none"),
        ({"messages": ["x"]}, "messages[0]: expected a message"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        (asked({"type": "text"}), "messages[0].content[0].text: expected text, got nothing."),
        (asked({"type": "image", "source": {"type": "base64", "data": 5}}), "content[0].source.data"),
        (asked({"type": "document", "source": {"type": "text", "data": ["x"]}}), "content[0].source.data"),
        (asked({"type": "image", "source": {"type": "base64", "data": PIXEL}}), "content[0].source.media_type"),
        (asked({"type": "tool_result", "content": "x"}), "content[0].tool_use_id"),
        (asked({"type": "document", "context": 5, "source": {"type": "text", "data": "x"}}), "content[0].context"),
        (asked({"type": "tool_use", "id": "c", "name": "f", "input": "x"}, role="assistant"), "content[0].input"),
        ({"output_config": "x"}, "output_config"),
        ({"output_config": {"format": {"type": "json_schema", "schema": 5}}}, "output_config.format.schema"),
        ({"output_format": {"type": "json_schema"}}, "output_format.schema"),
    ],
)
def test_a_wrong_request_is_a_400_in_anthropics_shape_and_sends_nothing(served, provider, change, word):
    body = {"model": "good", "max_tokens": 5, "messages": ASK, **change}
    status, answer = post(served, body, path="/v1/messages")
    assert status == 400 and answer["type"] == "error", answer
    assert answer["error"]["type"] == "invalid_request_error" and word in answer["error"]["message"]
    assert provider.requests() == []


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "kind"),
    [
        ("GET", "/v1/messages", {}, 404, "not_found_error"),
        ("POST", "/v1/messages/batches", {}, 404, "not_found_error"),
        ("POST", "/v1/messages", {"Content-Type": "text/plain"}, 415, "invalid_request_error"),
        ("POST", "/v1/messages", {"Origin": "https://foreign.example"}, 403, "permission_error"),
        ("POST", "/v1/messages/count_tokens", {"Host": "foreign.example"}, 403, "permission_error"),
        ("POST", "/v1/messages/count_tokens", {}, 400, "invalid_request_error"),
    ],
)
def test_every_error_under_messages_has_anthropics_shape(served, method, path, headers, status, kind):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request(method, path, b"{}", {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert (response.status, answer["type"], answer["error"]["type"]) == (status, "error", kind)
    assert answer["error"]["message"]


def test_a_failed_run_raises_in_both_ways(client, commenting):
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model="noagg", max_tokens=5, messages=ASK)
    assert caught.value.status_code == 424
    assert [draft["status"] for draft in caught.value.body["moa"]["drafts"]] == ["ok", "ok"]
    begun = client.with_options(base_url=commenting.url)
    with pytest.raises(anthropic.APIError, match="500"):
        list(begun.messages.create(model="late", max_tokens=5, messages=ASK, stream=True))


def test_an_unknown_model_is_a_404(client):
    with pytest.raises(anthropic.NotFoundError, match="nothing"):
        client.messages.create(model="nothing", max_tokens=5, messages=ASK)


def test_every_answer_has_a_request_id_under_the_name_that_the_sdk_reads(client):
    assert client.messages.create(model="good", max_tokens=9, messages=ASK)._request_id.startswith("req_")
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model="none", max_tokens=9, messages=ASK)
    assert caught.value.request_id.startswith("req_")


def test_the_models_are_listed(client):
    listed = {each.id: each for each in client.models.list()}
    good = listed["good"]
    assert (good.type, good.display_name) == ("model", "good") and good.created_at.tzinfo is not None
    assert client.models.retrieve("good") == good
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.models.retrieve("nothing")
    assert caught.value.body["error"]["type"] == "not_found_error"
