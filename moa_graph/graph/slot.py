"""One model call of a run: texts that fit the model's window, the prompt, the ledger, the request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.constants import TAG_NOSTREAM

from moa_graph.costs.tokens import prompt_tokens, tokens
from moa_graph.errors import ConfigError
from moa_graph.graph.prompts.fence import BoundaryFilter, FilteredSink, Part, opening, without_boundaries
from moa_graph.graph.prompts.prompts import FENCED, Prompt, build_prompt
from moa_graph.graph.prompts.windows import Fitted, fit
from moa_graph.graph.recording import Recording, scope_of
from moa_graph.graph.runs import Run
from moa_graph.graph.shared import SharedRequest, takes_samples
from moa_graph.graph.targets import AGGREGATOR, PROPOSER, Target, target_of
from moa_graph.graph.turns import off_loop, own_turn
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.cache_marks import marked
from moa_graph.models.call import Call, Outcome, Sink, Terms, ask
from moa_graph.models.faults.retries import RetryBudget
from moa_graph.models.reply.answer_filter import TextFilter, filtering
from moa_graph.models.sample_cache import asking, samples_around, with_own_entries
from moa_graph.models.tools import bound_to
from moa_graph.state import Draft

__all__ = ["Shown", "SlotCall", "fitted", "note_part"]

_LARGE = 1_000_000
"""Characters of a prompt from which it is built in a thread, because a boundary code is a hash of all of it."""

_CUTS: tuple[tuple[int, int | None], ...] = ((1, None), (2, None), (4, None), (8, None), (8, 500))
"""How drafts are cut while a provider finds the prompt too long: to a half, a quarter, an eighth, and at last to at
most 500 tokens each, so that one huge draft never costs the answer."""


@dataclass(frozen=True)
class Shown:
    """Texts of other models that a prompt contains.

    Attributes:
        texts: Drafts, in the order of the prompt.
        instruction: What to do with them; None for the mixture's own prompt.
        notes: Further texts after the drafts, such as an analysis.
        for_all: Whether every slot of the round is shown the same.
        absent: Why there is nothing to show, so that the slot is not asked: a person dropped its draft.
    """

    texts: list[str] = field(default_factory=list)
    instruction: str | None = None
    notes: list[Part] = field(default_factory=list)
    for_all: bool = True
    absent: str | None = None


def note_part(label: str, text: str) -> Part:
    """Return a note as a fenced part of a prompt."""
    return Part(label, label, text)


@dataclass
class SlotCall:
    """One model call in one place of a run.

    Attributes:
        run: The run.
        spec: The model.
        layer: The layer that the call works for, from 1.
        slot: The place in the layer, from 0.
        role: "proposer", "aggregator", or a combiner's own role. The aggregator gets the caller's tools and sampling,
            and retries of its own, which no other call of the run can use up. Proposers may be hedged.
        shown: The texts of other models in its prompt.
        config: The node's config.
        node: The proposer's node; empty for other roles.
        shares: The number of equal parts of the run's remaining time, of which the call may take one.
        sink: Makes a consumer of the answer's tokens; None does not stream.
        on_restart: Called before a request is repeated; tokens emitted before are then void.
        outcome: The result, written while the call runs.
        shrunk: Whether texts were cut because the provider found the prompt too long.
    """

    run: Run
    spec: Proposer
    layer: int
    slot: int
    role: str
    shown: Shown
    config: RunnableConfig
    node: str = ""
    shares: int = 1
    sink: Callable[[], Sink] | None = None
    on_restart: Callable[[], None] | None = None
    outcome: Outcome = field(default_factory=Outcome)
    shrunk: bool = False

    async def send(self) -> None:
        """Make the call. Never raises for a provider's fault; when cancelled, `outcome` shows how far it came."""
        try:
            target = await target_of(
                self.run, self.spec, self.role, quiet=self.role != AGGREGATOR and self.sink is None
            )
        except ConfigError as exc:
            # `begin` has made all models. A run that is resumed elsewhere may lack a key or a package.
            self.outcome.unsent(str(exc), status="failed")
            return
        if target.refusal:
            self.outcome.unsent(target.refusal)
            return
        terms = self._terms(target)
        texts = [*self.shown.texts, *(note.text for note in self.shown.notes)]
        sent: list[str] | None = None
        for shrink, most in _CUTS:
            fit = fitted(self.run, self.spec, texts, shrink=shrink, most=most)
            if fit.reason:
                self.outcome.unsent(fit.reason)
                return
            if fit.texts == sent:
                # Nothing is left to cut: the conversation itself is too long.
                return
            self.shrunk, sent = sent is not None, fit.texts
            await self._send(target, terms, fit.texts)
            fault = self.outcome.fault
            if not (fault and fault.kind == "context_overflow" and fit.texts):
                return

    async def _send(self, target: Target, terms: Terms, texts: list[str]) -> None:
        run, outcome, ledger = self.run, self.outcome, self.run.ledger
        recording, group = None, self._group()
        large = target.long or sum(map(len, texts)) > _LARGE
        try:
            messages, code = await self._prompt(target, texts, slot=group[0] if group else self.slot, large=large)
            if ledger is not None:
                recording = await self._recording(terms, messages, self.slot, large=large)
                if await recording.restore(outcome, tools=target.tools):
                    self._cut_boundaries(code)
                    return
        except ConfigError as exc:
            # `begin` has read the ledger. Its disk may have failed since.
            outcome.unsent(str(exc), status="failed")
            return
        sample = self.slot if self.spec.samples > 1 else 0
        of_sample = self.spec.samples > 1 or bool(samples_around.get())
        call = Call(
            model=with_own_entries(target.model, sample) if of_sample else target.model,
            messages=marked(messages, tail=code and opening(code)) if target.marks else messages,
            config=self._config(),
            spec=self.spec,
            prices=run.settings.mixture.prices,
            sink=self.sink if code is None or self.sink is None else FilteredSink.of(self.sink, code),
            on_restart=self.on_restart,
            options=target.options,
            tools=target.tools,
            key=recording.key if recording else "",
        )
        if target.long:
            await own_turn()
        removal: AbstractContextManager[list[TextFilter]] = (
            nullcontext([]) if code is None else filtering(lambda: BoundaryFilter(code))
        )
        with removal as filters, asking(sample) if of_sample else nullcontext():
            if group and takes_samples(self.spec):
                key = self.layer, group[0], tuple(texts)
                shared: SharedRequest = run.live.shared.setdefault(key, SharedRequest(group))
                await shared.send(
                    self.slot,
                    outcome,
                    call,
                    terms,
                    None if ledger is None else partial(self._recording, terms, messages, large=large),
                )
            else:
                await ask(call, terms, outcome)
        self._cut_boundaries(code, before=bool(filters and filters[-1].removed))
        if recording is not None:
            await recording.keep(outcome)

    def _group(self) -> list[int]:
        """Return the slots that share one request with this one; none where each has a request of its own."""
        if not (self.spec.one_request and self.role == PROPOSER and self.sink is None and self.shown.for_all):
            return []
        specs = self.run.settings.mixture.plan.specs
        called = self.run.state["next"]
        names = self.run.settings.rounds[self.layer - 1]
        slots = [slot for slot, name in enumerate(names) if name in called and specs[name] is self.spec]
        return slots if len(slots) > 1 else []

    def draft(self) -> Draft:
        """Return the proposer's draft. Text that does not count is kept, for people to see."""
        outcome = self.outcome
        return Draft(
            layer=self.layer,
            slot=self.slot,
            proposer=self.node,
            model=self.spec.label,
            status=outcome.status,
            text=outcome.text,
            error=outcome.error,
            usage=outcome.usage,
            cost=outcome.cost,
            seconds=round(outcome.seconds, 4),
            first_token_seconds=outcome.first_token_seconds,
            attempts=outcome.attempts,
        )

    def _terms(self, target: Target) -> Terms:
        """Return the limits of the call, also for its repetitions with shorter texts."""
        run, settings, mixture = self.run, self.run.settings, self.run.settings.mixture
        limited = settings.run_deadline is not None
        final = self.role == AGGREGATOR
        return Terms(
            deadline=max(min(settings.deadline, run.left / self.shares), 0.0) if limited else settings.deadline,
            budget=RetryBudget(mixture.max_attempts - 1) if final else run.live.budget,
            max_attempts=mixture.max_attempts,
            limiter=target.limiter,
            group=self.spec.label,
            order=run.state["run"]["started"],
            hedge=mixture.hedge if self.role == PROPOSER else None,
        )

    def _config(self) -> RunnableConfig:
        """Return the config of the model's span: its name, and the metadata and tags to filter it by."""
        config, label = self.config, self.spec.label
        place: dict[str, Any] = {"moa_layer": self.layer, "moa_slot": self.slot}
        tags = [TAG_NOSTREAM, f"moa:layer:{self.layer}", f"moa:slot:{self.slot}"]
        if self.role == PROPOSER:
            name = f"layer {self.layer} slot {self.slot} {label}"
            place["moa_proposer"] = self.node
        elif self.role == AGGREGATOR:
            name, tags = f"aggregate {label}", [f"moa:layer:{self.layer}"]
            del place["moa_slot"]
        else:
            name = f"{self.role} {self.slot} {label}"
        metadata = {**(config.get("metadata") or {}), **place}
        return {**config, "run_name": name, "tags": [*(config.get("tags") or []), *tags], "metadata": metadata}

    async def _prompt(self, target: Target, texts: list[str], *, slot: int, large: bool) -> Prompt:
        if not texts and self.shown.instruction is None:
            return Prompt([*target.messages])
        settings, own, drafts = self.run.settings, self.shown.instruction, len(self.shown.texts)
        build = partial(
            build_prompt,
            target.conversation,
            texts[:drafts],
            form=settings.prompt if own is None else "fenced",
            scope=await scope_of(self.run, layer=self.layer, slot=slot, role=self.role),
            before=settings.system,
            after=target.after,
            instruction=FENCED if own is None else own,
            notes=[note._replace(text=text) for note, text in zip(self.shown.notes, texts[drafts:], strict=True)],
            also=target.also,
            # An instruction of a combiner's own speaks of drafts by their numbers.
            shuffle=settings.mixture.shuffle and own is None,
            strict_turns=target.strict_turns,
            sent=target.sent,
        )
        return await asyncio.to_thread(build) if large else build()

    async def _recording(self, terms: Terms, messages: list[BaseMessage], slot: int, *, large: bool) -> Recording:
        assert self.run.ledger is not None
        bound = bound_to(self.run.settings).bound if self.role == AGGREGATOR else {}
        find = partial(
            Recording.of,
            self.run.ledger,
            self.run,
            self.spec,
            messages,
            layer=self.layer,
            slot=slot,
            role=self.role,
            bound=bound,
            wait=max(min(terms.deadline, self.run.left), 0.0),
        )
        return await asyncio.to_thread(find) if large else await off_loop(bound, find)

    def _cut_boundaries(self, code: str | None, *, before: bool = False) -> None:
        if code is not None and (self.outcome.text or before):
            self.outcome.cut(without_boundaries(self.outcome.text, code), before=before)


def fitted(run: Run, spec: Proposer, texts: list[str], *, shrink: int = 1, most: int | None = None) -> Fitted:
    """Return `texts` cut to the window of `spec`, or the reason why the model cannot be called.

    Args:
        run: The run whose conversation and settings count.
        spec: The model.
        texts: Drafts and notes; empty strings stand for texts that do not exist yet.
        shrink: Divides the space that is left for the texts.
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
