"""The caller's messages: what is refused before any request, and how they are passed on to a model."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from moa_graph.errors import InputError

OPENING = re.compile(r"<(think|thinking|reasoning)>", re.ASCII | re.IGNORECASE)
"""Where a thought begins."""

_LONE = re.compile(
    r"\A\s*</think>"
    r"|^[ \t]*</think>[ \t]*$"
    r"|</think>[ \t]*(?=\n[ \t]*\n)"
    r"|(?<=[\n.!?\u2026\u3002\uff01\uff1f])</think>(?=[\w*#])",
    re.IGNORECASE | re.MULTILINE,
)
"""How a thought ends whose opening tag a server pre-filled: on a line of its own, at the end of a paragraph, or glued
between a sentence and the answer. Who writes about the tag sets it between spaces, quotes or backticks."""

_IMAGE_BLOCKS = frozenset({"image", "image_url", "input_image"})
_ADDRESSES = frozenset({"image_url", "url", "uri", "file_url", "file_uri"})


def clean(text: str) -> str:
    """`text` without the thoughts it begins with, lone surrogates and NUL, stripped of outer white space.

    A thought is what stands in `<think>`, `<thinking>` or `<reasoning>` at the very beginning (several in a row are),
    or before a lone `</think>` (servers that pre-fill the opening tag return only the closing one). Tags further on
    belong to an answer that writes about them.
    """
    text = encodable(text).strip()
    text = text[_unopened(text) :].lstrip()
    while opening := OPENING.match(text):
        text = _after_thought(text, opening[1]).lstrip()
    return text


def _unopened(text: str) -> int:
    """How far a thought goes whose opening tag is missing; 0 when there is none."""
    end = _LONE.search(text)
    return end.end() if end and not OPENING.search(text, 0, end.start()) else 0


def _after_thought(text: str, tag: str) -> str:
    """What follows the first closing tag; nothing when the thought is never closed."""
    end = re.search(f"</{tag}>", text, re.ASCII | re.IGNORECASE)
    return text[end.end() :] if end else ""


def encodable(text: str) -> str:
    """`text` as it can be sent and stored: lone surrogates become U+FFFD, NUL goes."""
    text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def check(messages: Sequence[BaseMessage]) -> None:
    """Refuses what no model can answer.

    Raises:
        InputError: no messages, only system messages, a last question without text or image, an unknown
        content
            block, or an image address that is neither `data:` nor public `https:`.
    """
    if not messages:
        raise InputError('messages: there are none. Pass at least one, for example {"role": "user", "content": "..."}.')
    asked = [m for m in messages if not isinstance(m, SystemMessage | AIMessage)]
    if not asked:
        raise InputError("messages: no question, only system or assistant messages. Add a user message.")
    for message in messages:
        for block in _blocks_of(message):
            _check_block(block, message)
    if not any(_says_something(m) for m in asked[-1:]):
        raise InputError("messages: the last question is blank. Write one, or add an image.")


def _blocks_of(message: BaseMessage) -> list[str | dict[str, Any]]:
    return message.content if isinstance(message.content, list) else []


def _check_block(block: str | dict[str, Any], message: BaseMessage) -> None:
    kind = "text" if isinstance(block, str) else str(block.get("type"))
    if kind in _IMAGE_BLOCKS and isinstance(block, dict):
        _check_image(block)
    elif kind != "text" and not isinstance(message, AIMessage):
        raise InputError(f'messages: content block type "{kind}" is not supported. Use "text" or "image_url" blocks.')


def _check_image(block: dict[str, Any]) -> None:
    addresses: list[Any] = [address for address in _addresses(block) if address is not None]
    if not addresses and (block.get("base64") or block.get("data")):
        return
    for address in addresses or [None]:
        if not isinstance(address, str) or not (address.startswith("data:image/") or _public_https(address)):
            shown = encodable(str(address))[:80]
            raise InputError(
                f"messages: image address {shown!r} refused. Use a data:image/... URL or a public https URL."
            )


def _addresses(block: dict[str, Any]) -> Iterator[Any]:
    """Every address in the block, wherever it stands: which of several is sent is LangChain's choice."""
    for name, value in block.items():
        if isinstance(value, dict):
            yield from _addresses(value)
        elif name in _ADDRESSES:
            yield value


def _public_https(address: str) -> bool:
    """An https address of a host that is not this machine, its network, or a cloud's metadata service."""
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return False
    if parts.scheme != "https" or not host:
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        # Bare decimal, octal and hexadecimal forms of an IP address are no names, and single labels are
        # local.
        labels = host.split(".")
        numeric = re.fullmatch(r"(0x[0-9a-f]*|\d+)", labels[-1]) is not None
        local = labels[-1] in {"localhost", "local", "internal", "localdomain", "home", "lan", "arpa"}
        return len(labels) > 1 and not numeric and not local


def _says_something(message: BaseMessage) -> bool:
    if isinstance(message, ToolMessage | FunctionMessage):
        return True
    return has_images([message]) or bool(encodable(str(message.text)).strip())


def has_images(messages: Sequence[BaseMessage]) -> bool:
    """Whether an image is among them."""
    blocks = (block for message in messages for block in _blocks_of(message))
    return any(isinstance(block, dict) and block.get("type") in _IMAGE_BLOCKS for block in blocks)


def passed_on(messages: Sequence[BaseMessage], *, keep_tools: bool = False) -> list[BaseMessage]:
    """The conversation as a model gets it.

    Assistant turns are their text without thoughts. Tool calls and results become text, so that models
    without the tools can read them; `keep_tools` keeps those calls whose results all follow, for the one
    model that has the tools.
    """
    kept = _answered_calls(messages) if keep_tools else frozenset()
    return [_passed_on(message, kept) for message in messages]


def _passed_on(message: BaseMessage, kept: frozenset[str]) -> BaseMessage:
    if isinstance(message, AIMessage):
        return _assistant(message, kept)
    if isinstance(message, ToolMessage) and message.tool_call_id in kept:
        return ToolMessage(content=encodable(str(message.text)), tool_call_id=message.tool_call_id)
    if isinstance(message, ToolMessage | FunctionMessage):
        label = f"Result of the tool {message.name}" if message.name else "Result of a tool"
        return HumanMessage(content=f"[{label}]\n{encodable(str(message.text))}")
    if isinstance(message.content, str):
        text = encodable(message.content)
        return message if text == message.content else message.model_copy(update={"content": text})
    return message.model_copy(update={"content": [_encodable_block(b) for b in message.content]})


def _encodable_block(block: str | dict[str, Any]) -> str | dict[str, Any]:
    if isinstance(block, str):
        return encodable(block)
    return {**block, "text": encodable(block["text"])} if isinstance(block.get("text"), str) else block


def _assistant(message: AIMessage, kept: frozenset[str]) -> AIMessage:
    text = clean(str(message.text))
    calls = message.tool_calls
    if calls and all(call["id"] in kept for call in calls):
        return AIMessage(content=text, tool_calls=calls, name=message.name)
    notes = [f"[Called the tool {c['name']} with {json.dumps(c['args'], ensure_ascii=False)}]" for c in calls]
    return AIMessage(content="\n".join(part for part in [text, *map(encodable, notes)] if part), name=message.name)


def _answered_calls(messages: Sequence[BaseMessage]) -> frozenset[str]:
    """Ids of the tool calls of those assistant turns whose every call is answered right behind the turn."""
    kept: set[str] = set()
    for place, message in enumerate(messages):
        if not (isinstance(message, AIMessage) and message.tool_calls):
            continue
        answered: set[str] = set()
        for later in messages[place + 1 :]:
            if not isinstance(later, ToolMessage):
                break
            answered.add(later.tool_call_id)
        wanted = {str(call["id"]) for call in message.tool_calls}
        kept |= wanted if wanted <= answered else set()
    return frozenset(kept)
