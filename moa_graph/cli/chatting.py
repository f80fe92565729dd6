"""A conversation with a mixture: its history, its settings, and what can be said to change them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from moa_graph.cli.drafts import as_text
from moa_graph.cli.progress import Progress, tell_end
from moa_graph.cli.run import Answered, AnswerPrinter, Watcher, ask, streams
from moa_graph.errors import InputError
from moa_graph.mixture.context import MoAContext, settings
from moa_graph.mixture.mixture import Mixture

if TYPE_CHECKING:
    from moa_graph.state import Draft

Method = TypeVar("Method", bound=Callable[..., Any])
Turn = dict[str, str]


def spoken(method: Method) -> Method:
    """Marks what a person may say as `/name argument`; its doc's first line is its help."""
    method.__dict__["spoken"] = True
    return method


class Chat:
    """The state of a chat. `messages` holds questions and the answers that were shown, never another draft.

    Raises:
        ConfigError: the mixture has not so many layers.
    """

    def __init__(self, mixture: Mixture, *, layers: int | None = None, system: str | None = None) -> None:
        self.mixture, self.wanted = mixture, MoAContext(stream_answer=streams())
        self._change(layers=layers, system=system)
        self.messages: list[Turn] = []
        self.last: list[Draft] = []

    def ask(self, question: str) -> Answered:
        """One turn; a failed one leaves the history as it was.

        Raises:
            MoAError: no answer came; drafts that did are shown by /drafts.
        """
        asked = [*self.messages, {"role": "user", "content": question}]
        printer, live = AnswerPrinter(), sys.stderr.isatty()
        try:
            with Progress() if live else nullcontext() as progress:
                watchers: list[Watcher] = [w for w in (progress, printer) if w is not None]
                result = ask(self.mixture, asked, self.wanted, watchers)
        except BaseException as exc:
            # Whatever ended it, an interruption too: what was already paid for can still be read.
            self.last = list(getattr(exc, "drafts", []))
            raise
        printer.finish(result)
        self.messages = [*asked, {"role": "assistant", "content": result.answer}]
        self.last = result.drafts
        tell_end(result.drafts, result.record, live=live)
        return result

    @spoken
    def preset(self, name: str) -> str:
        """Go on with another mixture: a preset's name or a mixture file."""
        self._change(Mixture.load(name))
        return f"{name}: {self.mixture.calls(self.wanted.layers)} calls a question"

    @spoken
    def layers(self, number: str) -> str:
        """Change the layers, the aggregator's own included; without a number as the mixture says."""
        self._change(layers=self._number(number))
        return f"layers: {self.wanted.layers or self.mixture.total_layers}"

    @spoken
    def system(self, text: str) -> str:
        """Change the system prompt; without one as the mixture says."""
        self._change(system=text or None)
        return "system prompt set" if text else "system prompt as the mixture says"

    @spoken
    def drafts(self, _: str) -> str:
        """Show the drafts of the last turn."""
        if not self.last:
            return "there are no drafts yet"
        return as_text(self.last)

    @spoken
    def save(self, path: str) -> str:
        """Write the chat to a file, to go on with later."""
        if not path:
            raise InputError("/save FILE")
        whole = {"messages": self.messages, "layers": self.wanted.layers, "system": self.wanted.system}
        text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
        # What is no text in UTF-8, half a surrogate pair, is written as JSON writes it.
        _file(path).write_text(text, encoding="utf-8", errors="backslashreplace")
        return f"{len(self.messages)} messages are in {path}"

    @spoken
    def load(self, path: str, **options: Any) -> str:
        """Go on with a chat that /save wrote.

        `options` (layers, system) go over what the file says.
        """
        try:
            whole = json.loads(_file(path).read_text(encoding="utf-8"))
            messages = [{"role": turn["role"], "content": turn["content"]} for turn in whole["messages"]]
        except (ValueError, KeyError, TypeError) as exc:
            raise InputError(f"{path} is no saved chat: {exc}") from exc
        if not all(turn["role"] in ("user", "assistant") and isinstance(turn["content"], str) for turn in messages):
            raise InputError(f"{path} is no saved chat: it holds other roles than user and assistant.")
        self._change(**{"layers": whole.get("layers"), "system": whole.get("system"), **options})
        self.messages, self.last = messages, []
        return f"{len(messages)} messages loaded"

    @spoken
    def clear(self, _: str) -> str:
        """Forget the conversation."""
        self.messages, self.last = [], []
        return "the conversation is forgotten"

    def _change(self, mixture: Mixture | None = None, **fields: Any) -> None:
        """Takes another mixture or other settings, if they go together; else everything stays as it is."""
        mixture = mixture or self.mixture
        wanted = MoAContext(**{**self.wanted.model_dump(), **fields})
        settings(mixture, wanted)
        self.mixture, self.wanted = mixture, wanted

    @staticmethod
    def _number(text: str) -> int | None:
        try:
            return int(text) if text else None
        except ValueError as exc:
            raise InputError("/layers takes a whole number.") from exc


def _file(name: str) -> Path:
    """The file of that name.

    Raises:
        InputError: there can be none.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError as exc:
        raise InputError(f"{name}: {exc}") from exc  # ~somebody, whom this computer does not know
