"""What a run tells while it works: custom events, and an answer's tokens without the thoughts in it."""

from __future__ import annotations

import re

from langchain_core.messages.tool import ToolCallChunk
from langgraph.runtime import get_runtime

from moa_graph.conversation import OPENING, encodable
from moa_graph.state import Event

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
        self._held += piece.replace("\0", "")
        if not self._begun and not self._past_thoughts():
            return ""
        # Half a character waits for its other half.
        cut = len(self._held) - ("\ud800" <= self._held[-1:] <= "\udbff")
        sure, self._held = self._held[:cut], self._held[cut:]
        return self._trimmed(sure)

    def rest(self) -> str:
        """What was held back, once nothing more comes."""
        held, self._held = "" if self._closing else self._held, ""
        return self._trimmed(held)

    def _past_thoughts(self) -> bool:
        """Whether the answer itself has begun; the thoughts before it are let go."""
        while True:
            if self._closing:
                end = re.search(self._closing, self._held, re.ASCII | re.IGNORECASE)
                if end is None:
                    self._held = self._held[-len(self._closing) :]
                    return False
                self._held, self._closing = self._held[end.end() :], ""
            self._held = self._held.lstrip()
            if opening := OPENING.match(self._held):
                self._held, self._closing = self._held[opening.end() :], f"</{opening[1]}>"
                continue
            self._begun = not any(tag.startswith(self._held.lower()) for tag in _OPENINGS)
            return self._begun

    def _trimmed(self, text: str) -> str:
        """`text` with the white space at its end kept for what follows."""
        text = encodable(text)
        bare = text.rstrip()
        if not bare:
            self._space += text
            return ""
        shown, self._space = self._space + bare, text[len(bare) :]
        return shown
