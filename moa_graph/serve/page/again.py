"""Ask one model of a run again, the aggregator or a proposer: a run that begins with drafts that are there already."""

from __future__ import annotations

from typing import Any, NamedTuple

from langchain_core.messages import AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from moa_graph.errors import InputError
from moa_graph.graph.build import MoAGraph
from moa_graph.graph.combine.base import ANSWER
from moa_graph.mixture.context import MoAContext, settings
from moa_graph.mixture.mixture import Mixture
from moa_graph.state import COUNTED, Draft, Note, merge_drafts, new_run
from moa_graph.state.notes import check_notes

__all__ = ["Place", "before_one_draft", "before_the_answer", "given_drafts", "given_place"]


class Place(NamedTuple):
    """Where a draft stands: its layer, from 1, and its slot, from 0."""

    layer: int
    slot: int


def given_drafts(body: dict[str, Any]) -> tuple[list[Draft], list[Note]]:
    """Return the drafts and notes of a request.

    Raises:
        InputError: They are malformed, or no draft counts and none is asked for.
    """
    drafts = merge_drafts([], body["drafts"])
    if body.get("retry") is None and not any(draft["status"] in COUNTED for draft in drafts):
        raise InputError("drafts: none of them counts, so there is nothing to answer from. Ask the question again.")
    notes: list[Note] = body.get("notes") or []
    check_notes(notes)
    return drafts, notes


def given_place(body: dict[str, Any]) -> Place | None:
    """Return the place of the draft that a request wants again; None where it wants another answer only.

    Raises:
        InputError: `retry` is not a layer and a slot.
    """
    given = body.get("retry")
    if given is None:
        return None
    layer, slot = (given.get("layer"), given.get("slot")) if isinstance(given, dict) else (None, None)
    if type(layer) is not int or type(slot) is not int:
        raise InputError('retry: expected {"layer": ..., "slot": ...} with whole numbers.')
    return Place(layer, slot)


async def before_the_answer(
    graph: MoAGraph,
    mixture: Mixture,
    messages: list[AnyMessage],
    context: MoAContext,
    drafts: list[Draft],
    notes: list[Note],
) -> tuple[MoAGraph, RunnableConfig]:
    """Return the graph and a thread of it that has drafts, and whose next step writes the answer.

    The answer is made from the last round that has a draft that counts.

    Args:
        graph: The graph of `mixture`.
        mixture: The mixture.
        messages: The conversation, validated.
        context: The run's context.
        drafts: The drafts, with those of earlier rounds.
        notes: The results of the combiner's own calls.
    """
    last = max(draft["layer"] for draft in drafts if draft["status"] in COUNTED)
    state = {"messages": messages, "drafts": drafts, "notes": notes, "layer": 1 + last, "next": [ANSWER]}
    return await _thread(graph, mixture, context, state)


async def before_one_draft(
    graph: MoAGraph,
    mixture: Mixture,
    messages: list[AnyMessage],
    context: MoAContext,
    drafts: list[Draft],
    place: Place,
) -> tuple[MoAGraph, RunnableConfig]:
    """Return the graph and a thread of it whose next step is one proposer's, beside the other drafts of its round.

    Later rounds, the combiner's own calls and the answer follow, because they depend on the draft.

    Args:
        graph: The graph of `mixture`.
        mixture: The mixture.
        messages: The conversation, validated.
        context: The run's context.
        drafts: The drafts; the one at `place` and those of later rounds are not used.
        place: Where the new draft stands.

    Raises:
        InputError: The run has no such place, or no draft of the round before counts.
    """
    rounds = settings(mixture, context).rounds
    if not (1 <= place.layer <= len(rounds) and 0 <= place.slot < len(rounds[place.layer - 1])):
        raise InputError(f"retry: layer {place.layer} has no slot {place.slot} in this mixture.")
    if place.layer > 1 and not any(d["status"] in COUNTED for d in drafts if d["layer"] == place.layer - 1):
        raise InputError(f"retry: no draft of layer {place.layer - 1} counts. Ask the question again.")
    kept = [d for d in drafts if d["layer"] < place.layer or (d["layer"] == place.layer and d["slot"] != place.slot)]
    node = rounds[place.layer - 1][place.slot]
    state = {"messages": messages, "drafts": kept, "notes": [], "layer": place.layer, "next": [node]}
    return await _thread(graph, mixture, context, state)


async def _thread(
    graph: MoAGraph, mixture: Mixture, context: MoAContext, state: dict[str, Any]
) -> tuple[MoAGraph, RunnableConfig]:
    """Return the graph and a thread of it that goes on from `state`."""
    layers, combine = context.layers or mixture.total_layers, settings(mixture, context).combine.name
    info = new_run(mixture.hash, layers, combine)
    resumable = graph.copy({"checkpointer": InMemorySaver()})
    config: RunnableConfig = {"configurable": {"thread_id": info["id"]}}
    return resumable, await resumable.aupdate_state(config, {**state, "run": info}, as_node="gather")
