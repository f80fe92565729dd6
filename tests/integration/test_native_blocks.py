"""Reasoning with signatures goes back unchanged in a tool loop: a loopback Messages API that enforces its rule.

As Anthropic's API does with thinking switched on, the server answers 400 when an assistant's turn that calls a tool
does not begin with the thinking block that it sent, byte for byte.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import SecretStr

from moa_graph import ChatMoA
from tests.fakes import fake
from tests.ruled_api import RuledApi

THOUGHT = {"type": "thinking", "thinking": "The user asks for the weather.", "signature": "c2lnbmVk" * 20}


class Messages(RuledApi):
    """The Messages API. `said` is the text before its tool call."""

    def __init__(self, *, said: str) -> None:
        super().__init__()
        self.said = said

    def broken(self, body: dict[str, Any]) -> str:
        for turn in (message for message in body["messages"] if message["role"] == "assistant"):
            kinds = [block["type"] for block in turn["content"] if isinstance(block, dict)]
            if "tool_use" in kinds and turn["content"][0] != THOUGHT:
                return "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`"
        return ""

    def error(self, words: str) -> dict[str, Any]:
        return {"type": "error", "error": {"type": "invalid_request_error", "message": words}}

    def answer(self, body: dict[str, Any], path: str) -> Any:
        blocks = self._blocks(body)
        reason = "tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn"
        usage = {"input_tokens": 5, "output_tokens": 7}
        whole = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "usage": usage}
        end = {"stop_reason": reason, "stop_sequence": None}
        if not body.get("stream"):
            return {**whole, "content": blocks, **end}
        empty = {**whole, "content": [], "stop_reason": None, "stop_sequence": None}
        pieces = [piece for index, block in enumerate(blocks) for piece in _pieces(index, block)]
        last = [{"type": "message_delta", "delta": end, "usage": usage}, {"type": "message_stop"}]
        return [{"type": "message_start", "message": empty}, *pieces, *last]

    def _blocks(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        last = body["messages"][-1]["content"]
        if isinstance(last, list) and any(block.get("type") == "tool_result" for block in last):
            return [{"type": "text", "text": "It is sunny."}]
        text = [{"type": "text", "text": self.said}] if self.said else []
        return [THOUGHT, *text, {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bern"}}]


def _pieces(index: int, block: dict[str, Any]) -> list[dict[str, Any]]:
    if block["type"] == "thinking":
        empty = {"type": "thinking", "thinking": "", "signature": ""}
        deltas: list[dict[str, Any]] = [
            {"type": "thinking_delta", "thinking": block["thinking"][:9]},
            {"type": "thinking_delta", "thinking": block["thinking"][9:]},
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    elif block["type"] == "text":
        empty = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": part} for part in (block["text"][:4], block["text"][4:])]
    else:
        empty = {**block, "input": {}}
        given = json.dumps(block["input"])
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in (given[:5], given[5:])]
    begun = {"type": "content_block_start", "index": index, "content_block": empty}
    middle = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    return [begun, *middle, {"type": "content_block_stop", "index": index}]


@pytest.fixture(params=["", "Let me look."], ids=["silent", "speaking"])
def api(request: pytest.FixtureRequest) -> Iterator[Messages]:
    with Messages(said=request.param).running() as server:
        yield server


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def claude(api: Messages) -> ChatAnthropic:
    return ChatAnthropic(
        model_name="claude-loopback",
        base_url=api.url,
        api_key=SecretStr("none"),
        thinking={"type": "enabled", "budget_tokens": 1024},
        max_tokens_to_sample=2048,
        timeout=20,
        stop=None,
    )


def test_the_server_refuses_a_tool_turn_without_its_thinking(api: Messages) -> None:
    """The server enforces the rule: a turn rebuilt from text and calls fails."""
    call = {"name": "weather", "args": {"city": "Bern"}, "id": "toolu_1", "type": "tool_call"}
    turns = [
        HumanMessage("weather?"),
        AIMessage("", tool_calls=[call]),
        {"role": "tool", "tool_call_id": "toolu_1", "content": "x"},
    ]
    with pytest.raises(Exception, match="Expected `thinking`"):
        claude(api).bind_tools([weather]).invoke(turns)


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_an_agent_with_a_thinking_aggregator_passes_its_second_turn(api: Messages, streaming: bool) -> None:
    moa = ChatMoA(proposers=[fake("a"), fake("b")], aggregator=claude(api), streaming=streaming)
    agent = create_agent(moa, [weather])
    if streaming:
        parts = [part async for part in agent.astream({"messages": "weather?"}, stream_mode=["messages", "values"])]
        done: Any = next(part for mode, part in reversed(parts) if mode == "values")
    else:
        done = await agent.ainvoke({"messages": "weather?"})
    assert [message.type for message in done["messages"]] == ["human", "ai", "tool", "ai"]
    assert done["messages"][-1].text == "It is sunny."
    assert done["messages"][1].text == api.said
    assert (len(api.bodies), api.refused) == (2, 0)
    sent = api.bodies[1]["messages"][1]["content"]
    assert [block["type"] for block in sent] == ["thinking", *(["text"] if api.said else []), "tool_use"]


async def test_another_aggregator_reads_the_turn_without_the_blocks(api: Messages) -> None:
    """A fallback, or the model of another maker, gets text and calls."""
    moa = ChatMoA(proposers=[fake("a")], aggregator=claude(api), streaming=True)
    chunks = [chunk async for chunk in moa.bind_tools([weather]).astream("weather?")]
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    other = fake("other")
    await ChatMoA(proposers=[other], aggregator=other).ainvoke(
        [HumanMessage("weather?"), whole, {"role": "tool", "tool_call_id": "toolu_1", "content": "sunny"}]
    )
    assert "[Called the tool weather" in other.sent[0].text and "c2lnbmVk" not in str(other.sent[0].messages)
