"""Streamed arguments of tool calls: valid ones arrive whole, and no others cost LangChain more time than their length.

LangChain's parser is the real one. Its work is counted in characters that its JSON decoder receives.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils import json as langchain_json

from moa_graph.models.limits import MAX_TEXT_CHARS, MAX_TOOL_CALLS, ReplyTooLarge
from moa_graph.models.reply import chunks
from moa_graph.models.reply.arguments import LONG_PIECE, CheckedArguments
from moa_graph.models.reply.calls import RawCall, checked_calls

LONG = "x" * (LONG_PIECE + 1)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def piece(args: str | None, index: Any = 0, name: str | None = None, id_: str | None = None) -> ToolCallChunk:
    return tool_call_chunk(name=name, args=args, id=id_, index=index)


def checked(pieces: list[ToolCallChunk]) -> list[AIMessageChunk]:
    """The chunks of a stream with these pieces, one each. LangChain has not parsed them."""
    made, arguments = [AIMessageChunk("", id="r") for _ in pieces], CheckedArguments()

    async def check() -> None:
        for chunk, each in zip(made, pieces, strict=True):
            chunk.tool_call_chunks.append(each)
            await arguments.check(chunk)

    asyncio.run(check())
    return made


def passed(pieces: list[ToolCallChunk]) -> list[Any]:
    return [piece for chunk in checked(pieces) for piece in chunk.tool_call_chunks]


def arguments(text: str, size: int = 7) -> str:
    """What is passed on of arguments that arrive in pieces of `size` characters."""
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    return "".join(each["args"] or "" for each in passed([piece("", 0, "f", "c"), *map(piece, parts)]))


@settings(max_examples=300, deadline=None)
@given(VALUES, st.integers(1, 40), st.sampled_from([None, 1, 40]), st.booleans())
def test_valid_arguments_arrive_in_any_pieces(value: Any, size: int, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    got = arguments(text, size)
    assert json.dumps(json.loads(got)) == json.dumps(value)
    assert indent or got == text


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(VALUES, st.integers(1, 40), st.data())
def test_a_beginning_of_valid_arguments_is_not_taken_for_broken_ones(
    value: Any, size: int, data: st.DataObject
) -> None:
    text = json.dumps([LONG, value])
    cut = data.draw(st.integers(len(LONG), len(text)))
    assert arguments(text[:cut], size) == text[:cut]


SHORT = {
    '{"a":\n\n\n 1 ,\t\t"b": "x   y"  }  ': '{"a":\n1 ,\t"b": "x   y" } ',
    "{'a': 1}": "{'a': 1}",
    '{"a": True}': '{"a": True}',
    '{} {"a": 1}': '{} {"a": 1}',
    '{"a": 1}\n{"a": 1}': '{"a": 1}\n',
    '{"a": 1}, 2': '{"a": 1}, 2',
    f'{{"a": "{LONG}"}}{{"a": "{LONG}"}}': f'{{"a": "{LONG}"}}',
    f'{{"a": "{LONG}"}},{{"a": 2}}': f'{{"a": "{LONG}"}}…',
    f'{{"a": "{LONG}"}}}}\n': f'{{"a": "{LONG}"}}',
    f'{{"a": "{LONG}"}}<|call|>': f'{{"a": "{LONG}"}}',
    f'{{"a": "{LONG}"}}<|call|>{{': f'{{"a": "{LONG}"}}…',
}
BROKEN = [f'{{"a": "{LONG}", b', f'{{"a": "{LONG}\\q"}}', f'["{LONG}", 01, {{', f'{{"a": "{LONG}", \'b\': 1}}']


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("text", [*SHORT, *BROKEN])
def test_what_is_passed_on_is_read_as_the_whole_text_is(text: str, size: int) -> None:
    got = arguments(text, size)
    assert got.rstrip() == SHORT.get(text, got).rstrip() and (text in SHORT or text.startswith(got))
    (valid, invalid), (valid_here, invalid_here) = (
        checked_calls([RawCall("f", each, "c")], cut=False) for each in (text, got)
    )
    assert [each["args"] for each in valid] == [each["args"] for each in valid_here]
    assert [each["error"] for each in invalid] == [each["error"] for each in invalid_here]


@pytest.mark.parametrize("end", ["}", " }\n]", "<|call|>", "}<|end|>", "<|ca"])
@pytest.mark.parametrize("text", ["x", LONG])
def test_what_parsers_leave_behind_complete_arguments_has_no_meaning(text: str, end: str) -> None:
    """vLLM's for Qwen and gpt-oss."""
    whole = json.dumps({"a": text})
    for args in (whole + end, arguments(whole + end)):
        ((call,), invalid) = checked_calls([RawCall("f", args, "c")], cut=False)
        assert call["args"] == {"a": text} and not invalid


@pytest.mark.parametrize("value", [{"city": "Oslo"}, {"a": {"a": [1, "x}{"]}, "b": LONG}, {"a": 12.5, "b": None}])
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("named", [False, True])
def test_pieces_that_repeat_all_that_came_before_are_read_once(value: Any, size: int, named: bool) -> None:
    """As those of Baidu and of some gateways for DeepSeek do."""
    text = json.dumps(value)
    ends = [*range(1, len(text), size), len(text), len(text)]
    about = {"name": "f", "id_": "c"} if named else {}
    got = passed([piece("", 0, "f", "c"), *(piece(text[:end], **about) for end in ends)])
    assert "".join(each["args"] or "" for each in got) == text


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Counts the characters that LangChain gives to the JSON decoder."""
    counts, loads = [0], json.loads

    class Counting:
        JSONDecodeError = json.JSONDecodeError

        @staticmethod
        def loads(text: str, **options: Any) -> Any:
            counts[0] += len(text)
            return loads(text, **options)

    monkeypatch.setattr(langchain_json, "json", Counting)
    yield counts


HOSTILE = {
    "white space at the end": '{"a": 1,' + " " * 8_000,
    "white space before a name": '{"a": 1,' + "\n" * 8_000 + '"b',
    "an object where a name must be": '{"a": [' + "1," * 4_000 + '{"a": 1, {',
    "a closing sign that is missing": "[[" + "1," * 4_000 + "1 x], ",
    "an open object after the end": "[" + "1," * 4_000 + "1]{",
    "names that are not names": '{"a": [' + "1," * 4_000 + "abc, {",
    "an escape that is wrong": '{"a": [' + "1," * 4_000 + '"\\q", {',
    "many short broken calls": "",
}


@pytest.mark.parametrize("size", [7, 500, 100_000])
@pytest.mark.parametrize("name", HOSTILE)
def test_langchain_decodes_hostile_arguments_a_few_times_at_most(decoded: list[int], name: str, size: int) -> None:
    text = HOSTILE[name]
    pieces = [piece("", 0, "f", "c"), *(piece(text[at : at + size]) for at in range(0, len(text), size))]
    if not text:
        text = '{"a": [' + "1," * 200 + '{"a": 1, {'
        pieces = [piece(text, n, "f", f"c{n}") for n in range(MAX_TOOL_CALLS)]
    first, *others = checked(pieces)
    whole = first.__add__(others)
    assert len(whole.tool_call_chunks) in (1, MAX_TOOL_CALLS)
    assert decoded[0] <= 10 * sum(len(each["args"] or "") for each in pieces) + 2 * LONG_PIECE**2


def test_calls_that_share_an_index_are_not_joined() -> None:
    pieces = [piece('{"a": 1}', 0, "f", "c1"), piece("", 0, "g", "c2"), piece('{"b":', 0), piece("2}", 0)]
    assert [each["index"] for each in passed(pieces)] == [0, 1, 1, 1]
    texts = [piece("{}", "a", "f", "c1"), piece("{}", "a", "g", "c2"), piece("{}", None, "h", "c3")]
    assert [each["index"] for each in passed(texts)] == ["a", 0, 1]


def test_a_long_beginning_is_held_back_until_the_arguments_are_complete() -> None:
    text = '{"a": "' + "x" * 400_000
    held = arguments(text, 20_000)
    assert 100_000 < len(held) < 200_000 and text.startswith(held)
    assert arguments(text + '"}', 20_000) == text + '"}'


def test_a_stream_of_arguments_without_an_end_is_refused() -> None:
    with pytest.raises(ReplyTooLarge, match="answer"):
        arguments('{"a": ' + " " * MAX_TEXT_CHARS, 100_000)
    with pytest.raises(ReplyTooLarge, match="list of tool calls"):
        passed([piece("{}", n, "f", f"c{n}") for n in range(MAX_TOOL_CALLS + 1)])


def test_joined_pieces_are_not_parsed(decoded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_AS_THEY_COME", 0)
    text = "[" + "1," * 4_000 + '1], "k": {"z": ['
    joining = chunks.Joining()
    for at in range(0, len(text), 400):
        message = AIMessageChunk("", id="r")
        message.tool_call_chunks.append(piece(text[at : at + 400]))
        assert joining.add(ChatGenerationChunk(message=message)) == []
    (whole,) = joining.rest()
    assert isinstance(whole.message, AIMessageChunk) and whole.message.tool_call_chunks[0]["args"] == text
    assert decoded[0] == 0
