"""The drafts that everything is computed from: k of each model for each prompt, graded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from moa_graph.evals.tune.likeness import Likeness
from moa_graph.mixture.answers import AnswerReader, key
from moa_graph.mixture.equal_answers import normalized
from moa_graph.state import Usage

__all__ = ["SHORT", "Floats", "GradedDraft", "Ints", "Rows", "Samples", "best_reader", "known_mean", "readable"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Rows = Sequence[Sequence[Sequence["GradedDraft"]]]
"""Drafts by model, prompt and number."""

SHORT = 60
"""Characters up to which an answer is taken to be one that can be counted in a vote."""


@dataclass(frozen=True)
class GradedDraft:
    """One draft of one model.

    Attributes:
        text: The draft; empty when there is none.
        score: Its grade from 0 to 1; None when it could not be graded. A draft that is missing scores 0.
        cost: Dollars at today's prices; None when unknown.
        seconds: How long the call took.
        usage: Its tokens; None when unknown.
        error: Why there is no draft.
    """

    text: str
    score: float | None
    cost: float | None = 0.0
    seconds: float = 0.0
    usage: Usage | None = None
    error: str | None = None


@dataclass(frozen=True)
class Samples:
    """All drafts as tables of shape (models, prompts, depth). Where a model has fewer drafts, the rest is nan or -1.

    Attributes:
        models: The models' names.
        prompts: The prompts' names.
        scores: Grades from 0 to 1; nan where a grade is missing.
        answers: Final answers as numbers, equal ones of a prompt having the same; -1 where none can be read.
        costs: Dollars; infinite where the price is unknown.
        tokens: Tokens sent and received; infinite where unknown.
        seconds: Seconds.
        sizes: Characters.
        counts: How many drafts each model has on every prompt.
        votable: Whether the final answers are short enough to be counted.
        reader: How a final answer is read.
        rows: The drafts themselves, by model, prompt and number.
    """

    models: Sequence[str]
    prompts: Sequence[str]
    scores: Floats
    answers: Ints
    costs: Floats
    tokens: Floats
    seconds: Floats
    sizes: Ints
    counts: Sequence[int]
    votable: bool = True
    reader: AnswerReader = field(default_factory=AnswerReader)
    rows: Rows = ()

    @classmethod
    def of(cls, models: Sequence[str], prompts: Sequence[str], rows: Rows, reader: AnswerReader) -> Samples:
        """Return the tables of drafts.

        Args:
            models: The models' names.
            prompts: The prompts' names.
            rows: The drafts by model, prompt and number.
            reader: How a final answer is read.
        """
        firsts = [each.text for model in rows for drafts in model for each in drafts[:1] if each.text]
        return cls(
            models,
            prompts,
            scores=_table(rows, lambda each: np.nan if each.score is None else each.score),
            answers=_answers(rows, reader),
            costs=_table(rows, lambda each: 0.0 if each.error else np.inf if each.cost is None else each.cost),
            tokens=_table(rows, lambda each: 0.0 if each.error else _size(each.usage)),
            seconds=_table(rows, lambda each: each.seconds),
            sizes=np.nan_to_num(_table(rows, lambda each: len(each.text))).astype(np.int64),
            counts=[min(map(len, model), default=0) for model in rows],
            votable=readable(firsts, reader),
            reader=reader,
            rows=rows,
        )

    @cached_property
    def likeness(self) -> Likeness:
        """How alike the drafts of each prompt are."""
        return Likeness([[[each.text for each in drafts] for drafts in model] for model in self.rows])

    @property
    def depth(self) -> int:
        """Drafts per model and prompt, at most."""
        return int(self.scores.shape[2])

    @property
    def longest(self) -> int:
        """Tokens of the longest draft; 0 when no usage is known."""
        usages = (each.usage for model in self.rows for drafts in model for each in drafts)
        return max((usage["output_tokens"] for usage in usages if usage), default=0)

    @property
    def missing(self) -> int:
        """Drafts that failed."""
        return sum(bool(each.error) for model in self.rows for drafts in model for each in drafts)

    @property
    def ungraded(self) -> int:
        """Drafts without a grade."""
        return sum(each.score is None for model in self.rows for drafts in model for each in drafts)


def known_mean(table: Floats, axis: int) -> Floats:
    """Return means along an axis without entries that are nan; nan where nothing else is."""
    known = ~np.isnan(table)
    counts = known.sum(axis=axis)
    sums = np.where(known, table, 0.0).sum(axis=axis)
    means: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means


def _table(rows: Rows, value: Callable[[GradedDraft], float]) -> Floats:
    depth = max((len(drafts) for model in rows for drafts in model), default=0)
    table = np.full((len(rows), len(rows[0]) if rows else 0, depth), np.nan)
    for m, model in enumerate(rows):
        for p, drafts in enumerate(model):
            table[m, p, : len(drafts)] = [value(each) for each in drafts]
    return table


def _size(usage: Usage | None) -> float:
    return np.inf if usage is None else float(usage["input_tokens"] + usage["output_tokens"])


def _answers(rows: Rows, reader: AnswerReader) -> Ints:
    known: dict[tuple[int, str], int] = {}

    def number(prompt: int, text: str) -> int:
        found = key(text, reader) if text else None
        return -1 if found is None else known.setdefault((prompt, found), len(known))

    depth = max((len(drafts) for model in rows for drafts in model), default=0)
    table = np.full((len(rows), len(rows[0]) if rows else 0, depth), -1, dtype=np.int64)
    for m, model in enumerate(rows):
        for p, drafts in enumerate(model):
            table[m, p, : len(drafts)] = [number(p, each.text) for each in drafts]
    return table


_TRIED = tuple(AnswerReader(read=kind) for kind in ("final", "number", "choice", "last_line"))


def best_reader(rows: Rows, golds: Sequence[Sequence[str]], otherwise: AnswerReader) -> AnswerReader:
    """Return the way of reading final answers under which they equal a right answer exactly where the grade is full.

    Args:
        rows: The drafts.
        golds: The right answers of every prompt; none where it has none.
        otherwise: The reader for prompts without right answers, and the one to prefer.
    """
    graded = [
        (each.text, each.score == 1, {normalized(gold) for gold in golds[p]})
        for model in rows
        for p, drafts in enumerate(model)
        for each in drafts[:1]
        if each.text and each.score is not None and golds[p]
    ]

    def agrees(reader: AnswerReader) -> int:
        return sum((key(text, reader) in right) == full for text, full, right in graded)

    return max((otherwise, *_TRIED), key=agrees) if graded else otherwise


def readable(texts: Sequence[str], reader: AnswerReader) -> bool:
    """Return whether most of the texts end in a short final answer."""
    found = [len(answer) for text in texts if (answer := key(text, reader))]
    return len(found) > len(texts) / 2 and float(np.median(found)) <= SHORT
