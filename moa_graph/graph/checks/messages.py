"""Check the caller's messages before any request is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, FunctionMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.serde.base import SerializerProtocol

from moa_graph.errors import InputError
from moa_graph.graph.checks.addresses import is_public_https
from moa_graph.graph.prompts.media import ADDRESSES, KINDS, blocks_of, kind_of, standard, values_in
from moa_graph.models.reply.fields import encodable
from moa_graph.state.value_text import given

__all__ = ["check", "check_block", "check_saved"]

_SHOWN = re.compile(r"[^\s\0]")
"""A character that shows, NUL not included: NUL characters are removed before a text is sent."""
_DATA = ("base64", "data", "file_data", "file_id", "id", "text", "content")
_TEXTS = ("base64", "file_id", "url")
"""Fields of a block in its standard form that are texts."""


def check(messages: Sequence[BaseMessage]) -> None:
    """Refuse a conversation that no model can answer.

    Args:
        messages: The whole conversation.

    Raises:
        InputError: No messages; no question (a conversation of system messages alone counts as one); a blank last
            question; a content block of an unknown type; an image or file whose address is neither `data:` nor a
            public `https:`.
    """
    if not messages:
        raise InputError('messages: there are none. Pass at least one, for example {"role": "user", "content": "..."}.')
    asked = [m for m in messages if not isinstance(m, SystemMessage | AIMessage)]
    if not asked and all(isinstance(m, SystemMessage) for m in messages):
        asked = list(messages)
    if not asked:
        raise InputError("messages: no question, only assistant messages. Add a user message.")
    for place, message in enumerate(messages):
        for number, block in enumerate(blocks_of(message)):
            # Other systems' histories have blocks of their own, which are repaired or left out.
            if kind_of(standard(block)) in KINDS or not isinstance(message, AIMessage | ToolMessage | FunctionMessage):
                check_block(block, f"messages[{place}].content[{number}]")
    if not _says_something(asked[-1]):
        raise InputError("messages: the last question is blank. Write one, or add an image or a file.")


def check_saved(messages: Sequence[BaseMessage], serde: SerializerProtocol) -> None:
    """Refuse messages that the checkpointer cannot save: LangGraph finds out while models are already being paid.

    Args:
        messages: The whole conversation.
        serde: The checkpointer's serializer.

    Raises:
        InputError: A message has a field that it cannot save.
    """
    for place, message in enumerate(messages):
        if (reason := _unsaved(message, serde)) is None:
            continue
        fields = {name: getattr(message, name) for name in type(message).model_fields}
        wrong = next((f".{name}" for name, value in fields.items() if _unsaved(value, serde)), "")
        raise InputError(
            f"messages[{place}]{wrong}: the checkpointer cannot save it ({reason}). Give text, numbers of at most 64 "
            "bits, lists and mappings, leave the field out, or run the graph without a checkpointer."
        )


def _unsaved(value: Any, serde: SerializerProtocol) -> str | None:
    try:
        serde.dumps_typed(value)
    except Exception as exc:  # serializers raise errors of any class
        return " ".join(str(exc).split())[:200].rstrip(".") or type(exc).__name__
    return None


def check_block(block: str | Mapping[str, Any], place: str) -> None:
    """Refuse a content block that no model takes.

    Args:
        block: The content block.
        place: Its place, for the message.

    Raises:
        InputError: Its type is unknown, it has neither data nor an address, or its address is neither `data:` nor a
            public `https:`.
    """
    if isinstance(block, str):
        return
    # What is sent decides: some notations of a text hold an address.
    made = standard(dict(block))
    kind = kind_of(made)
    if kind == "text":
        # A file of text is a text when it is sent, and holds it in a field of another name.
        held = kind_of(block) != "text" or block.get("type") == "text-plain"
        if not held and not isinstance(text := block.get("text"), str):
            raise InputError(f"{place}.text: expected text, got {given(text)}.")
        return
    if kind is None:
        name = given(block.get("type"))
        raise InputError(f'{place}: the type {name} is not supported. Use "text", "image_url", "file" or "audio".')
    inner = made.get("image_url")
    held = {**made, **inner} if isinstance(inner, Mapping) else made
    if any(not isinstance(held.get(name), str | None) for name in _TEXTS):
        raise InputError(f"{place}: the data or the address of the {kind} block must be text.")
    # LangChain decides which of several addresses is sent.
    addresses: list[Any] = [address for address in values_in(block, ADDRESSES) if address is not None]
    sent = made if kind != "image" else block
    if not addresses and not any(values_in(sent, _DATA)):
        raise InputError(f"{place}: the {kind} block has neither data nor an address. Add base64 data or a URL.")
    for address in addresses:
        allowed = "data:image/" if kind == "image" else "data:"
        if not isinstance(address, str) or not (address.startswith(allowed) or is_public_https(address)):
            shown = encodable(given(address))
            raise InputError(
                f"{place}: {kind} address {shown} refused. Use a {allowed}... URL or a public https URL (names are not "
                "resolved; plain ASCII hosts without user name or port tricks)."
            )


def _says_something(message: BaseMessage) -> bool:
    if isinstance(message, ToolMessage | FunctionMessage):
        return True
    if isinstance(message.content, str):
        return _SHOWN.search(message.content) is not None
    # A file of text is a text when it is sent.
    sent = [standard(block) for block in blocks_of(message)]
    texts = [str(block.get("text") or "") for block in sent]
    return any(kind_of(block) in KINDS for block in sent) or any(map(_SHOWN.search, texts))
