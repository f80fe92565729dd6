"""A judge: any chat model, with what is recorded about it beside every verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel

from moa_graph.evals.paid import Payer, Reply
from moa_graph.evals.systems import Turns, messages
from moa_graph.mixture import Proposer

Reads = Literal["logprobs", "text"]
_WITH_LOGPROBS = frozenset({"openai", "together", "deepseek", "xai", "azure_openai"})


@dataclass(frozen=True)
class Judge:
    """A model under judging parameters. `reads` says how a weighted verdict is taken: logprobs or text."""

    spec: Proposer
    payer: Payer
    reads: Reads = "text"

    @property
    def name(self) -> str:
        return self.spec.name or self.spec.label

    def under(self, parameters: Mapping[str, Any]) -> Judge:
        """The same model under a benchmark's parameters; what the user set stays."""
        own = self.spec
        given: dict[str, Any] = dict(parameters)
        update: dict[str, Any] = {name: given.pop(name) for name in ("temperature", "max_tokens") if name in given}
        fields: dict[str, Any] = {name: getattr(own, name) for name in own.model_fields_set}
        spec = Proposer(**{**update, **fields, "params": {**given, **own.params}})
        return Judge(spec, self.payer, self.reads)

    async def ask(self, turns: Turns, *, item: str, slot: int = 0, role: str = "judge") -> Reply:
        """The judge's reply; `slot` tells several verdicts about one item apart."""
        return await self.payer.ask(self.spec, messages(turns), item=item, role=role, slot=slot)

    def record(self, prompt: str, reply: Reply) -> dict[str, Any]:
        """What is kept with a verdict: the model as asked and as served, the prompt's hash, the parameters."""
        return {
            "model": self.spec.label,
            "served": reply.served,
            "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest(),
            "parameters": self.parameters,
        }

    @property
    def parameters(self) -> dict[str, Any]:
        return {"temperature": self.spec.temperature, "max_tokens": self.spec.max_tokens, **self.spec.params}


def how_to_read(model: str | BaseChatModel, base_url: str | None = None) -> Reads:
    """Log probabilities where the provider is known to give them, else the answer's text."""
    if not isinstance(model, str):
        return "logprobs" if hasattr(model, "logprobs") else "text"
    return "logprobs" if base_url or model.partition(":")[0] in _WITH_LOGPROBS else "text"
