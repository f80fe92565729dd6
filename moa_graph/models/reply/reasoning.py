"""Keep the reasoning of turns that called tools, which some providers of OpenAI's protocol want back unchanged.

DeepSeek answers 400 when a turn that called tools comes back without its `reasoning_content`. OpenRouter hands
`reasoning_details` on to the provider behind it, LiteLLM `thinking_blocks` and GitHub Copilot `reasoning_opaque`, and
Anthropic and Gemini check the signatures in them. LangChain has no place for any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage

from moa_graph.models.limits import MAX_ARGUMENT_CHARS

__all__ = ["ORIGIN", "REASONING", "Reasoning", "reasoning_by_call", "reasoning_in"]

_IN_TEXT: Final = ("reasoning_content", "reasoning_text", "reasoning_opaque")
_IN_LISTS: Final = ("reasoning_details", "thinking_blocks")
REASONING: Final = (*_IN_TEXT, *_IN_LISTS)
"""The fields of a turn's reasoning, in a provider's messages and in `additional_kwargs` of LangChain's."""

_READ: Final = frozenset({*REASONING, "reasoning", "tool_calls"})

ORIGIN: Final = "moa_origin"
"""The key in `additional_kwargs` for the address that sent what must return. Other hosts refuse fields that they do not
know, so an aggregator elsewhere gets the turn without them."""

_FRAME: Final = 100
_PIECE: Final = 4
"""Characters that a detail, and a piece that continues one, count beside their texts, so that there is a limit of their
number too."""

_GROWING: Final = frozenset({"text", "summary", "thinking"})
"""The fields of a detail that a stream sends in pieces."""


class Reasoning:
    """The reasoning of one reply, collected from its pieces.

    Attributes:
        acts: Whether the reply calls a tool. Only then its reasoning must return.
        seen: Whether there is any, under the names here or in `reasoning`, which need not return.
    """

    def __init__(self) -> None:
        self.acts = self.seen = False
        self._texts: dict[str, list[str]] = {}
        self._details: dict[str, list[dict[str, Any]]] = {}
        # What continues the texts of each detail. They are joined once: to join each piece takes quadratic time.
        self._further: dict[str, list[dict[str, list[str]]]] = {}
        self._left = MAX_ARGUMENT_CHARS

    def add(self, given: Any) -> None:
        """Add a message, or the piece of one, as the provider sent it."""
        if not isinstance(given, (dict, Mapping)) or _READ.isdisjoint(given):  # `dict` first: it is faster to test
            return
        for name, value in given.items():
            if value and name in _READ:
                self._add(name, value)

    def _add(self, name: str, value: Any) -> None:
        if name == "tool_calls":
            self.acts = True
            return
        self.seen = True
        if name in _IN_TEXT and isinstance(value, str):
            self._left -= len(value)
            self._texts.setdefault(name, []).extend([value] if self._left > 0 else [])
        elif name in _IN_LISTS and isinstance(value, list):
            before, further = self._details.setdefault(name, []), self._further.setdefault(name, [])
            for detail in value:
                if self._left <= 0:
                    break
                if isinstance(detail, Mapping):
                    self._join(detail, before, further)

    def fields(self) -> dict[str, Any]:
        """Return the fields of a turn that called tools; none if they are longer than a request should repeat."""
        if not self.acts or self._left <= 0:
            return {}
        details = {
            name: [
                {**detail, **{field: "".join([detail[field], *pieces]) for field, pieces in further.items()}}
                for detail, further in zip(self._details[name], self._further[name], strict=True)
            ]
            for name in self._details
        }
        texts = {name: text for name, pieces in self._texts.items() if (text := "".join(pieces))}
        return {**texts, **{name: found for name, found in details.items() if found}}

    def _join(
        self, detail: Mapping[str, Any], before: list[dict[str, Any]], further: list[dict[str, list[str]]]
    ) -> None:
        """Continue the last detail, or begin a further one."""
        last = before[-1] if before else {}
        if not _continues(last, detail):
            self._left -= sum(len(value) for value in detail.values() if isinstance(value, str)) + _FRAME
            before.append(dict(detail))
            further.append({})
            return
        self._left -= _PIECE
        for name, value in detail.items():
            if name not in _GROWING or not isinstance(last.get(name), str):
                last[name] = last.get(name) if value is None else value
            elif isinstance(value, str):
                self._left -= len(value)
                further[-1].setdefault(name, []).append(value)


def _continues(last: Mapping[str, Any], detail: Mapping[str, Any]) -> bool:
    """Return whether a piece of a stream continues the last detail. A block of Anthropic's ends with its signature."""
    kind = detail.get("type")
    if not last or any(last.get(name) != detail.get(name) for name in ("type", "index", "id")):
        return False
    return not last.get("signature") if kind == "thinking" else ".text" in str(kind) or ".summary" in str(kind)


def reasoning_in(message: BaseMessage) -> dict[str, Any]:
    """Return the reasoning that must return with a turn of the model; nothing if it calls no tool."""
    kept = message.additional_kwargs if isinstance(message, AIMessage) and message.tool_calls else {}
    return {name: kept[name] for name in REASONING if isinstance(kept.get(name), str | list) and kept[name]}


def reasoning_by_call(messages: Iterable[BaseMessage]) -> dict[str, dict[str, Any]]:
    """Return the reasoning of the turns that called tools, by the id of their first call."""
    turns = [message for message in messages if isinstance(message, AIMessage) and message.tool_calls]
    return {str(turn.tool_calls[0]["id"]): found for turn in turns if (found := reasoning_in(turn))}
