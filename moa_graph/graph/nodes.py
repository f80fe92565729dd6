"""The graph's nodes: begin, a proposer, a combiner's own node, gather. `answer.py` has the work of `aggregate`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.constants import CONFIG_KEY_CHECKPOINTER
from langgraph.runtime import get_runtime
from langgraph.types import Overwrite
from langsmith.run_helpers import get_current_run_tree

from moa_graph.costs.call_log import CallLog
from moa_graph.errors import MoAError
from moa_graph.graph.answer import answered
from moa_graph.graph.background import run_sync
from moa_graph.graph.checks.messages import check, check_saved
from moa_graph.graph.checks.schemas import check_schemas
from moa_graph.graph.checks.state import has_run, not_a_state, not_here
from moa_graph.graph.combine import combiner_of
from moa_graph.graph.combine.base import Combiner, NodeWork, apart
from moa_graph.graph.events import Tokens
from moa_graph.graph.limits import (
    late,
    no_room_for_round,
    refuse_few_steps,
    refuse_step,
    refuse_too_long,
)
from moa_graph.graph.preparation import make_models, require_keys
from moa_graph.graph.records import not_enough, under_new_id
from moa_graph.graph.runs import ANSWER, Run, Runs, Step
from moa_graph.graph.slot import SlotCall
from moa_graph.graph.targets import PROPOSER
from moa_graph.graph.turns import off_loop
from moa_graph.mixture.context import settings
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.tools import bound_to
from moa_graph.state import Draft, MoAState, Note, add_checked, counted, new_run

Work = Callable[[Any, RunnableConfig], Awaitable[dict[str, Any]]]

_FAULTS = frozenset({"failed", "empty", "refused", "filtered"})
"""Statuses that mark a span as failed. A draft that is late or skipped is the mixture's own decision."""


_running: ContextVar[set[asyncio.Task[Any]] | None] = ContextVar("moa_graph_running", default=None)
"""The tasks of the running nodes of the current stream."""


class Node(Runnable[Any, dict[str, Any]]):
    """A graph node made from one coroutine function, without a span of its own beside the graph's.

    Args:
        name: The node's name.
        work: Takes the state and the config, and returns an update of the state.
    """

    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self._work = work

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Run the node for a sync caller, on the background loop."""
        # Before `begin` there is no run.
        info = input.get("run") if isinstance(input, Mapping) else None
        known = str(info.get("id", "")) if isinstance(info, Mapping) else ""
        return run_sync(self._run(input, config), run=known)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Run the node, which ends with the stream of its run."""
        running, task = _running.get(), asyncio.current_task()
        if running is None or task is None:
            return await self._run(input, config)
        running.add(task)
        try:
            return await self._run(input, config)
        finally:
            running.discard(task)

    async def _run(self, input: Any, config: RunnableConfig | None) -> dict[str, Any]:
        """Do the work. An error of the run is emitted as an event and raised."""
        try:
            try:
                messages = input["messages"]
            except (KeyError, TypeError):  # a person sends something else to this node
                raise not_a_state(input) from None
            if not (isinstance(messages, list) and all(isinstance(message, BaseMessage) for message in messages)):
                # `Overwrite` puts whatever the caller gave past the reducer.
                input = {**input, "messages": add_checked([], messages)}
            return await self._work(input, config or {})
        except MoAError as error:
            # Some servers pass on only the class of an error; this event carries its text.
            get_runtime().stream_writer({"moa": "failed", "error": type(error).__name__, "message": str(error)})
            raise


class NodeStream(AsyncIterator[Any]):
    """An async stream of a graph whose running nodes end with it, however its caller is cancelled.

    LangGraph cancels them, but not when a second cancellation comes at that moment: anyio repeats a cancellation until
    the task has ended, and a node of a surrounding graph is cancelled twice when another one fails.

    Args:
        parts: The stream, before its first part is asked for.
    """

    def __init__(self, parts: AsyncGenerator[Any]) -> None:
        self._parts = parts
        self._running: set[asyncio.Task[Any]] = set()

    def __anext__(self) -> Coroutine[Any, Any, Any]:
        # The generator begins in this call and not in the coroutine, for the sake of `graph/owned.py`.
        return self._part(anext(self._parts))

    async def _part(self, coming: Awaitable[Any]) -> Any:
        # The caller's own code runs between two parts, so the variable is set for the length of one part only.
        token = _running.set(self._running)
        try:
            return await coming
        except asyncio.CancelledError:
            await self._end()
            raise
        finally:
            _running.reset(token)

    async def aclose(self) -> None:
        """Close the stream."""
        try:
            await self._parts.aclose()
        finally:
            await self._end()

    async def _end(self) -> None:
        left = self._running - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)


class Nodes:
    """The work of every node of one graph.

    Args:
        mixture: The graph's mixture.
        ledger: Where paid calls are recorded, if anywhere.
        saved: Whether a checkpointer of a surrounding graph saves the state of this one.
    """

    def __init__(self, mixture: Mixture, ledger: CallLog | None = None, *, saved: bool = True) -> None:
        self.mixture = mixture
        self.ledger = ledger
        self.saved = saved
        self.runs = Runs(mixture, ledger)

    async def begin(self, state: MoAState, config: RunnableConfig) -> dict[str, Any]:
        """Check the input, the keys and the caps; empty the last turn's drafts; open the first layer."""
        wanted = settings(self.mixture, get_runtime().context)
        check(state["messages"])
        saver = config.get("configurable", {}).get(CONFIG_KEY_CHECKPOINTER) if self.saved else None
        if isinstance(saver, BaseCheckpointSaver):
            await asyncio.to_thread(check_saved, state["messages"], saver.serde)
        bound = bound_to(wanted).bound
        await off_loop(bound, partial(check_schemas, bound))
        specs = [*self.mixture.specs, wanted.aggregator]
        await require_keys(specs)
        if self.ledger:
            for spec in specs:
                spec.identity()
            await self.ledger.check(wait=min(wanted.deadline, wanted.run_deadline or math.inf))
        layers = wanted.context.layers or self.mixture.total_layers
        info = new_run(self.mixture.hash, layers, wanted.combine.name)
        empty: dict[str, Any] = {"drafts": [], "notes": [], "layer": 0, "next": [], "run": info, "record": None}
        with self.runs.node({**state, **empty}) as run:  # type: ignore[typeddict-item]  # the fields that `empty` has
            await make_models(run)
            step = self._combiner(run).next(run)
            refuse_too_long(run)
            refuse_few_steps(run, config)
            first = Step(1, run.settings.rounds[0]) if run.settings.base else Step(1, [ANSWER])
            await refuse_step(run, step if step.layer else first)
            self._emit_round(run, step)
        emptied = {"drafts": Overwrite([]), "notes": Overwrite([])}
        return {**empty, **emptied, "layer": step.layer, "next": step.nodes}

    def propose(self, name: str, spec: Proposer) -> Work:
        """Return the work of one proposer node: one call, one draft, whatever its status.

        Args:
            name: The node's name.
            spec: The model.
        """

        async def work(state: MoAState, config: RunnableConfig) -> dict[str, Any]:
            with self.runs.node(state) as run:
                layer, own = state["layer"], self.combiners[run.settings.combine.name]
                try:
                    slot = run.settings.rounds[layer - 1].index(name)
                except (IndexError, ValueError):  # a person goes to this node
                    raise not_here(name, layer) from None
                place = {"layer": layer, "slot": slot, "proposer": name}
                started = {"moa": "draft_started", **place, "model": spec.label}
                run.emit(started)
                added = own.added(run, Step(layer, state["next"]))
                call = SlotCall(run, spec, layer, slot, PROPOSER, own.shown(run, slot), config, node=name)
                if run.settings.context.stream_drafts:
                    call.sink = lambda: Tokens(run.emit, {"moa": "draft_token", **place}, started)
                if added and (reason := call.shown.absent or await no_room_for_round(run)):
                    call.outcome.unsent(reason)
                    notes = list[Note]()
                else:
                    notes = await own.race(call)
            draft = call.draft()
            _mark_span(draft)
            run.emit({"moa": "draft", **place, "draft": draft})
            return {"drafts": [draft], **_emitted(run, notes)}

        return work

    def combine(self, work: NodeWork) -> Work:
        """Return the work of one of the combiner's own nodes: its notes."""

        async def noted(state: MoAState, config: RunnableConfig) -> dict[str, Any]:
            with self.runs.node(state) as run:
                notes = await work(run, config)
            return _emitted(run, notes)

        return noted

    async def gather(self, state: MoAState, config: RunnableConfig) -> dict[str, Any]:
        """End a step: decide what comes next, with enough drafts, time and money for it, or raise one error."""
        with self.runs.node(state) as run:
            wanted, layer, own = run.settings, state["layer"], self._combiner(run)
            if not has_run(state):
                return {"layer": layer, "next": state["next"]}
            step = await apart(state["drafts"], partial(own.next, run))
            ended = (layer > 0 and step.layer > layer) or step.last
            too_few = len(counted(state["drafts"], layer)) < wanted.min_drafts
            if ended and layer and too_few and not own.may_fail(run):
                few = not_enough(state["drafts"], layer, wanted.min_drafts)
                raise late(run, str(few)) if run.over else few
            if not step.last and not own.added(run, step):
                if run.over:
                    raise late(run)
                await refuse_step(run, step)
            self._emit_round(run, step)
        return {"layer": step.layer, "next": step.nodes}

    async def take_up(self, state: MoAState, config: RunnableConfig) -> dict[str, Any]:
        """Continue after the last round of drafts that are in the state, as if its proposers had just written them.

        For recorded drafts: what the combiner reads in a draft is read now, and no proposer of that round is called.
        """
        with self.runs.node(state) as run:
            own, notes = self._combiner(run), list[Note]()
            for draft in counted(state["drafts"], state["layer"]) if own.reads else []:
                notes += [note] if (note := await own.read(run, draft)) else []
            step = own.next(replace(run, state={**state, "notes": [*state["notes"], *notes]}))
        return {"layer": step.layer, "next": step.nodes, **_emitted(run, notes)}

    async def aggregate(self, state: MoAState, config: RunnableConfig) -> dict[str, Any]:
        """Write the answer, streaming it, and the record."""
        with self.runs.node(state, last=True) as run:
            decision = await apart(state["drafts"], partial(self._combiner(run).decide, run))
            message, record = await answered(run, config, decision)
        run.emit({"moa": "finished", "record": record})
        return {"messages": [under_new_id(message, state["messages"])], "record": record}

    def _combiner(self, run: Run) -> Combiner[Any]:
        return self.combiners[run.settings.combine.name]

    @cached_property
    def combiners(self) -> dict[str, Combiner[Any]]:
        """The combiners that a run may use, by name."""
        return {name: combiner_of(options) for name, options in self.mixture.choices.items()}

    def _emit_round(self, run: Run, step: Step) -> None:
        """Emit `round_started` when `step` runs proposers."""
        if not 1 <= step.layer <= len(run.settings.rounds) or step.nodes[0] not in run.settings.rounds[step.layer - 1]:
            return
        specs = self.mixture.plan.specs
        proposers = [
            {"slot": slot, "proposer": name, "model": specs[name].label}
            for slot, name in enumerate(run.settings.rounds[step.layer - 1])
            if name in step.nodes
        ]
        layers = run.settings.layers
        run.emit({"moa": "round_started", "layer": step.layer, "layers": layers, "proposers": proposers})


def _emitted(run: Run, notes: list[Note]) -> dict[str, Any]:
    """Emit notes, and return them as an update of the state."""
    for note in notes:
        run.emit({"moa": "note", "layer": note["layer"], "slot": note["slot"], "kind": note["kind"], "note": note})
    return {"notes": notes} if notes else {}


def _mark_span(draft: Draft) -> None:
    """Write a draft's place and status onto the span of its node in LangSmith. Without tracing there is no span.

    A draft that failed marks the span as failed, although the run goes on.
    """
    span = get_current_run_tree()
    # The graph itself may be untraced inside a traced caller, whose span has another name.
    if span is None or span.name != draft["proposer"]:
        return
    place = {"moa_layer": draft["layer"], "moa_slot": draft["slot"], "moa_proposer": draft["proposer"]}
    span.add_metadata({**place, "moa_model": draft["model"], "moa_status": draft["status"]})
    span.add_tags([f"moa:layer:{draft['layer']}", f"moa:slot:{draft['slot']}", f"moa:status:{draft['status']}"])
    if draft["status"] in _FAULTS:
        span.error = f"{draft['status']}: {draft['error']}"
