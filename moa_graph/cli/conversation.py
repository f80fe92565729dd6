"""A conversation with a mixture: its turns, its settings and its log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moa_graph.cli.log import Log
from moa_graph.cli.output.export import write_text
from moa_graph.cli.run import Answered, Interrupted, View, ask, streams
from moa_graph.costs.amounts import number_of
from moa_graph.errors import InputError, MoAError
from moa_graph.mixture.context import MoAContext, settings
from moa_graph.mixture.files import is_preset
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.own_presets import resolve
from moa_graph.state import cost_of

if TYPE_CHECKING:
    from moa_graph.state import Draft, Record

Turn = dict[str, str]
_SHORT_QUESTION = "What is the capital of France?"
"""Priced in the chat's first line, after the conversation so far."""


class Conversation:
    """The state of a chat.

    Attributes:
        mixture: The mixture that answers.
        name: What it is called on the screen.
        source: The preset or the file, from which `--continue` makes it again.
        messages: Questions and the answers that were shown; never a draft.
        drafts: The drafts of the last question, also if it failed or was interrupted.
        question: The last question; None before the first.
        costs: The cost of every question in dollars; None if unknown.
        record: The record of the last question that was answered.

    Raises:
        ConfigError: The mixture does not support the given number of layers.
    """

    def __init__(self, mixture: Mixture, *, raw: bool = False, name: str | None = None, **options: Any) -> None:
        self.mixture, self.wanted = mixture, MoAContext(stream_answer=streams())
        self._call(name or mixture.name or mixture.hash)
        self.change(**options)
        self.raw = raw
        self.log = Log.open()
        self.id = self.log.last_conversation(continued=False).id
        self.messages: list[Turn] = []
        self.drafts: list[Draft] = []
        self.question: str | None = None
        self.costs: list[float | None] = []
        self.record: Record | None = None
        self.file: Path | None = None

    def _call(self, name: str) -> None:
        file = None if is_preset(name) else Path(name)
        self.name, self.source = (file.name, str(file.absolute())) if file else (name, name)

    def resume(self) -> None:
        """Continue the last conversation of the log.

        Raises:
            InputError: The log is empty.
        """
        self.id, self.messages = self.log.last_conversation(continued=True)
        for last in self.log.entries(conversation=self.id)[-1:]:
            self.drafts, self.question = last.drafts, last.question

    def ask(self, question: str) -> Answered:
        """Ask `question`. If it fails, the history is unchanged and `drafts` has its drafts.

        Raises:
            MoAError: There is no answer.
            Interrupted: The run was interrupted or terminated.
        """
        asked = [*self.messages, {"role": "user", "content": question}]
        self.question, self.drafts = question, []
        view = View(raw=self.raw)
        try:
            result = ask(self.mixture, asked, self.wanted, view)
        except (MoAError, Interrupted) as exc:
            self.drafts = list(exc.drafts)
            partial = getattr(exc, "answer", "")
            self.log.add(self.id, self.source, question, partial or None, self.drafts, None, failed=exc)
            self.costs.append(cost_of([*exc.drafts, *exc.notes], beside=exc.cost))
            raise
        self.messages = [*asked, {"role": "assistant", "content": result.answer}]
        self.drafts = result.drafts
        self.costs.append(result.record["cost"])
        self.record = result.record
        self.log.add(self.id, self.source, question, result.answer, result.drafts, result.record)
        view.end(result)
        return result

    def undo(self) -> str | None:
        """Remove the last question and its answer, also from what `--continue` continues; return the question."""
        question = self._take_back()
        if question is not None:
            self.log.set_aside(self.id, question)
        return question

    def retry(self, question: str) -> None:
        """Ask `question` again, in place of the last answer if that answers it. If it fails, the answer stays.

        Raises:
            MoAError: The run failed.
            Interrupted: The run was interrupted or terminated.
        """
        before = self.messages
        again = question == next((turn["content"] for turn in reversed(before) if turn["role"] == "user"), None)
        if again:
            self._take_back()
        try:
            self.ask(question)
        except BaseException:
            self.messages = before
            raise
        if again:
            self.log.set_aside(self.id, question, newer=1)

    def _take_back(self) -> str | None:
        last = max((n for n, turn in enumerate(self.messages) if turn["role"] == "user"), default=None)
        if last is None:
            return None
        question = self.messages[last]["content"]
        self.messages = self.messages[:last]
        return question

    def change(self, mixture: Mixture | None = None, **fields: Any) -> None:
        """Set another mixture or other settings. If they do not fit together, nothing changes.

        Raises:
            ConfigError: They do not fit together.
        """
        mixture = mixture or self.mixture
        wanted = MoAContext(**{**self.wanted.model_dump(), **fields})
        settings(mixture, wanted)
        self.mixture, self.wanted = mixture, wanted

    def use(self, name: str) -> None:
        """Switch to another mixture: a preset's name or a mixture file."""
        self.change(Mixture.load(resolve(name)))
        self._call(name)

    def about(self) -> str:
        """Return one line: the models, the calls per question, and the cost of a short question."""
        from langchain_core.messages.utils import convert_to_messages

        from moa_graph.costs.budget import estimate

        run = settings(self.mixture, self.wanted)
        expected = estimate(run, convert_to_messages([*self.messages, {"role": "user", "content": _SHORT_QUESTION}]))
        calls = number_of(expected.calls, "call")
        drafting = list(dict.fromkeys(spec.label for spec in self.mixture.specs[: len(self.mixture.plan.nodes)]))
        models = f"{', '.join(drafting)}; aggregator {run.aggregator.label}"
        return f"{self.name}: {models}. One question: {calls}, {expected.money}."

    def save(self, path: Path) -> None:
        """Write the conversation: .md to read it, any other ending as JSON to load it again."""
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
        write_text(path, text)
        self.file = path

    def load(self, path: Path, **options: Any) -> None:
        """Continue a chat that was written with `save`. `options` (layers, system) override the file.

        Raises:
            InputError: The file is not a saved chat.
        """
        try:
            whole = json.loads(path.read_text(encoding="utf-8-sig"))
            messages = [{"role": turn["role"], "content": turn["content"]} for turn in whole["messages"]]
        except OSError as exc:
            raise InputError(f"{path}: {exc.strerror}.") from exc
        except (ValueError, RecursionError) as exc:
            raise InputError(f"{path} is not a saved chat: it is not JSON, or nested too deeply.") from exc
        except (KeyError, TypeError) as exc:
            raise InputError(f"{path} is not a saved chat: it has no list of messages.") from exc
        roles = [turn["role"] for turn in messages]
        if roles != ["user", "assistant"] * (len(messages) // 2) and roles != ["user"]:
            raise InputError(f"{path} is not a saved chat: user and assistant must take turns.")
        if not all(isinstance(turn["content"], str) for turn in messages):
            raise InputError(f"{path} is not a saved chat: it has content that is not text.")
        self.change(**{"layers": whole.get("layers"), "system": whole.get("system"), **options})
        self.id = self.log.last_conversation(continued=False).id
        self.messages, self.drafts, self.file = messages, list(whole.get("drafts") or []), path
        self.question = next((turn["content"] for turn in reversed(messages) if turn["role"] == "user"), None)
