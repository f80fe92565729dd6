"""Recorded sets: drafts, or final answers, of several models on the same questions, with what is right.

A set of drafts is a file, one question a line:

    {"id": 0, "question": "...", "prompt": "...", "gold": "22",
     "drafts": [{"model": "...", "text": "...", "correct": true}, ...],
     "scores_side_by_side": {"MODEL": [3.0, 1.0, ...], ...}}

A set of answers is a folder with a file for each model, one question a line:

    {"id": 0, "gold": "33", "answers": ["33", "12", ...], "tokens": [4039, 6954, ...]}

Any file or folder of these forms is read, also gzipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row, read_rows
from moa_graph.evals.prompts.questions import OwnPrompt
from moa_graph.evals.tune.samples import GradedDraft, Samples, best_reader
from moa_graph.mixture.answers import AnswerReader
from moa_graph.state import new_usage

__all__ = ["RecordedSet", "read_recorded"]

_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz")


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
        judges: Scores of the drafts that each judge gave side by side, by judge and question.
        dropped: Questions that were left out, because a model has no answer to them.
    """

    name: str
    prompts: list[OwnPrompt]
    models: list[str]
    rows: list[list[list[GradedDraft]]]
    reader: AnswerReader
    texts: bool
    judges: Mapping[str, Mapping[str, Sequence[float]]]
    dropped: int = 0

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

        return float(is_right(text, prompt.gold, prompt.match))

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


def read_recorded(path: Path) -> RecordedSet:
    """Read a file of drafts or a folder of answers.

    Raises:
        InputError: The path is neither, or a row is malformed; the message names it.
    """
    if path.is_dir():
        return _answers(path)
    rows = read_rows(path)
    if not rows:
        raise InputError(f"{path} is empty")
    if "drafts" not in rows[0]:
        raise InputError(f"{path}, row 1: no `drafts`. A set of final answers is a folder with a file for each model")
    return _drafts(path, rows)


def is_recorded(path: Path) -> bool:
    """Return whether a path holds a recorded set and not prompts alone."""
    if path.is_dir():
        return True
    rows = read_rows(path)
    return bool(rows) and "drafts" in rows[0]


def _drafts(path: Path, rows: Sequence[Row]) -> RecordedSet:
    models = [str(draft.get("model", "")) for draft in _list(rows[0], "drafts", f"{path}, row 1")]
    if len(set(models)) < len(models) or not all(models):
        raise InputError(f"{path}, row 1: every draft must name its model, each another one")
    prompts, table = [], [[] for _ in models]  # type: ignore[var-annotated]
    judges: dict[str, dict[str, Sequence[float]]] = {}
    for number, row in enumerate(rows, 1):
        where = f"{path}, row {number}"
        drafts = _list(row, "drafts", where)
        if [str(draft.get("model", "")) for draft in drafts] != models:
            raise InputError(f"{where}: its models are not those of row 1, in that order")
        prompt = _prompt(row, number, where)
        prompts.append(prompt)
        for m, draft in enumerate(drafts):
            table[m].append([_draft(draft, prompt, where)])
        for judge, scores in (row.get("scores_side_by_side") or {}).items():
            judges.setdefault(judge, {})[prompt.id] = scores
    reader = best_reader(table, [prompt.gold for prompt in prompts], AnswerReader())
    return RecordedSet(_name(path), prompts, models, table, reader, True, judges)


def _draft(draft: Mapping[str, Any], prompt: OwnPrompt, where: str) -> GradedDraft:
    text, right = draft.get("text"), draft.get("correct", draft.get("score"))
    if not isinstance(text, str):
        raise InputError(f"{where}: a draft's `text` must be text")
    if right is None:
        from moa_graph.evals.prompts.grade import is_right

        if not prompt.gold:
            raise InputError(f"{where}: a draft has no `correct`, and the row has no `gold`")
        right = is_right(text, prompt.gold, prompt.match)
    if not isinstance(right, bool | int | float) or not 0 <= right <= 1:
        raise InputError(f"{where}: `correct` must be true, false or a score from 0 to 1")
    usage = new_usage(len(prompt.text) // 4, len(text) // 4)
    return GradedDraft(text, float(right), 0.0, float(draft.get("seconds") or 0.0), usage)


def _prompt(row: Row, number: int, where: str) -> OwnPrompt:
    text = next((row[name] for name in ("prompt", "question", "problem") if isinstance(row.get(name), str)), None)
    gold = row.get("gold", row.get("answer"))
    if isinstance(gold, bool) or not isinstance(gold, str | int | float | None):
        raise InputError(f"{where}: `gold` must be text or a number")
    name = str(row.get("id", number))
    return OwnPrompt(name, (("user", text or f"Question {name}"),), () if gold is None else (str(gold),))


def _answers(folder: Path) -> RecordedSet:
    files = sorted(path for path in folder.iterdir() if path.name.endswith(_SUFFIXES))
    if not files:
        raise InputError(f"{folder}: there is no file of recorded answers (*.jsonl or *.jsonl.gz)")
    by_model = {_name(path): {str(row.get("id", n)): row for n, row in _numbered(path)} for path in files}
    names = list(next(iter(by_model.values())))
    whole = [name for name in names if all(rows.get(name, {}).get("answers") for rows in by_model.values())]
    if not whole:
        raise InputError(f"{folder}: there is no question that every model answered")
    prompts = []
    for name in whole:
        golds = {str(rows[name]["gold"]) for rows in by_model.values()}
        if len(golds) > 1:
            raise InputError(f"{folder}: the files disagree on the right answer to {name}: {', '.join(sorted(golds))}")
        prompts.append(OwnPrompt(name, (("user", f"Question {name} of {folder.name}"),), (golds.pop(),), "exact"))
    table = [[_sampled(rows[prompt.id], prompt.gold[0]) for prompt in prompts] for rows in by_model.values()]
    dropped = len(set().union(*by_model.values())) - len(whole)
    # As the recording compares them: letter by letter.
    reader = AnswerReader(normalize=False)
    return RecordedSet(folder.name, prompts, list(by_model), table, reader, False, {}, dropped)


def _numbered(path: Path) -> list[tuple[int, Row]]:
    rows = list(enumerate(read_rows(path), 1))
    for number, row in rows:
        if not isinstance(row.get("answers"), list) or row.get("gold") is None:
            raise InputError(f"{path}, row {number}: it needs `gold` and a list of `answers`")
    return rows


def _sampled(row: Row, gold: Any) -> list[GradedDraft]:
    """Return the answers, graded as the recording does: by equality. One that is missing is wrong and has no vote."""
    sizes = row["tokens"] if isinstance(row.get("tokens"), list) else []
    right = str(gold).strip()
    found = []
    for answer, size in zip_longest(row["answers"], sizes[: len(row["answers"])]):
        text = answer.strip() if isinstance(answer, str) else ""
        usage = new_usage(0, int(size)) if isinstance(size, int | float) and size > 0 else None
        found.append(GradedDraft(text, float(text == right), 0.0, 0.0, usage))
    return found


def _list(row: Row, name: str, where: str) -> list[Mapping[str, Any]]:
    found = row.get(name)
    if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
        raise InputError(f"{where}: `{name}` must be a list of objects")
    return found


def _name(path: Path) -> str:
    for suffix in _SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name
