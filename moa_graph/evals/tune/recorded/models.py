"""Models that answer from a recorded set, so that real graphs run on it without a network."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field, PrivateAttr

from moa_graph.evals.tune.pool import Pool
from moa_graph.evals.tune.recorded.recorded_set import RecordedSet
from moa_graph.mixture.proposer import Proposer

__all__ = ["RecordedModel", "named_pool", "recorded_pool"]

SERVER = "http://127.0.0.1:8000/v1"
"""The address of the recorded models in a mixture file: the usual one of a local OpenAI-compatible server."""


class RecordedModel(BaseChatModel):
    """A model of a recorded set. Every call on a question gives its next draft, or its recorded verdict.

    It answers the recorded questions, and a judge's prompt about the recorded drafts of one. Anything else, such as a
    synthesis, was not recorded and is an error.
    """

    model: str
    source: str
    _set: RecordedSet = PrivateAttr()
    _given: Counter[str] = PrivateAttr(default_factory=Counter)
    calls: int = Field(default=0, exclude=True)

    def __init__(self, recorded: RecordedSet, model: str) -> None:
        fields: dict[str, Any] = {"model": model, "source": recorded.name}
        super().__init__(**fields)
        self._set = recorded

    @property
    def _llm_type(self) -> str:
        return "recorded"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "source": self.source}

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        place = self._place(messages)
        user = str(messages[-1].content)
        asked = self._set.prompts[place].text
        text = self._next(place) if len(messages) == 1 and user == asked else self._verdict(place, user)
        sent = sum(len(str(message.content)) for message in messages) // 4
        got = max(len(text) // 4, 1)
        usage: Any = {"input_tokens": sent, "output_tokens": got, "total_tokens": sent + got}
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text, usage_metadata=usage))])

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return self._generate(messages)

    def _place(self, messages: Sequence[BaseMessage]) -> int:
        first = next(str(message.content) for message in messages if message.type == "human")
        # Drafts follow the question, in the same message.
        place = self._set.place(first)
        if place is not None:
            return place
        raise ValueError(f"{self.model}: no answer to this question is recorded in {self.source}")

    def _next(self, place: int) -> str:
        drafts = self._set.rows[self._set.models.index(self.model)][place]
        name = self._set.prompts[place].id
        text = drafts[self._given[name] % len(drafts)].text
        self._given[name] += 1
        return text

    def _verdict(self, place: int, prompt: str) -> str:
        scores = self._set.judges.get(self.model, {}).get(self._set.prompts[place].id)
        if scores is None:
            raise ValueError(f"{self.model}: only drafts and verdicts are recorded in {self.source}, not this call")
        texts = [model[place][0].text for model in self._set.rows]
        given = {str(number): scores[slot] for number, slot in enumerate(_order_in(prompt, texts), start=1)}
        return json.dumps({"scores": given})


_SHOWN = re.compile(r"\[draft (\d+) of \d+ begins: ([0-9a-f]{16})\]\n(.*?)\n\[draft \1 ends: \2\]", re.S)


def _order_in(prompt: str, texts: Sequence[str]) -> list[int]:
    """Return the places of the texts that a fenced prompt shows, in the order of their numbers there.

    White space does not count, because a graph strips it from drafts.
    """
    left = {place: "".join(text.split()) for place, text in enumerate(texts)}
    found = []
    for shown in _SHOWN.finditer(prompt):
        bare = "".join(shown[3].split())
        place = next((place for place, text in left.items() if text == bare), None)
        if place is None:
            raise ValueError(f"draft {shown[1]} of the prompt is not one of the recorded drafts")
        del left[place]
        found.append(place)
    return found


def recorded_pool(recorded: RecordedSet) -> Pool:
    """Return the models of a recorded set, which answer from it."""
    models = [Proposer(model=RecordedModel(recorded, name), name=name[:60]) for name in recorded.models]
    return Pool(models=models, prices={name: [0.0, 0.0] for name in recorded.models})


def named_pool(recorded: RecordedSet) -> Pool:
    """Return the same models by name, as a mixture file has them: on a local OpenAI-compatible server."""
    return Pool(models=[Proposer(model=f"openai:{name}", base_url=SERVER, name=name[:60]) for name in recorded.models])
