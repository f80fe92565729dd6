"""Keep the reasoning of turns that called tools, which some providers of OpenAI's protocol want back unchanged.

DeepSeek answers 400 when a turn that called tools comes back without its `reasoning_content`. OpenRouter hands
`reasoning_details` on to the provider behind it, and Anthropic and Gemini check the signatures in them. LangChain has
no place for either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage

from moa_graph.models.limits import MAX_ARGUMENT_CHARS

__all__ = ["ORIGIN", "REASONING", "Reasoning", "reasoning_by_call", "reasoning_in"]

REASONING: Final = ("reasoning_content", "reasoning_details")
"""The fields of a turn's reasoning, in a provider's messages and in `additional_kwargs` of LangChain's."""

ORIGIN: Final = "moa_origin"
"""The key in `additional_kwargs` for the address that sent what must return. Other hosts refuse fields that they do not
know, so an aggregator elsewhere gets the turn without them."""

_FRAME: Final = 100
_PIECE: Final = 4
"""Characters that a detail, and a piece that continues one, count beside their texts, so that there is a limit of their
number too."""

_GROWING: Final = frozenset({"text", "summary"})
"""The fields of a detail that a stream sends in pieces."""


class Reasoning:
    """The reasoning of one reply, collected from its pieces.

    Attributes:
        acts: Whether the reply calls a tool. Only then its reasoning must return.
        seen: Whether there is any, under the names here or in `reasoning`, which need not return.
    """

    def __init__(self) -> None:
        self.acts = self.seen = False
        self._texts: list[str] = []
        self._details: list[dict[str, Any]] = []
        # What continues the texts of each detail. They are joined once: to join each piece takes quadratic time.
        self._further: list[dict[str, list[str]]] = []
        self._left = MAX_ARGUMENT_CHARS

    def add(self, given: Any) -> None:
        """Add a message, or the piece of one, as the provider sent it."""
        if not isinstance(given, Mapping):
            return
        self.acts = self.acts or bool(given.get("tool_calls"))
        text, details = (given.get(name) for name in REASONING)
        self.seen = self.seen or bool(text or details or given.get("reasoning"))
        if isinstance(text, str):
            self._left -= len(text)
            self._texts += [text] if self._left > 0 else []
        for detail in details if isinstance(details, list) else ():
            if self._left <= 0:
                break
            if isinstance(detail, Mapping):
                self._join(detail)

    def fields(self) -> dict[str, Any]:
        """Return the fields of a turn that called tools; none if they are longer than a request should repeat."""
        if not self.acts or self._left <= 0:
            return {}
        details = [
            {**detail, **{name: "".join([detail[name], *pieces]) for name, pieces in further.items()}}
            for detail, further in zip(self._details, self._further, strict=True)
        ]
        values = "".join(self._texts), details
        return {name: value for name, value in zip(REASONING, values, strict=True) if value}

    def _join(self, detail: Mapping[str, Any]) -> None:
        """Continue the last detail, or begin a further one."""
        last = self._details[-1] if self._details else {}
        kind = detail.get("type")
        same = last and all(last.get(name) == detail.get(name) for name in ("type", "index", "id"))
        if not same or not any(f".{name}" in str(kind) for name in _GROWING):
            self._left -= sum(len(value) for value in detail.values() if isinstance(value, str)) + _FRAME
            self._details.append(dict(detail))
            self._further.append({})
            return
        self._left -= _PIECE
        for name, value in detail.items():
            if name not in _GROWING or not isinstance(last.get(name), str):
                last[name] = last.get(name) if value is None else value
            elif isinstance(value, str):
                self._left -= len(value)
                self._further[-1].setdefault(name, []).append(value)


def reasoning_in(message: BaseMessage) -> dict[str, Any]:
    """Return the reasoning that must return with a turn of the model; nothing if it calls no tool."""
    kept = message.additional_kwargs if isinstance(message, AIMessage) and message.tool_calls else {}
    return {name: kept[name] for name in REASONING if isinstance(kept.get(name), str | list) and kept[name]}


def reasoning_by_call(messages: Iterable[BaseMessage]) -> dict[str, dict[str, Any]]:
    """Return the reasoning of the turns that called tools, by the id of their first call."""
    turns = [message for message in messages if isinstance(message, AIMessage) and message.tool_calls]
    return {str(turn.tool_calls[0]["id"]): found for turn in turns if (found := reasoning_in(turn))}
