"""A Responses request: each field's type and bounds, and the run that it requests.

Unknown fields are ignored, and so are hosted tools (web search, for example), which a mixture does not have, unless
they are required. Fields that need a stored response are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from moa_graph.mixture.mixture import Mixture
from moa_graph.serve.endpoint import RunRequest
from moa_graph.serve.fields import Count, Object, Temperature, Text, TopP, validate, without_nulls
from moa_graph.serve.openai.responses.items import chat_messages
from moa_graph.serve.openai.responses.response import ResponseEncoder
from moa_graph.serve.openai.tools import OfferedTools, tool_options
from moa_graph.serve.problems import Problem

__all__ = ["ResponsesRequest"]


class _Format(Object):
    type: Literal["text", "json_object", "json_schema"]
    name: Text | None = None
    form: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None
    description: str | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if self.type == "json_schema" and (self.name is None or self.form is None):
            raise ValueError("the type json_schema needs the fields `name` and `schema`. Add them.")
        return self


class _Text(Object):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(Object):
    effort: str | None = None
    summary: str | None = None


class _Body(Object):
    """All fields. None of them accepts null."""

    model: str
    input: str | list[Any]
    instructions: str = ""
    stream: bool = False
    store: bool = False
    temperature: Temperature = 1
    top_p: TopP = 1
    max_output_tokens: Count = 1
    tools: list[Any] = Field(default_factory=list)
    tool_choice: str | dict[str, Any] = "auto"
    parallel_tool_calls: bool = True
    text: _Text = Field(default_factory=_Text)
    reasoning: _Reasoning = Field(default_factory=_Reasoning)
    metadata: dict[str, Any] = Field(default_factory=dict)
    include: list[str] = Field(default_factory=list)
    background: bool = False
    previous_response_id: str = ""
    moa: dict[str, Any] = Field(default_factory=dict)


_STORED = {
    "previous_response_id": "send the whole conversation in `input`",
    "conversation": "send the whole conversation in `input`",
    "background": "wait for the answer, or stream it",
    "prompt": "send the prompt's text in `instructions`",
}
"""Fields that need a response or a prompt stored on the server, and what to do instead."""

_LOGPROBS = "message.output_text.logprobs"


@dataclass(frozen=True)
class ResponsesRequest:
    """A Responses request, validated.

    Attributes:
        run: The requested run.
        fields: The request's fields, which the response repeats.
        tools: The tools of the request, and those that its input loads.
    """

    run: RunRequest
    fields: dict[str, Any]
    tools: OfferedTools

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Self:
        """Read a request's JSON body.

        Raises:
            Problem: 400, naming the field.
        """
        fields = without_nulls(body)
        validate(_Body, fields)
        for name, advice in _STORED.items():
            if fields.get(name):
                raise Problem(400, f"{name}: this server stores nothing; {advice}.", param=name)
        if fields.get("top_logprobs") or _LOGPROBS in fields.get("include", ()):
            name = "top_logprobs" if fields.get("top_logprobs") else "include"
            raise Problem(400, f"{name}: a mixture's answer has no log probabilities.", param=name)
        tools = OfferedTools(hosted=True)
        tools.add(fields.get("tools", []), "tools")
        messages = chat_messages(fields["input"], fields.get("instructions", ""), tools)
        form = _format(fields.get("text", {}).get("format"))
        bound = {**_sampling(fields), **form, **tool_options(fields, tools.functions, mode="auto")}
        return cls(RunRequest.of(fields, messages, bound, field="input"), fields, tools)

    def encoder(self, mixture: Mixture) -> ResponseEncoder:
        """Return the encoder of the answer."""
        return ResponseEncoder(self.fields, self.tools, drafts=self.run.drafts)


def _sampling(fields: Mapping[str, Any]) -> dict[str, Any]:
    names = {"temperature": "temperature", "top_p": "top_p", "max_output_tokens": "max_tokens"}
    bound = {ours: fields[name] for name, ours in names.items() if name in fields}
    effort = fields.get("reasoning", {}).get("effort")
    return {**bound, **({"reasoning_effort": effort} if effort else {})}


def _format(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the response format in the form of chat completions, where the schema is a separate object."""
    if not given or given.get("type") == "text":
        return {}
    if given["type"] != "json_schema":
        return {"response_format": {"type": given["type"]}}
    schema = {name: value for name, value in given.items() if name != "type" and value is not None}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}
