"""Ask the aggregator again: a run that begins at its last step, with drafts that are there already."""

from __future__ import annotations

import time
import uuid
from functools import cache
from typing import Any

from langchain_core.messages import AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import TypeAdapter, ValidationError

from moa_graph.errors import InputError
from moa_graph.graph.build import MoAGraph
from moa_graph.graph.combine.base import ANSWER
from moa_graph.mixture.context import MoAContext, settings
from moa_graph.mixture.mixture import Mixture
from moa_graph.state import COUNTED, Draft, Note, RunInfo, merge_drafts

__all__ = ["before_the_answer", "given_drafts"]


def given_drafts(body: dict[str, Any]) -> tuple[list[Draft], list[Note]]:
    """Return the drafts and notes of a request.

    Raises:
        InputError: they are malformed, or no draft counts.
    """
    drafts = merge_drafts([], body["drafts"])
    if not any(draft["status"] in COUNTED for draft in drafts):
        raise InputError("drafts: none of them counts, so there is nothing to answer from. Ask the question again.")
    try:
        notes = _notes_adapter().validate_python(body.get("notes") or [])
    except ValidationError as exc:
        raise InputError(f"notes: {exc.errors(include_url=False)[0]['msg']}.") from None
    return drafts, notes


@cache
def _notes_adapter() -> TypeAdapter[list[Note]]:
    return TypeAdapter(list[Note])


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
    wanted = settings(mixture, context)
    info = RunInfo(
        id=uuid.uuid4().hex,
        mixture=mixture.hash,
        layers=context.layers or mixture.total_layers,
        combine=wanted.combine.name,
        started=time.time(),
    )
    state = {
        "messages": messages,
        "drafts": drafts,
        "notes": notes,
        "layer": 1 + max(draft["layer"] for draft in drafts if draft["status"] in COUNTED),
        "next": [ANSWER],
        "run": info,
    }
    resumable = graph.copy({"checkpointer": InMemorySaver()})
    config: RunnableConfig = {"configurable": {"thread_id": info["id"]}}
    return resumable, await resumable.aupdate_state(config, state, as_node="gather")
