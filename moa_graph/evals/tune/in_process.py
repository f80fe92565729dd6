"""Chat model objects of the user's own classes, under an identity that does not change while they work."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from pydantic import PrivateAttr

from moa_graph.errors import ConfigError
from moa_graph.mixture.proposer import Proposer

__all__ = ["InProcess", "identifiable"]


class InProcess(BaseChatModel):
    """A chat model under a fixed identity.

    Attributes:
        model: The name of the model that it stands for.
        who: What tells it from other models.
    """

    model: str
    who: str
    _inner: BaseChatModel = PrivateAttr()

    def __init__(self, inner: BaseChatModel, name: str, who: str) -> None:
        fields: dict[str, Any] = {"model": name, "who": who}
        super().__init__(**fields)
        self._inner = inner

    @property
    def _llm_type(self) -> str:
        return self._inner._llm_type

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "who": self.who}

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return self._inner._generate(messages, *args, **kwargs)

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return await self._inner._agenerate(messages, *args, **kwargs)


def identifiable(spec: Proposer) -> Proposer:
    """Return a model whose identity stays the same while it works, so that a ledger finds its drafts again.

    An object of a class outside LangChain may count its calls in its fields, or hold functions that no ledger can tell
    apart. It is known by the identity that it has now; if it has none, its drafts are this process's own.

    Args:
        spec: The model.
    """
    if isinstance(spec.model, str | InProcess) or type(spec.model).__module__.startswith("langchain"):
        return spec
    try:
        who = hashlib.sha256(json.dumps(spec.identity(), sort_keys=True, default=str).encode()).hexdigest()
    except ConfigError:
        who = uuid.uuid4().hex
    name = spec.label.partition(":")[2] or spec.label
    return spec.model_copy(update={"model": InProcess(spec.model, name, who)})
