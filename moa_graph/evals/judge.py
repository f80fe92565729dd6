"""A judge: any chat model, and the details recorded with each of its verdicts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel

from moa_graph.errors import BudgetError
from moa_graph.evals.alpaca_eval.judge import REFUSED_PARAMETERS
from moa_graph.evals.systems.mixture import Turns, messages
from moa_graph.evals.systems.paid_calls import PaidReply, Payer, allow_again, replaced
from moa_graph.mixture.proposer import Proposer

JUDGE_FRAME = 500
"""Assumed tokens of a judge's instructions, in addition to the judged text."""

Reads = Literal["logprobs", "text"]
_WITH_LOGPROBS = frozenset({"openai", "together", "deepseek", "xai", "azure_openai"})


# The provider, or its SDK, refuses the parameters; a refusal of an overlong prompt is a different status.
_REFUSAL = re.compile(
    r"(?:(?:400|422)\b(?!.*context)|TypeError: .*unexpected keyword)"
    r".*(?:logprobs|max_(?:completion_|output_)?tokens|temperature)",
    re.I,
)


@dataclass(frozen=True)
class JudgeReply(PaidReply):
    """A judge's reply and the parameters that were sent."""

    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Form:
    """The set of parameters in use. `place` is None until the ledger was read; a set that was accepted is kept.

    `passes` counts the finished runs with unreadable verdicts.
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
        otherwise: Parameters to try, in this order, if the provider refuses those of `spec`. Refusals are recorded in
            the ledger, so a resumed run uses the same parameters.
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
        """Return the same model with a benchmark's parameters; the user's settings take precedence."""
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
            slot: Distinguishes several verdicts about one item.
            role: The role in the ledger.
            readable: Whether a reply is a verdict. If not, the next run in the folder sends the request again.
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
        """Return the last recorded verdict that is readable or from this run; otherwise send the request."""
        sent = messages(turns)
        repeat, lost = 0, None
        for number in range(self.form.passes + 1):
            kept = await self.payer.recorded(spec, sent, item=item, role=role, slot=slot, repeat=number)
            if kept is None:
                continue
            read = kept.counts and readable(kept)
            repeat = number if read else min(number + 1, self.form.passes)
            lost = kept if repeat > number else None
            if read:
                break
        if lost is not None:
            try:
                await allow_again(lost.cost or 0.0)
            except BudgetError:
                # It is paid for, so it is kept, and the verdicts beside it count.
                return lost
            await replaced(self.payer.ledger, lost.cost or 0.0, item=item)
        return await self.payer.ask(spec, sent, item=item, role=role, slot=slot, repeat=repeat)

    async def _place(self) -> int:
        """Return the index of the first parameters that the provider has not refused, in this process or before."""
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
        """Return the details stored with a verdict: the model's names, the prompt's hash, the parameters."""
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


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return the template with its fields replaced in one pass; braces in answers are kept."""
    pattern = re.compile("|".join(re.escape("{" + name + "}") for name in values))
    return pattern.sub(lambda found: values[found[0][1:-1]], template)


def how_to_read(model: str | BaseChatModel, base_url: str | None = None) -> Reads:
    """Return "logprobs" if the provider is known to return log probabilities, else "text"."""
    if not isinstance(model, str):
        return "logprobs" if hasattr(model, "logprobs") else "text"
    return "logprobs" if base_url or model.partition(":")[0] in _WITH_LOGPROBS else "text"
