"""An Anthropic Messages request: each field's type and bounds, and the run that it requests.

Thinking is ignored: blocks of earlier turns belong to the model that wrote them, and the mixture decides how its
models think. Server tools (web search and the like) are left out: a mixture has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from moa_graph.graph.prompts.media import kind_of
from moa_graph.mixture.mixture import Mixture
from moa_graph.serve.anthropic.response import MessageEncoder
from moa_graph.serve.endpoint import RunRequest
from moa_graph.serve.fields import (
    Count,
    Object,
    ToolName,
    TopP,
    checked_block,
    stop_texts,
    validate,
    without_nulls,
    wrong,
)
from moa_graph.serve.problems import Problem
from moa_graph.state.value_text import given

__all__ = ["MessagesRequest", "chat_messages"]

_ROLES = ("user", "assistant", "system")


class _Tool(Object):
    name: ToolName
    description: str | None = None
    input_schema: dict[str, Any]


class _Format(Object):
    type: Literal["json_schema"]
    form: Annotated[dict[str, Any], Field(alias="schema")]


class _Output(Object):
    format: _Format | None = None


class _Prompt(Object):
    """The fields of a prompt; `count_tokens` accepts only these."""

    model: str
    messages: list[Any]
    system: str | list[Any] = ""
    tools: list[dict[str, Any]] = Field(default_factory=list)
    moa: dict[str, Any] = Field(default_factory=dict)


class _Body(_Prompt):
    """All fields. None of them accepts null."""

    max_tokens: Count
    stream: bool = False
    temperature: Annotated[float, Field(ge=0, le=1)] = 1
    top_p: TopP = 1
    stop_sequences: list[str] = Field(default_factory=list)
    tool_choice: dict[str, Any] = Field(default_factory=dict)
    output_config: _Output = Field(default_factory=_Output)
    output_format: _Format | None = None


@dataclass(frozen=True)
class MessagesRequest:
    """A Messages request, validated."""

    run: RunRequest

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Self:
        """Read a request's JSON body.

        Raises:
            Problem: 400, naming the field.
        """
        fields = without_nulls(body)
        if "stop_sequences" in fields:
            fields["stop_sequences"] = stop_texts(fields["stop_sequences"])
        validate(_Body, fields)
        names = {"temperature": "temperature", "top_p": "top_p", "max_tokens": "max_tokens", "stop_sequences": "stop"}
        bound = {ours: fields[name] for name, ours in names.items() if fields.get(name) not in (None, [])}
        bound |= _choice(fields.get("tool_choice", {}), _tools(fields.get("tools", []))) | _format(fields)
        return cls(RunRequest.of(fields, chat_messages(fields), bound))

    @staticmethod
    def prompt(body: dict[str, Any]) -> tuple[str, list[dict[str, Any]], str]:
        """Return the input of `count_tokens`: the model, the messages, and the tools as text.

        Raises:
            Problem: 400, naming the field.
        """
        fields = without_nulls(body)
        validate(_Prompt, fields)
        return fields["model"], chat_messages(fields), json.dumps(fields["tools"]) if fields.get("tools") else ""

    def encoder(self, mixture: Mixture) -> MessageEncoder:
        """Return the encoder of the answer."""
        return MessageEncoder(self.run.model, drafts=self.run.drafts)


def _tools(offered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tools as functions. Many providers refuse several tools with one name: the first counts."""
    tools: dict[str, dict[str, Any]] = {}
    for place, tool in enumerate(offered):
        if tool.get("type", "custom") != "custom" and "input_schema" not in tool:
            continue  # a server tool, which the model is free not to use
        try:
            validate(_Tool, without_nulls(tool))
        except Problem as exc:
            raise Problem(400, f"tools[{place}].{exc}", param="tools") from None
        function = {"name": tool["name"], "parameters": tool["input_schema"]}
        function["description"] = tool.get("description") or ""
        tools.setdefault(tool["name"], {"type": "function", "function": function})
    return list(tools.values())


def _choice(choice: Mapping[str, Any], tools: list[dict[str, Any]]) -> dict[str, Any]:
    kind = choice.get("type", "auto")
    if kind == "tool":
        if choice.get("name") not in [tool["function"]["name"] for tool in tools]:
            raise Problem(400, "tool_choice.name: must be the name of a tool in `tools`.", param="tool_choice")
        wanted: Any = {"type": "function", "function": {"name": choice["name"]}}
    elif kind in ("auto", "any", "none"):
        wanted = {"any": "required"}.get(kind, kind)
    else:
        raise Problem(400, "tool_choice.type: must be auto, any, tool or none.", param="tool_choice")
    if not tools:
        if kind == "any":
            raise Problem(400, "tool_choice: any needs at least one tool in `tools`.", param="tool_choice")
        return {}
    parallel = {"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") is True else {}
    return {"tools": tools, "tool_choice": wanted, **parallel}


def _format(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the response format of `output_config.format` (or the older `output_format`)."""
    form = fields.get("output_config", {}).get("format") or fields.get("output_format")
    if not form:
        return {}
    schema = {"name": "answer", "schema": form["schema"], "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def chat_messages(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the system prompt and the messages in the form of chat completions.

    Raises:
        Problem: 400, naming the message.
    """
    system = _text_only(fields.get("system", ""), "system")
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for place, message in enumerate(fields["messages"]):
        where = f"messages[{place}]"
        if not isinstance(message, Mapping):
            raise wrong(where, f"expected a message with role and content, got {given(message)}")
        role, content = message.get("role"), message.get("content")
        if role not in _ROLES:
            raise wrong(f"{where}.role", f"expected user or assistant, got {given(role)}")
        if isinstance(content, str):
            messages.append({"role": role, "content": content})
        elif not isinstance(content, list):
            raise wrong(f"{where}.content", f"expected text or a list of blocks, got {given(content)}")
        elif role == "assistant":
            messages.append(_assistant(content, where))
        else:
            messages += _user(content, role, where)
    return messages


def _text_only(value: str | list[Any], place: str) -> str:
    if isinstance(value, str):
        return value
    for n, block in enumerate(value):
        if _kind(block, f"{place}[{n}]") != "text":
            raise wrong(f"{place}[{n}].type", f"expected text, got {given(block['type'])}")
    return "\n\n".join(_text(block, "text", f"{place}[{n}]") for n, block in enumerate(value))


def _assistant(content: list[Any], where: str) -> dict[str, Any]:
    texts, calls = [], []
    for place, block in enumerate(content):
        at = f"{where}.content[{place}]"
        kind = _kind(block, at)
        if kind == "text":
            texts.append(_text(block, "text", at))
        elif kind == "tool_use":
            calls.append(_call(block, at))
        elif kind == "compaction" and isinstance(block.get("content"), str):
            texts.append(block["content"])  # Anthropic's summary of the conversation so far
        elif kind not in ("thinking", "redacted_thinking"):
            texts.append(f"[{kind}]")
    return {"role": "assistant", "content": "\n".join(texts), **({"tool_calls": calls} if calls else {})}


def _call(block: Mapping[str, Any], where: str) -> dict[str, Any]:
    arguments = block.get("input")
    if not isinstance(arguments, Mapping | None):
        raise wrong(f"{where}.input", f"expected the arguments by name, got {given(arguments)}")
    function = {"name": _text(block, "name", where), "arguments": json.dumps(arguments or {})}
    return {"id": _text(block, "id", where), "type": "function", "function": function}


def _user(content: list[Any], role: str, where: str) -> list[dict[str, Any]]:
    """Return tool results as separate messages, followed by the rest of the turn."""
    results, blocks = [], []
    for place, block in enumerate(content):
        at = f"{where}.content[{place}]"
        if _kind(block, at) == "tool_result":
            call_id = _text(block, "tool_use_id", at)
            results.append({"role": "tool", "tool_call_id": call_id, "content": _result(block, at)})
        else:
            blocks += _blocks(block, at)
    rest = [{"role": role, "content": _joined(blocks)}] if blocks or not results else []
    return [*results, *rest]


def _result(block: Mapping[str, Any], where: str) -> str | list[dict[str, Any]]:
    content = block.get("content")
    if content is None or isinstance(content, str):
        return f"Error: {content or ''}" if block.get("is_error") else content or ""
    if not isinstance(content, list):
        raise wrong(f"{where}.content", f"expected text or a list of blocks, got {given(content)}")
    blocks = [made for n, each in enumerate(content) for made in _blocks(each, f"{where}.content[{n}]")]
    if block.get("is_error"):
        blocks.insert(0, {"type": "text", "text": "Error:"})
    return _joined(blocks)


def _joined(blocks: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return text alone as a string, other content as blocks."""
    if all(block["type"] == "text" for block in blocks):
        return "\n".join(block["text"] for block in blocks)
    return blocks


def _kind(block: Any, where: str) -> str:
    if not isinstance(block, Mapping):
        raise wrong(where, f"expected a block with a type, got {given(block)}")
    kind = block.get("type")
    if not isinstance(kind, str) or not kind:
        raise wrong(f"{where}.type", f"expected text that is not empty, got {given(kind)}")
    return kind


def _blocks(block: Any, where: str) -> list[dict[str, Any]]:
    """Return a content block, behind what the client says about it: other protocols have no field for that."""
    made, about = _block(block, where), block.get("context") if block.get("type") == "document" else None
    if about in (None, ""):
        return [made]
    named = f" {title}" if isinstance(title := block.get("title"), str) and title else ""
    return [{"type": "text", "text": f"[about the document{named}]\n{_text(block, 'context', where)}"}, made]


def _block(block: Any, where: str) -> dict[str, Any]:
    """Return a content block in a form that messages have, OpenAI's included. One of a server tool becomes a note."""
    kind = _kind(block, where)
    if kind == "text":
        return {"type": "text", "text": _text(block, "text", where)}
    if kind == "search_result":
        return {"type": "text", "text": _found(block, where)}
    if kind == "tool_reference":  # what Claude Code's search for tools found
        return {"type": "text", "text": f"[tool: {_text(block, 'tool_name', where)}]"}
    if kind not in ("image", "document"):
        return checked_block(dict(block), where) if kind_of(block) else {"type": "text", "text": f"[{kind}]"}
    source = block.get("source")
    how = source.get("type") if isinstance(source, dict) else None
    if how not in ("base64", "url", "text", "content"):
        raise wrong(f"{where}.source", "must be base64 data, a URL or text; nothing is stored here")
    for name in {"base64": ("data", "media_type"), "text": ("data",)}.get(how, ()):
        _text(source, name, f"{where}.source")
    return checked_block(dict(block), where)


def _found(block: Mapping[str, Any], where: str) -> str:
    """Return a search result as text: its title, its source and what was found."""
    content = block.get("content")
    text = _text_only(content if isinstance(content, str | list) else "", f"{where}.content")
    return "\n".join([str(block.get(name) or "") for name in ("title", "source")] + [text]).strip()


def _text(block: Mapping[str, Any], name: str, where: str) -> str:
    text = block.get(name)
    if not isinstance(text, str):
        raise wrong(f"{where}.{name}", f"expected text, got {given(text)}")
    return text
