"""Rows of published question sets in the form of own prompts."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row

_RIGHT = "Correct Answer"
_WRONG = tuple(f"Incorrect Answer {number}" for number in (1, 2, 3))
GOLD = ("gold", "answer", "expected", "target", "ideal", "answerKey")
"""Names of the right answer."""
_FILLER = "N/A"
"""What MMLU-Pro's first revisions fill the list of options with."""


def as_prompts(rows: Sequence[Row], source: str) -> list[Row]:
    """Return rows of published sets as rows of own prompts: GPQA, MMLU, MMLU-Pro, ARC and others with options.

    GPQA's options get the order that OpenAI's simple-evals gives them, so that figures can be compared.

    Raises:
        InputError: A row of GPQA lacks its question or an option.
    """
    if rows and _RIGHT in rows[0]:
        draw = random.Random(0)
        return [_of_gpqa(row, draw.sample(range(4), 4), f"{source}, row {n}") for n, row in enumerate(rows, 1)]
    return [_lettered(_without_filler(row)) for row in rows]


def _of_gpqa(row: Row, order: Sequence[int], where: str) -> Row:
    fields = ("Question", _RIGHT, *_WRONG)
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


def _lettered(row: Row) -> Row:
    """Return a row with a list of `options` and the letter of the right one as `gold`.

    Options may be a list, texts beside labels (ARC), or texts by label; the right one may be named by its label, its
    text, or, as in MMLU's `choices`, its place from 0. A row of another form is returned as it is.
    """
    given = row.get("options", row.get("choices"))
    if isinstance(given, dict):
        beside = isinstance(given.get("text"), list) and isinstance(given.get("label"), list)
        texts, labels = (given["text"], given["label"]) if beside else (list(given.values()), list(given))
    else:
        texts = given if isinstance(given, list) else []
        labels = list(string.ascii_uppercase[: len(texts)])
    if not 1 < len(texts) == len(labels) <= len(string.ascii_uppercase) or not all(isinstance(t, str) for t in texts):
        return row
    right = next((row[name] for name in GOLD if row.get(name) not in (None, "")), None)
    place = _place(right, texts, list(map(str, labels)), by_number="choices" in row)
    return {**row, "options": texts, **({} if place is None else {"gold": string.ascii_uppercase[place]})}


def _place(right: object, texts: Sequence[str], labels: Sequence[str], *, by_number: bool) -> int | None:
    if isinstance(right, int) and not isinstance(right, bool):
        return right if by_number and 0 <= right < len(texts) else None
    if not isinstance(right, str):
        return None
    names = (labels, [text.strip() for text in texts])
    return next((each.index(right.strip()) for each in names if each.count(right.strip()) == 1), None)


def _without_filler(row: Row) -> Row:
    options = row.get("options")
    if not isinstance(options, list) or _FILLER not in options[2:]:
        return row
    kept = list(options)
    while len(kept) > 2 and kept[-1] == _FILLER:
        kept.pop()
    return {**row, "options": kept}
