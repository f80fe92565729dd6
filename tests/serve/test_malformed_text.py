"""Lone surrogates in every API format: names and settings are a 400 before anything is sent, texts are repaired."""

import http.client
import json
from typing import Any

import pytest

HALF = "\ud83d"
USER = {"role": "user", "content": "What is it?"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def post(served: Any, path: str, body: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    # json.dumps writes a lone surrogate as an escape, as JavaScript clients do.
    connection.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, json.loads(text)


CHAT: dict[str, Any] = {"model": "good", "messages": [USER]}
RESPONSES: dict[str, Any] = {"model": "good", "input": [USER]}
ANTHROPIC: dict[str, Any] = {"model": "good", "max_tokens": 9, "messages": [USER]}
COMPLETIONS: dict[str, Any] = {"model": "good", "prompt": "What is it?"}
PAGE: dict[str, Any] = {"mixture": "good", "messages": [USER]}

REFUSED = [
    *(
        (path, {**body, **wrong}, param)
        for path, body in (
            ("/v1/chat/completions", CHAT),
            ("/v1/responses", RESPONSES),
            ("/v1/messages", ANTHROPIC),
            ("/v1/completions", COMPLETIONS),
        )
        for wrong, param in (
            ({"moa": {HALF: 1}}, "moa"),
            ({"moa": {"aggregator": HALF}}, "moa"),
            ({"moa": {"system": f"be {HALF}"}}, "moa"),
            ({"moa": HALF}, "moa"),
            ({"model": f"good{HALF}"}, "model"),
            ({HALF: 1}, None),
            ({"metadata": {"user_id": HALF}}, "metadata"),
            ({"user": HALF}, "user"),
        )
    ),
    *(
        ("/v1/chat/completions", {**CHAT, **wrong}, param)
        for wrong, param in (
            ({"stop": HALF}, "stop"),
            ({"stop": ["#", HALF]}, "stop"),
            ({"messages": [{**USER, "role": f"user{HALF}"}]}, "messages"),
            ({"messages": [{**USER, "name": HALF}]}, "messages"),
            ({"messages": [{**USER, HALF: "x"}]}, "messages"),
            ({"messages": [{"role": "user", "content": [{"type": HALF, "text": "x"}]}]}, "messages"),
            ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x", HALF: 1}]}]}, "messages"),
            ({"messages": [USER, {"role": "tool", "tool_call_id": HALF, "content": "x"}]}, "messages"),
            ({"tools": [{**TOOL, "function": {"name": HALF}}]}, "tools"),
            ({"tools": [TOOL], "tool_choice": HALF}, "tool_choice"),
            ({"tools": [{**TOOL, "function": {"name": "f", "parameters": {"properties": {HALF: {}}}}}]}, "tools"),
            ({"response_format": {"type": "json_schema", "json_schema": {"name": HALF, "schema": {}}}},
             "response_format"),
            ({"reasoning_effort": HALF}, "reasoning_effort"),
        )
    ),
    ("/v1/responses", {**RESPONSES, "input": [{**USER, "role": HALF}]}, "input"),
    ("/v1/responses", {**RESPONSES, "input": [USER, {"type": "function_call", "call_id": HALF}]}, "input"),
    ("/v1/messages", {**ANTHROPIC, "stop_sequences": [HALF]}, "stop_sequences"),
    ("/v1/messages", {**ANTHROPIC, "messages": [{**USER, "role": HALF}]}, "messages"),
    ("/v1/messages/count_tokens", {**ANTHROPIC, "messages": [{**USER, "role": HALF}]}, "messages"),
    ("/v1/completions", {**COMPLETIONS, "stop": HALF}, "stop"),
    ("/moa/run", {**PAGE, "mixture": HALF}, "mixture"),
    ("/moa/run", {**PAGE, "aggregator": HALF}, "aggregator"),
    ("/moa/run", {**PAGE, "messages": [{**USER, "name": HALF}]}, "messages"),
    ("/moa/run", {**PAGE, "messages": [{**USER, "role": HALF}]}, "messages"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "param"), REFUSED)
@pytest.mark.parametrize("stream", [False, True])
def test_a_lone_surrogate_in_a_name_or_a_setting_is_refused_before_anything_is_sent(
    served, provider, path, body, param, stream
):
    status, answer = post(served, path, {**body, "stream": stream})
    assert status == 400
    if path.startswith("/v1/messages"):
        assert answer["type"] == "error" and answer["error"]["type"] == "invalid_request_error"
    else:
        assert set(answer["error"]) == {"message", "type", "param", "code"}
        assert answer["error"]["param"] == param
    assert "lone surrogate" in answer["error"]["message"]
    assert provider.stats()["requests"] == 0


TAKEN = [
    ("/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": f"What {HALF}?"}]}),
    (
        "/v1/chat/completions",
        {**CHAT, "messages": [{"role": "user", "content": [{"type": "text", "text": f"What {HALF}?"}]}]},
    ),
    (
        "/v1/chat/completions",
        {
            **CHAT,
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "1", "type": "function", "function": {"name": "f", "arguments": f'{{"a": "{HALF}"}}'}}
                    ],
                },
                {"role": "tool", "tool_call_id": "1", "content": HALF},
            ],
        },
    ),
    ("/v1/responses", {**RESPONSES, "input": f"What {HALF}?", "instructions": HALF}),
    ("/v1/responses", {**RESPONSES, "input": [{"role": "user", "content": f"What {HALF}?"}]}),
    ("/v1/messages", {**ANTHROPIC, "system": HALF, "messages": [{"role": "user", "content": f"What {HALF}?"}]}),
    (
        "/v1/messages",
        {
            **ANTHROPIC,
            "messages": [
                USER,
                {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {"a": HALF}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": HALF}]},
            ],
        },
    ),
    ("/v1/messages/count_tokens", {**ANTHROPIC, "messages": [{"role": "user", "content": f"What {HALF}?"}]}),
    ("/v1/completions", {**COMPLETIONS, "prompt": f"What {HALF}?"}),
    ("/v1/completions", {**COMPLETIONS, "prompt": [f"What {HALF}?"]}),
]


@pytest.mark.parametrize(("path", "body"), TAKEN)
def test_a_lone_surrogate_in_a_text_is_replaced(served, path, body):
    assert post(served, path, body)[0] == 200


def test_what_an_answer_repeats_of_the_request_can_be_encoded(served):
    """The official SDKs encode what they log and keep."""
    answer = post(served, "/v1/responses", {**RESPONSES, "input": "What?", "instructions": f"be {HALF}"})[1]
    assert answer["instructions"] == "be \ufffd"


def test_a_whole_emoji_is_taken_everywhere(served):
    body = {**CHAT, "messages": [{**USER, "name": "ann"}], "stop": "😀", "user": "😀"}
    assert post(served, "/v1/chat/completions", body)[0] == 200


@pytest.mark.parametrize("argument", ["question", "system", "mixture", HALF])
def test_an_mcp_call_with_a_lone_surrogate_is_an_error_of_the_protocol(served, provider, argument):
    call = {"name": "moa_answer", "arguments": {"question": "What is it?", argument: f"x {HALF}"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    status, answer = post(served, "/mcp", body, Accept="application/json, text/event-stream")
    assert status == 400 and answer["error"]["code"] in (-32700, -32602, -32600)
    assert provider.stats()["requests"] == 0
