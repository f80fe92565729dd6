"""What only a person can break: the fields of the state that say where a run is. Nodes write them, and Studio edits."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from moa_graph.mixture.context import Settings
from moa_graph.mixture.mixture import MAX_LAYERS, Mixture
from moa_graph.state import MoAState, RunInfo
from moa_graph.state.notes import check_notes
from moa_graph.state.updates import UpdateError
from moa_graph.state.value_text import given

__all__ = ["check_next", "check_place", "check_run", "has_run", "not_a_state", "not_here"]

_WAY_OUT = "The graph's own nodes write this field: put back what they wrote, or fork the thread from an earlier step."


def check_run(info: Any, mixture: Mixture) -> None:
    """Check the field `run`.

    Raises:
        InputError: It is not what `begin` wrote.
    """
    if not isinstance(info, Mapping):
        raise UpdateError(f"state.run: expected a mapping, got {given(info)}. {_WAY_OUT}")
    for name in RunInfo.__annotations__:
        if name not in info:
            raise UpdateError(f"state.run.{name}: missing. {_WAY_OUT}")
    layers, combine = info["layers"], info["combine"]
    most = mixture.total_layers if mixture.rounds else MAX_LAYERS
    for name in ("id", "mixture"):
        if not isinstance(info[name], str):
            raise UpdateError(f"state.run.{name}: expected text, got {given(info[name])}. {_WAY_OUT}")
    if type(layers) is not int or not 1 <= layers <= most:
        raise UpdateError(f"state.run.layers: expected 1 to {most}, got {given(layers)}. {_WAY_OUT}")
    if not isinstance(combine, str) or combine not in mixture.choices:
        known = ", ".join(mixture.choices)
        raise UpdateError(f"state.run.combine: expected one of {known}, got {given(combine)}. {_WAY_OUT}")


def check_place(state: Mapping[str, Any], settings: Settings) -> None:
    """Check the fields `layer`, `next` and `notes`.

    Raises:
        InputError: The run has no such layer, a proposer of `next` does not run in it, or a note is not whole.
    """
    layer, most = state["layer"], len(settings.rounds) + 1
    if type(layer) is not int or not 0 <= layer <= most:
        raise UpdateError(f"state.layer: expected a layer of this run, 0 to {most}, got {given(layer)}. {_WAY_OUT}")
    here = settings.rounds[layer - 1] if 1 <= layer < most else []
    proposers = {node.name for node in settings.mixture.plan.nodes}
    for name in state["next"]:
        if name in proposers and name not in here:
            raise not_here(name, layer)
    if state["notes"]:
        check_notes(state["notes"])


def has_run(state: MoAState) -> bool:
    """Return whether the nodes of `next` have run. They have not when a person updates the state as an earlier node."""
    made = {draft["proposer"] for draft in state["drafts"] if draft["layer"] == state["layer"]}
    made |= {note["by"] for note in state.get("notes", []) if note["layer"] == state["layer"]}
    return not made.isdisjoint(state["next"])


def not_here(name: str, layer: int) -> UpdateError:
    """Return the error of a proposer that is to run in a layer that is not its own."""
    return UpdateError(f"state.next: {name} does not run in layer {layer}, which is state.layer. {_WAY_OUT}")


def not_a_state(sent: Any) -> UpdateError:
    """Return the error of a node that is sent something else than the graph's state."""
    return UpdateError(f"state.messages: missing, in what was sent to a node of this graph ({given(sent)}). {_WAY_OUT}")


def check_next(chosen: Any, known: Container[str]) -> None:
    """Check the field `next`.

    Raises:
        InputError: It is not a list of nodes that can run next.
    """
    if not isinstance(chosen, list) or not chosen:
        raise UpdateError(f"state.next: expected a list of nodes that is not empty, got {given(chosen)}. {_WAY_OUT}")
    for name in chosen:
        if not isinstance(name, str) or name not in known:
            raise UpdateError(f"state.next: {given(name)} is not a node that can run next. {_WAY_OUT}")
