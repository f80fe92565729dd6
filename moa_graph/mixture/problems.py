"""Every problem of a mixture file at once, each with its line, its proposer and its field."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from moa_graph.errors import ConfigError

__all__ = ["explained"]

_STAND_IN = "local:smollm2"
"""Stands for a model that has a problem of its own, while the rest is checked."""

Step = str | int


class _Problem(NamedTuple):
    path: tuple[Step, ...]
    text: str


def explained(
    file: Path,
    fields: Mapping[str, Any],
    whole: Callable[[Mapping[str, Any]], object],
    model: Callable[[Mapping[str, Any]], object],
    known: Mapping[str, Sequence[str]],
    first: ConfigError,
) -> ConfigError:
    """Return one error with every problem of a file.

    Args:
        file: The mixture file.
        fields: What it says.
        whole: Builds the mixture, or raises a ConfigError.
        model: Builds one model, or raises a ConfigError.
        known: The fields of a `mixture` and of a `proposer`.
        first: The error that building the mixture raised.
    """
    problems = list(_problems(fields, whole, model, known))
    if not problems:
        return ConfigError(f"{file}: {first}")
    lines = _lines(file)
    told = [f"{_place(problem.path, fields, lines)}{problem.text}" for problem in problems]
    if len(told) == 1:
        return ConfigError(f"{file}, {told[0]}" if told[0].startswith("line ") else f"{file}: {told[0]}")
    return ConfigError(f"{file}: {len(told)} problems.\n" + "\n".join(f"  {text}" for text in told))


def _problems(
    fields: Mapping[str, Any],
    whole: Callable[[Mapping[str, Any]], object],
    model: Callable[[Mapping[str, Any]], object],
    known: Mapping[str, Sequence[str]],
) -> Iterator[_Problem]:
    clean = dict(fields)
    for key in fields:
        if key not in known["mixture"]:
            yield _Problem((key,), _unknown(key, known["mixture"]))
            del clean[key]
    broken: set[tuple[Step, ...]] = set()
    for path, spec in _models(clean):
        given = dict(spec)
        for key in spec:
            if key not in known["proposer"]:
                yield _Problem((*path, key), _unknown(key, known["proposer"]))
                del given[key]
                broken.add(path)
        try:
            model(given)
        except ConfigError as exc:
            broken.add(path)
            for part in str(exc).split("; proposer"):
                field, text = _field(part, "proposer")
                yield _Problem((*path, *field), text)
    try:
        whole(_without(clean, broken))
    except ConfigError as exc:
        for part in str(exc).split("; mixture"):
            yield _Problem(*_field(part, "mixture"))


def _models(fields: Mapping[str, Any]) -> Iterator[tuple[tuple[Step, ...], Mapping[str, Any]]]:
    """Yield every model that is written as a mapping, with its place in the file."""

    def in_list(path: tuple[Step, ...], value: Any) -> Iterator[tuple[tuple[Step, ...], Mapping[str, Any]]]:
        if isinstance(value, Mapping):
            yield path, value
        elif isinstance(value, list):
            for number, each in enumerate(value):
                yield from in_list((*path, number), each)

    for name in ("proposers", "rounds", "aggregator", "fallbacks"):
        yield from in_list((name,), fields.get(name))


def _without(fields: Mapping[str, Any], broken: set[tuple[Step, ...]]) -> dict[str, Any]:
    """Return the fields with a stand-in for every broken model, so that only the rest is judged."""
    numbers = iter(range(len(broken)))

    def copied(path: tuple[Step, ...], value: Any) -> Any:
        if path in broken:
            return {"model": _STAND_IN, "name": f"stand-in-{next(numbers)}"}
        if isinstance(value, list):
            return [copied((*path, number), each) for number, each in enumerate(value)]
        return value

    return {name: copied((name,), value) for name, value in fields.items()}


def _unknown(key: object, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known fields: {', '.join(known)}."
    return f"unknown field {str(key)!r}. {hint}"


def _field(text: str, what: str) -> tuple[tuple[Step, ...], str]:
    """Split "proposer.params[0]: reason" into the path of its field and the reason."""
    found = re.match(r"((?:\.\w+|\[\d+\])+): ", text.removeprefix(what))
    if not found:
        return (), text.removeprefix(f"{what}: ").lstrip(".")
    steps = re.findall(r"\.(\w+)|\[(\d+)\]", found[1])
    path = tuple(name or int(number) for name, number in steps)
    return path, text.removeprefix(what)[found.end() :]


def _place(path: tuple[Step, ...], fields: Mapping[str, Any], lines: Mapping[tuple[Step, ...], int]) -> str:
    """Return where a problem is: "line 4, proposers[1] (openai:x).temperature: "."""
    known = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    line = f"line {lines[known]}" if known else ""
    name = ""
    value: Any = fields
    for step in path:
        name += f"[{step}]" if isinstance(step, int) else f".{step}" if name else str(step)
        value = value[step] if _has(value, step) else {}
        if isinstance(value, Mapping) and isinstance(value.get("model"), str):
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

    walk((), yaml.compose(file.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader))
    return found
