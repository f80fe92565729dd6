"""An Anthropic Messages request: each field's type and bounds, and the run that it requests.

Thinking is ignored: blocks of earlier turns belong to the model that wrote them, and the mixture decides how its
models think. Server tools (web search and the like) are left out: a mixture has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field

from moa_graph.mixture.mixture import Mixture
from moa_graph.serve.anthropic.response import MessageEncoder
from moa_graph.serve.endpoint import RunRequest
from moa_graph.serve.fields import Count, Object, Text, TopP, context_of, validate, without_nulls
from moa_graph.serve.problems import Problem

__all__ = ["MessagesRequest", "chat_messages"]


class _Tool(Object):
    name: Text
    description: str | None = None
    input_schema: dict[str, Any]


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
        validate(_Body, fields)
        names = {"temperature": "temperature", "top_p": "top_p", "max_tokens": "max_tokens", "stop_sequences": "stop"}
        bound = {ours: fields[name] for name, ours in names.items() if fields.get(name) not in (None, [])}
        bound |= _choice(fields.get("tool_choice", {}), _tools(fields.get("tools", []))) | _format(fields)
        extras, stream = fields.get("moa", {}), fields.get("stream", False)
        run = RunRequest(
            model=fields["model"],
            messages=chat_messages(fields),
            context=context_of(extras, stream=stream, bound=bound),
            stream=stream,
            drafts=bool(extras.get("drafts")),
        )
        return cls(run)

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


def _tools(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    tools = []
    for place, tool in enumerate(given):
        if tool.get("type", "custom") != "custom" and "input_schema" not in tool:
            continue  # a server tool, which the model is free not to use
        try:
            validate(_Tool, without_nulls(tool))
        except Problem as wrong:
            raise Problem(400, f"tools[{place}].{wrong}", param="tools") from None
        function = {"name": tool["name"], "parameters": tool["input_schema"]}
        tools.append({"type": "function", "function": {**function, "description": tool.get("description") or ""}})
    return tools


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
    config = fields.get("output_config")
    form = (config.get("format") if isinstance(config, Mapping) else None) or fields.get("output_format")
    if not isinstance(form, Mapping) or form.get("type") != "json_schema":
        return {}
    schema = {"name": "answer", "schema": form.get("schema"), "strict": True}
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
        role = message.get("role") if isinstance(message, Mapping) else None
        if role not in ("user", "assistant", "system"):
            raise Problem(400, f"{where}.role: must be user or assistant.", param=where)
        content = message.get("content")
        if isinstance(content, str):
            messages.append({"role": role, "content": content})
        elif not isinstance(content, list):
            raise Problem(400, f"{where}.content: must be a text or a list of blocks.", param=where)
        elif role == "assistant":
            messages.append(_assistant(content, where))
        else:
            messages += _user(content, role, where)
    return messages


def _text_only(value: str | list[Any], place: str) -> str:
    if isinstance(value, str):
        return value
    texts = [block.get("text") if isinstance(block, Mapping) else None for block in value]
    if not all(isinstance(text, str) for text in texts):
        raise Problem(400, f"{place}: must be a text or a list of text blocks.", param=place)
    return "\n\n".join(str(text) for text in texts)


def _assistant(content: list[Any], where: str) -> dict[str, Any]:
    texts, calls = [], []
    for place, block in enumerate(content):
        kind = _kind(block, f"{where}.content[{place}]")
        if kind == "text":
            texts.append(str(block.get("text") or ""))
        elif kind == "tool_use":
            function = {"name": block.get("name"), "arguments": json.dumps(block.get("input") or {})}
            calls.append({"id": block.get("id"), "type": "function", "function": function})
        elif kind not in ("thinking", "redacted_thinking"):
            texts.append(f"[{kind}]")
    return {"role": "assistant", "content": "\n".join(texts), **({"tool_calls": calls} if calls else {})}


def _user(content: list[Any], role: str, where: str) -> list[dict[str, Any]]:
    """Return tool results as separate messages, followed by the rest of the turn."""
    results, blocks = [], []
    for place, block in enumerate(content):
        at = f"{where}.content[{place}]"
        if _kind(block, at) == "tool_result":
            results.append({"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": _result(block, at)})
        else:
            blocks.append(_block(block, at))
    if all(block["type"] == "text" for block in blocks):
        said: Any = "\n".join(block["text"] for block in blocks)
    else:
        said = blocks
    return [*results, *([{"role": role, "content": said}] if blocks or not results else [])]


def _result(block: Mapping[str, Any], where: str) -> str | list[dict[str, Any]]:
    content = block.get("content")
    if content is None or isinstance(content, str):
        text: Any = content or ""
        return f"Error: {text}" if block.get("is_error") else text
    if not isinstance(content, list):
        raise Problem(400, f"{where}.content: must be a text or a list of blocks.", param=where)
    blocks = [_block(each, f"{where}.content[{n}]") for n, each in enumerate(content)]
    if block.get("is_error"):
        blocks.insert(0, {"type": "text", "text": "Error:"})
    if all(each["type"] == "text" for each in blocks):
        return "\n".join(each["text"] for each in blocks)
    return blocks


def _kind(block: Any, where: str) -> str:
    kind = block.get("type") if isinstance(block, Mapping) else None
    if not isinstance(kind, str):
        raise Problem(400, f"{where}.type: missing.", param=where)
    return kind


def _block(block: Any, where: str) -> dict[str, Any]:
    """Return a content block in LangChain's form."""
    kind = _kind(block, where)
    if kind == "text":
        return {"type": "text", "text": str(block.get("text") or "")}
    if kind in ("image", "document"):
        return _source(block, "image" if kind == "image" else "file", where)
    return {"type": "text", "text": f"[{kind}]"}


def _source(block: Mapping[str, Any], kind: str, where: str) -> dict[str, Any]:
    source = block.get("source")
    how = source.get("type") if isinstance(source, Mapping) else None
    name = {"filename": block["title"]} if block.get("title") and kind == "file" else {}
    if how == "base64" and isinstance(source, Mapping):
        return {"type": kind, "base64": source.get("data"), "mime_type": source.get("media_type"), **name}
    if how == "url" and isinstance(source, Mapping):
        mime = {"mime_type": "application/pdf"} if kind == "file" else {}
        return {"type": kind, "url": source.get("url"), **mime, **name}
    if how == "text" and isinstance(source, Mapping):
        return {"type": "text", "text": str(source.get("data") or "")}
    raise Problem(400, f"{where}.source: must be base64 data, a URL or text; nothing is stored here.", param=where)
