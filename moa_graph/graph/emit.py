"""What a run tells while it works: custom events, and an answer's tokens without the thoughts in it."""

from __future__ import annotations

from langchain_core.messages.tool import ToolCallChunk
from langgraph.runtime import get_runtime

from moa_graph.models.thoughts import Cleaner
from moa_graph.state import Event


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
