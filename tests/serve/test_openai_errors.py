"""Errors have OpenAI's shape and the right status; a disconnect cancels the run; heartbeats fill silence."""

import functools
import gzip
import http.client
import json
import time
from typing import Any

import openai
import pytest
from openai import OpenAI

ASK = [{"role": "user", "content": "What is it?"}]

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
WRONG = [
    ("temperature", 99),
    ("temperature", -0.1),
    ("temperature", float("nan")),
    ("temperature", 10**400),
    ("top_p", 1.5),
    ("top_p", True),
    ("max_tokens", -4),
    ("max_tokens", 0),
    ("max_tokens", 2.5),
    ("max_completion_tokens", -4),
    ("presence_penalty", 3),
    ("frequency_penalty", -2.5),
    ("seed", "x"),
    ("seed", 2**63),
    ("reasoning_effort", 3),
    ("stop", [1]),
    ("stop", {}),
    ("parallel_tool_calls", "yes"),
    ("stream_options", []),
    ("tools", "x"),
    ("tools", ["x"]),
    ("tools", [{}]),
    ("tools", [{"type": "function"}]),
    ("tools", [{"type": "function", "function": None}]),
    ("tools", [{"type": "function", "function": {"name": ""}}]),
    ("tools", [{"type": "function", "function": {"name": "f", "parameters": "x"}}]),
    ("tools", [{"type": "function", "function": {"name": "f" * 129}}]),
    ("tools", [TOOL, {"type": "web_search"}]),
    ("tool_choice", "required"),
    ("tool_choice", {"type": "function", "function": {"name": "weather"}}),
    ("response_format", "json"),
    ("response_format", {"type": "xml"}),
    ("response_format", {"type": "json_schema"}),
    ("response_format", {"type": "json_schema", "json_schema": {"schema": {}}}),
]
"""Fields that no model could take."""
MISCHOSEN = [
    ("tool_choice", "weather!"),
    ("tool_choice", 7),
    ("tool_choice", {}),
    ("tool_choice", {"type": "function", "function": {"name": "other"}}),
    ("tool_choice", {"type": "function", "function": "weather"}),
    ("tool_choice", {"type": "allowed_tools"}),
    ("tool_choice", {"type": "allowed_tools", "allowed_tools": {"mode": "x", "tools": [TOOL]}}),
    ("tool_choice", {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": "weather"}}),
    ("tool_choice", {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}}),
]

DEEP: dict[str, Any] = functools.reduce(lambda inner, _: {"a": inner}, range(150), {})
"""An object in an object, and so on. OpenAI's client can encode 254 of them."""


@pytest.fixture
def client(served):
    with OpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
        yield client


def post(served, body, *, headers=None, path="/v1/chat/completions"):
    """The status and the JSON of one POST."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, data, {"Content-Type": "application/json", **(headers or {})})
    response = connection.getresponse()
    found = response.status, json.loads(response.read())
    connection.close()
    return found


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"messages": ASK}, 400, "model"),
        ({"model": "good"}, 400, "messages"),
        ({"model": "nothing", "messages": ASK}, 404, None),
        ({"model": "good", "messages": []}, 400, "messages"),
        ({"model": "good", "messages": ["hi"]}, 400, "messages"),
        ({"model": "good", "messages": [None]}, 400, "messages"),
        ({"model": "good", "messages": "hi"}, 400, "messages"),
        ({"model": "good", "messages": [{"role": "user", "content": "  "}]}, 400, "messages"),
        ({"model": "good", "messages": [{"role": "clown", "content": "x"}]}, 400, "messages"),
        ({"model": "good", "messages": ASK, "user": float("inf")}, 400, "user"),
        ({"model": "good", "messages": ASK, "metadata": {"a": [float("nan")]}}, 400, "metadata"),
        ({"model": "good", "messages": ASK, "n": 2}, 400, "n"),
        ({"model": "good", "messages": ASK, "temperature": "hot"}, 400, "temperature"),
        ({"model": "good", "messages": ASK, "max_tokens": True}, 400, "max_tokens"),
        *(({"model": "good", "messages": ASK, name: value}, 400, name) for name, value in WRONG),
        *(({"model": "good", "messages": ASK, "tools": [TOOL], name: value}, 400, name) for name, value in MISCHOSEN),
        ({"model": "toolless", "messages": ASK, "tools": [TOOL]}, 400, "tools"),
        ({"model": "good", "messages": ASK, "tools": [TOOL], "moa": {"aggregator": "x"}}, 400, "moa"),
        ({"model": "good", "messages": ASK, "moa": {"layers": 99}}, 400, "moa"),
        ({"model": "good", "messages": ASK, "moa": {"drafts": "no"}}, 400, "moa.drafts"),
        ({"model": "good", "messages": ASK, "moa": {"aggregator": "openai:other"}}, 400, "moa"),
        ([], 400, None),
        (b"{", 400, None),
        (b"[" * 40_000, 400, None),
        (b"[" * 100_000, 413, None),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_sent(served, provider, body, status, param):
    for stream in ({}, {"stream": True}):
        sent = {**body, **stream} if isinstance(body, dict) else body
        got, answer = post(served, sent)
        assert got == status
        assert set(answer["error"]) == {"message", "type", "param", "code"}
        assert answer["error"]["message"] and answer["error"]["param"] == param
    assert provider.stats()["requests"] == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0, "top_p": 1, "max_tokens": 1, "presence_penalty": -2, "frequency_penalty": 2, "seed": 7},
        {"temperature": 2.0, "stop": "###", "reasoning_effort": "low", "tools": [], "tool_choice": "auto"},
        {"stop": ["#", "##"], "temperature": None, "tools": None, "max_completion_tokens": 9, "logprobs": False},
        {"response_format": {"type": "text"}, "user": "me", "metadata": {}},
        {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
        {"tools": [{**TOOL, "function": {**TOOL["function"], "strict": True, "description": None}}]},
    ],
)
def test_every_value_that_a_model_may_take_is_accepted(served, fields):
    assert post(served, {"model": "good", "messages": ASK, **fields})[0] == 200


def test_stop_reaches_the_aggregator_as_texts(served, provider):
    post(served, {"model": "good", "messages": ASK, "stop": "###"})
    assert provider.requests()[-1].json["stop"] == ["###"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/embeddings"),
        ("POST", "/v1/embeddings"),
        ("GET", "/v1/responses"),
        ("DELETE", "/v1/models"),
        ("GET", "/v1/chat/completions"),
        ("PUT", "/v1/"),
    ],
)
def test_other_paths_are_a_404_that_the_sdks_can_read(served, provider, method, path):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request(method, path, b"{}", {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert response.status == 404 and set(answer["error"]) == {"message", "type", "param", "code"}
    assert path in answer["error"]["message"] and answer["error"]["code"] == "unknown_url"
    assert provider.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ('{"model": "caf\u00e9"}'.encode("latin-1"), "not UTF-8 (byte 14)"),
        (b'{"seed": ' + b"1" * 5_000 + b"}", "too many digits"),
        (b"[" * 40_000, "nested too deeply"),
        (b"{,}", "not valid JSON"),
        (b'{"metadata": ' + b'{"a":' * 300 + b"1" + b"}" * 301, "nested too deeply"),
        (
            json.dumps({"messages": [{"content": [{"type": "text", "text": "x", "a": DEEP}]}]}).encode(),
            "nested too deeply",
        ),
    ],
)
def test_a_body_that_cannot_be_parsed_is_refused_in_plain_words(served, body, word):
    status, answer = post(served, body)
    assert status == 400 and word in answer["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/chat/completions/", "/v1/messages/"])
def test_a_slash_at_the_end_of_a_path_is_accepted(served, path):
    assert post(served, {"model": "good", "max_tokens": 9, "messages": ASK}, path=path)[0] == 200


def test_a_request_too_large_and_one_that_is_not_json(served, provider):
    assert post(served, b" " * 21_000_000)[0] == 413
    assert post(served, {"model": "good", "messages": ASK}, headers={"Content-Type": "text/plain"})[0] == 415
    assert provider.stats()["requests"] == 0


def test_a_compressed_request_is_refused_as_such(served):
    body = gzip.compress(json.dumps({"model": "good", "messages": ASK}).encode())
    status, answer = post(served, body, headers={"Content-Encoding": "gzip"})
    assert status == 415 and "gzip" in answer["error"]["message"]
    assert post(served, {"model": "good", "messages": ASK}, headers={"Content-Encoding": "identity"})[0] == 200


def test_allowed_tools_are_the_tools_that_every_provider_is_offered(served, provider):
    other = {**TOOL, "function": {**TOOL["function"], "name": "other"}}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOL]}}
    body = {"model": "tools", "messages": ASK, "tools": [other, TOOL], "tool_choice": choice}
    assert post(served, body)[0] == 200
    sent = provider.requests()[-1].json
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["weather"] and sent["tool_choice"] == "required"


def test_a_failed_proposer_is_reported_beside_the_answer(client):
    answer = client.chat.completions.create(model="partial", messages=ASK)
    assert answer.choices[0].message.content == "ok"
    [unused] = answer.model_extra["moa"]["record"]["unused"]
    assert unused["status"] == "failed" and "401" in unused["reason"]


@pytest.mark.parametrize(("model", "code"), [("none", "not_enough_drafts"), ("noagg", "aggregation_failed")])
def test_a_failed_run_is_a_424_that_the_sdk_does_not_repeat(client, provider, model, code):
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=model, messages=ASK)
    assert caught.value.status_code == 424 and caught.value.code == code
    assert provider.stats()["requests"] == (2 if model == "none" else 3)


@pytest.mark.parametrize("model", ["none", "noagg", "cut"])
def test_a_failed_run_in_a_stream_raises_in_the_sdk(client, model):
    with pytest.raises(openai.APIError) as caught:
        list(client.chat.completions.create(model=model, messages=ASK, stream=True))
    assert caught.value.code in ("not_enough_drafts", "aggregation_failed")


def test_a_stream_never_begins_its_answer_twice(client):
    whole = client.chat.completions.create(model="spare", messages=ASK)
    assert whole.choices[0].message.content == "the spare answer"
    said = ""
    with pytest.raises(openai.APIError, match="broke off") as caught:
        for chunk in client.chat.completions.create(model="spare", messages=ASK, stream=True):
            said += chunk.choices[0].delta.content or ""
    assert said and "spare" not in said and caught.value.code == "aggregation_failed"


def test_the_role_comes_at_once_and_comments_fill_the_silence(commenting):
    connection = http.client.HTTPConnection("127.0.0.1", commenting.port, timeout=30)
    body = json.dumps({"model": "slow", "messages": ASK, "stream": True})
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    lines = [line.decode().strip() for line in connection.getresponse() if line.strip()]
    connection.close()
    assert json.loads(lines[0].removeprefix("data: "))["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    first_text = next(n for n, line in enumerate(lines[1:], 1) if line.startswith("data:"))
    assert [line for line in lines[:first_text] if line.startswith(":")]
    assert lines[-1] == "data: [DONE]"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_the_calls_upstream(served, provider, stream):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    body = json.dumps({"model": "hang", "messages": ASK, "stream": stream})
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    provider.wait(lambda stats: stats["answered"] == 1 and stats["in_flight"] == 1)
    began = time.monotonic()
    connection.close()
    stats = provider.wait(lambda stats: stats["in_flight"] == 0)
    assert stats["in_flight"] == 0, stats
    assert time.monotonic() - began < 20, "the calls ended only at their deadline of 30 s"
    assert len(provider.requests()) == 2
