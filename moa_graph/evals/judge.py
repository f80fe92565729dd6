"""A judge: any chat model, with what is recorded about it beside every verdict."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel

from moa_graph.evals.alpaca_eval.judge import REFUSED_PARAMETERS
from moa_graph.evals.systems.mixture import Turns, messages
from moa_graph.evals.systems.paid_calls import PaidReply, Payer
from moa_graph.mixture.proposer import Proposer

Reads = Literal["logprobs", "text"]
_WITH_LOGPROBS = frozenset({"openai", "together", "deepseek", "xai", "azure_openai"})


# A provider's refusal of the parameters, not of the length of this one prompt.
_REFUSAL = re.compile(r"(?:400|422)\b(?!.*context).*(?:logprobs|max_(?:completion_|output_)?tokens|temperature)", re.I)


@dataclass(frozen=True)
class JudgeReply(PaidReply):
    """A judge's reply with the parameters it was asked with."""

    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Form:
    """Which set of parameters is in use: None until the ledger was read. One that was answered stays.

    `passes` counts the finished runs in which verdicts were unreadable.
    """

    place: int | None = None
    answered: bool = False
    passes: int = 0


@dataclass(frozen=True)
class Judge:
    """A model under judging parameters.

    Attributes:
        spec: The model.
        payer: Makes and records the calls.
        reads: How a weighted verdict is read: from log probabilities or from text.
        otherwise: Parameters that are tried in this order when the provider refuses those of `spec`. A refusal is in
            the ledger, so a run keeps to its parameters however often it is begun.
        form: State that the calls of a run share.
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
        """Return the same model under a benchmark's parameters; what the user set stays."""
        otherwise = REFUSED_PARAMETERS if "logprobs" in parameters else ()
        spec, *others = (_under(self.spec, given) for given in (parameters, *otherwise))
        return Judge(spec, self.payer, self.reads, tuple(other for other in others if other != spec))

    async def ask(
        self,
        turns: Turns,
        *,
        item: str,
        slot: int = 0,
        role: str = "judge",
        readable: Callable[[PaidReply], bool] = lambda reply: True,
    ) -> JudgeReply:
        """Return the judge's reply.

        Args:
            turns: The prompt as (role, text) pairs.
            item: The judged item's name in the ledger.
            slot: Tells several verdicts about one item apart.
            role: The role in the ledger.
            readable: Whether a reply is a verdict. One that is not is asked for anew by the next run in the folder.
        """
        while True:
            place = await self._place()
            spec = (self.spec, *self.otherwise)[place]
            reply = await self._pass(spec, turns, item, slot, role, readable)
            refused = reply.status == "failed" and _REFUSAL.match(reply.error or "")
            self.form.answered |= reply.counts
            if not refused or self.form.answered or place == len(self.otherwise):
                return JudgeReply(**vars(reply), parameters=_parameters(spec))
            await self.payer.ledger.put(self._refusal(place), {"error": reply.error}, role="refusal", model=spec.label)
            self.form.place = max(place + 1, self.form.place or 0)

    async def _pass(
        self, spec: Proposer, turns: Turns, item: str, slot: int, role: str, readable: Callable[[PaidReply], bool]
    ) -> PaidReply:
        """Return the last recorded verdict that is readable or of this run, else ask for one."""
        shown = messages(turns)
        repeat = 0
        for number in range(self.form.passes + 1):
            kept = await self.payer.recorded(spec, shown, item=item, role=role, slot=slot, repeat=number)
            if kept is None:
                continue
            repeat = number if readable(kept) else min(number + 1, self.form.passes)
            if readable(kept):
                break
        return await self.payer.ask(spec, shown, item=item, role=role, slot=slot, repeat=repeat)

    async def _place(self) -> int:
        """Return the first parameters that were not refused, in this process or before."""
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

    def record(self, prompt: str, reply: JudgeReply) -> dict[str, Any]:
        """Return what is kept with a verdict: the model as named and as served, the prompt's hash, the parameters."""
        return {
            "model": self.spec.label,
            "served": reply.served,
            "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest(),
            "parameters": reply.parameters,
        }

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that are sent, unless the provider refuses them."""
        return _parameters(self.spec)


def _under(own: Proposer, parameters: Mapping[str, Any]) -> Proposer:
    given: dict[str, Any] = dict(parameters)
    update: dict[str, Any] = {name: given.pop(name) for name in ("temperature", "max_tokens") if name in given}
    fields: dict[str, Any] = {name: getattr(own, name) for name in own.model_fields_set}
    return Proposer(**{**update, **fields, "params": {**given, **own.params}})


def _parameters(spec: Proposer) -> dict[str, Any]:
    return {"temperature": spec.temperature, "max_tokens": spec.max_tokens, **spec.params}


def how_to_read(model: str | BaseChatModel, base_url: str | None = None) -> Reads:
    """Return "logprobs" where the provider is known to give them, else "text"."""
    if not isinstance(model, str):
        return "logprobs" if hasattr(model, "logprobs") else "text"
    return "logprobs" if base_url or model.partition(":")[0] in _WITH_LOGPROBS else "text"
