"""The pieces of a stream give the same Reply as the whole, however a server splits them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessageChunk
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict

from moa_graph.models.call import Call, Outcome, Terms, ask
from moa_graph.models.faults.retries import RetryBudget
from moa_graph.models.limits import MAX_TEXT_CHARS
from moa_graph.models.reply.reply import Reply, read
from moa_graph.models.reply.stream import Pieces, StreamEnd
from moa_graph.state import Usage, new_usage
from tests.clocks import virtual_time


def joined(*pieces: BaseMessage, tools: bool = True) -> Reply:
    stream = Pieces()
    for piece in pieces:
        stream.add(piece)
    return read(stream.raw(), tools=tools)


def chunk(content: Any = "", *calls: dict[str, Any], **fields: Any) -> AIMessageChunk:
    made = [tool_call_chunk(**{"name": None, "args": None, "id": None, "index": None, **call}) for call in calls]
    return AIMessageChunk(content, tool_call_chunks=made, **fields)


def ending(reason: str, **metadata: Any) -> AIMessageChunk:
    return chunk(response_metadata={"finish_reason": reason, **metadata})


def test_text_reasons_and_metadata_join() -> None:
    reply = joined(chunk("<think>h"), chunk("m</think>Pa"), chunk("ris"), ending("stop", model_name="m"))
    assert (reply.status, reply.text, reply.model) == ("ok", "Paris", "m")


@pytest.mark.parametrize(
    ("reasons", "status"),
    [(["stop", "length"], "truncated"), (["length", "stop"], "truncated"), (["length", "length"], "truncated"),
     (["content_filter", "content_filter"], "filtered"), (["stop", "stop"], "ok"), (["stop", "error"], "failed"),
     (["null", "stop"], "ok")],
)  # fmt: skip
def test_the_worst_of_several_reasons_counts(reasons: list[str], status: str) -> None:
    assert joined(chunk("text"), *map(ending, reasons)).status == status


def test_a_stream_without_an_end_is_broken_where_the_protocol_promises_one() -> None:
    for metadata, broken in [({}, False), ({"model_provider": "openai"}, True)]:
        stream = Pieces()
        stream.add(chunk("half", response_metadata=metadata))
        assert stream.broken is broken
        stream.add(ending("stop"))
        assert not stream.broken and stream.ended


@pytest.mark.parametrize(
    ("provider", "end", "broken"),
    [
        ("openai", {}, True),
        ("anthropic", {}, True),
        ("google_genai", {}, True),
        ("somebody", {}, False),
        (["anthropic"], {}, False),
        ("openai", {"status": "in_progress"}, True),
        ("openai", {"finish_reason": "stop"}, False),
        ("anthropic", {"stop_reason": None}, False),
        ("google_genai", {"finish_reason": "MAX_TOKENS"}, False),
    ],
)
def test_protocols_that_promise_an_end(provider: Any, end: dict[str, Any], broken: bool) -> None:
    stream = StreamEnd()
    for metadata in ({"model_provider": provider}, end):
        stream.add(ChatGenerationChunk(message=chunk("half", response_metadata=metadata)))
    assert stream.broken is broken


CALLS: list[tuple[list[dict[str, Any]], list[tuple[str, dict[str, Any]]]]] = [
    # As OpenAI has it.
    (
        [{"index": 0, "id": "a", "name": "f", "args": ""}, {"index": 0, "args": '{"x"'}, {"index": 0, "args": ": 1}"},
         {"index": 1, "id": "b", "name": "g", "args": "{}"}],
        [("f", {"x": 1}), ("g", {})],
    ),
    # Without an index, each whole.
    ([{"id": "a", "name": "f", "args": '{"x": 1}'}, {"id": "b", "name": "f", "args": '{"x": 2}'}],
     [("f", {"x": 1}), ("f", {"x": 2})]),
    # Without an index or ids.
    ([{"name": "f", "args": '{"x": 1}'}, {"name": "f", "args": '{"x": 2}'}], [("f", {"x": 1}), ("f", {"x": 2})]),
    ([{"name": "f", "args": '{"x"'}, {"args": ": 1}"}], [("f", {"x": 1})]),
    # Index 0 for every call.
    ([{"index": 0, "id": "a", "name": "f", "args": "{}"}, {"index": 0, "id": "b", "name": "f", "args": "{}"}],
     [("f", {}), ("f", {})]),
    # The name and the id in every piece.
    ([{"index": 0, "id": "a", "name": "f", "args": '{"x"'}, {"index": 0, "id": "a", "name": "f", "args": ": 1}"}],
     [("f", {"x": 1})]),
    ([{"index": 0, "id": "", "name": "f", "args": '{"x"'}, {"index": 0, "id": "", "name": "f", "args": ": 1}"}],
     [("f", {"x": 1})]),
    # Another id in every piece.
    ([{"index": 0, "id": "a", "name": "f", "args": '{"x"'}, {"index": 0, "id": "b", "args": ": 1}"}],
     [("f", {"x": 1})]),
    # Interleaved.
    ([{"index": 0, "id": "a", "name": "f", "args": '{"x"'}, {"index": 1, "id": "b", "name": "g", "args": '{"y"'},
      {"index": 0, "args": ": 1}"}, {"index": 1, "args": ": 2}"}],
     [("f", {"x": 1}), ("g", {"y": 2})]),
    # An empty object before the arguments, and null in place of one.
    ([{"index": 0, "id": "a", "name": "f", "args": "{}"}, {"index": 0, "args": '{"x": 1}'}], [("f", {"x": 1})]),
    ([{"index": 0, "id": "a", "name": "f", "args": "null"}], [("f", {})]),
    # The name in pieces.
    ([{"index": 0, "id": "a", "name": "get_"}, {"index": 0, "name": "x", "args": "{}"}], [("get_x", {})]),
]  # fmt: skip


@pytest.mark.parametrize(("pieces", "calls"), CALLS, ids=range(len(CALLS)))
def test_calls_in_every_form(pieces: list[dict[str, Any]], calls: list[tuple[str, dict[str, Any]]]) -> None:
    reply = joined(*(chunk("", piece) for piece in pieces), ending("tool_calls"))
    assert [(call["name"], call["args"]) for call in reply.message.tool_calls] == calls
    assert len({call["id"] for call in reply.message.tool_calls}) == len(calls)


def test_arguments_as_an_object_and_the_legacy_function_call() -> None:
    piece = chunk()
    piece.tool_call_chunks = [ToolCallChunk(name="f", args={"x": 1}, id="a", index=0, type="tool_call_chunk")]  # type: ignore[typeddict-item]  # what a server may send
    assert joined(piece).message.tool_calls[0]["args"] == {"x": 1}
    parts = [{"function_call": {"name": "f", "arguments": '{"x"'}}, {"function_call": {"arguments": ": 1}"}}]
    reply = joined(*(chunk(additional_kwargs=each) for each in parts))
    assert reply.message.tool_calls[0]["args"] == {"x": 1}


def test_a_call_in_both_forms_is_one_call() -> None:
    """LangChain's Gemini class sends each call as a piece of a call and in the older form."""
    pieces = [chunk("", {"index": 0, "id": name, "name": name, "args": "{}"}) for name in "fg"]
    for piece in pieces:
        piece.additional_kwargs["function_call"] = {"name": piece.tool_call_chunks[0]["name"], "arguments": "{}"}
    assert [call["id"] for call in joined(*pieces).message.tool_calls] == ["f", "g"]


def test_arguments_cut_in_mid_stream_are_not_handed_out() -> None:
    reply = joined(chunk("", {"index": 0, "id": "a", "name": "f", "args": '{"city": "Os'}), ending("length"))
    assert reply.message.tool_calls == [] and reply.status == "empty"


def used(sent: int, received: int) -> AIMessageChunk:
    given = {"input_tokens": sent, "output_tokens": received, "total_tokens": sent + received}
    return chunk("w", usage_metadata=given)


@pytest.mark.parametrize(
    ("pieces", "usage"),
    [
        ([used(100, n) for n in range(1, 11)], new_usage(100, 10)),  # running totals
        ([used(100, 10), used(100, 10)], new_usage(100, 10)),  # the total twice
        ([used(100, 1), used(0, 9)], new_usage(100, 10)),  # parts, as Anthropic and Gemini have it
        ([used(0, 0), used(100, 10)], new_usage(100, 10)),
        ([chunk("w")], None),
    ],
)
def test_totals_are_not_added_up_and_parts_are(pieces: list[BaseMessage], usage: Usage | None) -> None:
    assert joined(*pieces).usage == usage


def test_blocks_join_by_their_index_and_keep_signatures() -> None:
    reply = joined(
        chunk([{"type": "thinking", "thinking": "h", "index": 0}]),
        chunk([{"type": "thinking", "thinking": "m", "index": 0}]),
        chunk([{"type": "thinking", "signature": "OPAQUE", "index": 0}]),
        chunk([{"type": "text", "text": "wa", "index": 1}]),
        chunk([{"type": "text", "text": "it", "index": 1}]),
        chunk([{"type": "tool_use", "id": "a", "name": "f", "index": 2}], {"index": 2, "id": "a", "name": "f"}),
        chunk([{"type": "input_json_delta", "partial_json": "{}", "index": 2}], {"index": 2, "args": "{}"}),
        chunk(response_metadata={"stop_reason": "tool_use"}),
    )  # fmt: skip
    assert reply.text == "wait"
    content: Any = reply.message.content
    assert content[0] == {"type": "thinking", "thinking": "hm", "signature": "OPAQUE", "index": 0}
    assert content[1] == {"type": "text", "text": "wait", "index": 1}


def test_pieces_of_other_classes_and_types_join() -> None:
    whole = AIMessage("b", tool_calls=[{"name": "f", "args": {}, "id": "a"}])
    reply = joined(chunk("a"), HumanMessageChunk("-"), whole, ending("stop"), chunk(response_metadata={"logprobs": 5}))
    assert (reply.text, [call["name"] for call in reply.message.tool_calls]) == ("a-b", ["f"])
    with pytest.raises(TypeError):
        Pieces().add("text")


METADATA: Any = st.dictionaries(
    st.sampled_from(["finish_reason", "logprobs", "model_name", "status", "model_provider"]),
    st.none() | st.integers() | st.text(max_size=4) | st.just({"content": [1]}) | st.just([1]),
)
PIECE: Any = st.fixed_dictionaries({}, optional={
    "name": st.sampled_from(["f", "g", "", None]), "args": st.sampled_from(["", "{", "}", "{}", '"\ud800"', None]),
    "id": st.sampled_from(["a", "b", "", None]), "index": st.sampled_from([0, 1, None]),
})  # fmt: skip
CONTENT: Any = st.text(max_size=3) | st.lists(
    st.text(max_size=3)
    | st.fixed_dictionaries({}, optional={
        "type": st.sampled_from(["text", "thinking", "x"]), "index": st.sampled_from([0, 1, "x"]),
        "text": st.sampled_from(["a", "\ud83d"]), "thinking": st.just("b"), "signature": st.sampled_from(["s", ""]),
    }),
    max_size=2,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(CONTENT, st.lists(PIECE, max_size=2), METADATA), max_size=6))
def test_any_pieces_join(pieces: list[tuple[Any, Any, Any]]) -> None:
    reply = joined(*(chunk(text, *calls, response_metadata=data) for text, calls, data in pieces))
    (reply.text + (reply.error or "")).encode()
    reply.message.model_dump_json().encode()


def test_a_hundred_thousand_pieces_take_linear_time() -> None:
    def seconds(count: int) -> float:
        pieces = [chunk([{"type": "thinking", "thinking": "word ", "index": 0}]) for _ in range(count)]
        began = time.process_time()
        joined(*pieces, chunk("done"))
        return time.process_time() - began

    small = min(seconds(2_000) for _ in range(2))
    assert seconds(16_000) < 24 * small + 0.1


class Streamed(BaseChatModel):
    """Streams `pieces`, of which a number is a pause in seconds; `hangs` after them, or raises `fault`."""

    pieces: list[Any]
    hangs: bool = False
    fault: Exception | None = None
    sent: int = 0

    model_config = ConfigDict(arbitrary_types_allowed=True)

    @property
    def _llm_type(self) -> str:
        return "streamed"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("whole"))])

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        self.sent += 1
        for piece in self.pieces:
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                yield ChatGenerationChunk(message=piece)
        if self.fault:
            raise self.fault
        if self.hangs:
            await asyncio.sleep(60)


class Shown:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.calls: list[ToolCallChunk] = []

    def __call__(self, text: str, calls: list[ToolCallChunk]) -> None:
        self.texts.append(text)
        self.calls += calls

    def close(self) -> None:
        self.texts.append("|")


async def streamed(model: BaseChatModel, *, deadline: float = 60.0, attempts: int = 1) -> tuple[Outcome, Shown]:
    shown, outcome = Shown(), Outcome()
    call = Call(model, [], {}, sink=lambda: shown, tools=True)
    await ask(call, Terms(deadline, RetryBudget(5), attempts), outcome)
    return outcome, shown


@virtual_time
async def test_a_stream_that_hangs_after_its_finish_reason_is_whole() -> None:
    began = time.monotonic()
    outcome, _ = await streamed(Streamed(pieces=[chunk("good"), ending("stop")], hangs=True), deadline=30)
    assert (outcome.status, outcome.text) == ("ok", "good")
    assert time.monotonic() - began < 15


def stopping(text: str) -> AIMessageChunk:
    return chunk(text, response_metadata={"finish_reason": "stop", "model_provider": "openai"})


@virtual_time
@pytest.mark.parametrize(
    "pieces",
    [
        [stopping("a "), stopping("fine "), 10.0, stopping("answer")],
        [stopping(""), 10.0, chunk("a fine "), 10.0, chunk("answer"), ending("stop")],
        [chunk("a "), stopping("fine "), chunk("answer"), 10.0, ending("stop")],
    ],
)
async def test_a_finish_reason_before_the_end_ends_nothing(pieces: list[Any]) -> None:
    """Proxies for Gemini send one with every piece, or before the first. An answer cut at a pause was "ok"."""
    outcome, _ = await streamed(Streamed(pieces=pieces))
    assert (outcome.status, outcome.text) == ("ok", "a fine answer")


@pytest.mark.parametrize("pieces", [[stopping("half "), stopping("of it")], [stopping("")]])
async def test_a_fault_after_a_finish_reason_with_every_piece_is_a_fault(pieces: list[Any]) -> None:
    outcome, _ = await streamed(Streamed(pieces=pieces, fault=ConnectionResetError(104, "reset by peer")))
    assert (outcome.status, outcome.text) == ("failed", "".join(str(piece.content) for piece in pieces))


async def test_a_fault_after_the_finish_reason_keeps_the_answer() -> None:
    pieces = [chunk("good"), ending("stop"), chunk(response_metadata={"finish_reason": 5}), HumanMessageChunk("")]
    for fault in (None, ConnectionResetError(104, "reset by peer")):
        outcome, _ = await streamed(Streamed(pieces=pieces[: 2 if fault else 4], fault=fault))
        assert outcome.text == "good" and outcome.counts


async def test_a_fault_before_the_finish_reason_fails_with_the_text_so_far() -> None:
    model = Streamed(pieces=[chunk("<think>hm</think>half")], fault=ConnectionResetError(104, "reset by peer"))
    outcome, _ = await streamed(model, attempts=2)
    assert (outcome.status, outcome.text, outcome.attempts, outcome.free) == ("failed", "half", 2, False)


async def test_an_error_after_the_first_token_may_be_billed_whatever_its_status() -> None:
    class Refused(Exception):
        status_code = 429

    for pieces, cost in (([chunk("half")], None), ([], 0.0)):
        outcome, _ = await streamed(Streamed(pieces=pieces, fault=Refused("slow down")))
        assert (outcome.status, outcome.cost) == ("failed", cost)


@virtual_time
async def test_text_before_the_deadline_is_kept() -> None:
    outcome, _ = await streamed(Streamed(pieces=[chunk("half")], hangs=True), deadline=0.2)
    assert (outcome.status, outcome.text) == ("failed", "half")
    assert (outcome.error or "").startswith("no answer within 0.2 s")


async def test_too_long_a_stream_is_closed_and_not_retried() -> None:
    model = Streamed(pieces=[chunk("x" * (MAX_TEXT_CHARS // 2))] * 3, hangs=True)
    outcome, _ = await streamed(model, attempts=3, deadline=30)
    assert (outcome.status, outcome.attempts) == ("failed", 1)
    assert "the answer is larger than" in (outcome.error or "")


async def test_calls_are_passed_on_whole_and_only_when_they_are_complete() -> None:
    first = chunk("wait", {"index": 0, "id": "a", "name": "f", "args": '{"x"'})
    outcome, shown = await streamed(Streamed(pieces=[first, chunk("", {"index": 0, "args": ": 1}"}), ending("stop")]))
    assert outcome.counts and "".join(shown.texts) == "wait|"
    assert [(call["name"], call["args"], call["index"]) for call in shown.calls] == [("f", '{"x": 1}', 0)]
    outcome, shown = await streamed(Streamed(pieces=[first, ending("length")]))
    assert outcome.status == "truncated" and shown.calls == []


def message(index: int, phase: str | None, *texts: str) -> list[AIMessageChunk]:
    """One message of OpenAI's Responses API, as LangChain hands out its pieces."""
    begun = [{"type": "text", "text": "", "phase": phase, "index": index}] if phase else []
    return [chunk([block]) for block in begun] + [
        chunk([{"type": "text", "text": text, "index": index}]) for text in texts
    ]


REMARK, ANSWER = message(0, "commentary", "I che", "ck."), message(1, "final_answer", "It is ", "Paris.")


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([*REMARK, *ANSWER], "It is Paris."),
        ([*REMARK, *message(1, None, "It is ", "Paris.")], "It is Paris."),
        ([*REMARK, *message(1, "final_answer", " ")], "I check."),
        (REMARK, "I check."),
        ([*message(0, None, "A."), *message(1, None, "B.")], "A.B."),
        ([chunk([{"type": "text", "text": text, "phase": phase} for text, phase in
                 [("I check.", "commentary"), ("It is Paris.", "final_answer")]])], "It is Paris."),
        ([chunk([{"type": "text", "text": text, "extras": {"phase": phase}} for text, phase in
                 [("I check.", "commentary"), ("It is Paris.", "final_answer")]])], "It is Paris."),
    ],
)  # fmt: skip
async def test_what_a_model_says_on_the_way_to_its_answer_is_no_part_of_it(
    pieces: list[AIMessageChunk], text: str
) -> None:
    outcome, shown = await streamed(Streamed(pieces=[*pieces, ending("stop")]))
    assert (outcome.status, outcome.text, "".join(shown.texts).strip(" |")) == ("ok", text, text)


async def test_a_turn_that_calls_a_tool_keeps_what_it_says_and_its_phase() -> None:
    call = chunk("", {"index": 1, "id": "a", "name": "f", "args": "{}"})
    outcome, shown = await streamed(Streamed(pieces=[*REMARK, call, ending("stop")]))
    assert (outcome.text, "".join(shown.texts), [each["name"] for each in shown.calls]) == (
        "I check.",
        "I check.|",
        ["f"],
    )
    assert outcome.message is not None
    block = outcome.message.content[0]
    assert isinstance(block, dict) and block["phase"] == "commentary"


async def test_the_event_loop_runs_between_the_parts_of_a_long_piece() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    text = "<think>a<b</think>" * 100_000 + "done"
    outcome, shown = await streamed(Streamed(pieces=[chunk(text), ending("stop")]), deadline=60)
    task.cancel()
    assert outcome.text == "done" and "".join(shown.texts) == text + "|"
    assert max(map(len, shown.texts)) <= 2**15 and turns >= len(text) // 2**15


async def test_a_generator_is_closed_when_its_reader_is_cancelled_between_two_pieces() -> None:
    closed: list[bool] = []

    class Watched(Streamed):
        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            try:
                yield ChatGenerationChunk(message=chunk("x" * 2**17))  # read in several parts, with a pause after each
                await asyncio.sleep(60)
            finally:
                closed.append(True)

    class Cancels(Shown):
        def __call__(self, text: str, calls: list[ToolCallChunk]) -> None:
            task.cancel()

    model, outcome = Watched(pieces=[]), Outcome()
    call = Call(model, [], {}, sink=Cancels, tools=True)
    task = asyncio.ensure_future(ask(call, Terms(60, RetryBudget(5), 1), outcome))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == [True]


@pytest.mark.parametrize("fault", [None, ValueError("x")])
async def test_a_generator_that_is_left_early_is_closed(fault: Exception | None) -> None:
    closed: list[bool] = []

    class Watched(Streamed):
        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            try:
                yield ChatGenerationChunk(message=chunk("x" * (MAX_TEXT_CHARS + 1)))
                await asyncio.sleep(60)
            finally:
                closed.append(True)

    await streamed(Watched(pieces=[], fault=fault))
    assert closed == [True]
