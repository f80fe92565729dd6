"""The graph's four kinds of node: begin, propose, gather, aggregate."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.constants import TAG_NOSTREAM
from langgraph.runtime import get_runtime
from langgraph.types import Overwrite

from moa_graph import models
from moa_graph.calls import Outcome, ask
from moa_graph.context import BoundContext, Settings, settings
from moa_graph.conversation import check, passed_on
from moa_graph.errors import AggregationError, ConfigError, NotEnoughDraftsError
from moa_graph.mixture import Mixture, Proposer
from moa_graph.prompts import bound_text, draft_text, with_system
from moa_graph.state import (
    COUNTED,
    Draft,
    MoAState,
    Record,
    RunInfo,
    SlotRef,
    UnusedSlot,
    counted,
    total_usage,
)
from moa_graph.tell import Tokens, tell


@dataclass(frozen=True)
class Nodes:
    """The work of every node of one graph."""

    mixture: Mixture

    async def begin(self, state: MoAState, config: RunnableConfig) -> dict[str, Any]:
        """Checks the input and the keys, empties last turn's drafts, opens the first layer."""
        run = self._settings()
        check(state["messages"])
        await _ready(run)
        self._tell_round(run, 1)
        info = RunInfo(mixture=self.mixture.hash, layers=run.layers, started=time.time())
        return {"drafts": Overwrite([]), "layer": 1, "run": info, "record": None}

    def propose(self, name: str, spec: Proposer) -> Any:
        """The work of one proposer node: one call, one draft, whatever becomes of it."""

        async def work(state: MoAState, config: RunnableConfig) -> dict[str, Any]:
            run = self._resumed(state)
            layer = state["layer"]
            slot = self.mixture.round_nodes(layer).index(name)
            place = {"layer": layer, "slot": slot, "proposer": name}
            tell({"moa": "draft_started", **place, "model": spec.label})
            tokens = Tokens({"moa": "draft_token", **place}) if run.context.stream_drafts else None
            model = models.chat_model(
                spec, temperature=run.temperature, max_tokens=run.max_tokens, quiet=tokens is None
            )
            outcome = await ask(
                model,
                self._messages(run, state, spec, layer),
                config=_called(config, f"layer {layer} slot {slot} {spec.label}", [TAG_NOSTREAM], place),
                deadline=run.deadline,
                max_attempts=self.mixture.max_attempts,
                on_token=tokens,
            )
            if tokens:
                tokens.close()
            draft = _draft(outcome, layer, slot, name, spec)
            tell({"moa": "draft", **place, "draft": draft})
            return {"drafts": [draft]}

        return work

    async def gather(self, state: MoAState, config: RunnableConfig) -> dict[str, Any]:
        """Ends the layer: enough drafts, or one error with every proposer's reason; opens the next one."""
        run = self._resumed(state)
        layer = state["layer"]
        enough = counted(state["drafts"], layer)
        if len(enough) < run.min_drafts:
            raise _not_enough(state["drafts"], layer, run.min_drafts)
        if layer + 1 < run.layers:
            self._tell_round(run, layer + 1)
        return {"layer": layer + 1}

    async def aggregate(self, state: MoAState, config: RunnableConfig) -> dict[str, Any]:
        """Synthesizes the last layer's drafts, streaming the answer, and writes the record."""
        run = self._resumed(state)
        used = counted(state["drafts"], run.layers - 1)
        tell({"moa": "aggregating", "model": run.aggregator.label, "used": [d["slot"] for d in used]})
        model, options = _bound_model(run)
        tokens = Tokens({"moa": "answer_token"}) if run.context.stream_answer else None
        outcome = await ask(
            model,
            self._messages(run, state, run.aggregator, run.layers),
            config=_called(config, f"aggregate {run.aggregator.label}", [], {"layer": run.layers}),
            deadline=run.deadline,
            max_attempts=self.mixture.max_attempts,
            on_token=tokens,
            options=options,
        )
        if tokens:
            tokens.close()
        if outcome.message is None or outcome.status not in COUNTED:
            raise AggregationError(
                f"the aggregator {run.aggregator.label} gave no answer: {outcome.error}. The drafts are attached.",
                drafts=state["drafts"],
            )
        record = _record(run, state, outcome)
        tell({"moa": "finished", "record": record})
        return {"messages": _written(run, state, _answer(outcome)), "record": record}

    def _settings(self) -> Settings:
        return settings(self.mixture, get_runtime().context)

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
        return self._settings()._replace(layers=state["run"]["layers"])

    def _messages(self, run: Settings, state: MoAState, spec: Proposer, layer: int) -> list[BaseMessage]:
        texts = [d["text"] for d in counted(state["drafts"], layer - 1)]
        shown = draft_text(texts, form=run.prompt, shuffle=self.mixture.shuffle)
        bound, last = _bound(run), layer == run.layers
        conversation = passed_on(state["messages"], keep_tools=last and "tools" in bound.bound)
        duty = bound_text(bound.bound, form=bound.form, acts=last)
        return with_system(conversation, before=run.system, after=[spec.system or "", duty, shown])

    def _tell_round(self, run: Settings, layer: int) -> None:
        if layer >= run.layers:
            return
        specs = {node.name: node.spec for node in self.mixture.plan[0]}
        proposers = [
            {"slot": slot, "proposer": name, "model": specs[name].label}
            for slot, name in enumerate(self.mixture.round_nodes(layer))
        ]
        tell({"moa": "round_started", "layer": layer, "layers": run.layers, "proposers": proposers})


async def _ready(run: Settings) -> None:
    """Checks all keys and makes all models before the first request.

    Raises:
        ConfigError: a key is missing or a model cannot be made.
    """
    specs = [*run.mixture.specs, run.aggregator]
    names = {name for spec in specs if (name := models.key_name(spec))}
    if not all(os.environ.get(name) for name in names):
        # Looking for a .env file blocks, which a server's event loop must not.
        await asyncio.to_thread(models.require_keys, specs)
    if embedded := [spec for spec in specs if models.is_embedded(spec)]:
        await asyncio.to_thread(models.require_embedded, embedded)
    for spec in specs:
        models.chat_model(spec, temperature=run.temperature, max_tokens=run.max_tokens, quiet=True)


def _bound(run: Settings) -> BoundContext:
    """What the caller binds to the aggregator's call; nothing, mostly."""
    return run.context if isinstance(run.context, BoundContext) else BoundContext()


def _bound_model(run: Settings) -> tuple[Runnable[LanguageModelInput, AIMessage], dict[str, Any]]:
    """The aggregator's model with the caller's sampling and tools, and the further options of its call.

    Raises:
        ConfigError: the aggregator's class has no tool calling.
    """
    options = dict(_bound(run).bound)
    model = models.chat_model(
        run.aggregator,
        temperature=options.pop("temperature", run.temperature),
        max_tokens=options.pop("max_tokens", run.max_tokens),
        # Whoever binds reads tokens from our own events; without those nobody would see the model stream.
        quiet=isinstance(run.context, BoundContext) and not run.context.stream_answer,
    )
    tools, stop = options.pop("tools", None), options.pop("stop", None)
    called = {"stop": stop} if stop else {}
    if not tools:
        return model, {**options, **called}
    try:
        # The class knows how its provider wants tools, and what "any" or a name is there.
        return model.bind_tools(tools, **options), called
    except NotImplementedError:
        raise ConfigError(f"the aggregator {run.aggregator.label} cannot call tools: choose another one.") from None


def _written(run: Settings, state: MoAState, answer: AIMessage) -> Any:
    """What `aggregate` writes to the messages.

    For ChatMoA and the endpoint, which hand the answer on as their own, it is written as a whole list: LangGraph shows
    single messages that a node returns in the message stream of every graph around it.
    """
    return Overwrite([*state["messages"], answer]) if isinstance(run.context, BoundContext) else [answer]


def _called(config: RunnableConfig, name: str, tags: list[str], place: dict[str, Any]) -> RunnableConfig:
    """The node's config for the model call beneath it: what its span is named and can be filtered by."""
    metadata = {**(config.get("metadata") or {}), **{f"moa_{key}": value for key, value in place.items()}}
    labels = [f"moa:{key}:{place[key]}" for key in ("layer", "slot") if key in place]
    all_tags = [*(config.get("tags") or []), *tags, *labels]
    return {**config, "run_name": name, "tags": all_tags, "metadata": metadata}


def _draft(outcome: Outcome, layer: int, slot: int, name: str, spec: Proposer) -> Draft:
    return Draft(
        layer=layer,
        slot=slot,
        proposer=name,
        model=spec.label,
        status=outcome.status,
        text=outcome.text,
        error=outcome.error,
        usage=outcome.usage,
        cost=None,
        seconds=round(outcome.seconds, 4),
        first_token_seconds=outcome.first_token_seconds,
        attempts=outcome.attempts,
    )


def _not_enough(drafts: Sequence[Draft], layer: int, wanted: int) -> NotEnoughDraftsError:
    mine = [d for d in drafts if d["layer"] == layer]
    got = len(counted(drafts, layer))
    reasons = "; ".join(f"{d['proposer']} ({d['model']}): {d['status']}, {d['error']}" for d in mine if d["error"])
    return NotEnoughDraftsError(
        f"layer {layer}: {got} of {len(mine)} drafts count, {wanted} are needed. {reasons}", drafts=drafts
    )


def _answer(outcome: Outcome) -> AIMessage:
    """The aggregator's message under its own id (so that streams show it once), its thoughts left out."""
    message = outcome.message
    assert message is not None
    return AIMessage(
        content=outcome.text,
        id=message.id,
        tool_calls=message.tool_calls,
        invalid_tool_calls=message.invalid_tool_calls,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
    )


def _record(run: Settings, state: MoAState, outcome: Outcome) -> Record:
    drafts = state["drafts"]
    unused = [d for d in drafts if d["status"] not in COUNTED]
    return Record(
        mixture=run.mixture.hash,
        preset=run.mixture.name,
        layers=run.layers,
        calls=sum(1 for d in drafts if d["attempts"]) + 1,
        usage=total_usage([*(d["usage"] for d in drafts), outcome.usage]),
        cost=None,
        seconds=round(time.time() - state["run"]["started"], 4),
        used=[_place(d) for d in drafts if d["status"] in COUNTED],
        unused=[UnusedSlot(**_place(d), status=d["status"], reason=d["error"] or d["status"]) for d in unused],
        degraded=bool(unused) or any(d["status"] == "truncated" for d in drafts) or outcome.status != "ok",
        aggregator=run.aggregator.label,
        fallback=None,
        prompt=run.prompt,
        status="truncated" if outcome.status == "truncated" else "ok",
    )


def _place(draft: Draft) -> SlotRef:
    return SlotRef(layer=draft["layer"], slot=draft["slot"], proposer=draft["proposer"])
