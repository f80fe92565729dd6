"""Every kind of input through every entry: chat completions, responses, messages, and ChatMoA.

The same content is sent in each API's own form, and the aggregator's request at the provider shows what arrived.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from openai import OpenAI

from moa_graph import ChatMoA, InputError
from tests.provider import Provider
from tests.serving import Served, mixture

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PAPER = "JVBERi0xLjQKJSVFT0YK"
SOUND = "UklGRiQAAABXQVZF"
ASK = "What is it?"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}

FORMS: dict[str, dict[str, dict[str, Any]]] = {
    "image": {
        "chat": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        "responses": {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
        "responses, the object of chat": {
            "type": "input_image",
            "image_url": {"url": f"data:image/png;base64,{PIXEL}"},
        },
        "messages": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        "ChatMoA": {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
        "ChatMoA, Anthropic's form": {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
        },
    },
    "file": {
        "chat": {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PAPER}"}},
        "responses": {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PAPER}"},
        "messages": {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PAPER}},
        "ChatMoA": {"type": "file", "base64": PAPER, "mime_type": "application/pdf", "filename": "a.pdf"},
    },
    "input_audio": {
        "chat": {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}},
        "responses": {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}},
        "ChatMoA": {"type": "audio", "base64": SOUND, "mime_type": "audio/wav"},
    },
}
"""A block of each kind in the form of each entry; Anthropic's API has no audio."""

DATA = {"image": PIXEL, "file": PAPER, "input_audio": SOUND}
EVERY = [(kind, way) for kind, forms in FORMS.items() for way in forms]


@pytest.fixture(scope="module")
def served_here(provider_server: Provider) -> Any:
    with Served({"good": mixture(provider_server, "one-say=a%20draft", aggregator="agg-say=yes")}) as server:
        yield server


@pytest.fixture
def answer(served_here: Served, provider: Provider) -> Any:
    """Send one request to an entry and return the messages of the aggregator's request at the provider."""
    moa = ChatMoA(mixture(provider, "one-say=a%20draft", aggregator="agg-say=yes"))
    ways: dict[str, Callable[..., str]] = {}

    def way(kind: str, given: Any, **options: Any) -> list[dict[str, Any]]:
        assert ways[kind.partition(",")[0]](given, **options) == "yes"
        (request,) = [each for each in provider.requests() if each.model.startswith("agg")]
        messages: list[dict[str, Any]] = request.json["messages"]
        return messages

    with (
        OpenAI(base_url=f"{served_here.url}/v1", api_key="none", max_retries=0) as openai,
        Anthropic(base_url=served_here.url, api_key="none", max_retries=0) as anthropic,
    ):
        ways["chat"] = lambda given, **options: str(
            openai.chat.completions.create(model="good", messages=given, **options).choices[0].message.content
        )
        ways["responses"] = lambda given, **options: str(
            openai.responses.create(model="good", input=given, **options).output_text
        )
        ways["messages"] = lambda given, **options: "".join(
            getattr(block, "text", "")
            for block in anthropic.messages.create(model="good", max_tokens=99, messages=given, **options).content
        )
        ways["ChatMoA"] = lambda given, tools=(): (moa.bind_tools(tools) if tools else moa).invoke(given).text
        yield way


def blocks(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the blocks of user turns that are of one kind."""
    users = [message["content"] for message in messages if message["role"] == "user"]
    found = [block for content in users if isinstance(content, list) for block in content]
    return [block for block in found if block["type"].startswith(kind)]


@pytest.mark.parametrize(("kind", "way"), EVERY)
def test_a_block_reaches_the_aggregator_in_its_providers_form(kind: str, way: str, answer: Any) -> None:
    block = FORMS[kind][way]
    text = {"type": "input_text" if way.startswith("responses") else "text", "text": ASK}
    sent = answer(way, [{"role": "user", "content": [text, block]}])
    (found,) = blocks(sent, kind)
    assert DATA[kind] in json.dumps(found)
    assert kind != "image" or isinstance(found["image_url"]["url"], str)


NOTES = base64.b64encode(b"The sky is blue.").decode()
TEXT_FILES: dict[str, dict[str, Any]] = {
    "chat": {"type": "file", "file": {"filename": "n.txt", "file_data": f"data:text/plain;base64,{NOTES}"}},
    "responses": {"type": "input_file", "filename": "n.txt", "file_data": f"data:text/plain;base64,{NOTES}"},
    "messages": {
        "type": "document",
        "source": {"type": "text", "data": "The sky is blue."},
    },
    "messages, content": {"type": "document", "source": {"type": "content", "content": "The sky is blue."}},
    "ChatMoA": {"type": "text-plain", "text": "The sky is blue.", "mime_type": "text/plain"},
}


@pytest.mark.parametrize("way", TEXT_FILES)
def test_a_file_of_text_is_a_whole_question(way: str, answer: Any) -> None:
    sent = answer(way, [{"role": "user", "content": [TEXT_FILES[way]]}])
    assert "The sky is blue." in json.dumps(sent)


CALL = {"name": "look", "arguments": "{}"}
TURNS: dict[str, Callable[[dict[str, Any]], list[Any]]] = {
    "chat": lambda block: [
        {"role": "user", "content": ASK},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": CALL}]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "seen"}, block]},
    ],
    "responses": lambda block: [
        {"role": "user", "content": ASK},
        {"type": "function_call", "call_id": "c1", **CALL},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "seen"}, block]},
    ],
    "messages": lambda block: [
        {"role": "user", "content": ASK},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "seen"}, block]}
            ],
        },
    ],
    "ChatMoA": lambda block: [
        HumanMessage(ASK),
        AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "c1"}]),
        ToolMessage([{"type": "text", "text": "seen"}, block], tool_call_id="c1"),
    ],
}
TOOLS: dict[str, dict[str, Any]] = {
    "chat": {"tools": [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}]},
    "responses": {"tools": [{"type": "function", "name": "look", "parameters": SCHEMA}]},
    "messages": {"tools": [{"name": "look", "input_schema": SCHEMA}]},
    "ChatMoA": {"tools": [{"name": "look", "input_schema": SCHEMA}]},
}


@pytest.mark.parametrize("kind", ["image", "file"])
@pytest.mark.parametrize("way", TURNS)
def test_what_a_tool_returns_beside_text_reaches_the_aggregator(kind: str, way: str, answer: Any) -> None:
    """OpenAI's chat completions take text alone in a tool result, so that images and files follow in a user turn."""
    sent = answer(way, TURNS[way](FORMS[kind][way]), **TOOLS[way])
    (found,) = blocks(sent, kind)
    assert DATA[kind] in json.dumps(found)
    assert "seen" in json.dumps([message for message in sent if message["role"] in ("tool", "user")])


@pytest.mark.parametrize(
    ("way", "given", "options"),
    [
        ("chat", [{"role": "system", "content": ASK}], {}),
        ("chat", [{"role": "developer", "content": ASK}], {}),
        ("responses", [{"role": "system", "content": ASK}], {}),
        ("responses", [], {"instructions": ASK}),
        ("messages", [], {"system": ASK}),
        ("ChatMoA", [SystemMessage(ASK)], {}),
    ],
)
def test_a_system_prompt_alone_is_answered(way: str, given: Any, options: Any, answer: Any) -> None:
    sent = answer(way, given, **options)
    assert ASK in json.dumps(sent) and sent[-1]["role"] == "user"


@pytest.mark.parametrize("way", ["chat", "responses", "messages", "ChatMoA"])
def test_a_system_message_in_mid_conversation_comes_first_at_the_provider(way: str, answer: Any) -> None:
    turns = [("user", "First."), ("assistant", "Yes."), ("system", "Be short."), ("user", ASK)]
    sent = answer(way, [{"role": role, "content": text} for role, text in turns])
    roles = [message["role"] for message in sent]
    assert "system" not in roles[1:] and "developer" not in roles[1:]
    assert "Be short." in json.dumps(sent) and roles[-1] == "user"


@pytest.mark.parametrize("way", TOOLS)
def test_a_malformed_schema_of_a_tool_is_refused_before_any_request(way: str, answer: Any, provider: Provider) -> None:
    tools = json.loads(json.dumps(TOOLS[way]).replace('"object"', '"objekt"'))
    with pytest.raises((InputError, openai.BadRequestError, anthropic.BadRequestError)) as caught:
        answer(way, [{"role": "user", "content": ASK}], **tools)
    assert 'tools[0].function.parameters.type: expected "object", got "objekt"' in str(caught.value)
    assert not provider.requests()
