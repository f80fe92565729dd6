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
    """Emit the tokens of one answer, each as a copy of `event` with its text.

    The texts since the last `restart` event, joined, are the answer without reasoning and outer white space. `restart`
    is emitted when a closing mark without an opening mark shows that all text before it was reasoning. The pieces of
    tool calls are emitted for the aggregator only.
    """

    def __init__(self, event: Event, restart: Event) -> None:
        self._event = event
        self._restart = restart
        self._restarts = 0
        self._cleaner = Cleaner()

    def __call__(self, text: str, calls: list[ToolCallChunk]) -> None:
        shown = self._shown(self._cleaner.feed(text))
        if calls and self._event["moa"] == "answer_token":
            tell({**self._event, "text": shown, "tool_call_chunks": [{**call} for call in calls]})
        elif shown:
            tell({**self._event, "text": shown})

    def close(self) -> None:
        """Emit what was held back."""
        if rest := self._shown(self._cleaner.rest()):
            tell({**self._event, "text": rest})

    def _shown(self, text: str) -> str:
        if self._cleaner.restarts > self._restarts:
            self._restarts = self._cleaner.restarts
            tell(self._restart)
        return text
