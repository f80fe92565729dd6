"""From a slot of the mixture to one priced outcome: drafts that fit, the model, the ledger, the call."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, messages_from_dict, messages_to_dict
from langchain_core.runnables import Runnable, RunnableConfig

from moa_graph.costs import prices
from moa_graph.costs.budget import listed, price
from moa_graph.costs.ledger import Ledger
from moa_graph.costs.tokens import prompt_tokens, tokens
from moa_graph.errors import ConfigError
from moa_graph.graph.conversation import has_images, passed_on
from moa_graph.graph.prompts import bound_text, draft_text, with_system
from moa_graph.graph.windows import Fitted, fit
from moa_graph.mixture.context import Settings
from moa_graph.mixture.proposer import Proposer
from moa_graph.models import keys, registry
from moa_graph.models.call import Call, Outcome, Sink, Terms, ask
from moa_graph.models.tools import bound_model, bound_to
from moa_graph.state import MoAState, as_usage, counted

__all__ = ["Asking", "fitted"]

_MOST_SHRINK = 8
"""After a provider found the prompt too long: halves, quarters, eighths of the drafts, then it is given
up."""


@dataclass
class Asking:
    """One model to ask in one place of one run; `run` fills in `outcome`, and `cut` says that drafts were
    cut."""

    settings: Settings
    state: MoAState
    spec: Proposer
    layer: int
    slot: int
    config: RunnableConfig
    terms: Terms
    ledger: Ledger | None = None
    sink: Callable[[], Sink] | None = None
    on_restart: Callable[[], None] | None = None
    outcome: Outcome = field(default_factory=Outcome)
    cut: bool = False

    async def run(self) -> None:
        """Ask; never raises for a provider's fault. When cancelled, `outcome` tells how far it came."""
        end = time.monotonic() + self.terms.deadline
        shrink = 1
        while True:
            shown = fitted(self.settings, self.state, self.spec, self.layer, shrink=shrink)
            if shown.reason:
                self.outcome.status, self.outcome.error = "skipped", shown.reason
                break
            self.cut = shown.cut
            await self._ask(shown, max(end - time.monotonic(), 0.0))
            fault = self.outcome.fault
            if not (fault and fault.kind == "context_overflow" and shown.texts and shrink < _MOST_SHRINK):
                break
            shrink *= 2
        await self._price()

    async def _ask(self, shown: Fitted, deadline: float) -> None:
        messages = self._messages(shown.texts)
        key = self._key(messages)
        try:
            if self.ledger and key and (paid := await self.ledger.get(key)):
                _restore(self.outcome, paid)
                return
            model, options = self._model()
        except ConfigError as exc:
            # The ledger was read and all models were made once when the run began; since then the disk may have
            # failed, and after a resume elsewhere a key or a package may be absent.
            self.outcome.error = str(exc)
            return
        if has_images(messages) and not registry.takes_images(model):
            self.outcome.status, self.outcome.error = "skipped", "the model takes no images"
            return
        call = Call(model, messages, self.config, self.sink, self.on_restart, options, self._tools)
        terms = Terms(
            deadline,
            self.terms.budget,
            self.terms.max_attempts,
            keys.host(self.spec),
            self.terms.order,
            self.terms.hedge,
        )
        await ask(call, terms, self.outcome)
        if self.ledger and key and self.outcome.message is not None and self.outcome.status != "empty":
            await self._price()
            await self.ledger.keep(key, _kept(self.outcome), **self._columns())

    @property
    def _last(self) -> bool:
        return self.layer == self.settings.layers

    @property
    def _tools(self) -> bool:
        return self._last and "tools" in bound_to(self.settings).bound

    def _model(self) -> tuple[Runnable[LanguageModelInput, AIMessage], dict[str, Any]]:
        run = self.settings
        if self._last:
            return bound_model(run, self.spec)
        model = registry.chat_model(
            self.spec, temperature=run.temperature, max_tokens=run.max_tokens, quiet=self.sink is None
        )
        return model, {}

    def _messages(self, texts: list[str]) -> list[BaseMessage]:
        run, bound = self.settings, bound_to(self.settings)
        shown = draft_text(texts, form=run.prompt, shuffle=run.mixture.shuffle)
        conversation = passed_on(self.state["messages"], keep_tools=self._tools)
        duty = bound_text(bound.bound, form=bound.form, acts=self._last)
        return with_system(conversation, before=run.system, after=[self.spec.system or "", duty, shown])

    def _key(self, messages: list[BaseMessage]) -> str | None:
        if self.ledger is None:
            return None
        run = self.settings
        params = {
            "temperature": self.spec.temperature if run.temperature is None else run.temperature,
            "max_tokens": self.spec.max_tokens if run.max_tokens is None else run.max_tokens,
            "params": self.spec.params,
            "base_url": self.spec.base_url,
            "bound": _plain(bound_to(run).bound) if self._last else {},
        }
        return self.ledger.call_key(**self._place(), params=params, messages=messages)

    def _place(self) -> dict[str, Any]:
        context = self.settings.context
        role = "aggregator" if self._last else "proposer"
        return {
            "item": context.item,
            "layer": self.layer,
            "slot": self.slot,
            "role": role,
            "repeat": context.repeat,
            "model": self.spec.label,
        }

    def _columns(self) -> dict[str, Any]:
        return {**self._place(), "cost": self.outcome.cost, "seconds": self.outcome.seconds}

    async def _price(self) -> None:
        done = self.outcome
        if done.message is None:
            # What a provider turned down is not billed; what was broken off may be.
            done.cost = 0.0 if done.free else None
        elif done.cost is None:
            wait = listed(self.spec) and not prices.loaded()
            args = (self.settings, self.spec, done.usage, done.reported)
            done.cost = await asyncio.to_thread(price, *args) if wait else price(*args)


def fitted(run: Settings, state: MoAState, spec: Proposer, layer: int, *, shrink: int = 1, expected: int = 0) -> Fitted:
    """The drafts of the layer before as `spec` can be shown them, or why it cannot be asked; `expected` drafts that
    are not there yet are taken to be cut as short as any."""
    texts = [d["text"] for d in counted(state["drafts"], layer - 1)] or [""] * expected
    known = spec.window is not None
    return fit(
        texts,
        spec,
        prompt=prompt_tokens(state["messages"]) + tokens(run.system) + tokens(spec.system or "") if known else 0,
        draft_tokens=run.mixture.draft_tokens,
        answer=run.max_tokens or spec.max_tokens,
        shrink=shrink,
    )


def _kept(outcome: Outcome) -> dict[str, Any]:
    """A paid outcome as plain JSON, whatever its provider's package put into the message."""
    names = ("status", "text", "error", "usage", "cost", "seconds", "attempts")
    message = messages_to_dict([outcome.message])[0] if outcome.message else None
    kept: dict[str, Any] = _plain({**{name: getattr(outcome, name) for name in names}, "message": message})
    return kept


def _plain(value: Any) -> Any:
    """`value` as JSON has it: what JSON has no form for becomes text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def _restore(outcome: Outcome, kept: dict[str, Any]) -> None:
    """An outcome from the ledger, with the cost it had: it was paid for once, and no call is made."""
    message = messages_from_dict([kept["message"]])[0]
    outcome.answered(message, tools=True)  # type: ignore[arg-type]  # only AIMessages are kept
    outcome.usage = as_usage(kept["usage"]) if kept["usage"] else None
    outcome.cost, outcome.seconds, outcome.attempts = kept["cost"], kept["seconds"], kept["attempts"]
