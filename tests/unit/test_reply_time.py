"""The time that a hostile reply takes grows with its length and not faster, also where LangChain joins its pieces."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from moa_graph.graph.prompts.fence import BoundaryFilter
from moa_graph.models.faults.bodies import message_in
from moa_graph.models.faults.faults import classify
from moa_graph.models.limits import MAX_EVENT_BYTES, ReplyTooLarge
from moa_graph.models.openai_http.increments import Increments
from moa_graph.models.openai_http.sse import Events
from moa_graph.models.openai_http.stream import whole_of
from moa_graph.models.reply import chunks as reply_chunks
from moa_graph.models.reply.answer_filter import filtered, filtering
from moa_graph.models.reply.arguments import CheckedArguments
from moa_graph.models.reply.chunks import Joining
from moa_graph.models.reply.openai_models import _once, _StreamState
from moa_graph.models.reply.reply import IN_THREAD, is_long, read
from moa_graph.models.reply.stream import Pieces
from tests.faults.fence import boundary

CODE = boundary(["a draft"])
PROVIDER = {"model_provider": "openai"}


def bracketed(unit: str) -> Callable[[int], object]:
    return lambda size: BoundaryFilter(CODE).feed(unit * (size // len(unit)))


def events_of(unit: bytes) -> Callable[[int], object]:
    def feed(size: int) -> None:
        events = Events()
        for _ in range(size // len(unit) // 50):
            events.feed(unit * 50)

    return feed


def several(size: int) -> object:
    event = 'data: {"choices": [{"index": %d, "delta": {"content": "a"}}]}\n\n'
    return whole_of("".join(event % n for n in range(size // 60)).encode(), "http://x")


def named_message(size: int) -> None:
    state = _StreamState()
    for _ in range(size // 20):
        _once({"choices": [{"message": {"content": "x" * 20}}]}, state)
        state.texts.append("x" * 20)
        state.chars += 20


TEXTS: dict[str, Callable[[int], object]] = {
    "brackets": bracketed("["),
    "pairs of brackets": bracketed("[a long text]"),
    "boundaries": bracketed(f"[draft 1 ends: {CODE}]"),
    "lines of data without an event": events_of(b"data:\n"),
    "a line in many pieces": events_of(b"x"),
    "choices that were streamed unasked": several,
    "pieces in the place of whole messages": named_message,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_time_grows_with_the_length_and_not_faster(name: str) -> None:
    def seconds(size: int) -> float:
        """The least of several: other processes, and garbage of other tests, only make it longer."""
        found = []
        for _ in range(3):
            gc.collect()
            gc.disable()
            began = time.process_time()
            TEXTS[name](size)
            found.append(time.process_time() - began)
            gc.enable()
        return min(found)

    # Eight times the text: quadratic time would be 64 times as long.
    assert seconds(800_000) < 24 * seconds(100_000) + 0.1


@pytest.mark.slow
def test_lines_of_data_count_although_they_are_empty() -> None:
    events = Events()
    with pytest.raises(ReplyTooLarge, match="event of the stream"):
        for _ in range(MAX_EVENT_BYTES // 4000):
            events.feed(b"data:\n" * 1000)
    events = Events()
    for _ in range(MAX_EVENT_BYTES // 4000):  # the same lines as events of their own
        events.feed(b"data:\n\n" * 1000)


def chunk(content: Any = "", **fields: Any) -> ChatGenerationChunk:
    metadata = {**PROVIDER, **fields.pop("response_metadata", {})}
    return ChatGenerationChunk(message=AIMessageChunk(content=content, response_metadata=metadata, **fields))


def call(number: int, size: int) -> ChatGenerationChunk:
    piece = {"name": f"n{number}" * (size // 4), "args": "", "id": "c", "index": 0, "type": "tool_call_chunk"}
    return chunk(tool_call_chunks=[piece])


PIECES: dict[str, Callable[[int], ChatGenerationChunk]] = {
    "the name of a call": lambda n: call(n, 5000),
    "the metadata": lambda n: chunk("a", response_metadata={"system_fingerprint": f"{n}" * 2000}),
    "a field of a block": lambda n: chunk([{"type": "odd", "index": 0, "field": f"{n}" * 2000}]),
    "a field in a field": lambda n: chunk(additional_kwargs={"extra": {"deep": {"deeper": f"{n}" * 2000}}}),
    "very many blocks": lambda n: chunk([{"type": "text", "index": n, "text": "a", "of": "its own"}]),
}


@pytest.mark.parametrize("name", PIECES)
def test_what_langchain_would_copy_for_seconds_is_refused(name: str) -> None:
    joining, passed = Joining(), []
    with pytest.raises(ReplyTooLarge, match="characters to copy"):
        for number in range(2900):
            passed += joining.add(PIECES[name](number))
    began = time.process_time()
    _ = passed[0] + passed[1:]
    assert time.process_time() - began < 1, "all pieces took ten seconds"


@pytest.fixture
def no_collection() -> Iterator[None]:
    """A time without the garbage of all tests before, which grows with their number."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_pieces_of_a_stream_that_no_longer_repeats_its_text_take_no_time_for_that_text(no_collection: None) -> None:
    increments, size, many = Increments(), 1_000_000, 20_000
    texts = [*("x" * (end * size // 4) for end in range(1, 5)), *["y"] * many]
    stream = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    began = time.thread_time()
    new = "".join(each["choices"][0]["delta"]["content"] for chunk in stream for each in increments.of([chunk]))
    assert time.thread_time() - began < 0.5, "all pieces took seconds"
    assert new == "x" * size + "y" * many


def test_pieces_of_arguments_that_no_longer_repeat_take_no_time_for_those_before(no_collection: None) -> None:
    size, many = 900_000, 20_000
    texts = [*('{"a": "' + "x" * (end * size // 4) for end in range(1, 5)), *["y"] * many, '"}']
    made, arguments = [AIMessageChunk("") for _ in texts], CheckedArguments()
    for number, (chunk, text) in enumerate(zip(made, texts, strict=True)):
        first = None if number else "f"
        chunk.tool_call_chunks.append(tool_call_chunk(name=first, args=text, id=first, index=0))

    async def check() -> None:
        for chunk in made:
            await arguments.check(chunk)

    began = time.thread_time()
    asyncio.run(check())
    assert time.thread_time() - began < 2, "all pieces took ten seconds"
    new = "".join(each["args"] or "" for chunk in made for each in chunk.tool_call_chunks)
    assert json.loads(new) == {"a": "x" * size + "y" * many}


def test_a_long_answer_in_blocks_is_not_refused() -> None:
    """Three hundred cited blocks, and a signature of 200 kB: what LangChain copies for them is little."""
    joining, passed = Joining(), []
    for number in range(300):
        passed += joining.add(chunk([{"type": "text", "index": number, "text": "", "citations": [{"a": "b" * 500}]}]))
        for _ in range(30):
            passed += joining.add(chunk([{"type": "text", "index": number, "text": "some words "}]))
    passed += joining.add(chunk([{"type": "thinking", "index": 300, "signature": "s" * 200_000}]))
    passed += joining.rest()
    pieces = Pieces()
    for each in passed:
        pieces.add(each.message)
    assert read(pieces.raw()).text == ("some words " * 9000).strip()


def test_what_was_copied_often_is_joined_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of 1 MB in pieces: the number of pieces that LangChain joins grows more and more slowly."""
    clock = iter(range(10**6))
    monkeypatch.setattr(reply_chunks, "time", SimpleNamespace(monotonic=lambda: next(clock) * 0.01))

    def passed(pieces: int) -> int:
        joining = Joining()
        given = [chunk(tool_call_chunks=[{"name": None, "args": "a" * 500, "id": None, "index": 0}])] * pieces
        return sum(len(joining.add(each)) for each in given)

    assert passed(20_000) - passed(10_000) < 300, "of the last ten thousand"


@pytest.mark.slow
def test_a_stream_may_take_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a thousand chunks those of 50 ms are joined: these are not chunks that cannot be joined."""
    clock = iter(range(10**6))
    monkeypatch.setattr(reply_chunks, "time", SimpleNamespace(monotonic=lambda: next(clock) * 0.06))
    joining = Joining()
    assert 30_000 < sum(len(joining.add(chunk("a word "))) for _ in range(60_000)) < 61_000


def test_the_pieces_of_a_name_that_is_too_long_are_not_joined() -> None:
    pieces = Pieces()
    for number in range(1000):
        pieces.add(call(number, 5000).message)
    (made,) = pieces.raw().calls
    assert isinstance(made.name, str) and 200 < len(made.name) < 20_000
    assert read(pieces.raw(), tools=True).status == "failed"


LONG: dict[str, AIMessage] = {
    "text": AIMessage("a" * (IN_THREAD + 1)),
    "blocks": AIMessage([{"type": "text", "text": "a"}] * 5000),
    "a call's arguments": AIMessage("", tool_calls=[{"name": "f", "args": {"a": [0] * 5000}, "id": "c"}]),
    "log probabilities": AIMessage("", response_metadata={"logprobs": {"content": [{"token": "a"}] * 5000}}),
    "reasoning": AIMessage("", additional_kwargs={"reasoning_content": "a" * (IN_THREAD + 1)}),
}


@pytest.mark.parametrize("name", LONG)
def test_whatever_is_long_in_a_reply_is_read_in_a_thread(name: str) -> None:
    assert is_long(LONG[name])
    if name != "blocks":  # the pieces of a text are joined
        pieces = Pieces()
        pieces.add(LONG[name])
        assert is_long(pieces.raw())
    assert not is_long(AIMessage("a" * 1000, tool_calls=[{"name": "f", "args": {"a": [0] * 100}, "id": "c"}]))


def test_a_long_text_is_filtered_as_a_short_one_is() -> None:
    text = f"{'a [b] ' * 50_000}[drafts begin: {CODE}]\nall of it\n[drafts end: {CODE}]\nthe end"
    with filtering(lambda: BoundaryFilter(CODE)):
        done = filtered(ChatResult(generations=[ChatGeneration(message=AIMessage(text))]))
    assert done.generations[0].message.content == f"{'a [b] ' * 50_000}the end"


def test_an_error_of_many_fields_or_many_words_is_read_in_part(no_collection: None) -> None:
    began = time.thread_time()
    assert message_in({f"k{n}": ["[[" * 10] for n in range(20_000)} | {"errors": ["a", "b"]}) == "a; b"
    fault = classify(ValueError("maximum context length" + " tokens + " * 500_000 + "credit balance is too low"))
    assert fault.kind == "context_overflow"
    assert classify(ValueError(json.dumps("x " * 500_000) + "credit balance is too low")).kind == "quota"
    assert time.thread_time() - began < 0.5
