"""Every reply, whatever it contains, becomes one Reply of plain, checked values; reading it never raises."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import OutputTokenDetails, UsageMetadata
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

import moa_graph
from moa_graph.graph.prompts.conversation import passed_on
from moa_graph.models.limits import MAX_TEXT_CHARS
from moa_graph.models.reply.calls import RawCall
from moa_graph.models.reply.fields import plain, usage_from
from moa_graph.models.reply.repair import repaired
from moa_graph.models.reply.reply import Raw, Reply, read
from moa_graph.state import new_usage


def ended(reason: object, text: str = "Half an", **metadata: Any) -> Reply:
    return read(AIMessage(text, response_metadata={"finish_reason": reason, **metadata}))


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"finish_reason": "stop"}, "ok"),
        ({"finish_reason": "STOP"}, "ok"),
        ({"finish_reason": "eos_token"}, "ok"),
        ({"finish_reason": "null"}, "ok"),
        ({"finish_reason": None}, "ok"),
        ({}, "ok"),
        ({"stop_reason": "end_turn"}, "ok"),
        ({"finish_reason": "length"}, "truncated"),
        ({"stop_reason": "max_tokens"}, "truncated"),
        ({"stop_reason": "pause_turn"}, "truncated"),
        ({"stopReason": "max_tokens"}, "truncated"),
        ({"finish_reason": "model_length"}, "truncated"),
        ({"finish_reason": "MAX_TOKENS"}, "truncated"),
        ({"stopReason": "content_filtered"}, "filtered"),
        ({"stopReason": "guardrail_intervened"}, "filtered"),
        ({"finish_reason": "PROHIBITED_CONTENT"}, "filtered"),
        ({"finish_reason": "RECITATION"}, "filtered"),
        ({"finish_reason": "sensitive"}, "filtered"),
        ({"stop_reason": "refusal"}, "refused"),
        ({"finish_reason": "error"}, "failed"),
        ({"finish_reason": "abort"}, "failed"),
        ({"finish_reason": "MALFORMED_FUNCTION_CALL"}, "failed"),
        ({"finish_reason": "function_call_filter: MALFORMED_FUNCTION_CALL"}, "failed"),
        ({"finish_reason": "content_filter: PROHIBITED_CONTENT"}, "filtered"),
        ({"finish_reason": "insufficient_system_resource"}, "failed"),
        ({"done_reason": "length"}, "truncated"),
        ({"status": "completed"}, "ok"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "truncated"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "filtered"),
        ({"status": "incomplete"}, "truncated"),
        ({"status": "failed"}, "failed"),
        ({"finish_reason": "FINISH_REASON_PROHIBITED_CONTENT"}, "filtered"),
        ({"finish_reason": "FinishReason.MAX_TOKENS"}, "truncated"),
        ({"finish_reason": "REASON_MAX_LEN"}, "truncated"),
        ({"finish_reason": "MODEL_ARMOR"}, "filtered"),
        ({"finish_reason": "eosFound"}, "ok"),
        ({"finish_reason": "user_cancelled"}, "failed"),
        ({"finish_reason": "None"}, "ok"),
        ({"finish_reason": "NULL"}, "ok"),
        # What LangChain joined.
        ({"finish_reason": "lengthlength"}, "truncated"),
        ({"finish_reason": "content_filtercontent_filter"}, "filtered"),
        ({"finish_reason": "stopstop"}, "ok"),
        ({"finish_reason": "stoplength"}, "truncated"),
    ],
)
def test_every_providers_word_for_why_it_stopped(given: dict[str, object], status: str) -> None:
    assert read(AIMessage("Half an", response_metadata=given)).status == status


@pytest.mark.parametrize(
    "reason",
    ["quota_of_the_day", "stopped_by_moonlight", "not_finished", "FINISH_REASON_UNSPECIFIED", {"a": 1}, 10**40, True,
     ["stop"]],
)  # fmt: skip
def test_an_unknown_reason_is_never_whole(reason: object) -> None:
    reply = ended(reason)
    assert reply.status == "truncated" and reply.counts
    assert reply.error is not None and reply.error.startswith("unknown finish reason")


def test_a_failed_end_has_the_providers_words_and_may_be_retried() -> None:
    reply = ended("error", error={"code": 502, "message": "upstream crashed"})
    assert reply.error == "the provider ended the answer with 'error': upstream crashed"
    assert reply.fault is not None and reply.fault.retryable and reply.text == "Half an"


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("fine"),
        SystemMessage("fine"),
        ChatMessage("fine", role="model"),
        FunctionMessage("fine", name="f"),
        ToolMessage("fine", tool_call_id="x"),
        AIMessageChunk("fine"),
        AIMessage([{"type": "text", "text": "fi"}, "ne", {"type": "reasoning", "reasoning": "hm"}]),
        AIMessage([{"type": "text"}, {"type": "text", "text": 5}, {"type": "text", "text": "fine"}]),
        AIMessage([{"type": ["x"]}, {"type": None, "text": "fi"}, {"type": "TEXT", "text": {"value": "ne"}}]),
    ],
    ids=lambda message: type(message).__name__,
)
def test_any_message_class_is_read(message: Any) -> None:
    reply = read(message)
    assert (reply.status, reply.text, type(reply.message)) == ("ok", "fine", AIMessage)


@pytest.mark.parametrize("thing", [None, 5, "text", object(), [AIMessage("x")]])
def test_what_is_not_a_message_is_malformed(thing: object) -> None:
    reply = read(thing)
    assert reply.status == "failed" and reply.fault is not None and reply.fault.kind == "malformed"


def test_too_long_an_answer_is_malformed_and_not_retried() -> None:
    reply = read(AIMessage("x" * (MAX_TEXT_CHARS + 1)))
    assert reply.status == "failed" and reply.fault is not None and not reply.fault.retryable
    assert "4,194,304 characters" in (reply.error or "")


USAGES = [
    ({"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}, new_usage(5, 6)),
    ({"input_tokens": 5.4, "output_tokens": 6.0, "total_tokens": 11}, new_usage(5, 6)),
    (
        {
            "input_tokens": 100,
            "output_tokens": 6,
            "input_token_details": {"cache_read": 80, "cache_creation": 10},
            "output_token_details": {"reasoning": 4},
        },
        new_usage(100, 6, reasoning_tokens=4, cache_read_tokens=80, cache_write_tokens=10),
    ),
    (
        {"input_tokens": 10, "output_tokens": 6, "input_token_details": {"priority_cache_read": 99}},
        new_usage(10, 6, cache_read_tokens=10),
    ),
    ({"input_tokens": -5, "output_tokens": 6}, None),
    ({"input_tokens": True, "output_tokens": 6}, None),
    ({"input_tokens": "many", "output_tokens": 6}, None),
    ({"input_tokens": float("nan"), "output_tokens": 6}, None),
    ({"input_tokens": float("inf"), "output_tokens": 6}, None),
    ({"input_tokens": 10**400, "output_tokens": 6}, None),
    ({"input_tokens": 2**53, "output_tokens": 6}, None),
    ({"input_tokens": 5}, None),
    ({}, None),
    ([1, 2], None),
    ("usage", None),
    (None, None),
]


@pytest.mark.parametrize(("given", "usage"), USAGES, ids=range(len(USAGES)))
def test_counts_are_integers_that_can_be_trusted_or_unknown(given: Any, usage: Any) -> None:
    message = AIMessage("x")
    message.usage_metadata = given
    reply = read(message)
    assert (reply.status, reply.usage) == ("ok", usage)
    assert (reply.message.usage_metadata is None) == (usage is None)


def thought(tokens: int, *, total: int) -> dict[str, Any]:
    return {"total_tokens": total, "completion_tokens_details": {"reasoning_tokens": tokens}}


@pytest.mark.parametrize(
    ("given", "usage"),
    [
        ({"prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6}, new_usage(10, 6, cache_read_tokens=4)),
        ({"cached_tokens": 4, "prompt_tokens_details": None}, new_usage(10, 6, cache_read_tokens=4)),
        ({"cached_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}}, new_usage(10, 6, cache_read_tokens=3)),
        ({"cached_tokens": -4, "prompt_cache_hit_tokens": "4"}, new_usage(10, 6)),
        # xAI counts reasoning apart from the answer.
        (thought(30, total=46), new_usage(10, 36, reasoning_tokens=30)),
        (thought(5, total=16), new_usage(10, 6, reasoning_tokens=5)),
        (thought(5, total=99), new_usage(10, 6, reasoning_tokens=5)),
    ],
)  # fmt: skip
def test_counts_that_providers_state_in_their_own_places(given: dict[str, Any], usage: Any) -> None:
    data = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 16, **given}}
    assert usage_from(repaired(data)["usage"]) == usage


def test_the_usage_of_a_message_class_without_usage_is_found_in_its_metadata() -> None:
    given = {"token_usage": {"prompt_tokens": 5, "completion_tokens": 6, "prompt_tokens_details": {"cached_tokens": 3}}}
    assert read(HumanMessage("x", response_metadata=given)).usage == new_usage(5, 6, cache_read_tokens=3)


@pytest.mark.parametrize(
    ("cost", "dollars"),
    [(0.5, 0.5), (0, 0.0), (-1, None), (float("nan"), None), (float("inf"), None), (10**400, None), ("1", None),
     (True, None), ({}, None)],
)  # fmt: skip
def test_a_stated_cost_is_finite_and_not_negative_or_unknown(cost: object, dollars: float | None) -> None:
    assert ended("stop", token_usage={"cost": cost}).cost == dollars
    assert ended("stop", cost=cost).cost == dollars  # as ChatOpenRouter has it


@pytest.mark.parametrize(
    ("given", "dollars"),
    [({"cost_in_usd_ticks": 232_856_000}, 0.0232856), ({"estimated_cost": 0.00012}, 0.00012),
     ({"cost_in_usd_ticks": "many", "estimated_cost": -1}, None), ({"cost": 0.5, "estimated_cost": 1.0}, 0.5)],
)  # fmt: skip
def test_a_cost_is_found_under_the_names_of_xai_and_deepinfra(given: dict[str, Any], dollars: float | None) -> None:
    assert ended("stop", token_usage=given).cost == dollars


def test_calls_have_unique_ids_and_arguments_that_are_objects() -> None:
    given = [
        RawCall("f", '{"a": 1}', "c1"),
        RawCall("f", {"a": "\ud800"}, "c1"),
        RawCall("f", "", ""),
        RawCall("f", '"{\\"a\\": 2}"', None),
        RawCall("f", '{"a": ', "c2"),
        RawCall("f", "[1]", "c3"),
        RawCall("", "{}", "c4"),
        RawCall(7, "{}", 7),
    ]
    message = read(Raw("", given), tools=True).message
    assert [call["args"] for call in message.tool_calls] == [{"a": 1}, {"a": "�"}, {}, {"a": 2}]
    ids = [call["id"] for call in [*message.tool_calls, *message.invalid_tool_calls]]
    assert ids[0] == "c1" and len({*ids}) == 8 and all(ids)
    assert [call["error"] for call in message.invalid_tool_calls] == [
        "the arguments are not valid JSON",
        "the arguments are not a JSON object",
        "the call has no usable name",
        "the call has no usable name",
    ]


def test_a_long_id_is_kept_whole() -> None:
    """LiteLLM puts Gemini's signature of a thought into it, and refuses a part of it."""
    id_ = "call_a__thought__" + "CiQ" * 4_000
    (call,) = read(Raw("", [RawCall("f", "{}", id_)]), tools=True).message.tool_calls
    assert call["id"] == id_


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63) - 1, 10**21, 2**256])
def test_a_number_in_the_arguments_that_64_bits_cannot_hold_is_kept_as_text(number: int) -> None:
    """It became null: a tool got no amount, or no id, in place of the one that the model wrote."""
    for args in (json.dumps({"amount": number, "ids": [number]}), {"amount": number, "ids": [number]}):
        (call,) = read(Raw("", [RawCall("pay", args, "c")]), tools=True).message.tool_calls
        assert call["args"] == {"amount": str(number), "ids": [str(number)]}
        turns = [HumanMessage("pay"), AIMessage("", tool_calls=[{**call, "args": {"amount": number}}])]
        assert str(number) in str(passed_on(turns)[-1].content)
    assert plain(10**400) is None


def test_arguments_that_a_server_repeats_at_the_end_of_a_stream_are_read_once() -> None:
    for args in ('{"a": 1}{"a": 1}', ' {"a": 1}\n{"a": 1} '):
        message = read(Raw("", [RawCall(" f ", args, "c1")]), tools=True).message
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [("f", {"a": 1})]
    reply = read(Raw("", [RawCall("f", '{"a": 1}{"a": 2}', "c1")]), tools=True)
    assert reply.error == "the tool call f cannot be used: the arguments are not valid JSON"
    reply = read(Raw("", [RawCall("", '{"a": 1}', "c1")]), tools=True)
    assert reply.error == "the tool call without a name cannot be used: the call has no usable name"


@pytest.mark.parametrize(
    "given",
    [
        {"id": "c1", "function": {"name": "f", "arguments": {"a": 1}}},
        [{"id": "c1", "function": None, "name": "f", "arguments": '{"a": 1}'}],
        [None, {"id": "c1", "name": "f", "arguments": {"a": 1}}],
    ],
)
def test_calls_in_other_shapes_are_calls(given: Any) -> None:
    for name, whole in (("message", True), ("delta", False)):
        data = repaired({"choices": [{name: {"tool_calls": given}}]}, chunk=not whole)
        (call,) = data["choices"][0][name]["tool_calls"]
        assert (call["id"], call["function"]["name"]) == ("c1", "f")
        assert json.loads(call["function"]["arguments"]) == {"a": 1}


def test_arguments_that_were_cut_off_are_never_handed_out() -> None:
    for args in ('{"city": "Os', ""):
        reply = read(Raw("", [RawCall("weather", args, "c1")], reasons=["length"]), tools=True)
        assert (reply.status, reply.message.tool_calls) == ("empty", [])
        assert reply.error == "the answer was cut off in the arguments of the tool call weather"
    both = [RawCall("f", "{}", "c1"), RawCall("f", '{"a', "c2")]
    reply = read(Raw("", both, reasons=["length"]), tools=True)
    assert reply.status == "truncated" and [call["id"] for call in reply.message.tool_calls] == ["c1"]


@pytest.mark.parametrize("name", ["weather<|channel|>commentary", "weather<|channel|>json", " weather "])
def test_special_tokens_behind_the_name_of_a_tool_are_dropped(name: str) -> None:
    (call,) = read(Raw("", [RawCall(name, "{}", "c1")]), tools=True).message.tool_calls
    assert call["name"] == "weather"


def test_only_broken_arguments_are_retried() -> None:
    reply = read(Raw("", [RawCall("f", "{oops}", "c1")], reasons=["tool_calls"]), tools=True)
    assert reply.status == "failed" and reply.fault is not None and reply.fault.retryable


def test_a_call_of_a_tool_that_was_not_offered_does_not_count() -> None:
    reply = read(AIMessage("", tool_calls=[{"name": "launch", "args": {}, "id": "c1"}]))
    assert (reply.status, reply.error) == ("empty", "it called a tool that was not offered: launch")
    assert reply.message.tool_calls == []


def test_blocks_that_must_return_in_a_tool_loop_are_kept_unchanged() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "OPAQUE"}
    use = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
    call = {"name": "f", "args": {}, "id": "c1"}
    message = AIMessage([thought, {"type": "text", "text": "wait"}, use], tool_calls=[call])
    reply = read(message, tools=True)
    assert reply.text == "wait" and reply.message.content == message.content
    assert read(message).message.content == "wait"
    extra = {"__gemini_function_call_thought_signatures__": {"c1": "OPAQUE"}, "tool_calls": [1]}
    kept = read(AIMessage("", tool_calls=[call], additional_kwargs=extra), tools=True).message
    assert kept.additional_kwargs == {"__gemini_function_call_thought_signatures__": {"c1": "OPAQUE"}}


ALL_THOUGHTS = UsageMetadata(
    input_tokens=5, output_tokens=99, total_tokens=104, output_token_details=OutputTokenDetails(reasoning=99)
)
"""OpenAI shows no thoughts, but counts their tokens."""


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (AIMessage(""), "the answer was empty (finish_reason not given)"),
        (AIMessage("<think>hm</think>"), "the answer held only the model's thoughts"),
        (AIMessage("", additional_kwargs={"reasoning_content": "hm"}), "the answer held only the model's thoughts"),
        (AIMessage([{"type": "thinking", "thinking": "hm"}]), "the answer held only the model's thoughts"),
        (
            AIMessage("<think>hm", response_metadata={"finish_reason": "length"}),
            "the answer held only the model's thoughts, up to the limit of tokens: raise max_tokens",
        ),
        (
            AIMessage("", response_metadata={"finish_reason": "length"}, usage_metadata=ALL_THOUGHTS),
            "the answer held only the model's thoughts, up to the limit of tokens: raise max_tokens",
        ),
        (
            AIMessage(
                "",
                additional_kwargs={"reasoning_content": "hm"},
                tool_calls=[{"name": "f", "args": {}, "id": "c1"}],
                usage_metadata=ALL_THOUGHTS,
            ),
            "it called a tool that was not offered: f",
        ),
    ],
)
def test_an_empty_answer_says_why(message: AIMessage, reason: str) -> None:
    assert (read(message).status, read(message).error) == ("empty", reason)


def test_a_refusal_has_its_own_words() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "I can't help."}
    for message in (
        AIMessage("", additional_kwargs={"refusal": "I can't help."}),
        AIMessage([{"type": "refusal", "refusal": "I can't help."}]),
        AIMessage("", response_metadata={"stop_reason": "refusal", "stop_details": details}),
    ):
        assert (read(message).status, read(message).error) == ("refused", "I can't help.")


def test_reading_twice_changes_nothing() -> None:
    first = read(
        Raw("x", [RawCall("f", "{}", "")], {"model_name": "m", "finish_reason": "stop"}, reasons=["stop", "length"]),
        tools=True,
    )
    again = read(first.message, tools=True)
    assert (again.status, again.text, again.message.tool_calls) == (first.status, first.text, first.message.tool_calls)
    assert (first.model, first.logprobs) == ("m", {})


JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=20)
    | st.sampled_from(["\ud800", "\0", "stop", "length", b"x", object(), 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
NAMES = st.sampled_from(["finish_reason", "token_usage", "cost", "logprobs", "model_name", "status", "error", "x"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(JUNK, st.lists(st.builds(RawCall, JUNK, JUNK, JUNK), max_size=3), st.dictionaries(NAMES, JUNK), JUNK, JUNK)
def test_any_reply_is_read_and_can_be_stored(content: Any, calls: Any, metadata: Any, usage: Any, reason: Any) -> None:
    extra = {"refusal": usage, "reasoning_content": content}
    for tools in (True, False):
        reply = read(Raw(content, calls, metadata, extra, None, [reason], usage), tools=tools)
        json.dumps(reply.message.model_dump(mode="json"), allow_nan=False)
        kind, data = JsonPlusSerializer(pickle_fallback=False).dumps_typed(reply.message)
        assert JsonPlusSerializer().loads_typed((kind, data)) == reply.message
        (reply.text + (reply.error or "")).encode()


NAMES_OF_A_PROVIDER = {
    "response_metadata", "usage_metadata", "additional_kwargs", "invalid_tool_calls", "tool_call_chunks",
}  # fmt: skip
MAY_READ = (
    "models/reply/",
    "models/openai_http/",  # makes LangChain's messages from the wire
    "models/unobserved.py",  # completes a message as LangChain does, before reply.py reads it
    "models/local/",  # makes the messages of the embedded model
    "graph/prompts/conversation.py",  # the caller's messages
    "graph/checks/messages.py",
    "chat/",  # the run's own answer, which reply.py has read
    "serve/",
)


def test_no_other_module_reads_a_providers_message() -> None:
    root = Path(moa_graph.__file__).parent
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and node.attr in NAMES_OF_A_PROVIDER
    }
    assert "models/reply/reply.py" in found  # the search finds something
    assert {path for path in found if not path.startswith(MAY_READ)} == set()
