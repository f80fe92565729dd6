"""Streams with several choices although one was asked for, and streams whose indexes mean something else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from moa_graph.models.openai_http.choices import FirstChoice
from moa_graph.models.openai_http.increments import Increments
from moa_graph.models.openai_http.stream import whole_of

Piece = tuple[int | None, str, str]
"""Index, text and finish reason."""

USAGE = {"prompt_tokens": 1, "completion_tokens": 2}


def chunk(piece: Piece, field: str = "content") -> dict[str, Any]:
    index, text, reason = piece
    return {"choices": [{"index": index, "delta": {field: text} if text else {}, "finish_reason": reason or None}]}


def said(chunks: Sequence[dict[str, Any]], field: str = "content") -> tuple[str, list[str]]:
    """Return the text and the finish reasons that are passed on."""
    first = FirstChoice()
    choices = [choice for each in [*first.of(chunks), *first.rest()] for choice in each["choices"]]
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    return "".join(choice["delta"].get(field) or "" for choice in choices).rstrip(), reasons


SEVERAL: dict[str, list[Piece]] = {
    "interleaved": [(0, "a ", ""), (1, "B ", ""), (0, "c", ""), (1, "D", ""), (1, "", "length"), (0, "", "stop")],
    "the other one begins": [(1, "a ", ""), (0, "B ", ""), (1, "c", ""), (0, "", "length"), (1, "", "stop")],
    "the other one ends first": [(0, "a ", ""), (1, "B", "length"), (0, "c", ""), (0, "", "stop")],
    "the other one has no end": [(0, "a ", ""), (1, "B", ""), (0, "c", ""), (0, "", "stop")],
    "one after the other": [(0, "a ", ""), (0, "c", "stop"), (1, "B ", ""), (1, "D", "length")],
    "one piece each": [(0, "a c", ""), (1, "B", ""), (1, "", "length"), (0, "", "stop")],
    "one piece each, in order": [(0, "a c", ""), (1, "B", ""), (0, "", "stop"), (1, "", "length")],
    "three": [(n % 3, text, "") for n, text in enumerate("aBC XYcDE")] + [(0, "", "stop"), (1, "", "length")],
}
ONE: dict[str, list[Piece]] = {
    "chunks are counted": [(0, "a", ""), (1, " ", ""), (2, "c", ""), (3, "", "stop")],
    "many chunks are counted": [(n, text, "") for n, text in enumerate("a c".ljust(40), 1)] + [(41, "", "stop")],
    "blocks of an answer": [(0, "a ", ""), (2, "c", ""), (0, "", "stop")],
    "an index that is missing": [(None, "a ", ""), (0, "c", ""), (None, "", "stop")],
    "another first index": [(1, "a ", ""), (1, "c", ""), (1, "", "stop")],
}


@pytest.mark.parametrize("pieces", [*SEVERAL.values(), *ONE.values()], ids=[*SEVERAL, *ONE])
def test_the_first_choice_is_the_answer(pieces: list[Piece]) -> None:
    assert said(list(map(chunk, pieces))) == ("a c", ["stop"])


@pytest.mark.parametrize("pieces", [*SEVERAL.values(), *ONE.values()], ids=[*SEVERAL, *ONE])
def test_a_stream_that_was_not_asked_for_has_the_same_answer(pieces: list[Piece]) -> None:
    body = b"".join(b"data: " + json.dumps(chunk(each)).encode() + b"\n\n" for each in pieces)
    found = whole_of(body, "http://x")
    assert found and found["choices"][0]["message"]["content"].rstrip() == "a c"
    assert found["choices"][0]["finish_reason"] == "stop"


def test_choices_of_one_chunk_in_any_order() -> None:
    pairs = [((0, "a ", ""), (1, "B ", "")), ((1, "D", ""), (0, "c", "")), ((1, "", "length"), (0, "", "stop"))]
    assert said([{"choices": [chunk(each)["choices"][0] for each in pair]} for pair in pairs]) == ("a c", ["stop"])


def test_the_reasoning_of_proxies_has_an_index_of_its_own_and_the_answer_is_passed_on_at_once() -> None:
    first = FirstChoice()
    thoughts = [chunk((0, "hm", ""), "reasoning_content")] * 2
    assert len(list(first.of(thoughts))) == 2
    answer = [chunk((1, "a ", "")), chunk((1, "c", "")), chunk((0, "", "stop"))]
    assert len(list(first.of(answer))) == 3 and first.rest() == []


def test_the_usage_beside_another_choice_is_kept() -> None:
    first = FirstChoice()
    chunks = [chunk((0, "a", "stop")), {**chunk((1, "B", "stop")), "usage": USAGE}]
    assert [each.get("usage") for each in first.of(chunks)] == [None, USAGE] and first.several


def test_counted_chunks_are_passed_on_before_the_end() -> None:
    first = FirstChoice()
    assert len(list(first.of(chunk((n, "a", "")) for n in range(20)))) == 20


def new(*pieces: tuple[str, str], end: bool = True) -> dict[str, str]:
    """Return the text of each field that is passed on of a stream with these pieces."""
    increments, found = Increments(), dict[str, str]()
    stream: list[Any] = [{"choices": []}, chunk((0, "", "")), *(chunk((0, text, ""), field) for field, text in pieces)]
    chunks = [*stream, *([chunk((0, "", "stop"))] if end else [])]
    # Every chunk comes in a read of its own.
    passed = [each for read in chunks for each in increments.of([read])]
    for each in [*passed, *increments.rest()]:
        for field, text in each["choices"][0]["delta"].items() if each["choices"] else ():
            found[field] = found.get(field, "") + text
    return found


TEXT = "The capital of France is Paris. The capital"
ENDS = [1, 3, 9, 20, 20, len(TEXT)]


@pytest.mark.parametrize("end", [False, True])
def test_text_that_every_piece_repeats_is_passed_on_once(end: bool) -> None:
    pieces = [TEXT[:at] for at in ENDS]
    for field in ("content", "reasoning_content"):
        assert new(*((field, piece) for piece in pieces), end=end) == {field: TEXT}
    both = new(*(("reasoning", piece) for piece in pieces), *(("content", piece) for piece in pieces), end=end)
    assert both == {"reasoning": TEXT, "content": TEXT}
    assert new(("content", TEXT[:9]), ("content", TEXT), end=end) == {"content": TEXT}
    assert new(("reasoning", TEXT[:9]), ("reasoning", TEXT), ("content", "Paris"), ("content", "Paris."), end=end) == {
        "reasoning": TEXT,
        "content": "Paris.",
    }


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize(
    "pieces",
    [
        ["ha", "haha", "ha", "hahaha"],
        ["-" * 16, "-" * 32, "x"],
        ["a", "ab"],
        ["a", "ab", "abd"[1:]],
        ["a", "a", "ab"],
        ["1", "1", "11", "111", "1111"],
        ["The", " capital", "The capital of France"],
        ["x"],
        [],
    ],
)
def test_the_pieces_of_other_streams_are_passed_on_as_they_are(pieces: list[str], end: bool) -> None:
    assert new(*(("content", piece) for piece in pieces), end=end).get("content", "") == "".join(pieces)
    mixed = new(("reasoning", "ab"), ("content", "abc"), ("content", "abcd"), ("content", "e"), end=end)
    assert mixed == {"reasoning": "ab", "content": "abcabcde"}
