"""The code of a prompt's boundaries: an HMAC over the place of the call, its conversation and its drafts.

The key is in no prompt, state, stream or checkpoint. Pure functions, apart from the key of this process.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import secrets
import threading
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson
from langchain_core.messages import BaseMessage

__all__ = ["Scope", "Sent", "fence_code", "process_key", "shuffled"]

_PROCESS_KEY = secrets.token_bytes(32)


def process_key() -> bytes:
    """Return this process's random key, for runs without a ledger."""
    return _PROCESS_KEY


class Scope(NamedTuple):
    """What a code is made from, so that the code of one call is not valid in another.

    Attributes:
        key: The secret key of the process or of the ledger.
        run: The run's id; with a ledger the item and its repetition, so that a repeated run sends the same bytes.
        layer: The layer, from 1.
        slot: The slot, from 0.
        role: The role of the call.
    """

    key: bytes
    run: str
    layer: int
    slot: int
    role: str = "proposer"


class Sent:
    """A conversation as bytes: all calls of a run that send it make their codes from it. Computed once, when needed.

    Args:
        messages: The messages that are sent.
    """

    def __init__(self, messages: Sequence[BaseMessage]) -> None:
        self._messages = messages
        self._made: tuple[bytes, bytes] | None = None
        self._lock = threading.Lock()

    @property
    def digest(self) -> bytes:
        """The hash of all that is sent of the messages."""
        return self._computed()[0]

    @property
    def lower(self) -> bytes:
        """The same bytes in lower case, to look for a code in."""
        return self._computed()[1]

    def _computed(self) -> tuple[bytes, bytes]:
        with self._lock:  # large prompts are built in threads, several at once
            if self._made is None:
                data = b"".join(map(_framed, self._messages))
                self._made = hashlib.sha256(data).digest(), data.lower()
            return self._made


def fence_code(scope: Scope, texts: Sequence[str], *, request: Iterable[str], conversation: Sent | None = None) -> str:
    """Return 16 hexadecimal digits that do not occur in what is sent.

    Args:
        scope: The key, and the call that the code is for.
        texts: The texts between the boundaries.
        request: Everything else that is sent. The code depends on all of it, and another one is taken while any part
            contains it, in lower or upper case.
        conversation: The messages that are sent.
    """
    parts = [_bytes(each) for each in (*texts, *request)]
    lower = [each.lower() for each in parts]
    if conversation is not None:
        parts.append(conversation.digest)
        lower.append(conversation.lower)
    mac = _mac(scope, "fence", parts)
    while any(mac.hexdigest()[:16].encode() in each for each in lower):
        mac.update(b"\0")
    return mac.hexdigest()[:16]


def shuffled(scope: Scope, texts: Sequence[str]) -> list[str]:
    """Return `texts` in an order drawn from a keyed hash of them.

    No draft can choose its place, and the order reveals nothing of the fence code.
    """
    order = list(texts)
    random.Random(_mac(scope, "shuffle", texts).digest()).shuffle(order)
    return order


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def _mac(scope: Scope, purpose: str, texts: Sequence[str | bytes]) -> hmac.HMAC:
    mac = hmac.new(scope.key, digestmod=hashlib.sha256)
    for each in (purpose, scope.run, str(scope.layer), str(scope.slot), scope.role, *texts):
        data = _bytes(each)
        mac.update(len(data).to_bytes(8, "big"))
        mac.update(data)
    return mac


def _framed(message: BaseMessage) -> bytes:
    """Return what a provider is sent of a message, behind its length. The id is left out: it changes from run to run.

    Nearly all messages are plain texts, for which JSON would take most of the time of a long conversation's code.
    """
    fields = vars(message)
    content, name = fields["content"], fields.get("name")
    if isinstance(content, str) and not fields.get("tool_calls") and "tool_call_id" not in fields:
        form, data = message.type, _bytes(content)
    else:
        form, data = "json", _json(message)
    return f"{form} {name!a} {len(data)}\n".encode() + data


def _json(message: BaseMessage) -> bytes:
    names, fields = ("content", "name", "tool_calls", "tool_call_id"), vars(message)
    sent: dict[str, Any] = {name: value for name in names if (value := fields.get(name))}
    try:
        return orjson.dumps([message.type, sent], default=str, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # what orjson refuses: lone surrogates, integers above 64 bits, keys that are not texts
        return json.dumps([message.type, sent], sort_keys=True, default=str).encode()
