"""A conversation with a mixture: its history, its settings, and what can be said to change them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from moa_graph.cli.asking import Answered, AnswerPrinter, Watcher, ask, plain, streams
from moa_graph.cli.progress import Progress, tell_end
from moa_graph.context import MoAContext
from moa_graph.errors import InputError
from moa_graph.mixture import Mixture

if TYPE_CHECKING:
    from moa_graph.state import Draft

Method = TypeVar("Method", bound=Callable[..., Any])
Turn = dict[str, str]


def spoken(method: Method) -> Method:
    """Marks what a person may say as `/name argument`; its doc's first line is its help."""
    method.__dict__["spoken"] = True
    return method


class Chat:
    """The state of a chat. `messages` holds questions and the aggregator's answers, never a draft."""

    def __init__(self, mixture: Mixture, *, layers: int | None = None, system: str | None = None) -> None:
        self.mixture = mixture
        self.wanted = MoAContext(layers=layers, system=system, stream_answer=streams())
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
        mixture = Mixture.load(name)
        # Checked before it is taken: layers chosen for the old mixture may be too many for this one.
        self.mixture = mixture
        return f"{name}: {mixture.calls(self.wanted.layers)} calls a question"

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
        heads = [f"--- layer {d['layer']}, {d['proposer']} ({d['model']}): {d['status']}" for d in self.last]
        texts = [plain(d["text"] or d["error"] or "") for d in self.last]
        return "\n".join(f"{head}\n{text}" for head, text in zip(heads, texts, strict=True))

    @spoken
    def save(self, path: str) -> str:
        """Write the chat to a file, to go on with later."""
        if not path:
            raise InputError("/save FILE")
        whole = {"messages": self.messages, "layers": self.wanted.layers, "system": self.wanted.system}
        Path(path).expanduser().write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return f"{len(self.messages)} messages are in {path}"

    @spoken
    def load(self, path: str) -> str:
        """Go on with a chat that /save wrote."""
        try:
            whole = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
            messages = [{"role": turn["role"], "content": turn["content"]} for turn in whole["messages"]]
        except (ValueError, KeyError, TypeError) as exc:
            raise InputError(f"{path} is no saved chat: {exc}") from exc
        if not all(turn["role"] in ("user", "assistant") and isinstance(turn["content"], str) for turn in messages):
            raise InputError(f"{path} is no saved chat: it holds other roles than user and assistant.")
        self._change(layers=whole.get("layers"), system=whole.get("system"))
        self.messages, self.last = messages, []
        return f"{len(messages)} messages loaded"

    @spoken
    def clear(self, _: str) -> str:
        """Forget the conversation."""
        self.messages, self.last = [], []
        return "the conversation is forgotten"

    def _change(self, **fields: Any) -> None:
        self.wanted = MoAContext(**{**self.wanted.model_dump(), **fields})

    @staticmethod
    def _number(text: str) -> int | None:
        if text and not text.isdecimal():
            raise InputError("/layers takes a whole number.")
        return int(text) if text else None
