"""The graph's four kinds of node: begin, propose, gather, aggregate."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.constants import TAG_NOSTREAM
from langgraph.runtime import get_runtime
from langgraph.types import Overwrite

from moa_graph.costs import prices
from moa_graph.costs.ledger import Ledger
from moa_graph.errors import BudgetError, ConfigError, MoAError
from moa_graph.graph.active_runs import in_run
from moa_graph.graph.combine import combiner
from moa_graph.graph.combine.base import Decision, Step
from moa_graph.graph.emit import Tokens, tell
from moa_graph.graph.input_checks import check
from moa_graph.graph.limits import late, refuse_over_budget, refuse_too_long
from moa_graph.graph.records import Calls, answer_of, best_draft, draft_of, no_answer, not_enough, record_of
from moa_graph.graph.round_end import Rule
from moa_graph.graph.slot import Run, SlotCall
from moa_graph.graph.spans import mark
from moa_graph.mixture.context import Settings, settings
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models import keys, registry
from moa_graph.models.tools import bound_model
from moa_graph.models.trust import has_passed
from moa_graph.state import MoAState, RunInfo, counted


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
            await self.ledger.check()
        info = RunInfo(
            id=uuid.uuid4().hex, mixture=self.mixture.hash, layers=wanted.layers, combine=wanted.combine.name,
            started=time.time(),
        )  # fmt: skip
        opened: MoAState = {**state, "drafts": [], "layer": 0, "run": info, "record": None}
        with self._run(opened) as run:
            step = combiner(run.settings).next(run.settings, opened)
            refuse_too_long(run)
            await refuse_over_budget(run, step.layer)
            self._emit_round(run, step)
        return {"drafts": Overwrite([]), "layer": step.layer, "next": step.nodes, "run": info, "record": None}

    def propose(self, name: str, spec: Proposer) -> Any:
        """Return the work of one proposer node: one call, one draft, whatever its status."""

        async def work(state: MoAState, config: RunnableConfig) -> dict[str, Any]:
            with self._run(state) as run:
                layer = state["layer"]
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
                    combiner(run.settings).shown(run.settings, state, slot),
                    _called(config, f"layer {layer} slot {slot} {spec.label}", [TAG_NOSTREAM], place),
                    run.terms(spec, hedge=True),
                    sink=(lambda: Tokens({"moa": "draft_token", **place}, started))
                    if run.settings.context.stream_drafts
                    else None,
                )
                await _race(call)
            draft = draft_of(call.outcome, layer, slot, name, spec)
            mark(draft)
            tell({"moa": "draft", **place, "draft": draft})
            return {"drafts": [draft]}

        return work

    async def gather(self, state: MoAState, config: RunnableConfig) -> dict[str, Any]:
        """End a step: decide what comes next, with enough drafts, time and money for it, or raise one error."""
        with self._run(state) as run:
            wanted, layer = run.settings, state["layer"]
            if len(counted(state["drafts"], layer)) < wanted.min_drafts:
                few = not_enough(state["drafts"], layer, wanted.min_drafts)
                raise late(run, str(few)) if run.over else few
            step = combiner(wanted).next(wanted, state)
            if not step.last:
                if run.over:
                    raise late(run)
                await refuse_over_budget(run, step.layer)
            self._emit_round(run, step)
        return {"layer": step.layer, "next": step.nodes}

    async def aggregate(self, state: MoAState, config: RunnableConfig) -> dict[str, Any]:
        """Write the answer, streaming it, and the record."""
        with self._run(state, last=True) as run:
            decision = combiner(run.settings).decide(run.settings, state)
            calls = Calls()
            error = await self._synthesized(run, config, decision, calls)
            if error is None:
                message = answer_of(calls.made[-1][1])
            elif self.mixture.on_failure == "best_draft" and decision.drafts:
                message = best_draft(decision.drafts)
            else:
                error.cost = calls.cost
                raise error
            record = record_of(run, calls, best=error is not None)
        tell({"moa": "finished", "record": record})
        return {"messages": [message], "record": record}

    async def _synthesized(self, run: Run, config: RunnableConfig, decision: Decision, calls: Calls) -> MoAError | None:
        """Call the aggregator and then its fallbacks until one answers; return the error when none does."""
        state, wanted = run.state, run.settings
        try:
            await refuse_over_budget(run, wanted.layers)
        except BudgetError as exc:
            return exc
        before = sum(1 for d in state["drafts"] if d["attempts"])
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
        with in_run(info["id"], self.mixture.calls(info["layers"]), last=last) as live:
            context = get_runtime().context
            # Once per process and resume: a resume brings a context object of its own.
            if live.settings is None or live.settings[0] is not context:
                live.settings = context, settings(self.mixture, context).begun(info)
            yield Run(live.settings[1], state, live, self.ledger)

    def _emit_round(self, run: Run, step: Step) -> None:
        """Emit `round_started` when `step` runs proposers."""
        if step.last:
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
        _called(config, f"aggregate {spec.label}", [], {"layer": layer}),
        run.terms(spec, shares=shares, final=True),
        sink=(lambda: Tokens({"moa": "answer_token"}, {**event, "restart": "reasoning"}))
        if run.settings.context.stream_answer
        else None,
        on_restart=started,
    )


async def _race(call: SlotCall) -> None:
    """Make the call, unless its round is closed first: by the quorum, or because later layers need the time.

    With a `run_deadline`, a round that has enough drafts holds the run up for at most its equal share of what is left,
    so that one proposer that hangs does not cost the answer.
    """
    run, wanted = call.run, call.run.settings
    if wanted.quorum is None and wanted.run_deadline is None:
        return await call.send()
    share = None if wanted.run_deadline is None else run.left / (wanted.layers - call.layer + 1)
    info = get_runtime().execution_info
    step = info.checkpoint_id if info else uuid.uuid4().hex
    latch = run.live.latch(step, Rule(wanted.quorum, wanted.grace, enough=max(wanted.min_drafts, 1), share=share))
    if not await latch.race(call.send):
        call.outcome.status = "late"
        call.outcome.error = latch.why
        call.outcome.cost = 0.0 if call.outcome.free else None
    elif call.outcome.counts and latch.count():
        tell({"moa": "quorum", "layer": call.layer, "counted": latch.counted})
    return None


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


def _called(config: RunnableConfig, name: str, tags: list[str], place: dict[str, Any]) -> RunnableConfig:
    """Return the node's config for the model call beneath it: what its span is named and can be filtered by."""
    metadata = {**(config.get("metadata") or {}), **{f"moa_{key}": value for key, value in place.items()}}
    labels = [f"moa:{key}:{place[key]}" for key in ("layer", "slot") if key in place]
    all_tags = [*(config.get("tags") or []), *tags, *labels]
    return {**config, "run_name": name, "tags": all_tags, "metadata": metadata}
