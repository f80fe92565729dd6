"""Third-party clients get answers, tool calls, usage and errors as from OpenAI."""

import json
import shutil
import subprocess
import sys

import openai
import pytest
from langchain_openai import ChatOpenAI
from openai import OpenAI
from pydantic import BaseModel

ASK = [{"role": "user", "content": "What is it?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def client(served):
    with OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_models_are_the_mixtures(client):
    names = [model.id for model in client.models.list()]
    assert names[:2] == ["good", "prompt"]
    assert client.models.retrieve("good").owned_by == "moa_graph"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")


def test_a_plain_answer_with_the_usage_of_all_calls(client, provider):
    answer = client.chat.completions.create(model="good", messages=ASK)
    assert answer.choices[0].message.content == "the whole answer"
    assert answer.choices[0].finish_reason == "stop"
    assert provider.stats()["answered"] == 3
    assert answer.usage.completion_tokens == 2 + 2 + 3
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.model_extra["moa"]["record"]["calls"] == 3
    assert "drafts" not in answer.model_extra["moa"]


def test_a_stream_begins_with_the_role_and_ends_with_the_usage(client):
    chunks = list(
        client.chat.completions.create(model="good", messages=ASK, stream=True, stream_options={"include_usage": True})
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "the whole answer"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 7
    assert {c.id for c in chunks} == {chunks[0].id}


def test_a_stream_without_include_usage_has_none(client):
    chunks = list(client.chat.completions.create(model="good", messages=ASK, stream=True))
    assert all(c.usage is None and c.choices for c in chunks)


def test_system_and_earlier_turns_reach_every_model(client, provider):
    turns = [
        {"role": "system", "content": "Speak as a pirate."},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "said"},
        {"role": "user", "content": "second"},
    ]
    client.chat.completions.create(model="good", messages=turns)
    for request in provider.requests():
        messages = request.json["messages"]
        assert messages[0]["content"].startswith("Speak as a pirate.")
        # The aggregator's drafts follow the question, after all that requests have in common.
        assert [m["content"].partition("\n\n[drafts begin")[0] for m in messages[1:]] == ["first", "said", "second"]


def test_sampling_goes_only_to_the_aggregator_and_unknown_fields_are_dropped(client, provider):
    client.chat.completions.create(
        model="good", messages=ASK, temperature=0.3, max_tokens=77, stop=["END"], extra_body={"grue": 1}
    )
    *proposers, aggregator = provider.requests()
    assert (aggregator.json["temperature"], aggregator.json["stop"]) == (0.3, ["END"])
    assert 77 in (aggregator.json.get("max_tokens"), aggregator.json.get("max_completion_tokens"))
    for request in proposers:
        assert not {"temperature", "stop", "max_tokens", "max_completion_tokens"} & request.json.keys()
    assert all("grue" not in request.json for request in provider.requests())


@pytest.mark.parametrize(
    "more", [{"id": ""}, {"id": "1"}, {"id": 7}, {"additional_kwargs": {"name": 5}}, {"type": "ai"}]
)
def test_unknown_fields_of_messages_are_ignored(client, provider, more):
    texts = ["the first question", "an answer", "the second question"]
    roles = ["user", "assistant", "user"]
    client.chat.completions.create(
        model="good",
        messages=[{"role": role, "content": text, **more} for role, text in zip(roles, texts, strict=True)],
    )
    for request in provider.requests():
        assert all(text in str(request.json["messages"]) for text in texts)
        assert all(set(message) == {"role", "content"} for message in request.json["messages"])


def test_null_in_a_tool_or_a_format_counts_as_absent(client, provider):
    function = {"name": "weather", "description": None, "parameters": TOOL["function"]["parameters"], "strict": None}
    form = {"type": "json_schema", "json_schema": {**SCHEMA, "description": None, "strict": None}}
    client.chat.completions.create(
        model="tools", messages=ASK, tools=[{"type": "function", "function": function}], response_format=form
    )
    sent = provider.requests()[-1].json
    assert None not in (sent["tools"][0]["function"] | sent["response_format"]["json_schema"]).values()


def test_an_answer_cut_at_max_tokens_says_so(client):
    answer = client.chat.completions.create(model="good", messages=ASK, max_tokens=2)
    assert answer.choices[0].finish_reason == "length"


def test_tools_are_the_aggregators_and_their_results_come_back_as_turns(client, provider):
    first = client.chat.completions.create(model="tools", messages=ASK, tools=[TOOL])
    call = first.choices[0].message.tool_calls[0]
    assert first.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "weather" and "city" in json.loads(call.function.arguments)
    assert ["tools" in request.json for request in provider.requests()] == [False, False, True]
    provider.reset()
    turns = [
        *ASK,
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    second = client.chat.completions.create(model="tools", messages=turns, tools=[TOOL])
    assert second.choices[0].message.content
    *proposers, aggregator = provider.requests()
    *_, result, drafts = aggregator.json["messages"]
    assert result["role"] == "tool" and "rain" in str(result["content"])
    assert drafts["role"] == "user" and "[drafts begin: " in str(drafts["content"])
    for request in proposers:
        assert "rain" in json.dumps(request.json)
        assert not any("tool_calls" in message for message in request.json["messages"])


def test_a_streamed_tool_call(client):
    chunks = list(client.chat.completions.create(model="tools", messages=ASK, tools=[TOOL], stream=True))
    calls = [call for c in chunks for call in c.choices[0].delta.tool_calls or []]
    assert calls[0].function.name == "weather" and json.loads(calls[0].function.arguments)
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_response_format_through_the_sdks_own_parser(client):
    class Fruit(BaseModel):
        name: str
        count: int

    answer = client.chat.completions.parse(model="tools", messages=ASK, response_format=Fruit)
    assert answer.choices[0].message.parsed == Fruit(name="text", count=3)


SCHEMA = {"name": "city", "schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


@pytest.mark.parametrize("form", [{"type": "json_object"}, {"type": "json_schema", "json_schema": SCHEMA}])
@pytest.mark.parametrize("stream", [False, True])
def test_a_format_beside_tools_reaches_the_aggregator_unchanged(client, provider, form, stream):
    answer = client.chat.completions.create(
        model="tools", messages=ASK, tools=[TOOL], response_format=form, stream=stream
    )
    finish = [chunk.choices[0].finish_reason for chunk in answer][-1] if stream else answer.choices[0].finish_reason
    assert finish == "tool_calls"
    sent = provider.requests()[-1].json
    assert sent["response_format"] == form and sent["tools"] == [TOOL]


@pytest.mark.parametrize("form", [{"type": "json_object"}, {"type": "json_schema", "json_schema": SCHEMA}])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_in_a_format_that_is_cut_is_an_answer(client, form, stream):
    answer = client.chat.completions.create(model="short", messages=ASK, response_format=form, stream=stream)
    finish = [chunk.choices[0].finish_reason for chunk in answer][-1] if stream else answer.choices[0].finish_reason
    assert finish == "length"


def test_the_requests_own_object_changes_the_run(client):
    answer = client.chat.completions.create(
        model="good", messages=ASK, extra_body={"moa": {"layers": 3, "drafts": True}}
    )
    assert answer.model_extra["moa"]["record"]["layers"] == 3
    assert [d["text"] for d in answer.model_extra["moa"]["drafts"]] == ["draft one", "draft two"] * 2
    with pytest.raises(openai.BadRequestError, match="max_cost"):
        client.chat.completions.create(model="good", messages=ASK, extra_body={"moa": {"max_cost": 1000}})


def test_chat_openai_of_langchain(served):
    model = ChatOpenAI(base_url=f"{served.url}/v1", model="good", api_key="none", stream_usage=True)
    answer = model.invoke("What is it?")
    assert answer.content == "the whole answer" and answer.usage_metadata["output_tokens"] == 7
    parts = list(model.stream("What is it?"))
    assert "".join(part.text for part in parts) == "the whole answer"
    assert sum(part.usage_metadata["output_tokens"] for part in parts if part.usage_metadata) == 7


def test_curl_as_the_docs_have_it(served):
    if shutil.which("curl") is None:
        pytest.skip("no curl: install the package curl")
    body = json.dumps({"model": "good", "messages": ASK})
    command = ["curl", "-s", f"{served.url}/v1/chat/completions", "-H", "Content-Type: application/json", "-d", body]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "the whole answer", "refusal": None}


def test_the_command_llm(served, tmp_path):
    """simonw's `llm` with the server as one of its models, in a process of its own."""
    pytest.importorskip("llm", reason="llm is not installed: pip install llm")
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: moa-good\n  model_name: good\n  api_base: {served.url}/v1\n"
    )
    command = [sys.executable, "-m", "llm", "-m", "moa-good", "What is it?"]
    env = {"LLM_USER_PATH": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OPENAI_API_KEY": "none"}
    # Other packages here bring plugins of `llm`.
    env["LLM_LOAD_PLUGINS"] = ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
    assert done.stdout.strip() == "the whole answer", done.stderr
