"""What a run tells while it works: custom events, and an answer's tokens without the thoughts in it."""

from __future__ import annotations

import re

from langchain_core.messages.tool import ToolCallChunk
from langgraph.runtime import get_runtime

from moa_graph.conversation import encodable
from moa_graph.state import Event

_OPEN = re.compile(r"<(think|thinking|reasoning)>", re.IGNORECASE)
_OPENINGS = ("<think>", "<thinking>", "<reasoning>")


def tell(event: Event) -> None:
    """Sends a custom event to whoever streams the run; nobody is a fine audience too."""
    get_runtime().stream_writer(event)


class Tokens:
    """Tells the tokens of one answer, each as a copy of `event` with its text.

    The texts joined are the answer as `conversation.clean` leaves it: thoughts and outer white space do not show, so
    that who streams reads what who waits reads. (Of a thought whose opening tag the server left out, that cannot be
    known in time.) The pieces of tool calls are told of the aggregator only.
    """

    def __init__(self, event: Event) -> None:
        self._event = event
        self._cleaner = Cleaner()

    def __call__(self, text: str, calls: list[ToolCallChunk]) -> None:
        shown = self._cleaner.feed(text)
        if calls and self._event["moa"] == "answer_token":
            tell({**self._event, "text": shown, "tool_call_chunks": [{**call} for call in calls]})
        elif shown:
            tell({**self._event, "text": shown})

    def close(self) -> None:
        """The answer is over: what looked like the beginning of a tag was none."""
        if rest := self._cleaner.rest():
            tell({**self._event, "text": rest})


class Cleaner:
    """`conversation.clean` for a text that comes in pieces."""

    def __init__(self) -> None:
        self._held = ""
        self._closing = ""
        self._space = ""
        self._begun = False

    def feed(self, piece: str) -> str:
        """What can be shown by now."""
        self._held += piece
        shown = ""
        while True:
            if self._closing:
                end = re.search(self._closing, self._held, re.IGNORECASE)
                if end is None:
                    self._held = self._held[-len(self._closing) :]
                    return self._trimmed(shown)
                self._held, self._closing = self._held[end.end() :], ""
            elif tag := _OPEN.search(self._held):
                shown += self._held[: tag.start()]
                self._held = self._held[tag.end() :]
                self._closing = f"</{tag[1].lower()}>"
            else:
                cut = _safe(self._held)
                shown, self._held = shown + self._held[:cut], self._held[cut:]
                return self._trimmed(shown)

    def rest(self) -> str:
        """What was held back, once nothing more comes."""
        held, self._held = "" if self._closing else self._held, ""
        return self._trimmed(held)

    def _trimmed(self, text: str) -> str:
        """`text` without white space at the beginning of the whole, and with that at its end kept for what follows."""
        text = encodable(text)
        if not self._begun:
            text = text.lstrip()
        bare = text.rstrip()
        if not bare:
            self._space += text
            return ""
        shown, self._space, self._begun = self._space + bare, text[len(bare) :], True
        return shown


def _safe(text: str) -> int:
    """How much of `text` is surely no beginning of an opening tag, and no half of a character."""
    at = text.rfind("<")
    if at >= 0 and any(tag.startswith(text[at:].lower()) for tag in _OPENINGS):
        return at
    return len(text) - ("\ud800" <= text[-1:] <= "\udbff")
