"""The reducer of notes, and the check of notes that a person may have edited."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from moa_graph.state.field_errors import field_problems, place_of
from moa_graph.state.updates import UpdateError
from moa_graph.state.values import Note

__all__ = ["check_notes", "merge_notes"]

_WAY_OUT = "Copy the note from the state and change `text` or `data` of the copy."


@with_config(ConfigDict(strict=True))
class _Scores(TypedDict):
    scores: dict[str, float]


@with_config(ConfigDict(strict=True))
class _Answer(TypedDict):
    answer: str


@with_config(ConfigDict(strict=True))
class _Passed(TypedDict):
    passed: bool
    score: float | None


@with_config(ConfigDict(strict=True))
class _Problem(TypedDict):
    kind: str
    what: str


@with_config(ConfigDict(strict=True))
class _Problems(TypedDict):
    problems: list[_Problem]


def merge_notes(left: Sequence[Note], right: Any) -> list[Note]:
    """Return notes keyed by (layer, kind, slot): a later one replaces an earlier one; ordered by that key.

    Args:
        left: The notes of the state.
        right: What a node, or a person who edits the state, writes.

    Raises:
        InputError: `right` is not a list of whole notes.
    """
    try:
        merged = {(note["layer"], note["kind"], note["slot"]): note for note in (*left, *right)}
        return [merged[key] for key in sorted(merged)]
    except (KeyError, TypeError):
        # Nodes write whole notes, so these are checked only when something is wrong.
        check_notes(right)
        raise


def check_notes(notes: Any) -> None:
    """Check that each note has all its fields, and what a combiner reads in its data.

    Raises:
        InputError: Names the first problem and the way out.
    """
    _check(_notes_adapter(), notes, ("notes",))
    for place, note in enumerate(notes):
        read = _data_adapters().get(note["kind"])
        if read and note["data"]:
            _check(read, note["data"], ("notes", place, "data"))


def _check(adapter: TypeAdapter[Any], value: Any, place: tuple[str | int, ...]) -> None:
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as exc:
        first = field_problems(exc, adapter.json_schema(), named=True)[0]
        raise UpdateError(f"{place_of((*place, *first.path))}: {first.text} {_WAY_OUT}") from None


@cache
def _notes_adapter() -> TypeAdapter[list[Note]]:
    return TypeAdapter(list[Note])


@cache
def _data_adapters() -> dict[str, TypeAdapter[Any]]:
    """What combiners read in the data of a note, by its kind. An analysis is shown as it is."""
    return {
        "scores": TypeAdapter(_Scores),
        "vote": TypeAdapter(_Answer),
        "check": TypeAdapter(_Passed | _Answer),
        "review": TypeAdapter(_Problems),
    }
