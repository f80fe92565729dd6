"""Which turns of a conversation a model wrote itself. Another maker's API refuses their blocks and fields."""

from __future__ import annotations

from typing import NamedTuple

from moa_graph.graph.prompts.media import completes_chats, package_of

__all__ = ["OwnTurns", "own_turns"]

_MAKERS = {
    "langchain_openai": "openai",
    "langchain_together": "openai",
    "langchain_anthropic": "anthropic",
    "langchain_google_genai": "google_genai",
}
"""What a package's classes write as the `model_provider` of their replies."""


class OwnTurns(NamedTuple):
    """Which turns that called tools are a model's own.

    Attributes:
        makers: The `model_provider` of its turns; empty when it is not known, so that every turn counts as its own.
        blocks: Whether it takes them as content blocks. Chat completions take their text.
    """

    makers: tuple[str, ...] = ()
    blocks: bool = True

    def made_by(self, maker: object) -> bool:
        """Return whether a turn whose `model_provider` is `maker` is one of them."""
        return not maker or not self.makers or maker in self.makers


def own_turns(model: object, provider: str) -> OwnTurns:
    """Return which turns are those of `model`. `provider` is its provider's name in the mixture."""
    maker = _MAKERS.get(package_of(model))
    return OwnTurns((maker, provider) if maker else (), blocks=not completes_chats(model))
