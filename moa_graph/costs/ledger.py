"""Store paid calls in SQLite, so that a recorded call is never paid for again.

    with Ledger("runs.db", run="2026-11-22") as ledger:
        key = ledger.call_key(item="7", layer=1, slot=0, role="proposer", repeat=0,
                              model="openai:gpt-5", params={"temperature": 0.7}, messages=messages)
        value = await ledger.get(key)
        if value is None:
            value = ...                      # the paid call
            await ledger.put(key, value, item="7", layer=1)

`put` returns when the row is on disk. A killed process leaves a row either complete or absent. Each row has a checksum.
Many processes may share one file. SQLite runs in one worker thread, so it never blocks an event loop.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypeVar
from weakref import WeakSet

from moa_graph.costs import ledger_file
from moa_graph.costs.call_log import call_key, canonical
from moa_graph.costs.forks import after_fork
from moa_graph.costs.ledger_rows import LedgerRows
from moa_graph.costs.ledger_worker import LedgerWorker
from moa_graph.errors import ConfigError

__all__ = ["COLUMNS", "LOST", "Ledger"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

COLUMNS = ("item", "layer", "slot", "role", "repeat", "model", "cost", "seconds")
"""Columns that `put` can fill beside the value, for queries with SQL."""

LOST = "made again"
"""The role of rows that say what was paid for nothing."""


class Ledger:
    """A store of calls in one file. It can be used from any number of threads and event loops.

    Args:
        path: The SQLite file; it is created when it does not exist.
        run: The name of the run that pays. It is a part of every key, unless `scope` is given.
        scope: What is a part of every key in place of the run's name. Runs of one scope share their calls.
    """

    def __init__(self, path: str | PathLike[str], *, run: str, scope: str | None = None) -> None:
        self.path = Path(path)
        self.run = run
        self.scope = run if scope is None else scope
        self._file = self.path.absolute()
        self._begin()
        _open.add(self)

    def _begin(self) -> None:
        self._rows = LedgerRows(self._file)
        self._worker = LedgerWorker(self._rows)
        self._warned = False
        self._fence_key: bytes | None = None

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
        """Return the key of a call: SHA-256 of the ledger's scope and all arguments in canonical JSON.

        Args:
            item: The question's id.
            layer: The layer, from 1.
            slot: The slot, from 0.
            role: "proposer", "aggregator" or the combiner's role.
            repeat: The repetition, from 0.
            model: The model's identity.
            params: Everything else that is sent.
            messages: LangChain messages or dicts. Their ids do not count.
        """
        return call_key(self.scope, (item, layer, slot, role, repeat, model), params, messages)

    async def check(self, *, wait: float = math.inf) -> None:
        """Check that the file is a ledger and that the next paid call can be recorded in it.

        Args:
            wait: Seconds to wait at most.

        Raises:
            ConfigError: The file is not a ledger, is locked for longer than `wait`, or its disk is full.
        """
        await self._within(wait, lambda: self._worker.run(self._rows.check_room))

    async def stay(self) -> None:
        """Bring the recorded calls back if the file was removed or replaced. Reads and writes do it as well.

        Raises:
            ConfigError: The file was replaced by something else than a ledger, or cannot be written.
        """
        await self._worker.run(self._rows.keep)

    async def get(self, key: str, *, wait: float = math.inf) -> dict[str, Any] | None:
        """Return the recorded value, or None. A row that cannot be read counts as absent, and that is logged.

        Args:
            key: The call's key, from `call_key`.
            wait: Seconds to wait at most.

        Raises:
            ConfigError: The file is not a ledger or is locked for longer than `wait` seconds.
        """
        return await self._within(wait, lambda: self._worker.read(key))

    async def fence_key(self) -> bytes:
        """Return the file's random key for fence codes, the same for every process and every run that uses the file.

        Raises:
            ConfigError: The file cannot be read or written.
        """
        if self._fence_key is None:
            self._fence_key = await self._worker.run(self._rows.fence_key)
        return self._fence_key

    async def put(self, key: str, value: Mapping[str, Any], **columns: Any) -> None:
        """Record `value` and return when it is on disk. The first value of a key stays.

        The write continues when the awaiting task is cancelled.

        Args:
            key: The call's key, from `call_key`.
            value: Plain JSON.
            **columns: Values of `COLUMNS`, for queries with SQL.

        Raises:
            ConfigError: The row cannot be recorded, or a column is unknown.
        """
        if unknown := columns.keys() - COLUMNS:
            raise ConfigError(f"ledger: no column {min(unknown)!r}; columns are {', '.join(COLUMNS)}.")
        noted = [columns.get(name) for name in COLUMNS]
        # SQLite takes no lone surrogates. The key distinguishes such texts all the same.
        noted = [v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for v in noted]
        text = canonical(dict(value))
        row = (key, self.run, text, ledger_file.digest(key, text.encode()), time.time(), *noted)
        await self._worker.write(row)

    async def keep(self, key: str, value: Mapping[str, Any], *, wait: float = math.inf, **columns: Any) -> None:
        """Record a call that is paid for already. A failure is logged once and does not raise.

        Args:
            key: As for `put`.
            value: As for `put`.
            wait: Seconds to wait for the disk. After that, the write continues without the caller.
            **columns: As for `put`.
        """
        try:
            async with asyncio.timeout(None if wait == math.inf else wait):
                await self.put(key, value, **columns)
        except TimeoutError:
            _log.warning("ledger %s: locked by another process; a paid call is recorded later.", self.path.name)
        except ConfigError as exc:
            if not self._warned:
                self._warned = True
                _log.warning("%s From here on paid calls are not recorded.", exc)

    async def lose(self, cost: float | None, *, item: str = "", kept: float = 0.0, key: str = "") -> None:
        """Note dollars that no recorded result shows, and that a later run must count: of a call that is made again.

        Args:
            cost: The dollars; nothing is noted if they are unknown and nothing was kept.
            item: The question's id.
            kept: Dollars of the calls that a later run finds and counts when it answers the question.
            key: The question's key, for `kept`.

        Raises:
            ConfigError: The row cannot be recorded.
        """
        cost = max(cost or 0.0, 0.0)
        if cost or kept:
            value = {"cost": cost, "kept": kept, "key": key}
            await self.put(f"{LOST}:{uuid.uuid4().hex}", value, item=item, role=LOST, cost=cost)

    async def lost(self) -> list[dict[str, Any]]:
        """Return this run's values of `lose`, the oldest first.

        Raises:
            ConfigError: The file is not a ledger.
        """
        return await self.values(LOST)

    async def values(self, role: str) -> list[dict[str, Any]]:
        """Return the readable values of this run's rows of one role, the oldest first.

        Args:
            role: "proposer", "aggregator" or a combiner's role.

        Raises:
            ConfigError: The file is not a ledger.
        """
        return await self._worker.run(lambda: self._rows.values(self.run, role))

    def count(self) -> int:
        """Return the number of calls recorded for this run."""
        return self._worker.wait_for(lambda: self._rows.count(self.run))

    def close(self) -> None:
        """Write all pending rows and close the file. A second call does nothing."""
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def _within(self, wait: float, work: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(None if wait == math.inf else wait):
                return await work()
        except TimeoutError:
            raise ConfigError(f"ledger {self.path.name}: locked by another process for {wait:.3g} s.") from None


_open: WeakSet[Ledger] = WeakSet()
_parents: list[sqlite3.Connection | None] = []


@after_fork
def _after_fork() -> None:
    """Give a forked child a worker and a connection of its own.

    The parent's connection must not be closed here: that would release the parent's locks.
    """
    for ledger in _open:
        _parents.append(ledger._rows.db)
        ledger._rows.db = None
        ledger._begin()
