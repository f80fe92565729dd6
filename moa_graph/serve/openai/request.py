"""A chat completion request: each field's type and bounds, and the run that it requests.

Unknown fields are ignored. A value that no model accepts is refused here, because a provider would refuse it only after
all drafts are paid for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from moa_graph.mixture.mixture import Mixture
from moa_graph.models.reply.reasoning import REASONING
from moa_graph.models.reply.reply import EXTRAS
from moa_graph.serve.endpoint import RunRequest
from moa_graph.serve.fields import (
    Count,
    Object,
    Penalty,
    Seed,
    Temperature,
    Text,
    TopP,
    stop_texts,
    validate,
    without_nulls,
)
from moa_graph.serve.openai.response import ChatEncoder
from moa_graph.serve.openai.responses.request import ResponsesRequest
from moa_graph.serve.openai.tools import OfferedTools, tool_options
from moa_graph.serve.problems import Problem
from moa_graph.state.value_text import given

__all__ = ["ChatRequest"]

_TO_AGGREGATOR = (
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "reasoning_effort",
    "response_format",
)
"""Fields that shape the answer itself go to the aggregator. Proposers use the mixture's settings."""

_OF_MESSAGE = ("role", "content", "name", "tool_calls", "tool_call_id", "refusal", "audio", "function_call", *REASONING)
"""Fields of a message. Others are ignored: an `id`, for example, by which LangGraph replaces an earlier message."""

_MAY_BE_EMPTY = ("assistant", "tool", "function")
"""Roles of messages without `content`: clients in Go leave an empty text out."""


class _Schema(Object):
    name: Text
    form: Annotated[dict[str, Any] | None, Field(alias="schema")] = None


class _Format(Object):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Schema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("the type json_schema needs the field `json_schema`. Add it.")
        return self


class _Body(Object):
    """All fields. None of them accepts null."""

    model: str
    messages: list[Any]
    stream: bool = False
    stream_options: dict[str, Any] = Field(default_factory=dict)
    temperature: Temperature = 1
    top_p: TopP = 1
    max_tokens: Count = 1
    max_completion_tokens: Count = 1
    stop: list[str] = Field(default_factory=list)
    seed: Seed = 0
    presence_penalty: Penalty = 0
    frequency_penalty: Penalty = 0
    reasoning_effort: str = ""
    tools: list[Any] = Field(default_factory=list)
    tool_choice: str | dict[str, Any] = "auto"
    parallel_tool_calls: bool = True
    response_format: _Format | None = None
    moa: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class ChatRequest:
    """A chat completion request, validated."""

    run: RunRequest
    include_usage: bool
    tools: OfferedTools

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Self:
        """Read a request's JSON body.

        Raises:
            Problem: 400, naming the field.
        """
        fields = without_nulls(body)
        if "input" in fields and not fields.get("messages"):
            # Cursor sends requests of the Responses API here, and reads chat completions.
            sent = ResponsesRequest.parse(body)
            return cls(sent.run, _include_usage(fields), sent.tools)
        if "stop" in fields:
            fields["stop"] = stop_texts(fields["stop"])
        validate(_Body, fields)
        if fields.get("n", 1) != 1:
            raise Problem(400, "n: must be 1, because a mixture gives one answer.", param="n")
        if fields.get("logprobs") or fields.get("top_logprobs"):
            raise Problem(400, "logprobs: a mixture's answer has no log probabilities.", param="logprobs")
        if fields.get("modalities", ["text"]) != ["text"]:
            raise Problem(400, "modalities: a mixture answers in text only.", param="modalities")
        if fields.get("functions"):
            raise Problem(400, "functions: this field is obsolete; use tools.", param="functions")
        bound = {name: fields[name] for name in _TO_AGGREGATOR if name in fields and fields[name] != []}
        if "max_completion_tokens" in fields:
            bound["max_tokens"] = fields["max_completion_tokens"]
        if (form := bound.get("response_format")) and form.get("json_schema"):
            bound["response_format"] = {**form, "json_schema": without_nulls(form["json_schema"])}
        tools = OfferedTools()
        tools.add(fields.get("tools", []), "tools")
        bound |= tool_options(fields, tools.functions)
        messages = [_message(message, f"messages[{n}]") for n, message in enumerate(fields["messages"])]
        run = RunRequest.of(fields, messages, bound)
        return cls(run, _include_usage(fields), tools)

    def encoder(self, mixture: Mixture) -> ChatEncoder:
        """Return the encoder of the answer."""
        run = self.run
        usage = self.include_usage
        return ChatEncoder(run.model, mixture.hash, tools=self.tools, include_usage=usage, drafts=run.drafts)


def _include_usage(fields: dict[str, Any]) -> bool:
    options = fields.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _message(message: Any, place: str) -> dict[str, Any]:
    """Return a message, with what its provider wants back unchanged moved to a field of its own.

    Raises:
        Problem: 400; it is not an object.
    """
    if not isinstance(message, dict):
        reason = f"expected a message with role and content, got {given(message)}"
        raise Problem(400, f"{place}: {reason}.", param="messages")
    known: dict[str, Any] = {name: message[name] for name in _OF_MESSAGE if name in message}
    if known.get("role") in _MAY_BE_EMPTY:
        known.setdefault("content", None)
    calls = known.get("tool_calls")
    if not calls:
        return known
    extras = {
        call["id"]: call["extra_content"]
        for call in (calls if isinstance(calls, list) else ())
        if isinstance(call, dict) and isinstance(call.get("id"), str) and call.get("extra_content")
    }
    kept = {name: known[name] for name in REASONING if known.get(name)} | ({EXTRAS: extras} if extras else {})
    return {**known, **({"additional_kwargs": kept} if kept else {})}
