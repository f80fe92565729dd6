"""The graph's four kinds of node: begin, propose, gather, aggregate."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.constants import TAG_NOSTREAM
from langgraph.runtime import get_runtime
from langgraph.types import Overwrite

from moa_graph.costs import prices
from moa_graph.costs.budget import listed, over_budget
from moa_graph.costs.ledger import Ledger
from moa_graph.errors import BudgetError, ConfigError, DeadlineError, InputError, MoAError
from moa_graph.graph.active_runs import Live, in_run
from moa_graph.graph.emit import Tokens, tell
from moa_graph.graph.input_checks import check
from moa_graph.graph.records import Asked, answer_of, best_draft, draft_of, no_answer, not_enough, record_of
from moa_graph.graph.round_end import Rule
from moa_graph.graph.slot import Asking, fitted
from moa_graph.graph.spans import mark
from moa_graph.mixture.context import Settings, settings
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models import keys, registry
from moa_graph.models.call import Terms
from moa_graph.models.tools import bound_model, bound_to
from moa_graph.state import MoAState, RunInfo, counted


@dataclass(frozen=True)
class Nodes:
    """The work of every node of one graph."""

    mixture: Mixture
    ledger: Ledger | None = None

    async def begin(self, state: MoAState, config: RunnableConfig) -> dict[str, Any]:
        """Checks the input, the keys and the caps, empties last turn's drafts, opens the first layer."""
        run = settings(self.mixture, get_runtime().context)
        check(state["messages"])
        await _ready([*run.mixture.specs, run.aggregator], run)
        if self.ledger:
            await self.ledger.check()
        info = RunInfo(id=uuid.uuid4().hex, mixture=self.mixture.hash, layers=run.layers, started=time.time())
        opened: MoAState = {**state, "drafts": [], "layer": 1, "run": info, "record": None}
        _refuse_too_long(run, opened)
        await _refuse_over_budget(run, opened, 1)
        self._tell_round(run, 1)
        return {"drafts": Overwrite([]), "layer": 1, "run": info, "record": None}

    def propose(self, name: str, spec: Proposer) -> Any:
        """The work of one proposer node: one call, one draft, whatever becomes of it."""

        async def work(state: MoAState, config: RunnableConfig) -> dict[str, Any]:
            run = self._resumed(state)
            layer = state["layer"]
            slot = self.mixture.round_nodes(layer).index(name)
            place = {"layer": layer, "slot": slot, "proposer": name}
            started = {"moa": "draft_started", **place, "model": spec.label}
            tell(started)
            with self._in_run(state) as live:
                asking = Asking(
                    run,
                    state,
                    spec,
                    layer,
                    slot,
                    _called(config, f"layer {layer} slot {slot} {spec.label}", [TAG_NOSTREAM], place),
                    self._terms(run, state, live, hedge=True),
                    ledger=self.ledger,
                    sink=(lambda: Tokens({"moa": "draft_token", **place}, started))
                    if run.context.stream_drafts
                    else None,
                )
                await _race(asking, run, live)
            draft = draft_of(asking.outcome, layer, slot, name, spec)
            mark(draft)
            tell({"moa": "draft", **place, "draft": draft})
            return {"drafts": [draft]}

        return work

    async def gather(self, state: MoAState, config: RunnableConfig) -> dict[str, Any]:
        """Ends the layer: enough drafts, time and money for the next one, or one error with every reason."""
        run = self._resumed(state)
        layer = state["layer"]
        with self._in_run(state) as live:
            if len(counted(state["drafts"], layer)) < run.min_drafts:
                late = live.left(run.run_deadline) <= 0
                few = not_enough(state["drafts"], layer, run.min_drafts)
                raise _late(run, state, str(few)) if late else few
            if layer + 1 < run.layers:
                if live.left(run.run_deadline) <= 0:
                    raise _late(run, state)
                await _refuse_over_budget(run, state, layer + 1)
        self._tell_round(run, layer + 1)
        return {"layer": layer + 1}

    async def aggregate(self, state: MoAState, config: RunnableConfig) -> dict[str, Any]:
        """Synthesizes the last layer's drafts, streaming the answer, and writes the record."""
        run = self._resumed(state)
        drafts = counted(state["drafts"], run.layers - 1)
        asked = Asked()
        with self._in_run(state, last=True) as live:
            error = await self._aggregated(run, state, config, live, asked)
            if error is None:
                message = answer_of(asked.calls[-1][1], tools="tools" in bound_to(run).bound)
            elif self.mixture.on_failure == "best_draft" and drafts:
                message = best_draft(drafts)
            else:
                error.cost = asked.cost
                raise error
        record = record_of(run, state, asked, best=error is not None)
        tell({"moa": "finished", "record": record})
        return {"messages": [message], "record": record}

    async def _aggregated(
        self, run: Settings, state: MoAState, config: RunnableConfig, live: Live, asked: Asked
    ) -> MoAError | None:
        """Asks the aggregator and then its fallbacks, until one answers; the error when none does."""
        try:
            await _refuse_over_budget(run, state, run.layers)
        except BudgetError as exc:
            return exc
        made = sum(1 for d in state["drafts"] if d["attempts"])
        chain = (run.aggregator, *self.mixture.fallbacks)
        for place, spec in enumerate(chain):
            if live.left(run.run_deadline) <= 0:
                return _late(run, state, asked.reasons)
            if asked.calls and run.max_calls is not None and made + asked.made >= run.max_calls:
                return BudgetError(f"max_calls is {run.max_calls}. {asked.reasons}", drafts=state["drafts"])
            asking = self._aggregating(
                run, state, config, spec, self._terms(run, state, live, shares=len(chain) - place)
            )
            await asking.run()
            asked.calls.append((spec, asking.outcome))
            asked.cut = asking.cut
            if asking.outcome.counts:
                return None
        return no_answer(asked, state["drafts"])

    def _aggregating(
        self, run: Settings, state: MoAState, config: RunnableConfig, spec: Proposer, terms: Terms
    ) -> Asking:
        used = [d["slot"] for d in counted(state["drafts"], run.layers - 1)]

        event = {"moa": "aggregating", "model": spec.label, "used": used}

        def begun() -> None:
            # Emitted again when a stream broke or a fallback is called: what was streamed before is void.
            tell(event)

        begun()
        return Asking(
            run,
            state,
            spec,
            run.layers,
            0,
            _called(config, f"aggregate {spec.label}", [], {"layer": run.layers}),
            terms,
            ledger=self.ledger,
            sink=(lambda: Tokens({"moa": "answer_token"}, {**event, "restart": "reasoning"}))
            if run.context.stream_answer
            else None,
            on_restart=begun,
        )

    def _resumed(self, state: MoAState) -> Settings:
        """The run's settings, as `begin` fixed its layers.

        Raises:
            ConfigError: the thread was begun under another mixture.
        """
        if state["run"]["mixture"] != self.mixture.hash:
            raise ConfigError(
                f"this thread's unfinished run belongs to another mixture (hash {state['run']['mixture']}, this one is "
                f"{self.mixture.hash}). Resume it with that mixture, or send a new message to begin anew."
            )
        return settings(self.mixture, get_runtime().context)._replace(layers=state["run"]["layers"])

    def _in_run(self, state: MoAState, *, last: bool = False) -> Any:
        return in_run(state["run"]["id"], self.mixture.calls(state["run"]["layers"]), last=last)

    def _terms(self, run: Settings, state: MoAState, live: Live, *, shares: int = 1, hedge: bool = False) -> Terms:
        """A call's terms; it may take one of `shares` equal parts of what is left of the run's time."""
        return Terms(
            deadline=max(min(run.deadline, live.left(run.run_deadline) / shares), 0.0),
            budget=live.budget,
            max_attempts=self.mixture.max_attempts,
            order=state["run"]["started"],
            hedge=self.mixture.hedge if hedge else None,
        )

    def _tell_round(self, run: Settings, layer: int) -> None:
        if layer >= run.layers:
            return
        specs = {node.name: node.spec for node in self.mixture.plan[0]}
        proposers = [
            {"slot": slot, "proposer": name, "model": specs[name].label}
            for slot, name in enumerate(self.mixture.round_nodes(layer))
        ]
        tell({"moa": "round_started", "layer": layer, "layers": run.layers, "proposers": proposers})


async def _race(asking: Asking, run: Settings, live: Live) -> None:
    """Ask, unless the round is closed first: by its quorum, or because the layers after it need the rest of the time.

    With a `run_deadline`, a round that has enough drafts holds the run up for its equal share of what is left, at most:
    one proposer that hangs must not cost the answer.
    """
    if run.quorum is None and run.run_deadline is None:
        return await asking.run()
    share = None if run.run_deadline is None else live.left(run.run_deadline) / (run.layers - asking.layer + 1)
    info = get_runtime().execution_info
    step = info.checkpoint_id if info else uuid.uuid4().hex
    rule = Rule(run.quorum, run.grace, enough=max(run.min_drafts, 1), share=share)
    latch = live.latch(step, rule)
    if not await latch.race(asking.run):
        asking.outcome.status = "late"
        asking.outcome.error = latch.why
        asking.outcome.cost = 0.0 if asking.outcome.free else None
    elif asking.outcome.counts and latch.count():
        tell({"moa": "quorum", "layer": asking.layer, "counted": latch.counted})
    return None


async def _ready(specs: list[Proposer], run: Settings) -> None:
    """Checks all keys and makes all models before the first request.

    Raises:
        ConfigError: a key is missing or a model cannot be made.
    """
    names = {name for spec in specs if (name := keys.key_name(spec))}
    if not all(os.environ.get(name) for name in names):
        # Looking for a .env file blocks, which a server's event loop must not.
        await asyncio.to_thread(keys.require_keys, specs)
    if embedded := [spec for spec in specs if is_embedded(spec)]:
        await asyncio.to_thread(registry.require_embedded, embedded)
    for spec in specs:
        registry.chat_model(spec, temperature=run.temperature, max_tokens=run.max_tokens, quiet=True)
    # Whether it can hold the caller's tools.
    bound_model(run, run.aggregator)
    if not prices.loaded() and any(map(listed, specs)):
        # Reading the price list takes about a second: better while the models think than after they have
        # answered.
        asyncio.get_running_loop().run_in_executor(None, prices.load)


def _refuse_too_long(run: Settings, state: MoAState) -> None:
    """Raises InputError when the conversation, with the drafts to come, is too long for too many of the models."""
    if not any(spec.window for spec in (*run.mixture.specs, run.aggregator)):
        return
    specs = {node.name: node.spec for node in run.mixture.plan[0]}
    drafts = 0
    for layer in range(1, run.layers + 1):
        last = layer == run.layers
        names = [] if last else run.mixture.round_nodes(layer)
        asked = [run.aggregator, *run.mixture.fallbacks] if last else [specs[name] for name in names]
        reasons = [reason for spec in asked if (reason := fitted(run, state, spec, 1, expected=drafts).reason)]
        if reasons and len(asked) - len(reasons) < (1 if last else run.min_drafts):
            raise InputError(f"messages: too long. {'; '.join(reasons)}. Shorten them, or choose larger windows.")
        drafts = len(names)


async def _refuse_over_budget(run: Settings, state: MoAState, layer: int) -> None:
    """Raises BudgetError, with the drafts, when `layer` would pass the run's caps."""
    if run.max_cost is None and run.max_calls is None:
        return
    args = (run, state["messages"], state["drafts"], layer)
    # The price list is read at its first use, which blocks.
    reason = over_budget(*args) if prices.loaded() else await asyncio.to_thread(over_budget, *args)
    if reason:
        kept = " The drafts are attached." if state["drafts"] else " Nothing was sent."
        raise BudgetError(f"{reason}.{kept}", drafts=state["drafts"])


def _late(run: Settings, state: MoAState, reasons: str = "") -> DeadlineError:
    more = f" {reasons}." if reasons else ""
    return DeadlineError(
        f"run_deadline: {run.run_deadline:g} s are over.{more} The drafts are attached.", drafts=state["drafts"]
    )


def _called(config: RunnableConfig, name: str, tags: list[str], place: dict[str, Any]) -> RunnableConfig:
    """The node's config for the model call beneath it: what its span is named and can be filtered by."""
    metadata = {**(config.get("metadata") or {}), **{f"moa_{key}": value for key, value in place.items()}}
    labels = [f"moa:{key}:{place[key]}" for key in ("layer", "slot") if key in place]
    all_tags = [*(config.get("tags") or []), *tags, *labels]
    return {**config, "run_name": name, "tags": all_tags, "metadata": metadata}
