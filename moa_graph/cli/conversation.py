"""A conversation with a mixture: its turns, its settings, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moa_graph.cli.errors import said
from moa_graph.cli.home import resolve
from moa_graph.cli.log import Log
from moa_graph.cli.run import Answered, Interrupted, View, ask, streams
from moa_graph.errors import InputError, MoAError
from moa_graph.mixture.context import MoAContext, settings
from moa_graph.mixture.mixture import Mixture

if TYPE_CHECKING:
    from moa_graph.state import Draft

Turn = dict[str, str]


class Conversation:
    """The state of a chat.

    Attributes:
        mixture: The mixture that answers.
        messages: Questions and the answers that were shown, never a draft.
        drafts: Those of the last question, also of one that failed or was interrupted.
        question: The last question; None before the first.
        costs: Dollars of every question asked, None where unknown.

    Raises:
        ConfigError: the mixture has not so many layers.
    """

    def __init__(self, mixture: Mixture, *, raw: bool = False, name: str | None = None, **options: Any) -> None:
        self.mixture, self.wanted = mixture, MoAContext(stream_answer=streams())
        self.name = name or mixture.name or mixture.hash
        self.change(**options)
        self.raw = raw
        self.log = Log.open()
        self.id = self.log.last_conversation(continued=False).id
        self.messages: list[Turn] = []
        self.drafts: list[Draft] = []
        self.question: str | None = None
        self.costs: list[float | None] = []
        self.file: Path | None = None

    def go_on(self) -> None:
        """Take up the last conversation of the log.

        Raises:
            InputError: the log is empty.
        """
        self.id, self.messages = self.log.last_conversation(continued=True)
        last = self.log.entries(conversation=self.id)[-1]
        self.drafts, self.question = last.drafts, last.question

    def ask(self, question: str) -> Answered:
        """Ask `question`; one that fails leaves the history as it was, and its drafts in `drafts`.

        Raises:
            MoAError: no answer came.
            Interrupted: Ctrl-C was pressed.
        """
        asked = [*self.messages, {"role": "user", "content": question}]
        self.question, self.drafts = question, []
        try:
            result = ask(self.mixture, asked, self.wanted, View(raw=self.raw))
        except (MoAError, Interrupted) as exc:
            self.drafts = list(exc.drafts)
            reason = "interrupted" if isinstance(exc, Interrupted) else said(exc)
            self.log.add(
                self.id, self.name, question, getattr(exc, "answer", "") or None, self.drafts, None, error=reason
            )
            costs = [draft["cost"] for draft in self.drafts]
            self.costs.append(None if None in costs else sum(cost for cost in costs if cost is not None))
            raise
        self.messages = [*asked, {"role": "assistant", "content": result.answer}]
        self.drafts = result.drafts
        self.costs.append(result.record["cost"])
        self.log.add(self.id, self.name, question, result.answer, result.drafts, result.record)
        return result

    def undo(self) -> str | None:
        """Remove the last question and its answer from the history; return the question."""
        last = max((n for n, turn in enumerate(self.messages) if turn["role"] == "user"), default=None)
        if last is None:
            return None
        question = self.messages[last]["content"]
        self.messages = self.messages[:last]
        return question

    def change(self, mixture: Mixture | None = None, **fields: Any) -> None:
        """Take another mixture or other settings, if they go together; else everything stays as it is.

        Raises:
            ConfigError: they do not go together.
        """
        mixture = mixture or self.mixture
        wanted = MoAContext(**{**self.wanted.model_dump(), **fields})
        settings(mixture, wanted)
        self.mixture, self.wanted = mixture, wanted

    def use(self, name: str) -> None:
        """Go on with another mixture: a preset's name or a mixture file."""
        self.change(Mixture.load(resolve(name)))
        self.name = name

    def about(self) -> str:
        """Return one line: what is asked, how often, and what a short question costs."""
        from langchain_core.messages import HumanMessage

        from moa_graph.costs.budget import estimate

        run = settings(self.mixture, self.wanted)
        history: Sequence[Any] = [HumanMessage(turn["content"]) for turn in self.messages]
        expected = estimate(run, [*history, HumanMessage("a short question" * 4)])
        calls = f"{expected.calls} call{'' if expected.calls == 1 else 's'}"
        drafting = list(dict.fromkeys(spec.label for spec in self.mixture.specs[: len(self.mixture.plan[0])]))
        models = f"{', '.join(drafting)}; the answer by {run.aggregator.label}"
        return f"{self.name}: {models}. A question is {calls}, {expected.money}."

    def save(self, path: Path) -> None:
        """Write the conversation: .md to read, anything else as JSON to go on with later."""
        if path.suffix.lower() == ".md":
            turns = [f"## {turn['role'].capitalize()}\n\n{turn['content']}" for turn in self.messages]
            text = "\n\n".join([f"# A conversation with {self.name}", *turns]) + "\n"
        else:
            known = [cost for cost in self.costs if cost is not None]
            whole = {
                "messages": self.messages,
                "mixture": self.name,
                "layers": self.wanted.layers,
                "system": self.wanted.system,
                "drafts": self.drafts,
                "cost": sum(known) if len(known) == len(self.costs) else None,
            }
            text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
        # Half a surrogate pair, which UTF-8 cannot hold, is written as JSON writes it.
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
        self.file = path

    def load(self, path: Path, **options: Any) -> None:
        """Go on with a chat that `save` wrote; `options` (layers, system) go over what the file says.

        Raises:
            InputError: the file is not a saved chat.
        """
        try:
            whole = json.loads(path.read_text(encoding="utf-8"))
            messages = [{"role": turn["role"], "content": turn["content"]} for turn in whole["messages"]]
        except (ValueError, KeyError, TypeError) as exc:
            raise InputError(f"{path} is not a saved chat: {exc}") from exc
        roles = [turn["role"] for turn in messages]
        if roles != ["user", "assistant"] * (len(messages) // 2) and roles != ["user"]:
            raise InputError(f"{path} is not a saved chat: user and assistant do not take turns in it.")
        if not all(isinstance(turn["content"], str) for turn in messages):
            raise InputError(f"{path} is not a saved chat: it holds content that is not text.")
        self.change(**{"layers": whole.get("layers"), "system": whole.get("system"), **options})
        self.messages, self.drafts, self.file = messages, list(whole.get("drafts") or []), path
        self.question = next((turn["content"] for turn in reversed(messages) if turn["role"] == "user"), None)
