"""What `RemoteMoA` sends to an Agent Server, and what it receives, in the server's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, convert_to_messages
from langchain_core.runnables import RunnableConfig

from moa_graph.graph.checks.messages import check
from moa_graph.mixture.context import MoAContext
from moa_graph.models.reply.fields import encodable
from moa_graph.state import add_checked

__all__ = ["as_config", "as_context", "as_local", "as_sent"]

_ANSWERS: Mapping[Any, type[AIMessage]] = {"ai": AIMessage, "AIMessageChunk": AIMessageChunk}
_NOT_SENT = frozenset({"__pregel_stream", "checkpoint_ns"})
"""Keys that `RemoteGraph` does not send. It reads in them where the surrounding graph's stream goes. LangGraph has no
public names for them."""


def as_sent(input: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the checked messages as plain data. Each has an id, so that a restarted run does not hold them twice.

    Raises:
        InputError: The graph would refuse them. Nothing has been sent.
    """
    messages: list[AnyMessage] = add_checked([], input.get("messages", []))
    check(messages)
    return [_message_data(message) for message in messages]


def as_config(config: RunnableConfig | None) -> RunnableConfig:
    """Return the config without what a graph around the call has in `configurable`, such as its thread.

    The server would run in that thread, and take the rest for the context, or refuse it beside one.
    """
    given: RunnableConfig = config or {}
    return {**given, "configurable": {k: v for k, v in given.get("configurable", {}).items() if k in _NOT_SENT}}


def as_context(context: Any) -> dict[str, Any] | None:
    """Return the fields that the caller set, checked.

    Raises:
        ConfigError: The graph would refuse them. Nothing has been sent.
    """
    if context is None:
        return None
    asked = context if isinstance(context, MoAContext) else MoAContext(**context)
    return asked.model_dump(exclude_unset=True)


def as_local(mode: str, data: Any) -> Any:
    """Return a part of the server's stream as the local graph emits it: with messages as objects."""
    if mode == "messages":
        return _message(data[0]), data[1]
    return data if mode == "custom" else _with_messages(data)


def _message_data(message: BaseMessage) -> dict[str, Any]:
    names = ("name", "tool_calls", "tool_call_id")
    given = {name: value for name in names if (value := getattr(message, name, None))}
    plain = {"role": message.type, "content": message.content, "id": message.id, **given}
    return {name: _encodable(value) for name, value in plain.items()}


def _with_messages(data: Any) -> Any:
    """Return states, updates of states, or what has them in itself, with their messages as objects."""
    if not isinstance(data, Mapping):
        return data
    return {
        key: [_message(each) for each in value]
        if key == "messages" and isinstance(value, list)
        else _with_messages(value)
        for key, value in data.items()
    }


def _message(sent: Any) -> AnyMessage:
    """Return a message of the server. The conversion for callers' dicts would drop the usage of an answer."""
    kind = _ANSWERS.get(sent.get("type")) if isinstance(sent, Mapping) else None
    if kind is not None:
        return kind.model_validate(dict(sent))
    return cast("AnyMessage", convert_to_messages([sent])[0])


def _encodable(value: Any) -> Any:
    """Return JSON that every server takes: lone surrogates are replaced, as the local graph does."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, Mapping):
        return {key: _encodable(each) for key, each in value.items()}
    return [_encodable(each) for each in value] if isinstance(value, list) else value
