"""Drafts cut to what a model's context window leaves for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from moa_graph.costs.budget import ANSWER_TOKENS, FRAME_TOKENS
from moa_graph.costs.tokens import tokens
from moa_graph.mixture.proposer import Proposer

_SMALLEST = 64
"""Tokens. A draft cut shorter than this is not worth showing."""


class Fitted(NamedTuple):
    """Drafts as a model is shown them. `reason` says why the model cannot be asked at all."""

    texts: list[str]
    cut: bool = False
    reason: str | None = None


def fit(
    texts: Sequence[str], spec: Proposer, *, prompt: int, draft_tokens: int | None, answer: int | None, shrink: int = 1
) -> Fitted:
    """Cut drafts to the mixture's `draft_tokens` and to what the model's window leaves beside the prompt.

    `prompt` is the conversation's tokens, `answer` those to keep free for the answer. `shrink` divides the
    room: a provider that found the prompt too long is asked again with half.
    """
    room = None
    if spec.window is not None:
        reserve = min(answer or ANSWER_TOKENS, spec.window // 2)
        room = spec.window - prompt - reserve - (FRAME_TOKENS if texts else 0)
        if room < (_SMALLEST * len(texts) if texts else 0):
            need = spec.window - room + _SMALLEST * len(texts)
            return Fitted(
                [], False, f"the prompt needs about {need} tokens, the window of {spec.label} is {spec.window}"
            )
    if shrink > 1:
        whole = sum(map(tokens, texts))
        room = min(whole if room is None else room, whole) // shrink
    share = _share([tokens(text) for text in texts], room)
    limit = min((each for each in (share, draft_tokens) if each is not None), default=None)
    shown = [text if limit is None else _cut(text, limit) for text in texts]
    return Fitted(shown, shown != list(texts))


def _share(sizes: Sequence[int], room: int | None) -> int | None:
    """The most tokens each draft may have so that all fit: what short drafts leave goes to the long ones."""
    if room is None or sum(sizes) <= room:
        return None
    left = room
    for place, size in enumerate(sorted(sizes)):
        even = left // (len(sizes) - place)
        if size > even:
            return max(even, 1)
        left -= size
    return None


def _cut(text: str, limit: int) -> str:
    if tokens(text) <= limit:
        return text
    # Bytes, not characters: cutting inside a character drops that character.
    head = text.encode("utf-8", "replace")[: 4 * limit].decode("utf-8", "ignore")
    return f"{head}\n[cut here: {len(head)} of {len(text)} characters are shown]"
