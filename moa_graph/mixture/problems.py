"""Every problem of a mixture file at once, each with its line, its proposer and its field."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moa_graph.errors import ConfigError
from moa_graph.mixture.files import decoded
from moa_graph.state.field_errors import FieldProblem, Step, place_of

__all__ = ["explained"]

_SHAPE = ("proposers", "rounds", "layers", "sees", "combine", "combiners", "samples")
"""Fields whose values decide which other values fit. When one of them is wrong, checks of the whole would mislead."""

_MODELS = ("proposers", "rounds", "aggregator", "fallbacks")


def explained(
    file: Path, fields: Mapping[str, Any], build: Callable[[Mapping[str, Any]], object], first: ConfigError
) -> ConfigError:
    """Return one error with every problem of a file.

    Args:
        file: The mixture file.
        fields: What it says.
        build: Builds the mixture, or raises a ConfigError.
        first: The error that building the mixture raised.
    """
    problems = _in_file(first, fields)
    if not problems:
        return ConfigError(f"{file}: {first}")
    # The checks of a mixture as a whole run only when every field is right: leave out those that are not.
    if not any(_decides(problem) for problem in problems):
        try:
            build(_without(fields, problems))
        except ConfigError as exc:
            wrong = [problem.path for problem in problems]
            later = _in_file(exc, fields)
            problems += [each for each in later if not any(each.path[: len(path)] == path for path in wrong)]
    lines = _lines(file)
    problems.sort(key=lambda problem: _line(problem.path, lines) or 0)
    texts = [f"{_place(problem.path, fields, lines)}{problem.text}" for problem in problems]
    if len(texts) == 1:
        error = ConfigError(f"{file}, {texts[0]}" if texts[0].startswith("line ") else f"{file}: {texts[0]}")
    else:
        error = ConfigError("\n  ".join([f"{file}: {len(texts)} problems.", *texts]))
    error.problems = tuple(problems)
    return error


def _in_file(error: ConfigError, fields: Mapping[str, Any]) -> list[FieldProblem]:
    """Return an error's problems with their places as the file writes them."""
    return [FieldProblem(_written(path, fields), text) for path, text in error.problems]


def _written(path: tuple[Step, ...], fields: Mapping[str, Any]) -> tuple[Step, ...]:
    """Return the path of a field in the file, where a round may be a mapping and a model a name alone."""
    rounds: Any = fields.get("rounds")
    index = path[1] if len(path) > 1 and path[0] in ("rounds", "sees") else ""
    if _has(rounds, index) and isinstance(rounds[index], Mapping):
        path = ("rounds", index, "proposers" if path[0] == "rounds" else "sees", *path[2:])
    value: Any = fields
    for step in path[:-1]:
        value = value[step] if _has(value, step) else {}
    return path[:-1] if path and path[-1] == "model" and not isinstance(value, Mapping) else path


def _decides(problem: FieldProblem) -> bool:
    """Return whether other checks depend on a field that is wrong, or on the field that a misspelled name means."""
    names = [step for step in problem.path if isinstance(step, str)]
    if not names or names[0].startswith("combine"):
        return True
    whole = isinstance(problem.path[-1], str)
    return whole and bool(difflib.get_close_matches(names[-1], _SHAPE, n=1, cutoff=0.5))


def _without(fields: Mapping[str, Any], problems: Sequence[FieldProblem]) -> dict[str, Any]:
    """Return the fields without those that are wrong; another model stands for one that is wrong as a whole."""
    left: dict[str, Any] = copy.deepcopy(dict(fields))
    for number, (path, _) in enumerate(problems):
        other = {"model": "local:smollm2", "name": f"other-{number}"}
        place: Any = left
        for step in path[:-1]:
            place = place[step] if _has(place, step) else None
        last = path[-1]
        if path[0] in _MODELS and last == "model":
            _put(left, path[:-1], other)
        elif path[0] in _MODELS and (isinstance(last, int) or len(path) == 1):
            _put(left, path, other)
        elif isinstance(place, dict):
            place.pop(last, None)
        else:
            left.pop(str(path[0]), None)
    return left


def _put(fields: dict[str, Any], path: Sequence[Step], value: Any) -> None:
    place: Any = fields
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value


def _line(path: Sequence[Step], lines: Mapping[tuple[Step, ...], int]) -> int | None:
    """Return the line of a field, or of the nearest thing around it that the file has."""
    return next((lines[tuple(path[:n])] for n in range(len(path), 0, -1) if tuple(path[:n]) in lines), None)


def _place(path: tuple[Step, ...], fields: Mapping[str, Any], lines: Mapping[tuple[Step, ...], int]) -> str:
    """Return where a problem is: "line 4, proposers[1] (openai:x).temperature: "."""
    number = _line(path, lines)
    line = f"line {number}" if number else ""
    name = ""
    value: Any = fields
    for n, step in enumerate(path):
        part = place_of((step,))
        name += part if part.startswith("[") or not name else f".{part}"
        value = value[step] if _has(value, step) else {}
        if n < len(path) - 1 and isinstance(value, Mapping) and isinstance(value.get("model"), str):
            name += f" ({value.get('name') or value['model']})"
    where = ", ".join(part for part in (line, name) if part)
    return f"{where}: " if where else ""


def _has(value: Any, step: Step) -> bool:
    if isinstance(value, Mapping):
        return step in value
    return isinstance(value, list) and isinstance(step, int) and step < len(value)


def _lines(file: Path) -> dict[tuple[Step, ...], int]:
    """Return the line of every field of a YAML file; nothing for TOML, whose parser keeps no lines."""
    if file.suffix.lower() == ".toml":
        return {}
    import yaml

    found: dict[tuple[Step, ...], int] = {}

    def walk(path: tuple[Step, ...], node: Any) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                found[(*path, key.value)] = key.start_mark.line + 1
                walk((*path, key.value), value)
        elif isinstance(node, yaml.SequenceNode):
            for number, each in enumerate(node.value):
                found[(*path, number)] = each.start_mark.line + 1
                walk((*path, number), each)

    walk((), yaml.compose(decoded(file.read_bytes()), Loader=yaml.SafeLoader))
    return found
