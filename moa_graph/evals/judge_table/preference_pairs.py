"""Pairs of other publishers in AlpacaFarm's form: an instruction, two outputs, and a preference.

RewardBench and other preference sets have a `chosen` and a `rejected` answer to a prompt, each a text or messages.
JudgeLM's sets have two answers with a score each, and its judges' files the judge's text (`pred_text`) beside them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.fields import brief, question
from moa_graph.evals.data.files import Row

_CHOSEN, _REJECTED = "chosen", "rejected"
_SCORES = ("scores_chosen", "scores_rejected")
_RESULT = "results"
"""RewardBench's names of a judge's scores of the two answers, and of whether it prefers the chosen one."""
_JUDGELM = ("question_body", "answer1_body", "answer2_body")
_TWO_SCORES = re.compile(r"\s*(-?\d+(?:\.\d+)?)[ ,]+(-?\d+(?:\.\d+)?)[^\S\n]*(?:\n|$)")


def as_votes(rows: Sequence[Row], places: Sequence[str], *, judged: bool = False) -> list[Row]:
    """Return rows with `instruction`, `output_1`, `output_2` and `preference`; rows of other forms as they are.

    Args:
        rows: Rows of one form, which the first row decides.
        places: How messages name each row.
        judged: Whether they are a judge's. Such a file has the judge's scores or text beside the fields of the set.

    Raises:
        InputError: A row lacks a text; the message names it.
    """
    for fields, read in (((_CHOSEN, _REJECTED), _of_chosen), (_JUDGELM, _of_judgelm)):
        if rows and rows[0].keys() >= set(fields):
            return [{**row, **read(row, place, judged)} for row, place in zip(rows, places, strict=True)]
    return list(rows)


def _of_chosen(row: Row, where: str, judged: bool) -> Row:
    (before, chosen), (_, rejected) = (_conversation(row.get(name), where, name) for name in (_CHOSEN, _REJECTED))
    given = question(row)
    instruction = given if isinstance(given, str) else before
    if not instruction:
        raise InputError(f"{where} has no text under prompt: it is not a pair of a preference set")
    # If the chosen answer always came first, a judge that always names the first one would agree with everybody. The
    # order must not depend on which one was chosen: another rater's file has it the other way round.
    outputs = sorted((chosen, rejected))
    if hashlib.sha256("\0".join((instruction, *outputs)).encode("utf-8", "surrogatepass")).digest()[0] % 2:
        outputs.reverse()
    right = _of_scores(row) if judged and row.keys() & {*_SCORES, _RESULT} else 1.0
    preference = None if right is None else 2 - right if outputs[0] == chosen else 1 + right
    return {"instruction": instruction, "output_1": outputs[0], "output_2": outputs[1], "preference": preference}


def _of_scores(row: Row) -> float | None:
    """Return 1 where a judge prefers the chosen answer, 0 for the rejected one, 0.5 for a tie; None if unreadable."""
    numbers = [row[name] for name in _SCORES if isinstance(row.get(name), int | float) and row[name] == row[name]]
    if len(numbers) == len(_SCORES):
        return 0.5 if numbers[0] == numbers[1] else float(numbers[0] > numbers[1])
    result = row.get(_RESULT)
    return float(result) if result in (0, 0.5, 1) else None


def _conversation(given: Any, where: str, name: str) -> tuple[str, str]:
    """Return what comes before an answer, and the answer."""
    messages = given if isinstance(given, list) and given else [{"content": given}]
    found = [each.get("content") if isinstance(each, dict) else None for each in messages]
    texts = [text for text in found if isinstance(text, str)]
    if len(texts) < len(found):
        raise InputError(f"{where}: `{name}` is {brief(given)}; it must be one text, or messages with text as content")
    return "\n\n".join(texts[:-1]), texts[-1]


def _of_judgelm(row: Row, where: str, judged: bool) -> Row:
    if missing := [name for name in _JUDGELM if not isinstance(row.get(name), str)]:
        raise InputError(f"{where} has no text under {', '.join(missing)}: it is not one of JudgeLM's pairs")
    instruction, *outputs = (row[name] for name in _JUDGELM)
    # A judge's file keeps the fields of the set, its `score` included.
    scores = _scores_in(row["pred_text"]) if judged and "pred_text" in row else row.get("score")
    return {
        "instruction": instruction,
        "output_1": outputs[0],
        "output_2": outputs[1],
        "preference": _preferred(*scores) if isinstance(scores, list) and len(scores) == 2 else scores,
    }


def _scores_in(text: Any) -> Any:
    """Return the two scores in the first line of a judgment; None where it has no two numbers."""
    found = _TWO_SCORES.match(text) if isinstance(text, str) else None
    return None if found is None else [float(found[1]), float(found[2])]


def _preferred(first: Any, second: Any) -> float | None:
    """Return the preference of two scores; None where one of them could not be read, which JudgeLM marks by -1."""
    numbers = [each for each in (first, second) if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(numbers) < 2 or not all(0 <= each <= 100 for each in numbers):
        return None
    return 1.5 if first == second else 1.0 if first > second else 2.0
