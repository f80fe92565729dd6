"""JudgeBench: how often a judge chooses the objectively better of two answers, in the publisher's format.

A row has the right order as `label` ("A>B" or "B>A") and one or two `judgments`; the second one has the answers
swapped. Two verdicts count as right if one is right and the other is not wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data import fields
from moa_graph.evals.data.fields import NOT_RECORDED, Once, UnreadableError, identifier
from moa_graph.evals.data.files import Row
from moa_graph.evals.figures import Figures, as_pair, cautions, readable_systems
from moa_graph.evals.stats import fraction_interval

_FLIPPED = {"A>B": "B>A", "B>A": "A>B"}
_GROUPS = {
    "mmlu-pro": "knowledge",
    "livebench-reasoning": "reasoning",
    "livebench-math": "math",
    "livecodebench": "coding",
}
_ENDS = (*_FLIPPED, "A=B")


def judgebench_systems(rows: Sequence[Row]) -> dict[str, Figures]:
    """Return the figures of every judge, and every model whose answers it judged; they are never averaged together.

    Raises:
        InputError: A row is not one of JudgeBench's, or no decision could be read.
    """
    prompts = [fields.name(row.get("judge_name"), f"row {number}", "judge_name") for number, row in enumerate(rows, 1)]
    models = [_judge_model(row) for row in rows]
    # A call that failed has no judgment that names the model.
    only: dict[str, set[str]] = {}
    for prompt, model in zip(prompts, models, strict=True):
        only.setdefault(prompt, set()).update({model} - {""})
    groups: dict[str, list[tuple[int, Row]]] = {}
    for number, (row, prompt, model) in enumerate(zip(rows, prompts, models, strict=True), 1):
        known = next(iter(only[prompt])) if len(only[prompt]) == 1 else model
        about = fields.name(row.get("response_model"), f"row {number}", "response_model")
        name = f"{f'{prompt} {known}'.strip() or 'judge'} on {about or 'JudgeBench'}"
        groups.setdefault(name, []).append((number, row))
    return readable_systems(groups, judgebench_figures, "rows")


def _judge_model(row: Row) -> str:
    """Return the judge's model in the first judgment that names it."""
    judgments = row.get("judgments")
    for each in judgments if isinstance(judgments, list) else ():
        inner = each.get("judgment") if isinstance(each, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get("judge_model"), str):
            return str(inner["judge_model"])
    return ""


def judgebench_figures(rows: Sequence[tuple[int, Row]]) -> Figures:
    """Return the accuracy over all pairs and by kind of task, in percent. A pair that stands twice counts once.

    `consistency` is the share of the pairs judged in both orders whose two decisions are readable and the same.

    Args:
        rows: Rows of one judge with their numbers in the file.

    Raises:
        InputError: A row is not one of JudgeBench's.
        UnreadableError: No decision could be read; the message names the first.
    """
    points: list[tuple[str, float]] = []
    same: list[bool] = []
    unreadable = 0
    first: Any = None
    once = Once()
    for number, row in rows:
        label, judgments = row.get("label"), row.get("judgments")
        if not isinstance(label, str) or label not in _FLIPPED or not isinstance(judgments, list) or not judgments:
            raise InputError(f"row {number} has no `label` with `judgments`: it is not one of JudgeBench's outputs")
        said = [_decision(judgment) for judgment in judgments[:2]]
        name = row.get("pair_id")
        if name is not None and once.repeats(
            identifier(name, f"row {number}", "pair_id"), said, number, f"pair {name}"
        ):
            continue
        ends = [said[0], *(_FLIPPED.get(end or "", end) for end in said[1:])]
        if not any(ends):
            unreadable += 1
            first = first or f"row {number} has the decisions {said}"
        votes = sum((end == label) - (end == _FLIPPED[label]) for end in ends)
        if len(ends) == 2:
            same.append(ends[0] is not None and ends[0] == ends[1])
        points.append((_group(str(row.get("source", ""))), 100.0 * (votes > 0)))
    if unreadable == len(points):
        raise UnreadableError(
            f"no decision could be read: {first or 'there are no rows'}; a decision is A>B, B>A or A=B"
        )
    width = fraction_interval([value for _, value in points], scale=100)
    groups: dict[str, list[float]] = {}
    for group, value in points:
        groups.setdefault(group, []).append(value)
    return {
        "n": len(points),
        "accuracy": sum(value for _, value in points) / len(points),
        "interval": as_pair(width),
        "consistency": sum(same) / len(same) if same else None,
        "duplicates": once.duplicates,
        "parse_failures": unreadable,
        "groups": {name: sum(values) / len(values) for name, values in sorted(groups.items())},
        "cautions": cautions({"interval": width}),
        "notes": [f"pairs without a readable decision: {unreadable}; {first}"] if unreadable else [],
    }


def _decision(judgment: Any) -> str | None:
    end = judgment.get("decision") if isinstance(judgment, dict) else None
    return end if isinstance(end, str) and end in _ENDS else None


def _group(source: str) -> str:
    return next((name for start, name in _GROUPS.items() if source.startswith(start)), source or NOT_RECORDED)
