"""Token estimates, and drafts cut to the space in a context window."""

from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from moa_graph import Proposer
from moa_graph.costs.tokens import prompt_tokens, tokens
from moa_graph.graph.prompts.windows import fit


def kept(text: str) -> str:
    """Return the visible part of a draft, without the note that it was cut."""
    return text.partition("\n[cut here")[0]


def test_a_token_is_four_bytes_of_utf8() -> None:
    assert [tokens(text) for text in ("", "abcd", "abcde", "\u00e9" * 4)] == [0, 1, 2, 2]


@pytest.mark.parametrize(
    "image",
    [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file_id": "https://example.com/a.png", "mime_type": "image/png"},
    ],
)
def test_an_image_counts_as_many_tokens(image: dict[str, Any]) -> None:
    text = {"type": "text", "text": "What is it?"}
    assert prompt_tokens([HumanMessage([text, image])]) - prompt_tokens([HumanMessage([text])]) == 800


def test_space_left_by_short_drafts_goes_to_long_ones() -> None:
    # 1,400 of window, 100 for the answer and 300 for the instruction leave 1,000 tokens: 10 for the short draft, and
    # half of the other 990 for each of the long ones.
    drafts = ["s" * 40, "a" * 8_000, "b" * 8_000]
    fitted = fit(drafts, Proposer("openai:m", window=1_400), prompt=0, draft_tokens=None, answer=100)
    assert [tokens(kept(text)) for text in fitted.texts] == [10, 495, 495]
    assert fitted.cut and fitted.reason is None


def test_a_cut_counts_bytes_and_drops_half_a_character() -> None:
    fitted = fit(["a" + "\u00e9" * 1_000], Proposer("openai:m"), prompt=0, draft_tokens=50, answer=None)
    assert kept(fitted.texts[0]) == "a" + "\u00e9" * 99
