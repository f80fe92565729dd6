"""Rows of published question sets in the form of own prompts."""

from __future__ import annotations

import random
from collections.abc import Sequence

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row
from moa_graph.evals.prompts.options import GOLD, lettered
from moa_graph.mixture.answers import boxed

OF_GPQA = "Correct Answer"
"""A field that only GPQA has."""
_WRONG = tuple(f"Incorrect Answer {number}" for number in (1, 2, 3))
_FILLER = "N/A"
"""What MMLU-Pro's first revisions fill the list of options with."""


def as_prompts(rows: Sequence[Row], source: str) -> list[Row]:
    """Return rows of published sets as rows of own prompts: GPQA, MATH, SQuAD, MMLU, MMLU-Pro and others with options.

    GPQA's options get the order that OpenAI's simple-evals gives them, so that figures can be compared.

    Raises:
        InputError: A row of GPQA lacks its question or an option, or options cannot be read.
    """
    if rows and OF_GPQA in rows[0]:
        draw = random.Random(0)
        return [_of_gpqa(row, draw.sample(range(4), 4), f"{source}, row {n}") for n, row in enumerate(rows, 1)]
    return [lettered(_with_gold(_without_filler(row)), f"{source}, row {n}") for n, row in enumerate(rows, 1)]


def _of_gpqa(row: Row, order: Sequence[int], where: str) -> Row:
    fields = ("Question", OF_GPQA, *_WRONG)
    if missing := [name for name in fields if not (isinstance(row.get(name), str) and row[name].strip())]:
        raise InputError(f"{where} has no {', '.join(missing)}: it is not a row of GPQA")
    question, *options = (row[name].strip() for name in fields)
    domain = row.get("High-level domain")
    return {
        **({"id": row["Record ID"]} if row.get("Record ID") else {}),
        "prompt": question,
        "options": [options[place] for place in order],
        "gold": "ABCD"[list(order).index(0)],
        "tags": [domain] if domain else [],
        "confidential": True,
    }


def _without_filler(row: Row) -> Row:
    options = row.get("options")
    if not isinstance(options, list) or _FILLER not in options[2:]:
        return row
    kept = list(options)
    while len(kept) > 2 and kept[-1] == _FILLER:
        kept.pop()
    return {**row, "options": kept}


def _with_gold(row: Row) -> Row:
    """Return a row with the right answers of SQuAD's `answers`, or the one in the last box of MATH's `solution`."""
    answers, solution = row.get("answers"), row.get("solution")
    if isinstance(answers, dict) and "answer_start" in answers:
        gold = answers.get("text")
    else:
        gold = boxed(solution) if isinstance(solution, str) else None
    return {**row, "gold": gold} if gold and all(row.get(name) in (None, "") for name in GOLD) else row
