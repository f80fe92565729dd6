"""A recorded set: drafts, or final answers, of several models on the same questions, with what is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from moa_graph.errors import InputError
from moa_graph.evals.prompts.questions import OwnPrompt
from moa_graph.evals.tune.samples import GradedDraft, Samples
from moa_graph.mixture.answers import AnswerReader

__all__ = ["RecordedSet"]


@dataclass(frozen=True)
class RecordedSet:
    """A recorded set.

    Attributes:
        name: Its name.
        prompts: The questions that every model has an answer to.
        models: The models' names.
        rows: The drafts by model, question and number.
        reader: How a final answer is read.
        texts: Whether the drafts are whole texts, not final answers alone.
        judges: Scores of the drafts that each judge gave side by side, by judge and question; None where it gave none.
        dropped: Questions that were left out, because a model has no answer to them.
        repeated: Rows with further drafts of a model that has one in an earlier row.
        picks: The published choices by question: a model's place, and which of its drafts.
    """

    name: str
    prompts: list[OwnPrompt]
    models: list[str]
    rows: list[list[list[GradedDraft]]]
    reader: AnswerReader
    texts: bool
    judges: Mapping[str, Mapping[str, Sequence[float | None]]]
    dropped: int = 0
    repeated: int = 0
    picks: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def samples(self) -> Samples:
        """The drafts as tables."""
        return Samples.of(self.models, [prompt.id for prompt in self.prompts], self.rows, self.reader)

    def score(self, prompt: OwnPrompt, text: str) -> float:
        """Return the recorded grade of a draft, whatever white space was cleaned off it; else compare with `gold`.

        Raises:
            InputError: The text is not one of the drafts, and the question has no right answer.
        """
        graded = self._grades.get((prompt.id, _bare(text)))
        if graded is not None:
            return graded
        if not prompt.gold:
            raise InputError(f"{self.name}: nothing says whether an answer to {prompt.id} is right")
        from moa_graph.evals.prompts.grade import is_right

        return float(is_right(text, prompt.gold, prompt.match, options=prompt.options))

    def place(self, message: str) -> int | None:
        """Return the place of the question that a message is, or begins with; None for another one."""
        if (whole := self._places.get(message)) is not None:
            return whole
        begun = [(len(text), place) for text, place in self._places.items() if message.startswith(text)]
        return max(begun)[1] if begun else None

    @cached_property
    def _places(self) -> dict[str, int]:
        return {prompt.text: place for place, prompt in enumerate(self.prompts)}

    @cached_property
    def _grades(self) -> dict[tuple[str, str], float | None]:
        return {
            (prompt.id, _bare(each.text)): each.score
            for model in self.rows
            for prompt, drafts in zip(self.prompts, model, strict=True)
            for each in drafts
        }


def _bare(text: str) -> str:
    return "".join(text.split())
