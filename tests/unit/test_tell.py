"""Tokens, joined, are the cleaned answer: whatever the pieces, thoughts and outer white space never show."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from moa_graph.models.thoughts import Cleaner, _unopened, clean, encodable

PARTS = [
    "<think>",
    "</think>",
    "<THINKING>",
    "</thinking>",
    "<reasoning>",
    "</reasoning>",
    "<",
    "<thi",
    "</",
    " ",
    "\n",
]
TEXTS = st.lists(st.sampled_from([*PARTS, *"</ ", "\n", "word", "7 < 9", *"\0\ud83d\ude00éİ"]), max_size=12).map(
    "".join
)


def in_pieces(text: str, cuts: list[int]) -> str:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    cleaner = Cleaner()
    shown = [cleaner.feed(text[a:b]) for a, b in pairwise(places)]
    return "".join([*shown, cleaner.rest()])


@given(TEXTS, st.lists(st.integers(0, 60), max_size=20))
def test_pieces_joined_are_the_cleaned_whole(text, cuts):
    assume(not _unopened(encodable(text).strip()))  # a lone closing tag: known too late for a stream
    assert in_pieces(text, cuts) == clean(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<think>first\nthis</think>\n\nThe answer.", "The answer."),
        ("<Thinking>a</thinking>\n <reasoning>c</reasoning>d", "d"),
        (
            "Put the steps in a `<thinking>` tag first. Then answer.",
            "Put the steps in a `<thinking>` tag first. Then answer.",
        ),
        ("a<think>b</think>c", "a<think>b</think>c"),
        ("<think>a</think><thi", "<thi"),
        ("  plain text \n", "plain text"),
        ("<think>and never closed", ""),
        ("1 <thin air", "1 <thin air"),
        ("ends in <think", "ends in <think"),
        ("smile \ud83d\ude00!", "smile \U0001f600!"),
    ],
)
def test_letter_by_letter(text, shown):
    assert in_pieces(text, list(range(len(text)))) == shown == clean(text)


def test_text_is_shown_as_soon_as_it_is_sure():
    cleaner = Cleaner()
    assert [cleaner.feed(piece) for piece in ["Hel", "lo ", "wor", "ld <", "b>"]] == ["Hel", "lo", " wor", "ld <", "b>"]
