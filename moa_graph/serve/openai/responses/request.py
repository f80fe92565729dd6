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
from moa_graph.serve.fields import Count, Object, Temperature, Text, ToolName, TopP, validate, without_nulls
from moa_graph.serve.openai.request import Tool
from moa_graph.serve.openai.responses.items import chat_messages
from moa_graph.serve.openai.responses.response import ResponseEncoder
from moa_graph.serve.problems import Problem
from moa_graph.state.value_text import given as shown

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
    tools: list[dict[str, Any]] = Field(default_factory=list)
    tool_choice: str | dict[str, Any] = "auto"
    parallel_tool_calls: bool = True
    text: _Text = Field(default_factory=_Text)
    reasoning: _Reasoning = Field(default_factory=_Reasoning)
    metadata: dict[str, Any] = Field(default_factory=dict)
    include: list[str] = Field(default_factory=list)
    background: bool = False
    previous_response_id: str = ""
    moa: dict[str, Any] = Field(default_factory=dict)


class _FunctionTool(Object):
    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


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
        custom: The names of custom tools, whose calls hold plain text.
    """

    run: RunRequest
    fields: dict[str, Any]
    custom: frozenset[str]

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
        tools, custom = _tools(fields.get("tools", []))
        bound = {**_sampling(fields), **_format(fields.get("text", {}).get("format")), **_choice(fields, tools)}
        messages = chat_messages(fields["input"], fields.get("instructions", ""))
        return cls(RunRequest.of(fields, messages, bound, field="input"), fields, custom)

    def encoder(self, mixture: Mixture) -> ResponseEncoder:
        """Return the encoder of the answer."""
        return ResponseEncoder(self.fields, self.custom, drafts=self.run.drafts)


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


def _tools(given: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], frozenset[str]]:
    """Return the tools in the form of chat completions, and the names of the custom ones.

    A custom tool takes plain text: it is offered as a function with one text argument, `input`.
    """
    tools, custom = [], set()
    for place, tool in enumerate(given):
        kind = tool.get("type")
        if kind not in ("function", "custom"):
            continue
        try:
            validate(_FunctionTool, without_nulls(tool))
        except Problem as wrong:
            raise Problem(400, f"tools[{place}].{wrong}", param="tools") from None
        parameters = tool.get("parameters") or {"type": "object", "properties": {}}
        if kind == "custom":
            custom.add(tool["name"])
            parameters = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
        function = {"name": tool["name"], "description": _description(tool), "parameters": parameters}
        strict = {"strict": tool["strict"]} if kind == "function" and tool.get("strict") is not None else {}
        made = {"type": "function", "function": {**function, **strict}}
        validate(Tool, made)
        tools.append(made)
    return tools, frozenset(custom)


def _description(tool: Mapping[str, Any]) -> str:
    """Return the tool's description, with the grammar of a custom tool that has one."""
    form = tool.get("format") or {}
    grammar = form.get("definition") if isinstance(form, Mapping) else None
    return "\n\n".join(str(part) for part in (tool.get("description"), grammar) if part)


def _choice(fields: Mapping[str, Any], tools: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the options of the aggregator's call about tools."""
    choice = fields.get("tool_choice", "auto")
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        listed = choice.get("tools")
        if not isinstance(listed, list) or not all(isinstance(tool, Mapping) for tool in listed):
            reason = f"expected a list of tools, got {shown(listed)}"
            raise Problem(400, f"tool_choice.tools: {reason}.", param="tool_choice")
        names = [tool.get("name") for tool in listed]
        tools, choice = [tool for tool in tools if tool["function"]["name"] in names], choice.get("mode", "auto")
    if isinstance(choice, Mapping):
        name = choice.get("name")
        if name not in [tool["function"]["name"] for tool in tools]:
            raise Problem(400, "tool_choice: must be the name of a function in `tools`.", param="tool_choice")
        choice = {"type": "function", "function": {"name": name}}
    elif choice not in ("none", "auto", "required"):
        raise Problem(400, "tool_choice: must be none, auto, required, or a function of `tools`.", param="tool_choice")
    if not tools:
        if choice == "required":
            raise Problem(400, "tool_choice: required needs at least one function in `tools`.", param="tool_choice")
        return {}
    parallel = {"parallel_tool_calls": fields["parallel_tool_calls"]} if "parallel_tool_calls" in fields else {}
    return {"tools": tools, "tool_choice": choice, **parallel}
