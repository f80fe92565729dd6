"""The drafts of a finished run: read, exported, measured."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import fsum
from pathlib import Path

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row, read_rows
from moa_graph.evals.drafts import diversity
from moa_graph.evals.drafts.ensemble import ensemble_figures, majority
from moa_graph.evals.figures import Figures
from moa_graph.evals.prompts.grade import final_key, is_right
from moa_graph.evals.session import DRAFTS
from moa_graph.mixture import answers
from moa_graph.state import COUNTED


@dataclass(frozen=True)
class RunDrafts:
    """The drafts and answers in a run's folder, by prompt and repetition.

    Attributes:
        drafts: Usable drafts of the last round, in slot order.
        answers: The answers.
        prompts: The text of each prompt, to join by.
        results: Rows of own prompts, with right answers.
        repeats: The number of the run's repetitions.
    """

    drafts: Mapping[str, Sequence[Row]]
    answers: Mapping[str, str]
    prompts: Mapping[str, str]
    results: Sequence[Row] = ()
    repeats: int = 1

    @property
    def proposers(self) -> list[str]:
        """The proposers' node names, in slot order."""
        return list(dict.fromkeys(draft["proposer"] for found in self.drafts.values() for draft in found))


def read_drafts(folder: Path) -> RunDrafts:
    """Read the drafts and answers of a run's folder.

    Raises:
        InputError: The folder has no drafts: it is not a run, or its system was a single model.
    """
    path = folder / DRAFTS
    if not path.is_file():
        raise InputError(f"{folder} has no {DRAFTS}: only the run of a mixture has drafts")
    rows = read_rows(path)
    repeats = 1 + max(map(_repeat, rows), default=0)
    if any("prompt" not in row for row in rows):
        raise InputError(f"{path} is from an earlier version: repeat the run's command; recorded calls are reused")
    last = max((int(row["layer"]) for row in rows), default=0)
    found: dict[str, dict[int, Row]] = {}
    for row in rows:
        if row["layer"] == last and row["status"] in COUNTED:
            found.setdefault(_name(row), {}).setdefault(int(row["slot"]), row)
    drafts = {name: [slots[slot] for slot in sorted(slots)] for name, slots in found.items()}
    prompts = {_name(row): str(row["prompt"]) for row in rows}
    if results := _rows(folder / "results.jsonl"):
        return RunDrafts(drafts, {_result_name(row): str(row["answer"]) for row in results}, prompts, results, repeats)
    said = _answers(folder)
    known = {name: said.get((row["item"], row["turn"]), said.get(row["prompt"])) for name, row in _first(rows).items()}
    return RunDrafts(drafts, {name: text for name, text in known.items() if text is not None}, prompts)


def _name(row: Row) -> str:
    """Return a prompt's name: its item, and the turn and the repetition if they are not the first."""
    return str(row["item"]) + (f"/{row['turn']}" if row["turn"] > 1 else "") + _again(row)


def _result_name(row: Row) -> str:
    return str(row["id"]) + _again(row)


def _repeat(row: Row) -> int:
    return int(row.get("repeat") or 0)


def _again(row: Row) -> str:
    # Ids have no blanks.
    return f" (repetition {_repeat(row) + 1})" if _repeat(row) else ""


def _first(rows: Sequence[Row]) -> dict[str, Row]:
    return {_name(row): row for row in reversed(rows)}


def _answers(folder: Path) -> dict[Hashable, str]:
    """Return a benchmark run's answers by (item, turn), or by instruction where the file's rows have no number."""
    found: dict[Hashable, str] = {}
    for row in _rows(folder / "model_outputs.json"):
        found[str(row["instruction"])] = str(row["output"])
    for row in _rows(folder / "outputs.jsonl"):
        found[str(row["idx"]), 1] = str(row.get("text", row.get("output")))
    for path in sorted((folder / "model_answer").glob("*.jsonl")):
        for row in read_rows(path):
            for turn, text in enumerate(row["choices"][0]["turns"], 1):
                found[str(row["question_id"]), turn] = str(text)
    return found


def _rows(path: Path) -> list[Row]:
    return read_rows(path) if path.is_file() else []


def exported(run: RunDrafts) -> dict[str, list[Row]]:
    """Return each proposer's drafts as an outputs file, which `--drafts` of any benchmark takes.

    Such a file has one output for each prompt: the draft of the first repetition.
    """
    turns = any(draft["turn"] > 1 for found in run.drafts.values() for draft in found)
    return {name: _by_turns(run, name) if turns else _outputs(run, name) for name in run.proposers}


def _of(run: RunDrafts, proposer: str) -> Iterator[Row]:
    own = (draft for found in run.drafts.values() for draft in found if draft["proposer"] == proposer)
    return (draft for draft in own if not _repeat(draft))


def _outputs(run: RunDrafts, proposer: str) -> list[Row]:
    """Return AlpacaEval's form with the item's name beside it."""
    return [
        {"id": str(draft["item"]), "instruction": draft["prompt"], "output": draft["text"], "generator": draft["model"]}
        for draft in _of(run, proposer)
    ]


def _by_turns(run: RunDrafts, proposer: str) -> list[Row]:
    """Return FastChat's form: one row per question with the drafts of all its turns; a missing one is empty."""
    rows: dict[str, Row] = {}
    for draft in _of(run, proposer):
        empty = {"question_id": draft["item"], "model_id": draft["model"], "choices": [{"index": 0, "turns": ["", ""]}]}
        rows.setdefault(draft["item"], empty)["choices"][0]["turns"][draft["turn"] - 1] = draft["text"]
    return list(rows.values())


def draft_figures(run: RunDrafts) -> Figures:
    """Return diversity of the drafts, copying by the answer, and, with right answers, the ensemble's figures."""
    texts = {item: [draft["text"] for draft in found] for item, found in run.drafts.items()}
    several = [found for found in texts.values() if len(found) > 1]
    reads = {
        _result_name(row): partial(final_key, match=row["match"], options=row.get("options"))
        for row in run.results
        if "match" in row
    }
    alike = [
        diversity.agreement(found, reads.get(item, answers.key)) for item, found in texts.items() if len(found) > 1
    ]
    figures: Figures = {
        "prompts": len({(str(found[0]["item"]), found[0]["turn"]) for found in run.drafts.values()}),
        **({"repetitions": run.repeats} if run.repeats > 1 else {}),
        "drafts": sum(map(len, texts.values())),
        "diversity": {
            "agreement": _mean(alike),
            "vendi": _mean([diversity.vendi(found) for found in several]),
            "distinct_1": _mean([diversity.distinct(found, 1) for found in several]),
            "distinct_2": _mean([diversity.distinct(found, 2) for found in several]),
        },
        "copying": {name: _copying(run, name) for name in run.proposers},
    }
    if graded := [row for row in run.results if row.get("gold")]:
        figures["ensemble"] = _ensemble(run, graded)
    return figures


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fsum(known) / len(known) if known else None


def _copying(run: RunDrafts, proposer: str) -> Figures:
    pairs = [
        (run.answers[item], draft["text"])
        for item, found in run.drafts.items()
        for draft in found
        if draft["proposer"] == proposer and item in run.answers
    ]
    return {
        "copied_4_grams": _mean([diversity.copied(answer, draft) for answer, draft in pairs]),
        "edit_similarity": _mean([diversity.edit_similarity(answer, draft) for answer, draft in pairs]),
    }


def _ensemble(run: RunDrafts, graded: Sequence[Row]) -> Figures:
    """Return the ensemble's figures, with the majority of the drafts' final answers as a further baseline.

    It is of the same prompts. Where no answer can be read, the first draft counts.
    """
    answer: dict[Hashable, float] = {}
    proposers: dict[str, dict[Hashable, float]] = {name: {} for name in run.proposers}
    voted: dict[Hashable, float] = {}
    for row in graded:
        item, gold, match, options = _result_name(row), row["gold"], row["match"], row.get("options")
        answer[item] = 100.0 * is_right(str(row["answer"]), gold, match, options=options)
        drafts = run.drafts.get(item, ())
        for draft in drafts:
            proposers[draft["proposer"]][item] = 100.0 * is_right(draft["text"], gold, match, options=options)
        if drafts:
            keys = [final_key(draft["text"], match, options=options) for draft in drafts]
            voted[item] = proposers[drafts[keys.index(majority(keys))]["proposer"]][item]
    figures = ensemble_figures(answer, proposers, prompts={_result_name(row): str(row["id"]) for row in graded})
    return {**figures, "majority_vote": _mean([voted[item] for item in figures["by_prompt"]])}
