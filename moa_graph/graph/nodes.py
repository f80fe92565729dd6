"""The graph's four kinds of node: begin, propose, gather, aggregate."""

from __future__ import annotations

import asyncio
import math
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.constants import TAG_NOSTREAM
from langgraph.runtime import get_runtime
from langgraph.types import Overwrite

from moa_graph.costs import prices
from moa_graph.costs.ledger import Ledger
from moa_graph.errors import BudgetError, ConfigError, MoAError
from moa_graph.graph.active_runs import in_run
from moa_graph.graph.combine import combiner_of
from moa_graph.graph.combine.base import Combiner, Decision, NodeWork
from moa_graph.graph.emit import Tokens, tell
from moa_graph.graph.input_checks import check
from moa_graph.graph.limits import late, over_caps, refuse_over_budget, refuse_too_long, round_calls
from moa_graph.graph.records import (
    Calls,
    answer_of,
    best_draft,
    compared,
    draft_of,
    no_answer,
    not_enough,
    record_of,
    verbatim_answer,
)
from moa_graph.graph.round_end import Rule
from moa_graph.graph.slot import ANSWER, Run, SlotCall, Step, called
from moa_graph.graph.spans import mark
from moa_graph.mixture.combiner import PlannedCall
from moa_graph.mixture.context import Settings, settings
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models import keys, registry
from moa_graph.models.tools import bound_model
from moa_graph.models.trust import has_passed
from moa_graph.state import MoAState, Note, RunInfo, counted


@dataclass(frozen=True)
class Nodes:
    """The work of every node of one graph."""

    mixture: Mixture
    ledger: Ledger | None = None

    async def begin(self, state: MoAState, config: RunnableConfig) -> dict[str, Any]:
        """Check the input, the keys and the caps; empty the last turn's drafts; open the first layer."""
        wanted = settings(self.mixture, get_runtime().context)
        check(state["messages"])
        await _ready([*self.mixture.specs, wanted.aggregator], wanted)
        if self.ledger:
            for spec in (*self.mixture.specs, wanted.aggregator):
                spec.identity()
            await self.ledger.check(wait=min(wanted.deadline, wanted.run_deadline or math.inf))
        layers = wanted.context.layers or self.mixture.total_layers
        info = RunInfo(
            id=uuid.uuid4().hex, mixture=self.mixture.hash, layers=layers, combine=wanted.combine.name,
            started=time.time(),
        )  # fmt: skip
        empty: dict[str, Any] = {"drafts": [], "notes": [], "layer": 0, "next": [], "run": info, "record": None}
        with self._run({**state, **empty}) as run:  # type: ignore[typeddict-item]  # the fields that `empty` has
            step = self._combiner(run).next(run)
            refuse_too_long(run)
            first = Step(1, run.settings.rounds[0]) if run.settings.base else Step(1, [ANSWER])
            await self._refuse_over_budget(run, step if step.layer else first)
            self._emit_round(run, step)
        emptied = {"drafts": Overwrite([]), "notes": Overwrite([])}
        return {**empty, **emptied, "layer": step.layer, "next": step.nodes}

    def propose(self, name: str, spec: Proposer) -> Any:
        """Return the work of one proposer node: one call, one draft, whatever its status."""

        async def work(state: MoAState, config: RunnableConfig) -> dict[str, Any]:
            with self._run(state) as run:
                layer, own = state["layer"], self._combiner(run)
                slot = run.settings.rounds[layer - 1].index(name)
                place = {"layer": layer, "slot": slot, "proposer": name}
                started = {"moa": "draft_started", **place, "model": spec.label}
                tell(started)
                call = SlotCall(
                    run,
                    spec,
                    layer,
                    slot,
                    "proposer",
                    own.shown(run, slot),
                    called(config, f"layer {layer} slot {slot} {spec.label}", [TAG_NOSTREAM], place),
                    run.terms(spec, hedge=True),
                    sink=(lambda: Tokens({"moa": "draft_token", **place}, started))
                    if run.settings.context.stream_drafts
                    else None,
                )
                notes = await self._drafted(call, own, name)
            draft = draft_of(call.outcome, layer, slot, name, spec)
            mark(draft)
            tell({"moa": "draft", **place, "draft": draft})
            return {"drafts": [draft], **_emitted(notes)}

        return work

    async def _drafted(self, call: SlotCall, own: Combiner[Any], name: str) -> list[Note]:
        """Make a proposer's call; one that only the combiner added is left out where the run's caps forbid it."""
        run = call.run
        step = Step(call.layer, run.state["next"])
        if own.added(run, step):
            reason = (
                f"run_deadline of {run.settings.run_deadline:g} s exceeded"
                if run.over
                else await over_caps(
                    run, [*round_calls(run, step), *run.settings.answering()], what="another round and the answer"
                )
            )
            if reason:
                call.outcome.status, call.outcome.error, call.outcome.cost = "skipped", reason, 0.0
                return []
        return await _race(call, own, name)

    def combine(self, work: NodeWork) -> Any:
        """Return the work of one of the combiner's own nodes: its notes."""

        async def noted(state: MoAState, config: RunnableConfig) -> dict[str, Any]:
            with self._run(state) as run:
                notes = await work(run, config)
            return _emitted(notes)

        return noted

    async def gather(self, state: MoAState, config: RunnableConfig) -> dict[str, Any]:
        """End a step: decide what comes next, with enough drafts, time and money for it, or raise one error."""
        with self._run(state) as run:
            wanted, layer, own = run.settings, state["layer"], self._combiner(run)
            step = own.next(run)
            ended = (layer > 0 and step.layer > layer) or step.last
            too_few = len(counted(state["drafts"], layer)) < wanted.min_drafts
            if ended and layer and too_few and not own.may_fail(run):
                few = not_enough(state["drafts"], layer, wanted.min_drafts)
                raise late(run, str(few)) if run.over else few
            if not step.last and not own.added(run, step):
                if run.over:
                    raise late(run)
                await self._refuse_over_budget(run, step)
            self._emit_round(run, step)
        return {"layer": step.layer, "next": step.nodes}

    async def aggregate(self, state: MoAState, config: RunnableConfig) -> dict[str, Any]:
        """Write the answer, streaming it, and the record."""
        with self._run(state, last=True) as run:
            decision = self._combiner(run).decide(run)
            alike = await compared(state["drafts"])
            calls = Calls()
            error = None
            if decision.answer or decision.text is not None:
                message = self._word_for_word(run, decision)
            else:
                error = await self._synthesized(run, config, decision, calls)
                if error is None:
                    message = answer_of(calls.made[-1][1])
                elif self.mixture.on_failure == "best_draft" and decision.drafts:
                    message = best_draft(decision.drafts)
                else:
                    error.cost = calls.cost
                    raise error
            record = record_of(run, calls, decision, alike, best=error is not None)
        tell({"moa": "finished", "record": record})
        return {"messages": [message], "record": record}

    def _word_for_word(self, run: Run, decision: Decision) -> AIMessage:
        """Return an answer that no model writes now, and stream it as one piece."""
        draft = decision.answer
        message = verbatim_answer(run, decision)
        used = [draft["slot"]] if draft else [each["slot"] for each in decision.drafts]
        tell({"moa": "aggregating", "model": draft["model"] if draft else run.settings.aggregator.label, "used": used})
        if run.settings.context.stream_answer:
            tell({"moa": "answer_token", "text": str(message.content)})
        return message

    async def _synthesized(self, run: Run, config: RunnableConfig, decision: Decision, calls: Calls) -> MoAError | None:
        """Call the aggregator and then its fallbacks until one answers; return the error when none does."""
        state, wanted = run.state, run.settings
        texts = len(decision.shown.texts) + len(decision.shown.notes)
        try:
            coming = [PlannedCall(wanted.aggregator, state["layer"], "aggregator", texts)]
            await refuse_over_budget(run, coming, what="the answer")
        except BudgetError as exc:
            return exc
        before = sum(1 for each in (*state["drafts"], *state.get("notes", [])) if each["attempts"])
        chain = (wanted.aggregator, *self.mixture.fallbacks)
        for place, spec in enumerate(chain):
            if run.over:
                return late(run, calls.reasons)
            if calls.made and wanted.max_calls is not None and before + calls.sent >= wanted.max_calls:
                return BudgetError(f"max_calls is {wanted.max_calls}. {calls.reasons}", drafts=state["drafts"])
            call = _aggregating(run, config, spec, decision, shares=len(chain) - place)
            await call.send()
            calls.add(call)
            if call.outcome.counts:
                return None
        return late(run, calls.reasons) if run.over else no_answer(calls, state["drafts"])

    def _calls_of(self, layers: int, combine: str) -> int:
        """Return the most calls of a run, counted once for each shape of run."""
        shape = layers, combine
        if shape not in self._most_calls:
            self._most_calls[shape] = self.mixture.calls(layers, combine)
        return self._most_calls[shape]

    @cached_property
    def _most_calls(self) -> dict[tuple[int, str], int]:
        return {}

    def _combiner(self, run: Run) -> Combiner[Any]:
        return self.combiners[run.settings.combine.name]

    @cached_property
    def combiners(self) -> dict[str, Combiner[Any]]:
        """The combiners that a run may use, by name."""
        return {name: combiner_of(options) for name, options in self.mixture.choices.items()}

    async def _refuse_over_budget(self, run: Run, step: Step) -> None:
        coming = [*round_calls(run, step), *run.settings.answering()]
        following = [c for c in run.settings.planned(least=True) if c.layer >= step.layer or c.role == "aggregator"]
        what = f"layer {step.layer} and the answer"
        await refuse_over_budget(run, coming, what=what, following=following)

    @contextmanager
    def _run(self, state: MoAState, *, last: bool = False) -> Iterator[Run]:
        """The run that `state` belongs to, while one of its nodes works.

        Raises:
            ConfigError: the thread was begun under another mixture.
        """
        info = state["run"]
        if info["mixture"] != self.mixture.hash:
            raise ConfigError(
                f"this thread's unfinished run belongs to another mixture (hash {info['mixture']}, this one is "
                f"{self.mixture.hash}). Resume it with that mixture, or send a new message to start again."
            )
        with in_run(info["id"], self._calls_of(info["layers"], info["combine"]), last=last) as live:
            context = get_runtime().context
            # Once per process and resume: a resume brings a context object of its own.
            if live.settings is None or live.settings[0] is not context:
                live.settings = context, settings(self.mixture, context).begun(info)
            yield Run(live.settings[1], state, live, self.ledger)

    def _emit_round(self, run: Run, step: Step) -> None:
        """Emit `round_started` when `step` runs proposers."""
        if not 1 <= step.layer <= len(run.settings.rounds) or step.nodes[0] not in run.settings.rounds[step.layer - 1]:
            return
        specs = {node.name: node.spec for node in self.mixture.plan[0]}
        proposers = [
            {"slot": slot, "proposer": name, "model": specs[name].label}
            for slot, name in enumerate(run.settings.rounds[step.layer - 1])
            if name in step.nodes
        ]
        layers = run.settings.layers
        tell({"moa": "round_started", "layer": step.layer, "layers": layers, "proposers": proposers})


def _aggregating(run: Run, config: RunnableConfig, spec: Proposer, decision: Decision, *, shares: int) -> SlotCall:
    used = [draft["slot"] for draft in decision.drafts]
    layer = run.state["layer"]
    event = {"moa": "aggregating", "model": spec.label, "used": used}

    def started() -> None:
        # Emitted again when a stream broke or a fallback is called: what was streamed before is void.
        tell(event)

    started()
    return SlotCall(
        run,
        spec,
        layer,
        0,
        "aggregator",
        decision.shown,
        called(config, f"aggregate {spec.label}", [], {"layer": layer}),
        run.terms(spec, shares=shares, final=True),
        sink=(lambda: Tokens({"moa": "answer_token"}, {**event, "restart": "reasoning"}))
        if run.settings.context.stream_answer
        else None,
        on_restart=started,
    )


async def _race(call: SlotCall, own: Combiner[Any], name: str) -> list[Note]:
    """Make the call, unless its round is closed first: by the quorum, the combiner, or because later layers need the
    time. Return what the combiner read in the draft.

    With a `run_deadline`, a round that has enough drafts holds the run up for at most its equal share of what is left,
    so that one proposer that hangs does not cost the answer.
    """
    run, wanted = call.run, call.run.settings
    notes: list[Note] = []

    async def work() -> None:
        await call.send()
        if own.reads() and call.outcome.counts:
            draft = draft_of(call.outcome, call.layer, call.slot, name, call.spec)
            notes.extend([note] if (note := await own.read(run, draft)) else [])

    if wanted.quorum is None and wanted.run_deadline is None and not own.reads():
        await work()
        return notes
    share = None if wanted.run_deadline is None else run.left / max(wanted.layers - call.layer + 1, 1)
    info = get_runtime().execution_info
    step = info.checkpoint_id if info else uuid.uuid4().hex
    latch = run.live.latch(step, Rule(wanted.quorum, wanted.grace, enough=max(wanted.min_drafts, 1), share=share))
    if not await latch.race(work):
        call.outcome.status = "late"
        call.outcome.error = latch.why
        call.outcome.cost = 0.0 if call.outcome.free else None
        return []
    latch.notes.extend(notes)
    if notes and (why := own.closes(run, latch.notes)):
        latch.close(why)
    if call.outcome.counts and latch.count():
        tell({"moa": "quorum", "layer": call.layer, "counted": latch.counted})
    return notes


def _emitted(notes: list[Note]) -> dict[str, Any]:
    """Emit notes, and return them as an update of the state."""
    for note in notes:
        tell({"moa": "note", "layer": note["layer"], "slot": note["slot"], "kind": note["kind"], "note": note})
    return {"notes": notes} if notes else {}


async def _ready(specs: list[Proposer], run: Settings) -> None:
    """Check all keys and make all models before the first request.

    Raises:
        ConfigError: a key is missing or a model cannot be made.
    """
    names = {name for spec in specs if (name := keys.key_name(spec))}
    if not (all(os.environ.get(name) for name in names) and all(map(has_passed, specs))):
        # Reading .env and the file of confirmations blocks, which a server's event loop must not.
        await asyncio.to_thread(keys.require_keys, specs)
    if embedded := [spec for spec in specs if is_embedded(spec)]:
        await asyncio.to_thread(registry.require_embedded, embedded)
    for spec in specs:
        registry.chat_model(spec, temperature=run.temperature, max_tokens=run.max_tokens, quiet=True)
    # Whether it can hold the caller's tools.
    bound_model(run, run.aggregator)
    if not prices.loaded() and any(map(prices.listed, specs)):
        # Reading the price list takes about a second: better while the models work than after they have answered.
        asyncio.get_running_loop().run_in_executor(None, prices.load)
