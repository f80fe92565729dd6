"""A chat completion request: each field's type and bounds, and the run that it requests.

Unknown fields are ignored. A value that no model accepts is refused here, because a provider would refuse it only after
all drafts are paid for.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    ToolName,
    TopP,
    validate,
    without_nulls,
)
from moa_graph.serve.openai.response import ChatEncoder
from moa_graph.serve.problems import Problem
from moa_graph.state.value_text import given

__all__ = ["ChatRequest", "Tool"]

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


class _Function(Object):
    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(Object):
    """A function that the aggregator may call."""

    type: Literal["function"]
    function: _Function


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
    tools: list[Tool] = Field(default_factory=list)
    tool_choice: str | dict[str, Any] = "auto"
    parallel_tool_calls: bool = True
    response_format: _Format | None = None
    moa: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class ChatRequest:
    """A chat completion request, validated."""

    run: RunRequest
    include_usage: bool

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Self:
        """Read a request's JSON body.

        Raises:
            Problem: 400, naming the field.
        """
        fields = without_nulls(body)
        if isinstance(fields.get("stop"), str):
            fields["stop"] = [fields["stop"]]
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
        bound |= _tools(fields)
        messages = [_message(message, f"messages[{n}]") for n, message in enumerate(fields["messages"])]
        run = RunRequest.of(fields, messages, bound)
        return cls(run, bool(fields.get("stream_options", {}).get("include_usage")))

    def encoder(self, mixture: Mixture) -> ChatEncoder:
        """Return the encoder of the answer."""
        run = self.run
        return ChatEncoder(run.model, mixture.hash, include_usage=self.include_usage, drafts=run.drafts)


def _message(message: Any, place: str) -> dict[str, Any]:
    """Return a message, with what its provider wants back unchanged moved to a field of its own.

    Raises:
        Problem: 400; it is not an object.
    """
    if not isinstance(message, dict):
        reason = f"expected a message with role and content, got {given(message)}"
        raise Problem(400, f"{place}: {reason}.", param="messages")
    known: dict[str, Any] = {name: message[name] for name in _OF_MESSAGE if name in message}
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


def _tools(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the aggregator's call about tools.

    Raises:
        Problem: 400; the choice is not a tool of the request.
    """
    tools, choice = fields.get("tools", []), fields.get("tool_choice", "auto")
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        tools, choice = _allowed(tools, choice.get("allowed_tools"))
    names = [tool["function"]["name"] for tool in tools]
    if isinstance(choice, str):
        fits = choice in ("none", "auto", "required")
    else:
        function = choice.get("function") if choice.get("type") == "function" else None
        fits = isinstance(function, Mapping) and function.get("name") in names
    if not fits:
        raise Problem(400, "tool_choice: must be none, auto, required, or a function of `tools`.", param="tool_choice")
    if not tools:
        if choice == "required":
            raise Problem(400, "tool_choice: required needs at least one function in `tools`.", param="tool_choice")
        return {}
    set_ = {"tool_choice": choice} if "tool_choice" in fields else {}
    parallel = {"parallel_tool_calls": fields["parallel_tool_calls"]} if "parallel_tool_calls" in fields else {}
    return {"tools": [{**tool, "function": without_nulls(tool["function"])} for tool in tools], **set_, **parallel}


def _allowed(tools: list[dict[str, Any]], allowed: Any) -> tuple[list[dict[str, Any]], Any]:
    """Return the tools that `allowed_tools` names, and its mode: only OpenAI has this choice.

    Raises:
        Problem: 400; it has no list of tools, or another mode than auto and required.
    """
    listed = allowed.get("tools") if isinstance(allowed, Mapping) else None
    if not isinstance(listed, list) or allowed.get("mode") not in ("auto", "required"):
        reason = f"expected a mode (auto or required) and a list of tools, got {given(allowed)}"
        raise Problem(400, f"tool_choice.allowed_tools: {reason}.", param="tool_choice")
    functions = [tool.get("function") for tool in listed if isinstance(tool, Mapping)]
    names = [function.get("name") for function in functions if isinstance(function, Mapping)]
    return [tool for tool in tools if tool["function"]["name"] in names], allowed["mode"]
