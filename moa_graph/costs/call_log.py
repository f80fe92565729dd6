"""The record of paid calls: its interface, and the key under which a call is recorded."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from moa_graph.costs import ledger_file
from moa_graph.errors import ConfigError

__all__ = ["CallLog", "call_key", "canonical"]


class CallLog(Protocol):
    """Where a graph records its paid calls, and looks for calls that it has made before: a `Ledger`, or memory."""

    def call_key(
        self,
        *,
        item: str,
        layer: int,
        slot: int,
        role: str,
        repeat: int,
        model: str,
        params: Mapping[str, Any],
        messages: Sequence[Any],
    ) -> str:
        """Return the key of a call."""

    async def check(self, *, wait: float = math.inf) -> None:
        """Check that the next paid call can be recorded."""

    async def get(self, key: str, *, wait: float = math.inf) -> dict[str, Any] | None:
        """Return the recorded value, or None."""

    async def fence_key(self) -> bytes:
        """Return the key for fence codes."""

    async def keep(self, key: str, value: Mapping[str, Any], *, wait: float = math.inf, **columns: Any) -> None:
        """Record a call that is paid for already. Never raises."""


def call_key(scope: str, place: Sequence[Any], params: Mapping[str, Any], messages: Sequence[Any]) -> str:
    """Return the key of a call: SHA-256 of all arguments in canonical JSON.

    Args:
        scope: The name of the runs that share calls.
        place: Item, layer, slot, role, repetition and model, in this order.
        params: Everything else that is sent.
        messages: LangChain messages or dicts. Their ids do not count.
    """
    parts = [ledger_file.VERSION, scope, *place, dict(params), [_sent_part(each) for each in messages]]
    return hashlib.sha256(canonical(parts, opaque=True).encode()).hexdigest()


_MESSAGE_FIELDS = (
    "role", "name", "tool_calls", "invalid_tool_calls", "tool_call_id", "status", "additional_kwargs",
)  # fmt: skip


def _sent_part(message: Any) -> Any:
    """Return what a provider is sent of a message: its id, its metadata and empty fields are left out."""
    if isinstance(message, Mapping):
        return {k: v for k, v in message.items() if k != "id"}
    # The message's own fields: pydantic looks for an attribute that does not exist in many places.
    fields = {**vars(message), **(message.model_extra or {})}
    extras = {name: value for name in _MESSAGE_FIELDS if (value := fields.get(name))}
    return {"type": message.type, "content": message.content, **extras}


_CANONICAL: Final[dict[str, Any]] = {"sort_keys": True, "separators": (",", ":"), "allow_nan": False}
_PLAIN: Final = json.JSONEncoder(**_CANONICAL)
_OPAQUE: Final = json.JSONEncoder(
    **_CANONICAL, default=lambda each: f"<{type(each).__module__}.{type(each).__qualname__}>"
)


def canonical(value: Any, *, opaque: bool = False) -> str:
    """Return canonical JSON.

    Args:
        value: Plain values.
        opaque: Name values that are not JSON by their class, for a key.

    Raises:
        ConfigError: The value is not plain JSON.
    """
    try:
        return (_OPAQUE if opaque else _PLAIN).encode(value)
    except (TypeError, ValueError) as exc:
        raise ConfigError(f"ledger: only plain JSON can be recorded ({exc}).") from exc
