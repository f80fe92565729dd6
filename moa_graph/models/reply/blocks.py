"""The content blocks of a reply: their text, their reasoning, and those that the provider wants back unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from moa_graph.models.limits import MAX_TEXT_CHARS
from moa_graph.models.reply.fields import plain

__all__ = ["BLOCKS", "AnswerText", "content_text", "has_thoughts", "must_return", "native", "refusals_in"]

BLOCKS: Final = "moa_blocks"
"""The key in a message's `additional_kwargs` for content blocks that the provider wants back unchanged, where the
content is text: an answer whose text was streamed before its blocks were complete."""

_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_content"})
_TEXTS: Final = frozenset({"text", "output_text", "input_text"})
_SIGNATURES: Final = frozenset({"signature", "encrypted_content", "thought_signature", "extras", "phase"})


def content_text(content: object) -> str:
    """Return the text in a message's content without reasoning blocks, and without remarks beside an answer."""
    if isinstance(content, str):
        return content
    answer: list[str] = []
    remarks: list[str] = []
    for block in content if isinstance(content, list) else []:
        (remarks if _is_remark(block) else answer).append(_block_text(block))
    return "".join(answer) if any(map(str.strip, answer)) else "".join([*remarks, *answer])


class AnswerText:
    """The text of a stream without the remarks beside the answer.

    OpenAI's Responses API names the phase of a message at its beginning, and the answer may be a later message. So
    remarks are held back: they are the text of a reply that has no other.
    """

    def __init__(self) -> None:
        self._remarks: set[str] = set()
        self._held: list[str] = []
        self._begun = False

    def add(self, content: object) -> str:
        """Return the text of a piece that belongs to the answer."""
        if isinstance(content, str):
            self._begun = self._begun or bool(content.strip())
            return content
        said: list[str] = []
        for block in content if isinstance(content, list) else []:
            (self._held if self._remarks_in(block) else said).append(_block_text(block))
        self._begun = self._begun or any(map(str.strip, said))
        return "".join(said)

    def _remarks_in(self, block: object) -> bool:
        """Return whether a block, or an earlier piece of it, says that it is a remark."""
        index = str(block["index"]) if isinstance(block, Mapping) and "index" in block else ""
        if _phase(block) and index:
            (self._remarks.add if _is_remark(block) else self._remarks.discard)(index)
        return _is_remark(block) or index in self._remarks

    def rest(self) -> str:
        """Return the remarks if there was no answer. Call it at the end of the stream."""
        return "" if self._begun else "".join(self._held)


def _block_text(block: object) -> str:
    if isinstance(block, str):
        return block
    if isinstance(block, Mapping) and str(block.get("type") or "text").lower() in _TEXTS:
        words = block.get("text")
        words = words.get("value") if isinstance(words, Mapping) else words
        return words if isinstance(words, str) else ""
    return ""


def _is_remark(block: object) -> bool:
    """Return whether a block is what a model of the Responses API says on the way to its answer."""
    return bool(phase := _phase(block)) and phase != "final_answer"


def _phase(block: object) -> object:
    if not isinstance(block, Mapping):
        return None
    extras = block.get("extras")
    return block.get("phase") or (extras.get("phase") if isinstance(extras, Mapping) else None)


def must_return(content: object) -> bool:
    """Return whether content has blocks that the provider wants back unchanged in a tool loop."""
    return any(str(block.get("type")) in _THOUGHTS or _SIGNATURES & block.keys() for block in _blocks(content))


def has_thoughts(content: object) -> bool:
    """Return whether content has blocks of reasoning."""
    return any(str(block.get("type")) in _THOUGHTS for block in _blocks(content))


def refusals_in(content: object) -> list[Any]:
    """Return what the blocks of a refusal hold."""
    return [block.get("refusal") for block in _blocks(content) if block.get("type") == "refusal"]


def native(content: Any) -> Any:
    """Return content as plain values."""
    return plain(content, text=MAX_TEXT_CHARS, values=20_000)


def _blocks(content: object) -> list[Mapping[str, Any]]:
    return [block for block in content if isinstance(block, Mapping)] if isinstance(content, list) else []
