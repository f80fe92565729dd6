"""Check the caller's messages before any request is sent."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from langchain_core.messages import AIMessage, BaseMessage, FunctionMessage, SystemMessage, ToolMessage

from moa_graph.errors import InputError
from moa_graph.graph.conversation import _IMAGE_BLOCKS, _blocks_of, has_images
from moa_graph.models.thoughts import encodable

_ADDRESSES = frozenset({"image_url", "url", "uri", "file_url", "file_uri"})


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
