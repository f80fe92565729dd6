"""Cut drafts to the space that a model's context window leaves for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from moa_graph.costs.budget import ANSWER_TOKENS, FRAME_TOKENS
from moa_graph.costs.tokens import tokens
from moa_graph.mixture.proposer import Proposer

_SMALLEST = 64
"""Tokens. A model that has less space than this for each draft is not called."""


class Fitted(NamedTuple):
    """Drafts as a prompt contains them.

    Attributes:
        texts: The drafts, cut where necessary.
        cut: Whether any was cut.
        reason: Why the model cannot be called; None when it can.
    """

    texts: list[str]
    cut: bool = False
    reason: str | None = None


def fit(
    texts: Sequence[str], spec: Proposer, *, prompt: int, draft_tokens: int | None, answer: int | None, shrink: int = 1
) -> Fitted:
    """Cut drafts to the mixture's `draft_tokens` and to what the model's window leaves beside the prompt.

    Args:
        texts: The drafts.
        spec: The model.
        prompt: Tokens of the conversation and the system texts.
        draft_tokens: Tokens that each draft may have at most; None for no such limit.
        answer: Tokens to keep free for the answer; None for a default.
        shrink: Divides the space, for a call that is repeated because its provider found the prompt too long.
    """
    space = None
    if spec.window is not None:
        reserve = min(answer or ANSWER_TOKENS, spec.window // 2)
        space = spec.window - prompt - reserve - (FRAME_TOKENS if texts else 0)
        if space < (_SMALLEST * len(texts) if texts else 0):
            need = spec.window - space + _SMALLEST * len(texts)
            return Fitted(
                [], False, f"the prompt needs about {need} tokens, the window of {spec.label} is {spec.window}"
            )
    if shrink > 1:
        whole = sum(map(tokens, texts))
        space = min(whole if space is None else space, whole) // shrink
    share = _share([tokens(text) for text in texts], space)
    limit = min((each for each in (share, draft_tokens) if each is not None), default=None)
    shown = [text if limit is None else _cut(text, limit) for text in texts]
    return Fitted(shown, shown != list(texts))


def _share(sizes: Sequence[int], space: int | None) -> int | None:
    """Return the most tokens that each draft may have so that all fit. Long drafts get what short ones leave."""
    if space is None or sum(sizes) <= space:
        return None
    left = space
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
