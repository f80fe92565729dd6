"""The grade of one answer: the user's own check, right answers, a command, or a judge."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from moa_graph.costs.budget import ExpectedCall
from moa_graph.costs.tokens import tokens
from moa_graph.errors import InputError
from moa_graph.evals.engine import ItemOutcome
from moa_graph.evals.judge import JUDGE_FRAME
from moa_graph.evals.prompts.questions import OwnPrompt
from moa_graph.evals.prompts.run import PromptsWork
from moa_graph.models.secrets.redaction import one_line

__all__ = ["Check", "Grader", "Grading", "check_of", "distinct"]

Check = Callable[[OwnPrompt, str], Any]
"""`(prompt, text)` to whether the answer is right, or to its score from 0 to 1. It may be async."""


@dataclass(frozen=True)
class Grading:
    """How answers are graded.

    Attributes:
        work: The grading of own prompts: right answers, a check command, judges.
        check: A Python function that replaces all of these.
        judged: Whether a judge rates the answers, so that grades are noisy.
        name: How the grading is named in the report.
    """

    work: PromptsWork
    check: Check | None = None
    judged: bool = False
    name: str = "right answers"


def check_of(given: Callable[..., Any]) -> Check:
    """Return a function of the prompt and the text; one that takes the text alone is wrapped.

    Raises:
        InputError: It takes neither one nor two arguments.
    """
    try:
        signature = inspect.signature(given)
    except (TypeError, ValueError):
        return given
    for many, made in ((2, given), (1, lambda prompt, text: given(text))):
        try:
            signature.bind(*[None] * many)
        except TypeError:
            continue
        return made
    raise InputError(f"check: it must take (prompt, text), or the text alone; {signature} takes neither")


@dataclass
class Grader:
    """Grades answers, each text of a prompt once.

    Attributes:
        grading: How.
        seen: The scores so far, by prompt and text.
        refusal: The last line that the check wrote about an answer that it refused, or the last error that it raised.
        raised: How many answers a Python check raised an error on; they count as wrong.
    """

    grading: Grading
    seen: dict[tuple[str, str], float | None] = field(default_factory=dict)
    refusal: str | None = None
    raised: int = 0

    async def score(self, prompt: OwnPrompt, text: str, done: ItemOutcome) -> float | None:
        """Return the score of an answer, from 0 to 1; None when no verdict could be had or read."""
        place = (prompt.id, text)
        if place not in self.seen:
            self.seen[place] = await self._score(prompt, text, done, repeat=0)
        return self.seen[place]

    def verdict_calls(self, prompt: OwnPrompt, answer_tokens: int) -> list[ExpectedCall]:
        """Return the calls of the judges that rate an answer of so many tokens."""
        work = self.grading.work
        if self.grading.check or not (prompt.criteria or work.criteria):
            return []
        size = tokens(prompt.text) + answer_tokens + JUDGE_FRAME
        return [ExpectedCall(judge.spec, size, answer_tokens) for judge in work.judges]

    async def again(self, prompt: OwnPrompt, text: str, done: ItemOutcome) -> float | None:
        """Return a second verdict on the same answer."""
        return await self._score(prompt, text, done, repeat=1)

    async def _score(self, prompt: OwnPrompt, text: str, done: ItemOutcome, *, repeat: int) -> float | None:
        if self.grading.check is None:
            row = await self.grading.work.graded(prompt, text, done, repeat=repeat)
            if row.get("passed") is False:
                self.refusal = (str(row["check"]).splitlines() or [""])[-1][:200]
            return None if row["score"] is None else float(row["score"])
        try:
            found = self.grading.check(prompt, text)
            if isinstance(found, Awaitable):
                found = await found
        except Exception as error:  # a user's code may raise anything; its answer is wrong, as for `verify`
            self.raised += 1
            self.refusal = one_line(f"{type(error).__name__}: {error}")[:200]
            return 0.0
        return _as_score(found)


def _as_score(found: Any) -> float | None:
    """Return what a check said as a score. A tuple is (passed, score, ...), as the combiner `verify` takes it."""
    if isinstance(found, tuple):
        passed, *rest = found
        found = rest[0] if rest and isinstance(rest[0], int | float) and not isinstance(rest[0], bool) else passed
    if found is None:
        return None
    try:
        value = float(found)
    except (TypeError, ValueError):
        raise InputError(f"check: it returned {found!r}; return True or False, or a score from 0 to 1") from None
    if not 0 <= value <= 1:
        raise InputError(f"check: it returned the score {value:g}; scores are from 0 to 1")
    return value


def distinct(prompts: Sequence[OwnPrompt]) -> tuple[list[OwnPrompt], int]:
    """Return the prompts without repeated conversations, and how many were left out.

    The same conversation twice would count the same evidence twice.
    """
    found: dict[Any, OwnPrompt] = {}
    for prompt in prompts:
        found.setdefault(replace(prompt, id="", tags=()), prompt)
    return list(found.values()), len(prompts) - len(found)
