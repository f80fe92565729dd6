"""The caller's messages: what is refused before any request, and how they are passed on to a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    ToolMessage,
)

from moa_graph.models.thoughts import clean, encodable

_IMAGE_BLOCKS = frozenset({"image", "image_url", "input_image"})


def _blocks_of(message: BaseMessage) -> list[str | dict[str, Any]]:
    return message.content if isinstance(message.content, list) else []


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
