"""Signed reasoning goes back unchanged in a tool loop: loopback Gemini and Responses APIs that enforce their rules.

Gemini answers 400 when a function call comes back without the thought signature that it sent, DeepSeek and OpenRouter
when a turn that called tools comes back without its reasoning. OpenAI's Responses API
answers 400 when a function call comes back without the reasoning item before it; with `store=False` that item holds its
encrypted content. `test_native_blocks.py` has the same for Anthropic's thinking blocks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from moa_graph import AggregationError, ChatMoA, Mixture
from tests.fakes import fake
from tests.ruled_api import RuledApi
from tests.serving import Served

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")  # Google's

SIGNED = "c2lnbmVk" * 20
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SIGNED}
CALL = {"name": "weather", "args": {"city": "Bern"}, "id": "call_1", "type": "tool_call"}


class Api(RuledApi):
    def model(self) -> Any:
        """Return a chat model, or the description of one, that sends its requests here."""
        raise NotImplementedError


class Gemini(Api):
    def model(self) -> Any:
        google = pytest.importorskip("langchain_google_genai")
        return google.ChatGoogleGenerativeAI(
            model="gemini-3-loopback", google_api_key="none", base_url=self.url, max_retries=1
        )

    def broken(self, body: dict[str, Any]) -> str:
        for part in (part for turn in body["contents"] for part in turn["parts"]):
            if "functionCall" in part and part.get("thoughtSignature") != SIGNED:
                return "Function call is missing a thought_signature in functionCall parts."
        return ""

    def answer(self, body: dict[str, Any], path: str) -> Any:
        done = any("functionResponse" in part for turn in body["contents"] for part in turn["parts"])
        call = {"functionCall": {"name": "weather", "args": CALL["args"]}, "thoughtSignature": SIGNED}
        parts = [{"text": "It is sunny."}] if done else [call]
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
        usage = {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12}
        whole = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3-loopback"}
        return [whole] if "streamGenerateContent" in path else whole


class CompatibleGemini(Api):
    """Gemini through OpenAI's protocol: the signature is in the `extra_content` of a call."""

    signature = {"google": {"thought_signature": SIGNED}}  # noqa: RUF012

    def model(self) -> Any:
        return {"model": "openai:gemini-3-loopback", "base_url": f"{self.url}/v1"}

    def broken(self, body: dict[str, Any]) -> str:
        calls = (call for message in body["messages"] for call in message.get("tool_calls") or [])
        signed = all(call.get("extra_content") == self.signature for call in calls)
        return "" if signed else "Function call is missing a thought_signature in functionCall parts."

    def answer(self, body: dict[str, Any], path: str) -> Any:
        done = any(message["role"] == "tool" for message in body["messages"])
        function = {"name": "weather", "arguments": json.dumps(CALL["args"])}
        call = {"id": "call_1", "type": "function", "function": function, "extra_content": self.signature}
        said = {"content": "It is sunny."} if done else {"content": None, "tool_calls": [call]}
        end = {"index": 0, "finish_reason": "stop" if done else "tool_calls"}
        whole = {"id": "c", "created": 1, "model": "gemini-3-loopback"}
        if not body.get("stream"):
            choice = {**end, "message": {"role": "assistant", **said}}
            return {**whole, "object": "chat.completion", "choices": [choice]}
        if not done:
            said["tool_calls"] = [{"index": 0, **call}]
        deltas = [{"index": 0, "delta": {"role": "assistant", **said}, "finish_reason": None}, {**end, "delta": {}}]
        return [{**whole, "object": "chat.completion.chunk", "choices": [choice]} for choice in deltas]


class DeepSeek(CompatibleGemini):
    """A turn that called tools must come back with its `reasoning_content`."""

    def model(self) -> Any:
        return {"model": "openai:deepseek-loopback", "base_url": f"{self.url}/v1"}

    def broken(self, body: dict[str, Any]) -> str:
        acts = [message for message in body["messages"] if message.get("tool_calls")]
        whole = all(message.get("reasoning_content") == SIGNED for message in acts)
        return "" if whole else "The `reasoning_content` in the thinking mode must be passed back to the API."

    def answer(self, body: dict[str, Any], path: str) -> Any:
        made = super().answer(body, path)
        if any(message["role"] == "tool" for message in body["messages"]):
            return made
        if not body.get("stream"):
            made["choices"][0]["message"]["reasoning_content"] = SIGNED
            made["choices"][0]["message"]["tool_calls"][0].pop("extra_content")
            return made
        made[0]["choices"][0]["delta"]["tool_calls"][0].pop("extra_content")
        halves = [{"role": "assistant", "reasoning_content": half} for half in (SIGNED[:9], SIGNED[9:])]
        chunks = [{**made[0], "choices": [{"index": 0, "delta": half, "finish_reason": None}]} for half in halves]
        return [*chunks, *made]


class OpenRouter(CompatibleGemini):
    """A turn that called tools must come back with its `reasoning_details`, joined as they were before the stream."""

    details = (
        {"type": "reasoning.text", "text": "Ask the tool.", "signature": SIGNED, "format": "anthropic", "index": 0},
        {"type": "reasoning.encrypted", "data": "opaque", "id": "a", "format": "google", "index": 1},
        {"type": "reasoning.encrypted", "data": "dark", "id": "b", "format": "google", "index": 1},
    )
    pieces = (
        {"type": "reasoning.text", "text": "Ask ", "format": "anthropic", "index": 0},
        {"type": "reasoning.text", "text": "the tool.", "signature": None, "format": "anthropic", "index": 0},
        {"type": "reasoning.text", "signature": SIGNED, "format": "anthropic", "index": 0},
        *details[1:],
    )

    def broken(self, body: dict[str, Any]) -> str:
        acts = [message for message in body["messages"] if message.get("tool_calls")]
        whole = all(message.get("reasoning_details") == list(self.details) for message in acts)
        return "" if whole else "Invalid signature in thinking block: the details must be passed back unchanged."

    def answer(self, body: dict[str, Any], path: str) -> Any:
        made = super().answer(body, path)
        if any(message["role"] == "tool" for message in body["messages"]):
            return made
        if not body.get("stream"):
            made["choices"][0]["message"]["reasoning_details"] = list(self.details)
            made["choices"][0]["message"]["tool_calls"][0].pop("extra_content")
            return made
        made[0]["choices"][0]["delta"]["tool_calls"][0].pop("extra_content")
        deltas = [{"role": "assistant", "content": "", "reasoning_details": [piece]} for piece in self.pieces]
        chunks = [{**made[0], "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        return [*chunks, *made]


class Responses(Api):
    def model(self) -> Any:
        return ChatOpenAI(
            model="gpt-loopback",
            base_url=f"{self.url}/v1",
            api_key=SecretStr("none"),
            use_responses_api=True,
            store=False,
            include=["reasoning.encrypted_content"],
            max_retries=0,
        )

    def broken(self, body: dict[str, Any]) -> str:
        before: Any = None
        for item in body["input"]:
            if item.get("type") == "function_call":
                if not isinstance(before, dict) or before.get("type") != "reasoning":
                    return "Item 'fc_1' of type 'function_call' was provided without its required 'reasoning' item."
                if (before["id"], before.get("encrypted_content")) != ("rs_1", SIGNED):
                    return "The encrypted content could not be verified."
            before = item
        return ""

    def answer(self, body: dict[str, Any], path: str) -> Any:
        text = {"type": "output_text", "text": "It is sunny.", "annotations": []}
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
        call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "status": "completed"}
        call["arguments"] = json.dumps(CALL["args"])
        done = any(item.get("type") == "function_call_output" for item in body["input"])
        items: list[dict[str, Any]] = [message] if done else [REASONING, call]
        usage = {
            "input_tokens": 5,
            "output_tokens": 7,
            "total_tokens": 12,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 3},
        }
        whole = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": "gpt-loopback",
            "status": "completed",
            "output": items,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": usage,
        }
        return _events(whole) if body.get("stream") else whole


def _events(whole: dict[str, Any]) -> list[dict[str, Any]]:
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    for place, item in enumerate(whole["output"]):
        at = {"output_index": place, "item_id": item["id"]}
        empty = {"arguments": ""} if item["type"] == "function_call" else {}
        empty |= {"content": []} if item["type"] == "message" else {}
        events.append({"type": "response.output_item.added", "output_index": place, "item": {**item, **empty}})
        if item["type"] == "function_call":
            for part in (item["arguments"][:5], item["arguments"][5:]):
                events.append({"type": "response.function_call_arguments.delta", **at, "delta": part})
            events.append({"type": "response.function_call_arguments.done", **at, "arguments": item["arguments"]})
        if item["type"] == "message":
            (block,) = item["content"]
            at["content_index"] = 0
            events.append({"type": "response.content_part.added", **at, "part": {**block, "text": ""}})
            events.append({"type": "response.output_text.delta", **at, "delta": block["text"], "logprobs": []})
            events.append({"type": "response.output_text.done", **at, "text": block["text"], "logprobs": []})
            events.append({"type": "response.content_part.done", **at, "part": block})
        events.append({"type": "response.output_item.done", "output_index": place, "item": item})
    events.append({"type": "response.completed", "response": whole})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


@pytest.fixture(params=[Gemini, CompatibleGemini, DeepSeek, OpenRouter, Responses])
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    with request.param().running() as server:
        yield server


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@pytest.mark.parametrize("api", [CompatibleGemini, DeepSeek, OpenRouter, Responses], indirect=True)
async def test_the_server_refuses_a_turn_without_its_signature(api: Api) -> None:
    """The server enforces the rule: a turn rebuilt from calls fails.

    LangChain's own class for Gemini adds a placeholder where a signature is missing.
    """
    turns = [HumanMessage("weather?"), AIMessage("", tool_calls=[CALL]), ToolMessage("x", tool_call_id="call_1")]
    moa = ChatMoA(proposers=[fake("a")], aggregator=api.model())
    with pytest.raises(
        AggregationError, match=r"missing a thought_signature|be passed back|without its required 'reasoning' item"
    ):
        await moa.bind_tools([weather]).ainvoke(turns)
    assert api.refused == len(api.bodies) == 1


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_an_agents_second_turn_is_accepted(api: Api, streaming: bool) -> None:
    moa = ChatMoA(proposers=[fake("a"), fake("b")], aggregator=api.model(), streaming=streaming)
    agent = create_agent(moa, [weather])
    if streaming:
        parts = [part async for part in agent.astream({"messages": "weather?"}, stream_mode=["messages", "values"])]
        done: Any = next(part for mode, part in reversed(parts) if mode == "values")
    else:
        done = await agent.ainvoke({"messages": "weather?"})
    assert [message.type for message in done["messages"]] == ["human", "ai", "tool", "ai"]
    assert done["messages"][-1].text == "It is sunny."
    assert (len(api.bodies), api.refused) == (2, 0)
    assert json.dumps(api.bodies[1]).count(SIGNED) == 1


async def test_another_aggregator_reads_the_turn_without_the_signature(api: Api) -> None:
    moa = ChatMoA(proposers=[fake("a")], aggregator=api.model())
    turn = await moa.bind_tools([weather]).ainvoke("weather?")
    other = fake("other")
    call = turn.tool_calls[0]["id"]
    turns = [HumanMessage("weather?"), turn, ToolMessage("sunny", tool_call_id=call)]
    await ChatMoA(proposers=[other], aggregator=other).ainvoke(turns)
    assert "[Called the tool weather" in other.sent[0].text and SIGNED not in str(other.sent[0].messages)


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("api", [CompatibleGemini, DeepSeek, OpenRouter], indirect=True)
def test_a_client_of_the_server_sends_the_turn_back(api: Api, streaming: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client keeps the fields that it does not know, as clients of these providers do."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback")
    mixture = Mixture(proposers=[fake("a")], aggregator=api.model(), max_attempts=1)
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    turns: list[Any] = [{"role": "user", "content": "weather?"}]
    with Served({"m": mixture}) as served, openai.OpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
        if streaming:
            turn: dict[str, Any] = {"role": "assistant"}
            for chunk in client.chat.completions.create(model="m", messages=turns, tools=[tool], stream=True):  # type: ignore[list-item]
                turn |= {name: value for name, value in chunk.choices[0].delta.to_dict().items() if value}
        else:
            made = client.chat.completions.create(model="m", messages=turns, tools=[tool])  # type: ignore[list-item]
            turn = made.choices[0].message.to_dict()
        result = {"role": "tool", "tool_call_id": "call_1", "content": "sunny in Bern"}
        before = api.refused
        done = client.chat.completions.create(model="m", messages=[*turns, turn, result], tools=[tool])  # type: ignore[list-item]
    assert done.choices[0].message.content == "It is sunny."
    assert api.refused == before == 0
