"""The ledger's part in a model call: the call's key, what is recorded of it, and the key of its fence code."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage, messages_from_dict, messages_to_dict

from moa_graph.costs.call_log import CallLog
from moa_graph.graph.prompts.fence_code import Scope, process_key
from moa_graph.graph.runs import Run
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.call import Outcome
from moa_graph.models.reply.reply import read
from moa_graph.models.secrets.keys import address

__all__ = ["UNRECORDED", "Recording", "as_json", "is_recorded", "scope_of"]

_log = logging.getLogger(__name__)

UNRECORDED: frozenset[str] = frozenset({"empty", "failed"})
"""Statuses of replies that are not recorded, so that a later run makes the call again."""


def is_recorded(made: Mapping[str, Any]) -> bool:
    """Return whether the reply of a draft or a note is recorded. That of a note may be recorded and not readable."""
    return made["status"] not in UNRECORDED or ("kind" in made and bool(made["text"]))


_RECORDED = ("status", "text", "error", "usage", "cost", "seconds", "attempts")


@dataclass(frozen=True)
class Recording:
    """One call in a ledger.

    Attributes:
        ledger: The ledger.
        key: The call's key: everything that decides what is sent.
        columns: The call's place, for queries with SQL.
        wait: Seconds to wait for the file while another process holds it.
    """

    ledger: CallLog
    key: str
    columns: dict[str, Any]
    wait: float

    @classmethod
    def of(
        cls,
        ledger: CallLog,
        run: Run,
        spec: Proposer,
        messages: Sequence[BaseMessage],
        *,
        layer: int,
        slot: int,
        role: str,
        bound: Mapping[str, Any],
        wait: float,
    ) -> Recording:
        """Return the recording of a call.

        Args:
            ledger: The ledger.
            run: The run.
            spec: The model.
            messages: What it is sent.
            layer: The layer, from 1.
            slot: The slot, from 0.
            role: The role of the call.
            bound: What the caller bound to it.
            wait: Seconds to wait for the file while another process holds it.
        """
        settings, context = run.settings, run.settings.context
        params = {
            "temperature": spec.temperature if settings.temperature is None else settings.temperature,
            "max_tokens": spec.max_tokens if settings.max_tokens is None else settings.max_tokens,
            "spec": spec.identity(),
            "host": address(spec),
            "bound": as_json(bound),
        }
        place: dict[str, Any] = {
            "item": context.item,
            "layer": layer,
            "slot": slot,
            "role": role,
            "repeat": context.repeat,
            "model": spec.label,
        }
        return cls(ledger, ledger.call_key(**place, params=params, messages=messages), place, wait)

    async def known(self) -> bool:
        """Return whether the reply is recorded.

        Raises:
            ConfigError: The ledger cannot be read.
        """
        return await self._kept() is not None

    async def restore(self, outcome: Outcome, *, tools: bool) -> bool:
        """Write the recorded reply into `outcome`. Return whether there is one.

        Raises:
            ConfigError: The ledger cannot be read.
        """
        kept = await self._kept()
        if kept is None:
            return False
        message, row = kept
        outcome.restored(read(message, tools=tools), row)
        return True

    async def _kept(self) -> tuple[BaseMessage, dict[str, Any]] | None:
        """Return the recorded message and its row; None if there is none that this version of LangChain can read."""
        row = await self.ledger.get(self.key, wait=self.wait)
        if not row:
            return None
        try:
            return messages_from_dict([row["message"]])[0], row
        except (LookupError, TypeError, ValueError) as exc:
            _log.warning(
                "ledger: a recorded reply of item %r cannot be read (%s). The call is made again.",
                self.columns["item"],
                type(exc).__name__,
            )
            return None

    async def keep(self, outcome: Outcome) -> None:
        """Record a paid reply. A failure to write is logged; the reply is not lost."""
        if outcome.message is None or outcome.status in UNRECORDED:
            return
        # `models/reply/reply.py` has made plain JSON of everything in it.
        value = {name: getattr(outcome, name) for name in _RECORDED}
        row = {**value, "message": messages_to_dict([outcome.message])[0]}
        columns = {**self.columns, "cost": outcome.cost, "seconds": outcome.seconds}
        await self.ledger.keep(self.key, row, wait=self.wait, **columns)


async def scope_of(run: Run, *, layer: int, slot: int, role: str) -> Scope:
    """Return the key and the place that a call's fence code is made from.

    With a ledger, a repeated run sends the same bytes, so that the ledger finds its calls.

    Raises:
        ConfigError: The ledger cannot be read.
    """
    if run.ledger is None:
        return Scope(process_key(), run.state["run"]["id"], layer, slot, role)
    context = run.settings.context
    return Scope(await run.ledger.fence_key(), json.dumps([context.item, context.repeat]), layer, slot, role)


def as_json(value: Any) -> Any:
    """Return `value` with JSON values only; anything else becomes its text."""
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(each) for each in value]
    return str(value)
