"""One model call of a run: texts that fit its window, its prompt, the ledger, the request, its price."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage, messages_from_dict, messages_to_dict
from langchain_core.messages.tool import ToolCallChunk
from langchain_core.runnables import Runnable, RunnableConfig

from moa_graph.costs import prices
from moa_graph.costs.ledger import Ledger
from moa_graph.costs.tokens import prompt_tokens, tokens
from moa_graph.errors import ConfigError
from moa_graph.graph.active_runs import Live
from moa_graph.graph.conversation import passed_on
from moa_graph.graph.fence import BoundaryFilter, Part, Scope, process_key, without_boundaries
from moa_graph.graph.media import Abilities, abilities, kinds_in
from moa_graph.graph.prompts import FENCED, Prompt, bound_text, build_prompt, wants_strict_turns
from moa_graph.graph.windows import Fitted, fit
from moa_graph.mixture.context import Settings
from moa_graph.mixture.proposer import Proposer
from moa_graph.models import rate_limit, registry
from moa_graph.models.call import Call, Outcome, Sink, Terms, ask
from moa_graph.models.keys import host
from moa_graph.models.reply import read
from moa_graph.models.retries import RetryBudget
from moa_graph.models.tools import bound_model, bound_to
from moa_graph.state import MoAState, as_usage

__all__ = ["ANSWER", "Run", "Shown", "SlotCall", "Step", "called", "fitted", "note_part"]

_CUTS: tuple[tuple[int, int | None], ...] = ((1, None), (2, None), (4, None), (8, None), (8, 500))
"""How drafts are cut while a provider finds the prompt too long: to a half, a quarter, an eighth, and at last to at
most 500 tokens each, so that one huge draft never costs the answer."""


_TOO_LITTLE = 0.05
"""Seconds. A call that took all that was left of its run ends a little before the run does."""


_PLURALS = {"image": "images", "file": "files", "audio": "audio"}


@dataclass(frozen=True)
class Run:
    """What one node knows of its run.

    Attributes:
        settings: The mixture under the run's context.
        state: The graph's state as the node received it.
        live: The run's clock and retry budget in this process.
        ledger: Where paid calls are recorded, if anywhere.
    """

    settings: Settings
    state: MoAState
    live: Live
    ledger: Ledger | None = None

    @property
    def left(self) -> float:
        """Seconds until the run's deadline; infinite without one."""
        return self.live.left(self.settings.run_deadline)

    @property
    def over(self) -> bool:
        """Whether the run's time is used up: too little is left for any request."""
        return self.left <= _TOO_LITTLE

    def terms(self, spec: Proposer, *, shares: int = 1, hedge: bool = False, final: bool = False) -> Terms:
        """Return the terms of one call, which may take one of `shares` equal parts of the time left.

        A `final` call makes the answer. It has retries of its own, which no other call of the run can use up.
        """
        mixture = self.settings.mixture
        return Terms(
            deadline=max(min(self.settings.deadline, self.left / shares), 0.0),
            budget=RetryBudget(mixture.max_attempts - 1) if final else self.live.budget,
            max_attempts=mixture.max_attempts,
            limiter=rate_limit.limiter_for(spec),
            group=spec.label,
            order=self.state["run"]["started"],
            hedge=mixture.hedge if hedge else None,
        )


ANSWER = "aggregate"
"""The node that writes the answer."""


@dataclass(frozen=True)
class Step:
    """What the graph runs next.

    Attributes:
        layer: The layer that the nodes work for.
        nodes: Their names: proposers, a combiner's own nodes, or the node that writes the answer.
    """

    layer: int
    nodes: list[str]

    @property
    def last(self) -> bool:
        """Whether the answer comes next."""
        return self.nodes == [ANSWER]


@dataclass(frozen=True)
class Shown:
    """Texts of other models that a prompt contains.

    Attributes:
        texts: Drafts, in the order of the prompt.
        instruction: What to do with them; None for the mixture's own prompt.
        notes: Further texts after the drafts, such as an analysis.
    """

    texts: list[str] = field(default_factory=list)
    instruction: str | None = None
    notes: list[Part] = field(default_factory=list)


def note_part(label: str, text: str) -> Part:
    """Return a note as a fenced part of a prompt."""
    return Part(label, label, text)


@dataclass
class SlotCall:
    """One model call in one place of a run. `run` fills in `outcome`.

    Attributes:
        role: `proposer`, `aggregator`, or a combiner's own role. The aggregator gets the caller's tools and sampling.
        shown: The texts of other models in its prompt.
        terms: Deadline, attempts and hedging; built once, also for calls that are repeated with shorter texts.
        sink: Makes a consumer of the answer's tokens; None does not stream.
        on_restart: Called before a request is repeated, when tokens handed out before are void.
        shrunk: Whether texts were cut because the provider found the prompt too long.
    """

    run: Run
    spec: Proposer
    layer: int
    slot: int
    role: str
    shown: Shown
    config: RunnableConfig
    terms: Terms
    sink: Callable[[], Sink] | None = None
    on_restart: Callable[[], None] | None = None
    outcome: Outcome = field(default_factory=Outcome)
    shrunk: bool = False

    async def send(self) -> None:
        """Make the call. Never raises for a provider's fault; when cancelled, `outcome` shows how far it came."""
        texts = [*self.shown.texts, *(note.text for note in self.shown.notes)]
        sent: list[str] | None = None
        for shrink, most in _CUTS:
            fit = fitted(self.run, self.spec, texts, shrink=shrink, most=most)
            if fit.reason:
                self.outcome.status, self.outcome.error = "skipped", fit.reason
                break
            if fit.texts == sent:
                # Nothing is left to cut: the conversation itself is too long.
                break
            self.shrunk, sent = sent is not None, fit.texts
            await self._send(fit)
            fault = self.outcome.fault
            if not (fault and fault.kind == "context_overflow" and fit.texts):
                break
        await self._price()

    async def _send(self, fit: Fitted) -> None:
        ledger = self.run.ledger
        try:
            model, options = self._model()
            takes = abilities(model)
            messages, code = self._prompt(fit.texts, await self._scope(), takes)
            key = self._key(messages)
            if ledger and key and (paid := await ledger.get(key, wait=self._patience)):
                _restore(self.outcome, paid, tools=self._tools)
                _cut_boundaries(self.outcome, code)
                return
        except ConfigError as exc:
            # `begin` has read the ledger and made all models. Since then the disk may have failed, and a run that is
            # resumed elsewhere may lack a key or a package.
            self.outcome.error = str(exc)
            return
        if refused := [kind for kind in kinds_in(_of_users(messages)) if not getattr(takes, kind)]:
            self.outcome.status, self.outcome.error = (
                "skipped",
                f"the model takes no {' and no '.join(map(_PLURALS.__getitem__, refused))}",
            )
            return
        sink = None if self.sink is None else _filtered(self.sink, code)
        call = Call(model, messages, self.config, sink, self.on_restart, options, self._tools)
        await ask(call, self.terms, self.outcome)
        _cut_boundaries(self.outcome, code)
        if ledger and key and self.outcome.message is not None and self.outcome.status not in ("empty", "failed"):
            await self._price()
            await ledger.keep(key, _kept(self.outcome), wait=self._patience, **self._columns())

    @property
    def _patience(self) -> float:
        """Seconds to wait for the ledger's file while another process holds it."""
        return max(min(self.terms.deadline, self.run.left), 0.0)

    @property
    def _acts(self) -> bool:
        return self.role == "aggregator"

    @property
    def _drafts(self) -> bool:
        """Whether the call writes a reply to the caller, and so must know of the caller's tools and schema."""
        return self._acts or self.role == "proposer"

    @property
    def _tools(self) -> bool:
        return self._acts and "tools" in bound_to(self.run.settings).bound

    def _model(self) -> tuple[Runnable[LanguageModelInput, AIMessage], dict[str, Any]]:
        settings = self.run.settings
        if self._acts:
            return bound_model(settings, self.spec)
        temperature, max_tokens = settings.temperature, settings.max_tokens
        quiet = self.sink is None
        return registry.chat_model(self.spec, temperature=temperature, max_tokens=max_tokens, quiet=quiet), {}

    async def _scope(self) -> Scope:
        ledger, context = self.run.ledger, self.run.settings.context
        if ledger is None:
            return Scope(process_key(), self.run.state["run"]["id"], self.layer, self.slot, self.role)
        # A run that is repeated must send the same bytes, or what the ledger holds would be paid for again.
        run = json.dumps([context.item, context.repeat])
        return Scope(await ledger.fence_key(), run, self.layer, self.slot, self.role)

    def _prompt(self, texts: list[str], scope: Scope, takes: Abilities) -> Prompt:
        settings, bound, own = self.run.settings, bound_to(self.run.settings), self.shown.instruction
        drafts = len(self.shown.texts)
        duty = bound_text(bound.bound, form=bound.form, acts=self._acts) if self._drafts else ""
        return build_prompt(
            passed_on(
                self.run.state["messages"],
                keep_tools=self._tools,
                # A fallback of another maker cannot read the first aggregator's reasoning blocks.
                native=self.spec is settings.aggregator,
                takes=takes,
                strict_turns=wants_strict_turns(self.spec.label),
            ),
            texts[:drafts],
            form=settings.prompt if own is None else "fenced",
            scope=scope,
            before=settings.system,
            after=[self.spec.system or "", duty],
            instruction=FENCED if own is None else own,
            notes=[note._replace(text=text) for note, text in zip(self.shown.notes, texts[drafts:], strict=True)],
            also=json.dumps(_plain(bound.bound), ensure_ascii=False) if self._acts else "",
            # An instruction of a combiner's own speaks of drafts by their numbers.
            shuffle=settings.mixture.shuffle and own is None,
            strict_turns=wants_strict_turns(self.spec.label),
        )

    def _key(self, messages: list[BaseMessage]) -> str | None:
        if self.run.ledger is None:
            return None
        settings, spec = self.run.settings, self.spec
        params = {
            "temperature": spec.temperature if settings.temperature is None else settings.temperature,
            "max_tokens": spec.max_tokens if settings.max_tokens is None else settings.max_tokens,
            "spec": spec.identity(),
            "host": host(spec),
            "bound": _plain(bound_to(settings).bound) if self._acts else {},
        }
        return self.run.ledger.call_key(**self._place(), params=params, messages=messages)

    def _place(self) -> dict[str, Any]:
        context = self.run.settings.context
        return {
            "item": context.item,
            "layer": self.layer,
            "slot": self.slot,
            "role": self.role,
            "repeat": context.repeat,
            "model": self.spec.label,
        }

    def _columns(self) -> dict[str, Any]:
        return {**self._place(), "cost": self.outcome.cost, "seconds": self.outcome.seconds}

    async def _price(self) -> None:
        done = self.outcome
        if done.message is None:
            # A refused request is not billed; one that was broken off may be.
            done.cost = 0.0 if done.free else None
        elif done.cost is None:
            price = partial(
                prices.price, self.spec, done.usage, prices=self.run.settings.mixture.prices, reported=done.reported
            )
            wait = prices.listed(self.spec) and not prices.loaded()
            done.cost = await asyncio.to_thread(price) if wait else price()


def fitted(run: Run, spec: Proposer, texts: list[str], *, shrink: int = 1, most: int | None = None) -> Fitted:
    """Return `texts` cut to the window of `spec`, or the reason why the model cannot be called.

    Args:
        run: The run whose conversation and settings count.
        spec: The model.
        texts: Drafts and notes; empty strings stand for texts that do not exist yet.
        shrink: Divides the space left for the texts.
        most: Tokens that each text may have at most, beside the mixture's `draft_tokens`.
    """
    settings = run.settings
    if not texts and spec.window is None:
        return Fitted([])
    known = spec.window is not None
    prompt = prompt_tokens(run.state["messages"]) + tokens(settings.system) + tokens(spec.system or "") if known else 0
    return fit(
        texts,
        spec,
        prompt=prompt,
        draft_tokens=min((n for n in (settings.mixture.draft_tokens, most) if n is not None), default=None),
        answer=settings.max_tokens or spec.max_tokens,
        shrink=shrink,
    )


def _of_users(messages: list[BaseMessage]) -> list[BaseMessage]:
    return [message for message in messages if not isinstance(message, ToolMessage)]


class _FilteredSink:
    """A sink that is not shown the boundaries of the request."""

    def __init__(self, sink: Sink, code: str) -> None:
        self._sink, self._filter = sink, BoundaryFilter(code)

    def __call__(self, text: str, calls: list[ToolCallChunk]) -> None:
        shown = self._filter.feed(text)
        if shown or calls:
            self._sink(shown, calls)

    def close(self) -> None:
        if rest := self._filter.rest():
            self._sink(rest, [])
        self._sink.close()


def _filtered(sink: Callable[[], Sink], code: str | None) -> Callable[[], Sink]:
    return sink if code is None else lambda: _FilteredSink(sink(), code)


def _cut_boundaries(outcome: Outcome, code: str | None) -> None:
    if code is None or not outcome.text:
        return
    outcome.text = without_boundaries(outcome.text, code)
    called = outcome.message is not None and bool(outcome.message.tool_calls)
    if not outcome.text and outcome.counts and not called:
        outcome.status, outcome.error = "empty", "the answer only repeated the prompt's boundaries"


def called(config: RunnableConfig, name: str, tags: list[str], place: dict[str, Any]) -> RunnableConfig:
    """Return the node's config for the model call beneath it: what its span is named and can be filtered by."""
    metadata = {**(config.get("metadata") or {}), **{f"moa_{key}": value for key, value in place.items()}}
    labels = [f"moa:{key}:{place[key]}" for key in ("layer", "slot") if key in place]
    all_tags = [*(config.get("tags") or []), *tags, *labels]
    return {**config, "run_name": name, "tags": all_tags, "metadata": metadata}


def _kept(outcome: Outcome) -> dict[str, Any]:
    """Return a paid outcome as plain JSON, whatever its provider's package put into the message."""
    names = ("status", "text", "error", "usage", "cost", "seconds", "attempts")
    message = messages_to_dict([outcome.message])[0] if outcome.message else None
    kept: dict[str, Any] = _plain({**{name: getattr(outcome, name) for name in names}, "message": message})
    return kept


def _plain(value: Any) -> Any:
    """Return `value` as JSON has it; what JSON has no form for becomes text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def _restore(outcome: Outcome, kept: dict[str, Any], *, tools: bool) -> None:
    """Fill in an outcome from the ledger, with the cost it had when it was paid for."""
    message = messages_from_dict([kept["message"]])[0]
    outcome.answered(read(message, tools=tools))
    outcome.usage = as_usage(kept["usage"]) if kept["usage"] else None
    outcome.cost, outcome.seconds, outcome.attempts = kept["cost"], kept["seconds"], kept["attempts"]
