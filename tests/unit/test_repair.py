"""Replies that LangChain's message classes refuse or misread are repaired first."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai.types.chat import ChatCompletion

from moa_graph.models.http.chunk_merging import merged
from moa_graph.models.openai_http import chat_openai
from moa_graph.models.openai_http.sse import Events
from moa_graph.models.reply.openai_models import repairing
from moa_graph.models.reply.reasoning import ORIGIN, Reasoning
from moa_graph.models.reply.reply import EXTRAS, read
from moa_graph.models.reply.stream import Pieces

MODEL = repairing(ChatOpenAI)(model="m", api_key="none")


def whole(usage: Any = None, **message: Any) -> AIMessage:
    """What LangChain makes of the repaired reply."""
    given = {"choices": [{"message": {"content": "fine", **message}, "finish_reason": "stop"}], "usage": usage}
    made = MODEL._create_chat_result(given).generations[0].message
    assert isinstance(made, AIMessage)
    return made


@pytest.mark.parametrize("role", ["user", "system", "developer", "tool", "function", "model", "", None, 5, {}])
def test_an_answer_is_the_assistants_whatever_its_role(role: object) -> None:
    assert whole(role=role).content == "fine"


@pytest.mark.parametrize(
    ("content", "text"), [(None, ""), (42, "42"), (True, ""), ({"a": 1}, ""), ([1, None, "x"], ["x"]), ("a", "a")]
)
def test_content_is_text_or_blocks(content: object, text: object) -> None:
    assert whole(content=content).content == text


@pytest.mark.parametrize("count", ["many", True, -5, float("nan"), 1e30, 10**400, [], {}])
def test_counts_that_cannot_be_are_unknown(count: object) -> None:
    assert whole({"prompt_tokens": count, "completion_tokens": 5, "total_tokens": 10}).usage_metadata is None


@pytest.mark.parametrize("count", ["many", -5, 1e30, None])
def test_a_stated_cost_stays_beside_counts_that_cannot_be_read(count: object) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": 5, "cost": 0.25}
    reply = read(whole(usage))
    assert (reply.cost, reply.usage) == (0.25, None) and "moa_costs" not in reply.message.response_metadata
    sdk = ChatCompletion.construct(
        None,
        choices=[{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
        usage=usage,
    )
    assert read(MODEL._create_chat_result(sdk).generations[0].message).cost == 0.25


USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@pytest.mark.parametrize(
    ("last", "more"), [({"usage": USAGE}, {}), ({}, {"x_groq": {"usage": USAGE}})], ids=["Moonshot's", "Groq's"]
)
@pytest.mark.parametrize("twice", [False, True])
def test_the_usage_of_a_stream_is_found_in_the_choice_and_in_a_field_of_the_provider(
    last: dict[str, Any], more: dict[str, Any], twice: bool
) -> None:
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": "fine"}}], "x_groq": {"id": "r"}},
        {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop", **last}], **more},
        *([{"choices": [], "usage": USAGE}] if twice else []),
    ]
    pieces = Pieces()
    for chunk in merged(chunks):
        pieces.add(MODEL._convert_chunk_to_generation_chunk(chunk, AIMessageChunk, None).message)
    usage = read(pieces.raw()).usage
    assert usage and (usage["input_tokens"], usage["output_tokens"]) == (7, 3)


@pytest.mark.parametrize("cost", ["0.25", -1, True, float("nan"), 1e12, None])
def test_a_stated_cost_that_cannot_be_is_unknown(cost: object) -> None:
    assert read(whole({"prompt_tokens": "x", "completion_tokens": 5, "cost": cost})).cost is None


def test_the_last_of_a_streams_stated_costs_counts() -> None:
    pieces, joined = Pieces(), AIMessageChunk("")
    for text, cost in (("fi", 0.1), ("ne", 0.25)):
        given = {
            "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
            "usage": {"prompt_tokens": "many", "completion_tokens": 2, "cost": cost},
        }
        chunk = MODEL._convert_chunk_to_generation_chunk(given, AIMessageChunk, None).message
        pieces.add(chunk)
        joined += chunk
    for reply in (read(pieces.raw()), read(joined)):
        assert (reply.text, reply.cost, reply.usage) == ("fine", 0.25, None)


def test_a_stated_cost_may_be_the_total_of_several() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 5}
    assert read(whole({**usage, "cost": {"input_tokens_cost": 0.1, "total_cost": 0.25}})).cost == 0.25
    assert read(whole({**usage, "cost": {"input_tokens_cost": 0.1}})).cost is None


@pytest.mark.parametrize(
    ("byok", "details", "cost"),
    [
        (True, {"upstream_inference_cost": 0.25}, 0.26),
        (False, {"upstream_inference_cost": 0.01}, 0.01),  # the same dollars again
        (None, {"upstream_inference_cost": 0.25}, 0.01),
        (True, {"upstream_inference_cost": None}, None),  # the fee alone is not the cost
        (True, None, None),
    ],
)
def test_the_cost_of_a_key_of_ones_own_is_the_fee_and_the_providers_bill(
    byok: bool | None, details: object, cost: float | None
) -> None:
    usage = {**USAGE, "cost": 0.01, "is_byok": byok, "cost_details": details}
    pieces = Pieces()
    for chunk in ({"choices": [{"index": 0, "delta": {"content": "fine"}}]}, {"choices": [], "usage": usage}):
        pieces.add(MODEL._convert_chunk_to_generation_chunk(dict(chunk), AIMessageChunk, None).message)
    assert read(whole(dict(usage))).cost == read(pieces.raw()).cost == cost


def test_counts_may_have_the_names_of_other_protocols() -> None:
    details = {"input_tokens_details": {"cached_tokens": 5}, "output_tokens_details": {"reasoning_tokens": 2}}
    usage = read(whole({"input_tokens": 7, "output_tokens": 3, **details})).usage
    assert usage and (usage["input_tokens"], usage["output_tokens"]) == (7, 3)
    assert (usage["cache_read_tokens"], usage["reasoning_tokens"]) == (5, 2)


def test_fractions_are_rounded_and_details_stay() -> None:
    given = {"prompt_tokens": 5.4, "completion_tokens": 6, "prompt_tokens_details": {"cached_tokens": 3, "x": "y"}}
    usage = whole({**given, "cost": 0.5}).usage_metadata
    assert usage is not None and (usage["input_tokens"], usage["input_token_details"]["cache_read"]) == (5, 3)


def test_calls_with_objects_and_foreign_ids_are_read() -> None:
    call = {"id": 7, "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    (found,) = whole(tool_calls=[call, None, "x"]).tool_calls
    assert (found["name"], found["args"]) == ("f", {"a": 1})
    assert whole(tool_calls="none").tool_calls == []
    for function in ({"arguments": "null"}, {"arguments": None}, {}):  # no arguments
        (found,) = whole(tool_calls=[{**call, "function": {"name": "f", **function}}]).tool_calls
        assert found["args"] == {}


@pytest.mark.parametrize("name", ["arguments", "parameters", "args", "input"])
@pytest.mark.parametrize("value", [{"a": 1}, '{"a": 1}'])
@pytest.mark.parametrize("before", [{}, {"arguments": None}, {"arguments": ""}])
@pytest.mark.parametrize("flat", [False, True])
def test_the_arguments_of_a_call_have_the_names_of_any_protocol(
    name: str, value: object, before: dict[str, Any], flat: bool
) -> None:
    function = {"name": "f", **before, name: value}
    call = {"id": "c", "index": 0, **(function if flat else {"function": function})}
    pieces = Pieces()
    chunk = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    pieces.add(MODEL._convert_chunk_to_generation_chunk(copy.deepcopy(chunk), AIMessageChunk, None).message)
    for reply in (read(whole(tool_calls=[call]), tools=True), read(pieces.raw(), tools=True)):
        (found,) = reply.message.tool_calls
        assert (found["name"], found["args"]) == ("f", {"a": 1})
    assert whole(tool_calls=[{"function": None}]).content == "fine"


def test_an_error_field_is_an_event() -> None:
    events = Events()
    assert events.feed(b'error: {"message": "too long"}\n\n') == [b'{"error": {"message": "too long"}}']
    assert events.feed(b"error: went away\n\n") == [b'{"error": "went away"}']


def test_extra_content_of_a_call_is_kept_and_goes_back() -> None:
    model = repairing(ChatOpenAI)(model="m", api_key="none")
    sign = {"google": {"thought_signature": "OPAQUE"}}
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": sign}
    given = {"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": [call]}}]}
    message = model._create_chat_result(given).generations[0].message
    delta = {"role": "assistant", "tool_calls": [{"index": 0, **call}]}
    piece = {"choices": [{"delta": delta, "index": 0, "finish_reason": "tool_calls"}]}
    chunk = model._convert_chunk_to_generation_chunk(piece, AIMessageChunk, None).message
    for each in (message, chunk):
        reply = read(each, tools=True)
        assert reply.message.additional_kwargs == {EXTRAS: {"a": sign}, ORIGIN: "openai"}
        sent = model._get_request_payload(["hi", reply.message, ToolMessage("x", tool_call_id="a")])["messages"]
        assert sent[1]["tool_calls"][0]["extra_content"] == sign
        other = repairing(ChatOpenAI)(model="m", api_key="none", base_url="https://elsewhere.example/v1")
        assert "extra_content" not in str(other._get_request_payload(["hi", reply.message])), "another host refuses it"
    assert "extra_content" not in str(model._get_request_payload(["hi"]))
    assert type(model).__name__ == "ChatOpenAI"


THINKING = [
    {"type": "thinking", "thinking": "Ask the tool.", "signature": "OPAQUE"},
    {"type": "redacted_thinking", "data": "DARK"},
    {"type": "thinking", "thinking": "Now.", "signature": "SEALED"},
]


@pytest.mark.parametrize(
    ("fields", "pieces"),
    [
        (
            {"reasoning_content": "Ask the tool.", "thinking_blocks": THINKING},
            [
                {"thinking_blocks": [{"type": "thinking", "thinking": "Ask ", "signature": None}]},
                {
                    "reasoning_content": "Ask the tool.",
                    "thinking_blocks": [{"type": "thinking", "thinking": "the tool."}],
                },
                {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "OPAQUE"}, THINKING[1]]},
                {"thinking_blocks": [{"type": "thinking", "thinking": "No"}]},
                {"thinking_blocks": [{"type": "thinking", "thinking": "w.", "signature": "SEALED"}]},
            ],
        ),
        (
            {"reasoning_text": "Ask the tool.", "reasoning_opaque": "OPAQUE"},
            [{"reasoning_text": "Ask "}, {"reasoning_text": "the tool."}, {"reasoning_opaque": "OPAQUE"}],
        ),
    ],
    ids=["LiteLLM", "GitHub Copilot"],
)
def test_reasoning_under_other_names_is_kept_and_goes_back(fields: dict[str, Any], pieces: list[Any]) -> None:
    model = repairing(ChatOpenAI)(model="m", api_key="none")
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    given = {"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": [call], **fields}}]}
    deltas = [*pieces, {"role": "assistant", "tool_calls": [{"index": 0, **call}]}]
    (state, stream) = (model.model_copy(), Pieces())
    for delta in deltas:
        chunk = {
            "choices": [{"delta": delta, "index": 0, "finish_reason": "tool_calls" if delta is deltas[-1] else None}]
        }
        stream.add(state._convert_chunk_to_generation_chunk(chunk, AIMessageChunk, None).message)
    whole = model._create_chat_result(copy.deepcopy(given)).generations[0].message
    for reply in (read(whole, tools=True), read(stream.raw(), tools=True)):
        sent = model._get_request_payload(["hi", reply.message, ToolMessage("x", tool_call_id="a")])["messages"]
        assert {name: sent[1].get(name) for name in fields} == fields


class Searched(str):
    """A text whose characters nobody may go through one by one, as LangChain does in search of audio."""

    def __iter__(self) -> Any:
        raise AssertionError("the characters of a long answer are searched")


@pytest.mark.parametrize("responses", [False, True])
def test_long_answers_of_the_conversation_are_sent_as_langchain_sends_them(responses: bool) -> None:
    call = {"name": "f", "args": {"a": 1}, "id": "c"}
    turns: list[BaseMessage] = [
        SystemMessage("s" * 5_000),
        HumanMessage("q" * 5_000),
        AIMessage("a" * 5_000, name="me"),
        HumanMessage("q"),
        AIMessage("b" * 5_000, tool_calls=[call]),
        ToolMessage("t" * 5_000, tool_call_id="c"),
        AIMessage([{"type": "text", "text": "c" * 5_000}]),
        HumanMessage("q"),
    ]
    settings: dict[str, Any] = {"model": "m", "api_key": "none", "use_responses_api": responses}
    wanted = ChatOpenAI(**settings)._get_request_payload(turns)
    model = repairing(ChatOpenAI)(**settings)
    assert model._get_request_payload(turns) == wanted
    if not responses:
        for place in (2, 4):
            turns[place].content = Searched(turns[place].content)
        assert model._get_request_payload(turns) == wanted
        assert turns[2].content == "a" * 5_000, "the caller's message is unchanged"


def test_replies_that_the_sdk_has_read_are_repaired_too() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    message = {"role": "user", "content": 42, "tool_calls": [call]}
    given = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": "many"}}
    made = MODEL._create_chat_result(ChatCompletion.construct(None, **given)).generations[0].message
    assert isinstance(made, AIMessage) and (made.content, made.tool_calls[0]["args"]) == ("42", {"a": 1})


def test_traces_name_the_provider() -> None:
    assert MODEL._get_ls_params()["ls_provider"] == "openai"
    groq = repairing(ChatOpenAI, "groq")(model="m", api_key="none")
    assert groq._get_ls_params()["ls_provider"] == "groq"


@pytest.mark.parametrize("limit", ["max_completion_tokens", "max_tokens"])
def test_traces_state_the_limit_of_the_answer_whatever_the_server_calls_it(limit: Any) -> None:
    model = chat_openai(model="m", base_url="http://127.0.0.1:9/v1", api_key="none", limit=limit, max_tokens=77)
    assert model._get_ls_params()["ls_max_tokens"] == 77
    assert model._get_ls_params(max_tokens=5)["ls_max_tokens"] == 5
    assert "ls_max_tokens" not in MODEL._get_ls_params()


def test_reasoning_in_many_pieces_is_joined_in_linear_time_and_bounded() -> None:
    def seconds(pieces: int) -> float:
        found, began = Reasoning(), time.thread_time()
        found.add({"tool_calls": [{}]})
        for _ in range(pieces):
            found.add({"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "x" * 40}]})
        (detail,) = found.fields()["reasoning_details"]
        took = time.thread_time() - began
        assert detail["text"] == "x" * 40 * pieces
        return took

    assert min(seconds(20_000) for _ in range(3)) < 25 * min(seconds(2_000) for _ in range(3)), "ten times the pieces"
    odd, crowd = Reasoning(), Reasoning()
    for text in ("a", 5, None, ["b"], "c"):
        odd.add({"tool_calls": [{}], "reasoning_details": [{"type": "reasoning.text", "text": text}]})
    assert odd.fields() == {"reasoning_details": [{"type": "reasoning.text", "text": "ac"}]}
    crowd.add({"tool_calls": [{}], "reasoning_details": [{"type": str(n)} for n in range(100_000)]})
    assert crowd.fields() == {} and len(crowd._details["reasoning_details"]) < 11_000


def test_a_last_chunk_that_repeats_the_whole_answer_adds_nothing() -> None:
    """As MiniMax's does. Pieces under the same name are pieces, also in objects that say they are whole."""
    whole, end = {"role": "assistant", "content": "fine"}, {"content": "e"}
    kind = {"object": "chat.completion"}
    for field, about, texts, last, kind_of_last in (
        ("delta", {}, ("fi", "ne"), whole, kind),
        ("delta", {}, (" fi", "ne "), whole | {"content": " fine \n"}, kind),
        ("message", {}, ("fi", "ne"), whole, {}),
        ("message", kind, ("fi", "n"), end, kind),
        ("message", kind, ("f",), {"content": "ine"}, kind),
        ("message", kind, (" ",), {"content": "fine"}, kind),
    ):
        model, pieces = repairing(ChatOpenAI)(model="x", api_key="none"), Pieces()
        given = [{**about, "choices": [{"index": 0, field: {"content": text}}]} for text in texts]
        ends = {**kind_of_last, "choices": [{"index": 0, "finish_reason": "stop", "message": last}]}
        for each in [*given, ends]:
            pieces.add(model._convert_chunk_to_generation_chunk(each, AIMessageChunk, None).message)
        assert read(pieces.raw()).text == "fine"
