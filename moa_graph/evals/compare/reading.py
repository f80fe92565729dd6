"""Read recorded systems: a run's folder, or a file of annotations, judgments, reviews, results or votes."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import fsum
from pathlib import Path
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.alpaca_eval import scores as alpaca
from moa_graph.evals.compare.systems import ScoredSystem, Values
from moa_graph.evals.data import fields
from moa_graph.evals.data.fields import NOT_RECORDED, brief
from moa_graph.evals.data.files import Row, read_rows, stem
from moa_graph.evals.flask import figures as flask_figures
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.mt_bench import figures as mt_bench_figures
from moa_graph.evals.mt_bench import pairs
from moa_graph.evals.mt_bench import scores as mt_bench
from moa_graph.evals.prompts.results import grading, results_by_system

__all__ = ["load", "place_of"]


def load(entry: str) -> ScoredSystem:
    """Read a run's folder or a file of annotations, judgments, reviews, results or the page's votes.

    Args:
        entry: A path; ``PATH#SYSTEM`` selects one system of a file that has several.

    Raises:
        InputError: The path has no recorded results, nothing in it can be read, or it has several systems.
    """
    path, pick = place_of(entry)
    file = _recorded_file(path) if path.is_dir() else path
    rows = read_rows(file)
    if not rows:
        raise InputError(f"{file} is empty")
    reader = next((read for fits, read in _READERS if fits(rows[0])), None)
    if reader is None:
        raise InputError(
            f"{file} contains neither annotations nor judgments nor reviews nor results nor votes: its first row has "
            f"{', '.join(list(rows[0])[:8]) or 'no fields'}"
        )
    systems = {name: found for name, found in reader(rows).items() if found.values}
    if not systems:
        raise InputError(f"{file}: {_nothing_readable(rows)}")
    name = _picked(pick, list(systems), str(file))
    figures = _figures(path) if path.is_dir() else {}
    return replace(systems[name], names=_names(path, pick, name), figures=figures)


def place_of(entry: str) -> tuple[Path, str]:
    """Return the path and the selected system of ``PATH#SYSTEM``, whose path may have a # of its own."""
    cuts = [len(entry), *(place for place in range(len(entry) - 1, -1, -1) if entry[place] == "#")]
    cut = next((place for place in cuts if Path(entry[:place]).exists()), cuts[-1])
    return Path(entry[:cut]), entry[cut + 1 :]


def _nothing_readable(rows: Sequence[Row]) -> str:
    row = rows[0]
    value = next((row[name] for name in ("preference", "score", "review", "g1_winner") if name in row), None)
    return f"nothing in it could be read; the first value is {repr(value)[-80:]}"


def _recorded_file(folder: Path) -> Path:
    for pattern in ("annotations.json", "model_judgment/*_single.jsonl", "reviews.jsonl", "results.jsonl"):
        if found := sorted(folder.glob(pattern)):
            return found[0]
    raise InputError(f"{folder} contains no annotations.json, model_judgment, reviews.jsonl or results.jsonl")


def _figures(folder: Path) -> Mapping[str, Any]:
    """Return the figures that the run wrote; empty for a folder that only has files of results."""
    path = folder / "scores.json"
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def _picked(pick: str, names: Sequence[str], file: str) -> str:
    if not pick and len(names) > 1:
        raise InputError(f"{file} has several systems; select one with #: {', '.join(names)}")
    if pick and pick not in names:
        raise InputError(f"{file} has no system {pick!r}, only {', '.join(names)}")
    return pick or names[0]


def _names(path: Path, pick: str, recorded: str) -> tuple[str, ...]:
    """Return possible names: the selected system, or the file's or folder's own name; then the system's recorded name;
    then more of the path, a folder at a time, because published files are all called annotations.json."""
    place = path.resolve() if path.is_dir() else path.absolute()
    parts = [*place.parts[1:-1], place.name if path.is_dir() else stem(place)]
    longer = ["/".join(parts[-n:]) for n in range(1, len(parts) + 1)]
    if pick:
        return (pick, *(f"{name}#{pick}" for name in longer))
    return (longer[0], *((recorded,) if recorded != NOT_RECORDED else ()), *longer[1:])


def _recorded(names: Iterable[Any]) -> frozenset[str]:
    """Return names unchanged: two models of one provider are two judges."""
    return frozenset(str(name) if name else NOT_RECORDED for name in names)


def _alpaca(rows: Sequence[Row]) -> dict[str, ScoredSystem]:
    groups = alpaca.by_source(rows)
    models = [source.model for source in groups]
    found = {}
    for source, members in groups.items():
        items = alpaca.read_annotations(members)
        values: Values = {(item.instruction,): 100 * item.win for item in items if item.win is not None}
        name = (source.model or NOT_RECORDED) if models.count(source.model) == 1 else str(source)
        categories = {item.instruction: item.dataset for item in items}
        found[name] = ScoredSystem(
            (name,),
            "alpaca",
            _recorded([source.judge]),
            values,
            references=_recorded([source.reference]),
            texts={item.instruction: item.reference for item in items},
            mode="both orders" if alpaca.both_orders(members) else "",
            verdicts={key: win > 50 for key, win in values.items()},
            categories=categories if len(set(categories.values())) > 1 else {},
            rows=members,
        )
    return found


def _mt_bench(rows: Sequence[Row]) -> dict[str, ScoredSystem]:
    known = mt_bench_figures.categories()
    found = {}
    for name, members in mt_bench.systems(mt_bench.judgments(rows)).items():
        kept, _ = mt_bench.unique(members)
        values: Values = {(row.question, row.turn): row.score for row in kept if row.score != mt_bench.FAILED}
        categories = {row.question: known[row.question] for row in kept if row.question in known}
        found[name] = ScoredSystem((name,), "mt-bench", _recorded([members[0].judge]), values, categories=categories)
    return found


def _pairwise(rows: Sequence[Row]) -> dict[str, ScoredSystem]:
    """Return every model of a pairwise file with its wins; its opponents are its references."""
    verdicts, _ = pairs.unique_pairs(pairs.pair_verdicts(rows))
    found = {}
    for model in dict.fromkeys(name for row in verdicts for name in row.models):
        mine = [row for row in verdicts if model in row.models]
        pools: dict[tuple[Hashable, ...], list[float]] = {}
        for row in mine:
            if (win := row.win(model)) is not None:
                pools.setdefault((row.question, row.turn), []).append(100 * win)
        values: Values = {key: fsum(wins) / len(wins) for key, wins in pools.items()}
        opponents = frozenset(name for row in mine for name in row.models if name != model)
        judges = _recorded(row.judge for row in mine)
        found[model] = ScoredSystem((model,), "mt-bench pairs", judges, values, references=opponents)
    return found


def _flask(rows: Sequence[Row]) -> dict[str, ScoredSystem]:
    found = {}
    for name, members in flask_figures.by_system(rows).items():
        reviews = [flask.review(row, f"review {number}") for number, row in enumerate(members, 1)]
        values: Values = {}
        parts: dict[str, Values] = {}
        for review in flask.unique(reviews)[0]:
            for skill, score in (review.scores or {}).items():
                if score is not None:
                    values[(review.idx, skill)] = score
                    parts.setdefault(skill, {})[(review.idx, skill)] = score
        judges = _recorded(flask_figures.system_of(row)[1] for row in members)
        # The skills of an item distinguish the full set from the hard one if rows do not name their set.
        skills = {flask.item_id(row, "a review"): ", ".join(sorted(flask.row_skills(row))) for row in members}
        texts = {idx: text for idx, text in skills.items() if text}
        found[name] = ScoredSystem((name,), "flask", judges, values, texts=texts, mode=_flask_set(members), parts=parts)
    return found


def _flask_set(rows: Sequence[Row]) -> str:
    named = {str(row["set"]) for row in rows if row.get("set")}
    return "the " + " and ".join(sorted(named)) + " set" if named else ""


def _votes(rows: Sequence[Row]) -> dict[str, ScoredSystem]:
    """Return how often people who saw drafts without names found a model's best: 100 for the best of a vote, 0 for the
    others. A model with several drafts in a vote has the mean of theirs."""
    votes = [_vote(row, f"vote {number}") for number, row in enumerate(rows, 1)]
    found = {}
    for model in dict.fromkeys(name for _, shown, _ in votes for name in shown):
        values: Values = {}
        for number, (prompt, shown, best) in enumerate(votes):
            mine = [100.0 * (place == best) for place, name in enumerate(shown) if name == model]
            if mine:
                values[(prompt, number)] = fsum(mine) / len(mine)
        found[model] = ScoredSystem((model,), "votes", frozenset({"people"}), values)
    return found


def _vote(row: Row, where: str) -> tuple[str, list[str], int]:
    """Return a vote's prompt, the models of its drafts, and the place of the best one."""
    drafts, best = row.get("drafts"), row.get("best")
    if "prompt" not in row or not isinstance(drafts, list) or not all(isinstance(d, dict) for d in drafts):
        raise InputError(f"{where} has no `prompt` with `drafts`: it is not a vote of the page")
    if isinstance(best, bool) or not isinstance(best, int) or not 0 <= best < len(drafts):
        raise InputError(
            f"{where}: `best` is {brief(best)}; it must be the place of one of {len(drafts)} drafts, from 0"
        )
    return str(row["prompt"]), [fields.name(draft.get("model"), where, "model") for draft in drafts], best


def _results(rows: Sequence[Row]) -> dict[str, ScoredSystem]:
    """Return the results of own prompts; a repetition is a part of its prompt."""
    found = {}
    for name, mine in results_by_system(rows).items():
        model = name or NOT_RECORDED
        values: Values = {(row["id"], row["repeat"]): 100.0 * row["score"] for row in mine if row["score"] is not None}
        judges = frozenset(rating["judge"] for row in mine for rating in row["ratings"])
        found[model] = ScoredSystem(
            (model,),
            "prompts",
            judges or frozenset({"right answers"}),
            values,
            texts={row["id"]: str(row.get("prompt", "")) for row in mine},
            grading={row["id"]: grading(row) for row in mine},
            categories={row["id"]: row["tags"][0] for row in mine if row["tags"]},
            rows=mine,
        )
    return found


_READERS = (
    (lambda row: "repeat" in row and "score" in row and "answer" in row, _results),
    (lambda row: "preference" in row, _alpaca),
    (pairs.is_pairwise, _pairwise),
    (lambda row: "turn" in row and "score" in row, _mt_bench),
    (lambda row: "review" in row or isinstance(row.get("score"), dict), _flask),
    (lambda row: {"drafts", "best"} <= row.keys(), _votes),
)
"""The reader of each kind of file. The first row decides the kind."""
