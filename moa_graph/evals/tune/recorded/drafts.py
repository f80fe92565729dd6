"""A file of recorded drafts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row
from moa_graph.evals.prompts.grade import Match, check_gold, is_right
from moa_graph.evals.prompts.questions import OwnPrompt
from moa_graph.evals.tune.recorded.recorded_set import RecordedSet
from moa_graph.evals.tune.recorded.rows import as_text, gold_of, is_copy
from moa_graph.evals.tune.samples import GradedDraft, best_reader
from moa_graph.mixture.answers import AnswerReader
from moa_graph.models.reply.thoughts import clean
from moa_graph.state import new_usage

__all__ = ["LABELS", "read_drafts"]

_YES = ("true", "t", "yes", "y", "correct", "right", "pass", "passed", "1", "1.0")
_NO = ("false", "f", "no", "n", "incorrect", "wrong", "fail", "failed", "0", "0.0")
LABELS = dict.fromkeys(_YES, 1.0) | dict.fromkeys(_NO, 0.0)
"""Grades as words."""
MISSING = "it is not recorded"
NO_ANSWER = "it has thoughts or white space alone"
_OTHER_WAYS: tuple[Match, ...] = ("number", "choice")
_MOST_SECONDS = 1e9
_GRADED_BY = 2000
"""Drafts that decide how drafts without a grade are compared."""


@dataclass
class _Question:
    """A question with its drafts by model, and each judge's scores of the first drafts by model.

    `pick` is the published choice: a model, and which of its drafts. `rows` are its rows.
    """

    prompt: OwnPrompt
    drafts: dict[str, list[GradedDraft]] = field(default_factory=dict)
    judges: dict[str, dict[str, float | None]] = field(default_factory=dict)
    pick: tuple[str, int] | None = None
    rows: list[Row] = field(default_factory=list)


def read_drafts(path: Path, rows: Sequence[Row], places: Sequence[str] = ()) -> RecordedSet:
    """Return the set of the rows of a file or of a folder.

    Args:
        path: The file or folder.
        rows: The rows, in the form of `as_drafts`.
        places: How messages name each row; as a row of the file if left out.

    Raises:
        InputError: A row is malformed, or there is no question that every model has a draft for.
    """
    match = _best_match(rows)
    places = places or [f"{path}, row {number}" for number in range(1, len(rows) + 1)]
    found, repeated = _questions(rows, places, match)
    models = list(dict.fromkeys(model for each in found for model in each.drafts))
    whole = [each for each in found if all(model in each.drafts for model in models)]
    if not whole:
        raise InputError(f"{path}: no question has a draft of every model. Models: {', '.join(models)}")
    table = [[each.drafts[model] for each in whole] for model in models]
    prompts = [each.prompt for each in whole]
    judges: dict[str, dict[str, Sequence[float | None]]] = {}
    for each in whole:
        for judge, scores in each.judges.items():
            judges.setdefault(judge, {})[each.prompt.id] = [scores[model] for model in models]
    reader = best_reader(table, [prompt.gold for prompt in prompts], AnswerReader())
    # A judge counts where it judged every question.
    judges = {judge: scores for judge, scores in judges.items() if len(scores) == len(whole)}
    picks = {each.prompt.id: (models.index(each.pick[0]), each.pick[1]) for each in whole if each.pick}
    dropped = len(found) - len(whole)
    return RecordedSet(path.name, prompts, models, table, reader, True, judges, dropped, repeated, picks)


def _best_match(rows: Sequence[Row]) -> Match:
    """Return how drafts without a grade are compared with right answers: the way by which most of them are right."""
    ungraded = [
        (str(draft["text"]), gold)
        for row in rows
        for draft in (row["drafts"] if isinstance(row.get("drafts"), list) else ())
        if isinstance(draft, dict) and draft.get("text") and draft.get("correct") is None
        if isinstance(gold := row.get("gold"), str | int | float | list)
    ]
    texts = [(text, gold_of(gold, "")) for text, gold in ungraded[:_GRADED_BY] if _plain(gold)]
    kinds: list[Match] = ["final", *(kind for kind in _OTHER_WAYS if texts and _comparable(kind, texts))]
    return max(kinds, key=lambda kind: sum(is_right(text, gold, kind) for text, gold in texts))


def _plain(gold: Any) -> bool:
    return all(isinstance(each, str | int | float) for each in (gold if isinstance(gold, list) else [gold]))


def _comparable(kind: Match, texts: Sequence[tuple[str, Sequence[str]]]) -> bool:
    """Return whether all right answers are numbers, for `number`, or letters, for `choice`."""
    try:
        for _, gold in texts:
            check_gold(kind, gold, "")
    except InputError:
        return False
    return True


def _questions(rows: Sequence[Row], places: Sequence[str], match: Match) -> tuple[list[_Question], int]:
    """Return the questions in order, and how many rows repeat a model's answer to one."""
    found: dict[str, _Question] = {}
    ids: set[str] = set()
    repeated = 0
    for number, (row, where) in enumerate(zip(rows, places, strict=True), 1):
        prompt = _prompt(row, number, where, match)
        known = found.get(prompt.text)
        if known is None:
            # Ids may begin again, such as for every subject.
            name = prompt.id if prompt.id not in ids else f"{prompt.id} (row {number})"
            known = found[prompt.text] = _Question(replace(prompt, id=name))
            ids.add(name)
        elif known.prompt.gold != prompt.gold:
            raise InputError(f"{where}: its question is that of {known.prompt.id}, but `gold` is another one")
        repeated += _add(known, row, where)
    return list(found.values()), repeated


def _add(question: _Question, row: Row, where: str) -> bool:
    """Add a row's drafts, and verdicts on them, to its question; return whether a model had one already."""
    drafts = row.get("drafts")
    if not isinstance(drafts, list) or not drafts or not all(isinstance(each, dict) for each in drafts):
        raise InputError(f"{where}: `drafts` must be a list of objects, one or more")
    names = []
    new: dict[str, list[GradedDraft]] = {}
    for draft in drafts:
        name = draft.get("model")
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{where}: every draft must name its `model`")
        names.append(name.strip())
        new.setdefault(names[-1], []).append(_draft(draft, question.prompt, where))
    repeats = any(name in question.drafts for name in new)
    own = row.get("row", row)
    if is_copy(own, question.rows, len(drafts)):
        return repeats
    question.rows.append(own)
    for name, each in new.items():
        question.drafts.setdefault(name, []).extend(each)
    for judge, scores in _verdicts(row, names, where).items():
        question.judges.setdefault(judge, scores)
    question.pick = question.pick or _pick(row, names, where)
    return repeats


def _pick(row: Row, names: Sequence[str], where: str) -> tuple[str, int] | None:
    """Return the published choice: a model, and which of its drafts in the row."""
    place = row.get("published_pick")
    if place is None:
        return None
    if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(names):
        raise InputError(f"{where}: `published_pick` must be a draft's number from 0 to {len(names) - 1}: {place!r}")
    return names[place], names[:place].count(names[place])


def _verdicts(row: Row, names: Sequence[str], where: str) -> dict[str, dict[str, float | None]]:
    given = row.get("scores_side_by_side") or {}
    if not isinstance(given, Mapping):
        raise InputError(f"{where}: `scores_side_by_side` must be an object: a judge's scores by its name")
    found = {}
    for judge, scores in given.items():
        if scores is None:
            continue
        listed = [scores.get(name) for name in names] if isinstance(scores, Mapping) else scores
        if not isinstance(listed, list) or len(listed) != len(names):
            raise InputError(f"{where}: `scores_side_by_side` of {judge} must be one number for each of the drafts")
        numbers = [_score(score, f"{where}: `scores_side_by_side` of {judge}") for score in listed]
        # Of a model's drafts the first one is judged beside the others'.
        found[str(judge)] = dict(reversed(list(zip(names, numbers, strict=True))))
    return found


def _score(given: Any, where: str) -> float | None:
    """Return a judge's score from 0 to 10; None where the judge gave none."""
    if given is None or given != given:
        return None
    try:
        score = float(given) if isinstance(given, str | int | float) and not isinstance(given, bool) else -1.0
    except ValueError:
        score = -1.0
    if not 0 <= score <= 10:
        raise InputError(f"{where} must be numbers from 0 to 10, or null; it has {given!r}")
    return score


def _draft(draft: Mapping[str, Any], prompt: OwnPrompt, where: str) -> GradedDraft:
    text = draft.get("text")
    if text is None or text == "":
        return GradedDraft("", 0.0, 0.0, error=MISSING)
    if isinstance(text, int | float):
        text = as_text(text)
    if not isinstance(text, str):
        raise InputError(f"{where}: a draft's `text` must be text, or null for a draft that is missing")
    whole, text = text, clean(text)
    if not text:
        return GradedDraft("", 0.0, 0.0, error=NO_ANSWER)
    usage = new_usage(len(prompt.text) // 4, len(whole) // 4)
    seconds = draft.get("seconds")
    # A number that no clock gives counts as unknown, as text does.
    took = float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < _MOST_SECONDS else 0.0
    return GradedDraft(text, _grade(draft, text, prompt, where), 0.0, took, usage)


def _grade(draft: Mapping[str, Any], text: str, prompt: OwnPrompt, where: str) -> float:
    right = draft.get("correct")
    right = draft.get("score") if right is None else right
    if right is None:
        if not prompt.gold:
            raise InputError(f"{where}: a draft has no `correct`, and the row has no `gold`")
        return float(is_right(text, prompt.gold, prompt.match, options=prompt.options))
    if isinstance(right, str):
        right = LABELS.get(right.strip().casefold(), right)
    if not isinstance(right, bool | int | float) or not 0 <= right <= 1:
        raise InputError(f"{where}: `correct` must be true, false or a score from 0 to 1; it is {right!r}")
    return float(right)


def _prompt(row: Row, number: int, where: str, match: Match) -> OwnPrompt:
    name = as_text(number if row.get("id") is None else row["id"])
    texts = (row.get(field) for field in ("prompt", "question", "problem"))
    text = next((text for text in texts if isinstance(text, str) and text.strip()), f"Question {name}")
    return OwnPrompt(name, (("user", text),), gold_of(row.get("gold", row.get("answer")), where), match)
