"""Recorded systems side by side, on the prompts that both answered."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import fsum
from pathlib import Path
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.alpaca_eval import scores as alpaca
from moa_graph.evals.data.files import Row, read_rows
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.mt_bench import scores as mt_bench
from moa_graph.evals.scoring import pair
from moa_graph.evals.stats import Interval, holm, mcnemar, paired

Values = dict[tuple[Hashable, ...], float]


@dataclass(frozen=True)
class Recorded:
    """One system's scores by (prompt, part): the first element of a key is the cluster that is resampled.

    `names` are what it may be called, best first. `parts` maps the name of a part (a FLASK skill) to its own scores;
    `verdicts` are wins, where there are any.
    """

    names: tuple[str, ...]
    benchmark: str
    judges: frozenset[str]
    values: Values
    verdicts: dict[tuple[Hashable, ...], bool] = field(default_factory=dict)
    parts: dict[str, Values] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.names[0]


def load(entry: str) -> Recorded:
    """A run's folder or a file of annotations, judgments, reviews or the page's votes; ``PATH#MODEL`` picks one
    model of a file.

    Raises InputError when nothing recorded is found there.
    """
    place, _, model = entry.partition("#")
    path = Path(place)
    file = _recorded_file(path) if path.is_dir() else path
    rows = read_rows(file)
    if not rows:
        raise InputError(f"{file} is empty")
    names = _names(path, model, rows)
    if "preference" in rows[0]:
        return _alpaca(names, rows)
    if "turn" in rows[0] and "score" in rows[0]:
        return _mt_bench(names, rows, model, str(file))
    if "review" in rows[0] or isinstance(rows[0].get("score"), dict):
        return _flask(names, rows)
    if {"drafts", "best"} <= rows[0].keys():
        return _votes(names, rows, model, str(file))
    raise InputError(f"{file} holds neither annotations nor judgments nor reviews nor votes")


def _recorded_file(folder: Path) -> Path:
    for pattern in ("annotations.json", "model_judgment/*_single.jsonl", "reviews.jsonl"):
        if found := sorted(folder.glob(pattern)):
            return found[0]
    raise InputError(f"{folder} holds no annotations.json, model_judgment or reviews.jsonl")


def _names(path: Path, model: str, rows: Sequence[Row]) -> tuple[str, ...]:
    """The model picked, or the file's or folder's own name; then the one system the rows name; then more of the
    path, a folder at a time: published files are all called annotations.json."""
    place = path.resolve() if path.is_dir() else path.absolute()
    parts = [*place.parts[1:-1], place.name if path.is_dir() else place.name.split(".json")[0]]
    longer = ["/".join(parts[-n:]) for n in range(1, len(parts) + 1)]
    if model:
        return (model, *(f"{name}#{model}" for name in longer))
    recorded = {str(row.get("generator_2") or row.get("model_id") or row.get("model") or "") for row in rows} - {""}
    return (longer[0], *(recorded if len(recorded) == 1 else ()), *longer[1:])


def named_apart(systems: Sequence[Recorded]) -> list[Recorded]:
    """The systems, no two of one name: those that share theirs take their next ones, and numbers in the end."""
    named = list(systems)
    for name in dict.fromkeys(system.name for system in systems):
        same = [place for place, system in enumerate(systems) if system.name == name]
        if len(same) > 1:
            taken = {system.name for system in named if system.name != name}
            for place, other in zip(same, _apart([systems[place].names for place in same], taken), strict=True):
                named[place] = replace(systems[place], names=(other,))
    return named


def _apart(names: Sequence[Sequence[str]], taken: set[str]) -> list[str]:
    for level in range(1, max(map(len, names))):
        found = [entry[min(level, len(entry) - 1)] for entry in names]
        if len(set(found)) == len(found) and not taken & set(found):
            return found
    return [f"{entry[0]} ({number})" for number, entry in enumerate(names, 1)]


def _judges(recorded: Iterable[Any]) -> frozenset[str]:
    """Judges by the names they are recorded under, unchanged: two models of one provider are two judges."""
    return frozenset(str(name) if name else "not recorded" for name in recorded)


def _alpaca(names: tuple[str, ...], rows: Sequence[Row]) -> Recorded:
    items = alpaca.read_annotations(rows)
    values: Values = {(item.instruction,): 100 * item.win for item in items if item.win is not None}
    verdicts = {key: win > 50 for key, win in values.items()}
    return Recorded(names, "alpaca", _judges(row.get("annotator") for row in rows), values, verdicts)


def _mt_bench(names: tuple[str, ...], rows: Sequence[Row], model: str, file: str) -> Recorded:
    judgments = mt_bench.judgments(rows)
    _check_pick(model, list(dict.fromkeys(row.model for row in judgments)), file)
    kept, _ = mt_bench.unique(row for row in judgments if not model or row.model == model)
    values: Values = {(row.question, row.turn): row.score for row in kept if row.score != mt_bench.FAILED}
    # FastChat records the judge's name and that of the prompt.
    recorded = [row.get("judge") for row in rows if not model or row["model"] == model]
    judges = _judges(judge[0] if isinstance(judge, list) and judge else judge for judge in recorded)
    return Recorded(names, "mt-bench", judges, values)


def _flask(names: tuple[str, ...], rows: Sequence[Row]) -> Recorded:
    values: Values = {}
    parts: dict[str, Values] = {}
    for number, row in enumerate(rows, 1):
        review = flask.review(row, f"review {number}")
        for skill, score in (review.scores or {}).items():
            if score is not None:
                values[(review.idx, skill)] = score
                parts.setdefault(skill, {})[(review.idx, skill)] = score
    judges = _judges((row.get("judge_record") or {}).get("model") for row in rows)
    return Recorded(names, "flask", judges, values, parts=parts)


def _votes(names: tuple[str, ...], rows: Sequence[Row], model: str, file: str) -> Recorded:
    """How often people who saw drafts without names found a model's best: 100 for the best of a vote, 0 for the
    others. A model with several drafts in a vote has the mean of theirs."""
    try:
        votes = [(str(row["prompt"]), [str(draft["model"]) for draft in row["drafts"]], row["best"]) for row in rows]
    except (KeyError, TypeError) as error:
        raise InputError(f"{file} holds a line that is no vote of the page: {error!r}") from error
    models = list(dict.fromkeys(name for _, shown, _ in votes for name in shown))
    _check_pick(model, models, file)
    model = model or models[0]
    values: Values = {}
    for number, (prompt, shown, best) in enumerate(votes):
        mine = [100.0 * (place == best) for place, name in enumerate(shown) if name == model]
        if mine:
            values[(prompt, number)] = fsum(mine) / len(mine)
    return Recorded((model, *names), "votes", frozenset({"people"}), values)


def _check_pick(model: str, models: Sequence[str], file: str) -> None:
    """Raises InputError when ``#MODEL`` names none of a file's models, or is left out where there are several."""
    if not model and len(models) > 1:
        raise InputError(f"{file} has several models; pick one with #: {', '.join(models)}")
    if model and model not in models:
        raise InputError(f"{file} has no model {model!r}, only {', '.join(models)}")


def compare(systems: Sequence[Recorded], *, seed: int = 0) -> dict[str, Any]:
    """All pairs: difference, interval, p, McNemar's p, both with Holm over the pairs (and over skills), and whether
    they tie. Systems of one name are told apart.

    Raises InputError when the systems are of different benchmarks or share fewer than two prompts.
    """
    if len({system.benchmark for system in systems}) > 1:
        raise InputError(
            "these are of different benchmarks: " + ", ".join(f"{s.name} ({s.benchmark})" for s in systems)
        )
    systems = named_apart(systems)
    rows = [_pair(a, b, a.values, b.values, seed) for a, b in combinations(systems, 2)]
    _adjust(rows)
    for row, (a, b) in zip(rows, combinations(systems, 2), strict=True):
        shared = sorted(a.verdicts.keys() & b.verdicts.keys(), key=str)
        if shared:
            row["mcnemar_p"] = mcnemar([a.verdicts[k] for k in shared], [b.verdicts[k] for k in shared])
        if a.parts and b.parts:
            row["skills"] = _parts(a, b, seed)
    exact = [row for row in rows if "mcnemar_p" in row]
    for row, p in zip(exact, holm([row["mcnemar_p"] for row in exact]), strict=True):
        row["mcnemar_p_holm"] = p
    judges = sorted(set().union(*(system.judges for system in systems)))
    warnings = [f"different judges ({', '.join(judges)}): their scores cannot be compared"] if len(judges) > 1 else []
    return {"benchmark": systems[0].benchmark, "pairs": rows, "warnings": warnings}


def _pair(a: Recorded, b: Recorded, mine: Values, theirs: Values, seed: int) -> dict[str, Any]:
    # Sorted, so that the resampling does not depend on the order of a file.
    shared = sorted(mine.keys() & theirs.keys(), key=str)
    clusters = [key[0] for key in shared]
    if len(set(clusters)) < 2:
        raise InputError(f"{a.name} and {b.name} share fewer than two prompts")
    found = paired([mine[k] for k in shared], [theirs[k] for k in shared], clusters=clusters, seed=seed)
    return {
        "a": a.name,
        "b": b.name,
        "n": found.n,
        "mean_a": sum(mine[k] for k in shared) / len(shared),
        "mean_b": sum(theirs[k] for k in shared) / len(shared),
        "difference": found.difference,
        "interval": pair(Interval(found.low, found.high)),
        "standard_error": found.standard_error,
        "p": found.p,
        "tied": found.tied,
    }


def _adjust(rows: Sequence[dict[str, Any]]) -> None:
    """Holm over this family of tests; a difference that does not survive it is a tie."""
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
        row["tied"] = row["tied"] or p >= 0.05


def _parts(a: Recorded, b: Recorded, seed: int) -> dict[str, Mapping[str, Any]]:
    rows = {}
    for part in [skill for skill in flask.SKILLS if skill in a.parts and skill in b.parts]:
        if len(a.parts[part].keys() & b.parts[part].keys()) > 1:
            rows[part] = _pair(a, b, a.parts[part], b.parts[part], seed)
    _adjust(list(rows.values()))
    return {part: {k: v for k, v in row.items() if k not in ("a", "b")} for part, row in rows.items()}


def verdict(row: Mapping[str, Any]) -> str:
    """The result in words: "tied" when it is."""
    if row["tied"]:
        return "tied"
    return f"{row['a'] if row['difference'] > 0 else row['b']} is better"
