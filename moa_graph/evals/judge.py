"""A judge: any chat model, with what is recorded about it beside every verdict."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel

from moa_graph.evals.alpaca_eval.judge import REFUSED_PARAMETERS
from moa_graph.evals.systems.mixture import Turns, messages
from moa_graph.evals.systems.paid_calls import Payer, Reply
from moa_graph.mixture.proposer import Proposer

Reads = Literal["logprobs", "text"]
_WITH_LOGPROBS = frozenset({"openai", "together", "deepseek", "xai", "azure_openai"})


# What a provider's refusal of a form names, and not the length of this one prompt.
_REFUSAL = re.compile(r"(?:400|422)\b(?!.*context).*(?:logprobs|max_(?:completion_|output_)?tokens|temperature)", re.I)


@dataclass(frozen=True)
class Verdict(Reply):
    """A judge's reply with the parameters it was asked with."""

    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Form:
    """Which of a judge's forms of asking is in use: None until the ledger was asked. One that was answered stays."""

    place: int | None = None
    answered: bool = False


@dataclass(frozen=True)
class Judge:
    """A model under judging parameters. `reads` says how a weighted verdict is taken: logprobs or text.

    `otherwise` are the forms it is asked in when the provider refuses the parameters of `spec`, in this order. A
    refusal is in the ledger, so a run keeps to its form however often it is begun.
    """

    spec: Proposer
    payer: Payer
    reads: Reads = "text"
    otherwise: tuple[Proposer, ...] = ()
    form: _Form = field(default_factory=_Form, compare=False)

    @property
    def name(self) -> str:
        return self.spec.name or self.spec.label

    def under(self, parameters: Mapping[str, Any]) -> Judge:
        """The same model under a benchmark's parameters; what the user set stays."""
        otherwise = REFUSED_PARAMETERS if "logprobs" in parameters else ()
        spec, *others = (_under(self.spec, given) for given in (parameters, *otherwise))
        return Judge(spec, self.payer, self.reads, tuple(other for other in others if other != spec))

    async def ask(self, turns: Turns, *, item: str, slot: int = 0, role: str = "judge") -> Verdict:
        """The judge's reply; `slot` tells several verdicts about one item apart."""
        while True:
            place = await self._place()
            spec = (self.spec, *self.otherwise)[place]
            reply = await self.payer.ask(spec, messages(turns), item=item, role=role, slot=slot)
            refused = reply.status == "failed" and _REFUSAL.match(reply.error or "")
            self.form.answered |= reply.counts
            if not refused or self.form.answered or place == len(self.otherwise):
                return Verdict(**vars(reply), parameters=_parameters(spec))
            await self.payer.ledger.put(self._refusal(place), {"error": reply.error}, role="refusal", model=spec.label)
            self.form.place = max(place + 1, self.form.place or 0)

    async def _place(self) -> int:
        """The first form that was not refused, in this process or before."""
        place = 0
        while self.form.place is None and place < len(self.otherwise):
            if await self.payer.ledger.get(self._refusal(place)) is None:
                break
            place += 1
        if self.form.place is None:
            self.form.place = place
        return self.form.place

    def _refusal(self, place: int) -> str:
        spec = (self.spec, *self.otherwise)[place]
        params = {"base_url": spec.base_url, **_parameters(spec)}
        return self.payer.ledger.call_key(
            item="", layer=0, slot=place, role="refusal", repeat=0, model=spec.label, params=params, messages=[]
        )

    def record(self, prompt: str, reply: Verdict) -> dict[str, Any]:
        """What is kept with a verdict: the model as asked and as served, the prompt's hash, the parameters."""
        return {
            "model": self.spec.label,
            "served": reply.served,
            "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest(),
            "parameters": reply.parameters,
        }

    @property
    def parameters(self) -> dict[str, Any]:
        """What the judge is asked with, unless its provider refuses it."""
        return _parameters(self.spec)


def _under(own: Proposer, parameters: Mapping[str, Any]) -> Proposer:
    given: dict[str, Any] = dict(parameters)
    update: dict[str, Any] = {name: given.pop(name) for name in ("temperature", "max_tokens") if name in given}
    fields: dict[str, Any] = {name: getattr(own, name) for name in own.model_fields_set}
    return Proposer(**{**update, **fields, "params": {**given, **own.params}})


def _parameters(spec: Proposer) -> dict[str, Any]:
    return {"temperature": spec.temperature, "max_tokens": spec.max_tokens, **spec.params}


def how_to_read(model: str | BaseChatModel, base_url: str | None = None) -> Reads:
    """Log probabilities where the provider is known to give them, else the answer's text."""
    if not isinstance(model, str):
        return "logprobs" if hasattr(model, "logprobs") else "text"
    return "logprobs" if base_url or model.partition(":")[0] in _WITH_LOGPROBS else "text"
