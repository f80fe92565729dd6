"""The legacy text completions (`/v1/completions`): one prompt, one text."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field

from moa_graph.graph.follow import RunResult
from moa_graph.mixture.mixture import Mixture
from moa_graph.serve.endpoint import RunRequest
from moa_graph.serve.fields import Count, Object, Penalty, Seed, Temperature, TopP, stop_texts, validate, without_nulls
from moa_graph.serve.openai.response import data_event, extra, finish_reason, usage
from moa_graph.serve.problems import Problem

__all__ = ["CompletionRequest"]

_TO_AGGREGATOR = ("temperature", "top_p", "max_tokens", "stop", "seed", "presence_penalty", "frequency_penalty")
_REFUSED = ("suffix", "echo", "logprobs")


class _Body(Object):
    """All fields. None of them accepts null."""

    model: str
    prompt: str
    stream: bool = False
    stream_options: dict[str, Any] = Field(default_factory=dict)
    temperature: Temperature = 1
    top_p: TopP = 1
    max_tokens: Count = 1
    stop: list[str] = Field(default_factory=list)
    seed: Seed = 0
    presence_penalty: Penalty = 0
    frequency_penalty: Penalty = 0
    moa: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class CompletionRequest:
    """A text completion request, validated."""

    run: RunRequest
    include_usage: bool

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Self:
        """Read a request's JSON body. A list of one prompt counts as that prompt.

        Raises:
            Problem: 400, naming the field.
        """
        fields = without_nulls(body)
        if "stop" in fields:
            fields["stop"] = stop_texts(fields["stop"])
        prompt = fields.get("prompt")
        if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
            fields["prompt"] = prompt[0]
        elif isinstance(prompt, list):
            raise Problem(400, "prompt: must be one text, because a mixture gives one answer.", param="prompt")
        validate(_Body, fields)
        if fields.get("n", 1) != 1 or fields.get("best_of", 1) != 1:
            raise Problem(400, "n: must be 1, because a mixture gives one answer.", param="n")
        for name in _REFUSED:
            if fields.get(name):
                raise Problem(400, f"{name}: not supported by a mixture; remove it.", param=name)
        bound = {name: fields[name] for name in _TO_AGGREGATOR if name in fields and fields[name] != []}
        run = RunRequest.of(fields, [{"role": "user", "content": fields["prompt"]}], bound, field="prompt")
        return cls(run, bool(fields.get("stream_options", {}).get("include_usage")))

    def encoder(self, mixture: Mixture) -> _Encoder:
        """Return the encoder of the answer."""
        return _Encoder(self.run.model, include_usage=self.include_usage, drafts=self.run.drafts)


class _Encoder:
    """Writes one text completion."""

    def __init__(self, model: str, *, include_usage: bool, drafts: bool) -> None:
        self._include_usage, self._drafts = include_usage, drafts
        self._base = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, result: RunResult) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        choices = [_choice(str(result.message.text), finish_reason(result))]
        more = {"usage": usage(result.record["usage"]), "moa": extra(result, drafts=self._drafts)}
        return {**self._base, "choices": choices, **more}

    def first(self) -> str:
        """Return nothing: a text completion has no opening event."""
        return ""

    def waiting(self) -> str:
        """Return nothing: clients of this API wait as long as bytes arrive."""
        return ""

    def text(self, piece: str) -> str:
        """Return the event for a piece of text."""
        return self._event([_choice(piece, None)])

    def last(self, result: RunResult, *, said: bool) -> str:
        """Return the events that end a stream."""
        text = "" if said else str(result.message.text)
        parts = [self._event([_choice(text, finish_reason(result))], moa=extra(result, drafts=self._drafts))]
        if self._include_usage:
            parts.append(self._event([], usage=usage(result.record["usage"])))
        return "".join([*parts, "data: [DONE]\n\n"])

    def failed(self, error: Problem) -> str:
        """Return the error object that OpenAI's SDKs raise from."""
        return data_event(error.body)

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> str:
        return data_event({**self._base, "choices": choices, **more})


def _choice(text: str, finish: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
