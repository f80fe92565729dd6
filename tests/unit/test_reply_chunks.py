"""Chunks of a long stream are joined: nothing is lost, and their number stays small."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from moa_graph.models.faults.faults import ProviderError
from moa_graph.models.limits import MAX_CHUNKS, ReplyTooLarge
from moa_graph.models.reply import chunks as reply_chunks
from moa_graph.models.reply.chunks import Joining
from moa_graph.models.reply.reply import read
from moa_graph.models.reply.stream import Pieces
from moa_graph.models.secrets.redacting import redacting
from tests.fakes import Fake, fake

OPENAI = {"model_provider": "openai"}


def chunk(content: Any = "", info: dict[str, Any] | None = None, **fields: Any) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=content, id="r", **fields), generation_info=info)


def call(args: str, index: int, name: str | None = None, id_: str | None = None) -> ChatGenerationChunk:
    piece = {"name": name, "args": args, "id": id_, "index": index, "type": "tool_call_chunk"}
    return chunk(tool_call_chunks=[piece])


def block(kind: str, field: str, text: str, index: int, **more: Any) -> ChatGenerationChunk:
    return chunk([{"type": kind, field: text, "index": index, **more}])


STREAMS: dict[str, list[ChatGenerationChunk]] = {
    "text": [chunk(f"w{n} ", response_metadata=OPENAI) for n in range(40)] + [chunk(info={"finish_reason": "stop"})],
    "reasoning": [chunk(additional_kwargs={"reasoning_content": f"t{n} "}) for n in range(20)] + [chunk("a")] * 2,
    "blocks": [
        *[block("thinking", "thinking", f"t{n} ", 0) for n in range(9)],
        block("thinking", "signature", "c2ln", 0),
        *[block("text", "text", f"w{n} ", 1) for n in range(9)],
    ],
    "calls": [
        call("", 0, "f", "c1"), *[call(each, 0) for each in '{"a": 1}'],
        call("", 1, "f", "c2"), *[call(each, 1) for each in '{"b": 2}'],
    ],
    "calls that repeat themselves": [call(each, 0, "f", "c1") for each in '{"a": 1}'],
    "calls with new ids": [call("", 0, "f", "c1"), *[call(x, 0, None, f"n{n}") for n, x in enumerate('{"a": 1}')]],
    "log probabilities": [chunk("x", info={"logprobs": {"content": [n], "refusal": None}}) for n in range(9)],
    "finish reasons": [chunk(info={"finish_reason": "stop"})] * 5,
    "refusal": [chunk(additional_kwargs={"refusal": f"n{n} "}) for n in range(9)],
    "parts of a usage": [chunk("x", usage_metadata={"input_tokens": 0, "output_tokens": 1, "total_tokens": 1})] * 9,
    "mixed": [chunk("a"), chunk([]), chunk("b"), chunk(info={"logprobs": {"content": [1]}}), chunk("c"), chunk("d")],
}  # fmt: skip


def joined(stream: list[ChatGenerationChunk]) -> list[ChatGenerationChunk]:
    joining = Joining()
    return [each for given in stream for each in joining.add(given)] + joining.rest()


def what_counts(stream: list[ChatGenerationChunk]) -> Any:
    """What `reply.read` makes of it."""
    pieces = Pieces()
    for each in stream:
        message = each.message
        message.response_metadata = {**message.response_metadata, **(each.generation_info or {})}
        pieces.add(message)
    reply = read(pieces.raw(), tools=True)
    return reply.status, reply.text, reply.message.tool_calls, reply.usage, reply.logprobs, reply.error


def whole(stream: list[ChatGenerationChunk]) -> tuple[Any, Any]:
    """The answer as LangChain sums it up."""
    total = functools.reduce(operator.add, stream)
    return total.message.model_dump(), total.generation_info


@pytest.mark.parametrize("name", STREAMS)
def test_the_sum_of_the_chunks_stays_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_chunks, "_AS_THEY_COME", 2)
    stream = STREAMS[name]
    done = joined(stream)
    assert what_counts(done) == what_counts(stream)
    # LangChain joins repeated names and reasons to "ff" and "stopstop", and ids to the first one.
    if name not in ("calls that repeat themselves", "calls with new ids", "finish reasons"):
        assert whole(done) == whole(stream)
    assert len(done) < len(stream)


def test_a_repeated_total_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_chunks, "_AS_THEY_COME", 0)
    totals = [{"input_tokens": 5, "output_tokens": n, "total_tokens": 5 + n} for n in range(1, 9)]
    done = joined([chunk("x", usage_metadata=total, response_metadata=OPENAI) for total in totals])
    (message,) = [each.message for each in done]
    assert isinstance(message, AIMessageChunk) and message.usage_metadata == totals[-1]


def test_the_beginning_of_a_stream_passes_as_it_comes() -> None:
    stream = [chunk("x")] * 1000
    assert joined(stream) == stream


def test_an_endless_stream_keeps_few_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the beginning, a stream of one second becomes one chunk for each 0.05 s."""
    clock = itertools.count(0, 1e-5)
    monkeypatch.setattr(reply_chunks, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    piece = chunk("x")
    assert len(joined([piece] * 100_000)) < 1100


def test_text_is_held_back_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_chunks, "_AS_THEY_COME", 0)
    clock = iter([0.0, 0.04, 0.06, 0.1])
    # The module's clock, not that of the process, which other threads read as well.
    monkeypatch.setattr(reply_chunks, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    joining = Joining()
    assert [len(joining.add(chunk("x"))) for _ in range(4)] == [0, 0, 1, 0]


def test_what_cannot_be_joined_is_limited() -> None:
    signed = [block("thinking", "signature", "c2ln", n) for n in range(3)]
    with pytest.raises(ReplyTooLarge, match="cannot be joined"):
        joined([signed[n % 3] for n in range(MAX_CHUNKS + 1)])


def test_log_probabilities_are_limited() -> None:
    many = chunk("x", info={"logprobs": {"content": [{"token": "x", "logprob": -1.0}] * 100}})
    with pytest.raises(ReplyTooLarge, match="log probabilities"):
        joined([many] * 2000)


async def test_what_arrived_before_a_fault_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_chunks, "_AS_THEY_COME", 0)

    class Breaks(Fake):
        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            yield chunk("half an ")
            yield chunk("answer")
            raise ConnectionError("gone")

    got: list[str] = []
    with pytest.raises(ProviderError, match="gone"):
        async for each in redacting(Breaks(**fake("b").__dict__)).astream("hi"):
            got.append(str(each.content))
    assert "".join(got) == "half an answer"
