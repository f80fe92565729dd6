"""The input of a Responses request as chat messages.

The endpoint is stateless: the input holds the whole conversation. Reasoning items are dropped, because their encrypted
content belongs to the model that wrote it. Items of hosted tools become a short note in brackets.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterable, Mapping
from typing import Any

from moa_graph.serve.fields import checked_block, wrong
from moa_graph.serve.openai.tools import SEARCH, OfferedTools, function_name
from moa_graph.state.value_text import given

__all__ = ["chat_messages"]

_CALLS = {"function_call": "arguments", "custom_tool_call": "input", "tool_search_call": "arguments"}
_RESULTS = ("function_call_output", "custom_tool_call_output")
_LOADED = ("tool_search_output", "additional_tools")
"""Items with further tools."""
_IGNORED = (
    "reasoning",
    "compaction",
    "compaction_summary",
    "compaction_trigger",
    "configuration_update",
    "context_compaction",
    "additional_tools",
)
_HOSTED = ("mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "program")
_HOSTED_ENDINGS = ("_call", "_call_output", "_output")
"""Items of hosted tools, beside those in `_HOSTED`."""
_ROLES = ("user", "assistant", "system", "developer")


def chat_messages(source: str | list[Any], instructions: str, tools: OfferedTools) -> list[dict[str, Any]]:
    """Return the conversation as chat messages.

    Args:
        source: The field `input`: text, or a list of input items.
        instructions: The system prompt; empty for none.
        tools: The request's tools. Those that the input loads are added.

    Raises:
        Problem: 400, naming the item.
    """
    messages: list[dict[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
    if isinstance(source, str):
        return [*messages, {"role": "user", "content": source}]
    for place, item in enumerate(source):
        _add(messages, item, f"input[{place}]", tools)
    return messages


def _add(messages: list[dict[str, Any]], item: Any, place: str, tools: OfferedTools) -> None:
    if not isinstance(item, Mapping):
        raise wrong(place, f"expected an object, got {given(item)}")
    kind = item.get("type") or "message"
    if not isinstance(kind, str):
        raise wrong(f"{place}.type", f"expected text, got {given(kind)}")
    loaded = _load(item, kind, place, tools)
    # A search of the client's own has a call's id; one of OpenAI's servers has none.
    called = item.get("call_id") or not kind.startswith(SEARCH)
    if kind in ("message", "agent_message"):  # the latter is what an agent of Codex writes to another one
        role = _role(item, place) if kind == "message" else "user"
        messages.append({"role": role, "content": _content(item.get("content"), f"{place}.content")})
    elif kind in _CALLS and called:
        _assistant(messages).setdefault("tool_calls", []).append(_call(item, kind, place))
    elif kind == "tool_search_output" and called:
        text = f"Tools that can be called now: {', '.join(loaded) or 'none'}."
        messages.append({"role": "tool", "tool_call_id": _text(item, "call_id", place), "content": text})
    elif kind in _RESULTS:
        messages.append(_result(item, place))
    elif kind == "item_reference":
        raise wrong(
            place, "item_reference needs a stored response, and this server stores nothing: send the item itself"
        )
    elif kind in _HOSTED or kind.endswith(_HOSTED_ENDINGS):
        _assistant(messages)["content"] += f"[{kind}]"
    elif kind not in _IGNORED:
        raise wrong(f"{place}.type", f"{given(kind)} is not supported")


def _load(item: Mapping[str, Any], kind: str, place: str, tools: OfferedTools) -> list[str]:
    """Add the tools that an item loads to `tools`, and return the names of their functions."""
    given_tools = item.get("tools") if kind in _LOADED else None
    if not isinstance(given_tools, list):
        return []
    found = OfferedTools(hosted=True)
    for each in (found, tools):
        each.add(given_tools, f"{place}.tools")
    return list(found.origins)


def _role(item: Mapping[str, Any], place: str) -> str:
    role = item.get("role")
    if role not in _ROLES:
        raise wrong(f"{place}.role", f"expected one of {', '.join(_ROLES)}, got {given(role)}")
    return str(role)


def _assistant(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the assistant's message at the end, which holds the calls of one turn; a new one when there is none."""
    if not messages or messages[-1]["role"] != "assistant" or not isinstance(messages[-1]["content"], str):
        messages.append({"role": "assistant", "content": ""})
    return messages[-1]


def _call(item: Mapping[str, Any], kind: str, place: str) -> dict[str, Any]:
    value = item.get(_CALLS[kind])
    arguments = value if isinstance(value, str) else json.dumps(value if value is not None else {})
    if kind == "custom_tool_call":
        arguments = json.dumps({"input": arguments}, ensure_ascii=False)
    name = SEARCH if kind == "tool_search_call" else function_name(_text(item, "name", place), item.get("namespace"))
    function = {"name": name, "arguments": arguments}
    return {"id": _text(item, "call_id", place), "type": "function", "function": function}


def _result(item: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return a tool's result. Those that Codex itself writes into the history of a task have no call, but a name."""
    name = item.get("name") if item.get("call_id") is None else None
    about = {"name": name, "tool_call_id": "none"} if isinstance(name, str) and name else None
    about = about or {"tool_call_id": _text(item, "call_id", place)}
    return {"role": "tool", **about, "content": _content(item.get("output"), f"{place}.output")}


def _text(item: Mapping[str, Any], name: str, place: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise wrong(f"{place}.{name}", f"expected text that is not empty, got {given(value)}")
    return value


def _content(content: Any, place: str) -> str | list[dict[str, Any]]:
    """Return content as chat messages have it: text alone as a string, other parts as blocks."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise wrong(place, f"expected text or a list of parts, got {given(content)}")
    blocks = [_block(part, f"{place}[{n}]") for n, part in enumerate(content)]
    if all(block["type"] == "text" for block in blocks):
        return _joined(block["text"] for block in blocks)
    return blocks


def _joined(texts: Iterable[str]) -> str:
    return "\n".join(texts)


def _block(part: Any, place: str) -> dict[str, Any]:
    if not isinstance(part, Mapping):
        raise wrong(place, f'expected a part, such as {{"type": "input_text", "text": "..."}}, got {given(part)}')
    kind = part.get("type")
    if part.get("file_id"):
        raise wrong(f"{place}.file_id", "this server stores nothing: send the file's data or its URL")
    if kind in ("input_text", "output_text", "text"):
        block = {"type": "text", "text": part.get("text")}
    elif kind in ("refusal", "encrypted_content"):
        # Codex marks arguments that OpenAI's servers encrypt. Here they are plain text.
        block = {"type": "text", "text": part.get(kind)}
    elif kind == "input_image":
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        image = part.get("image_url")
        # Some clients send the object of chat completions.
        about = image if isinstance(image, Mapping) else {"url": image}
        block = {"type": "image_url", "image_url": {**about, **detail}}
    elif kind == "input_file":
        block = _file(part, place)
    elif kind == "input_audio":
        block = {"type": "input_audio", "input_audio": part.get("input_audio")}
    else:
        raise wrong(f"{place}.type", f"{given(kind)} is not supported")
    return checked_block(block, place)


def _file(part: Mapping[str, Any], place: str) -> dict[str, Any]:
    data, url, name = part.get("file_data"), part.get("file_url"), part.get("filename")
    if isinstance(data, str) and data:
        head, comma, base64 = data.partition(",")
        mime = head.removeprefix("data:").partition(";")[0] if comma else _kind_of_file(name)
        block = {"type": "file", "base64": base64 if comma else data, "mime_type": mime}
    elif isinstance(url, str) and url:
        block = {"type": "file", "url": url, "mime_type": _kind_of_file(name or url.partition("?")[0])}
    else:
        raise wrong(place, "an input_file needs file_data or file_url")
    return {**block, **({"filename": str(name)} if name else {})}


def _kind_of_file(name: Any) -> str:
    """Return the media type that a file's name shows; PDF if it shows none."""
    return mimetypes.guess_type(str(name))[0] or "application/pdf"
