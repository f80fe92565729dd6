"""Paid calls in SQLite: a call that was paid for and recorded is never paid for again.

    with Ledger("runs.db", run="2026-11-22") as ledger:
        key = ledger.call_key(item="7", layer=1, slot=0, role="proposer", repeat=0,
                              model="openai:gpt-5", params={"temperature": 0.7}, messages=messages)
        value = await ledger.get(key)
        if value is None:
            value = ...                      # the paid call
            await ledger.put(key, value, item="7", layer=1)

`put` returns when the row is on disk: whole, or not there at all, whenever the process is killed. Many
processes may share one file. All of SQLite runs in one worker thread, so an event loop is never blocked;
writes that arrive together are committed together.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from moa_graph.costs.forks import after_fork
from moa_graph.errors import ConfigError

__all__ = ["COLUMNS", "Ledger"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

COLUMNS = ("item", "layer", "slot", "role", "repeat", "model", "cost", "seconds")
"""What `put` may note beside a value, for those who read the file with SQL."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY, run TEXT NOT NULL, item TEXT, layer INTEGER, slot INTEGER, role TEXT, repeat
    INTEGER, model TEXT, cost REAL, seconds REAL, value TEXT NOT NULL, created REAL NOT NULL
) WITHOUT ROWID
"""
_SECRETS = "CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
"""Random keys of this file. They never leave it, except into HMACs."""
_INSERT_SECRET = "INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING"
_INSERT = (
    f"INSERT INTO calls (key, run, value, created, {', '.join(COLUMNS)}) "
    f"VALUES (?, ?, ?, ?, {', '.join('?' * len(COLUMNS))}) ON CONFLICT (key) DO NOTHING"
)
_PATIENCE = 60.0
"""Seconds to wait for another process's write."""


class Ledger:
    """A store of calls in the file `path`, keyed by everything that makes a call what it is, `run` included.

    Raises `ConfigError` when the file cannot be a ledger. Usable from any number of threads and event loops.
    """

    def __init__(self, path: str | PathLike[str], *, run: str) -> None:
        self.path = Path(path)
        self.run = run
        self._begin()
        _open.add(self)

    def _begin(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="moa-ledger")
        self._pending: list[tuple[tuple[Any, ...], Future[None]]] = []
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._told = False
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
        """SHA-256 over all of it in canonical JSON. Messages may be LangChain's or dicts; their ids do not
        count."""
        shown = [_plain(m) for m in messages]
        parts = [self.run, item, layer, slot, role, repeat, model, dict(params), shown]
        return hashlib.sha256(_canonical(parts).encode()).hexdigest()

    async def check(self) -> None:
        """Raises ConfigError when the file cannot be a ledger: before anything is paid for."""
        await _wait(self._submit(self._connection))

    async def get(self, key: str) -> dict[str, Any] | None:
        """The recorded value, or None."""
        return await _wait(self._submit(lambda: self._read(key)))

    async def fence_key(self) -> bytes:
        """Return the file's random key for fence codes, the same for every process and every run that uses the file.

        Raises:
            ConfigError: The file cannot be read or written.
        """
        if self._fence_key is None:
            self._fence_key = await _wait(self._submit(self._read_fence_key))
        return self._fence_key

    async def put(self, key: str, value: Mapping[str, Any], **columns: Any) -> None:
        """Record `value` (plain JSON) and return when it is on disk. The first value of a key stays.

        The write goes on when the awaiting task is cancelled: what is paid for is kept.
        """
        unknown = sorted(set(columns) - set(COLUMNS))
        if unknown:
            raise ConfigError(f"ledger: no column {unknown[0]!r}; columns are {', '.join(COLUMNS)}.")
        noted = [columns.get(name) for name in COLUMNS]
        # SQLite takes no lone surrogates; the key tells such texts apart all the same.
        noted = [v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for v in noted]
        row = (key, self.run, _canonical(dict(value)), time.time(), *noted)
        written: Future[None] = Future()
        with self._lock:
            self._pending.append((row, written))
        self._submit(self._flush)
        await _wait(written)

    async def keep(self, key: str, value: Mapping[str, Any], **columns: Any) -> None:
        """`put` for what is paid for already: when it cannot be recorded, that is logged once, and work goes on."""
        try:
            await self.put(key, value, **columns)
        except ConfigError as exc:
            if not self._told:
                self._told = True
                _log.warning("%s From here on paid calls are not recorded.", exc)

    def count(self) -> int:
        """Calls recorded for this run."""
        sql = "SELECT count(*) FROM calls WHERE run = ?"
        return int(self._submit(lambda: self._one(sql, self.run)).result()[0])

    def close(self) -> None:
        """Write what is pending and close the file. Closing twice is fine."""
        try:
            self._worker.submit(self._close)
        except RuntimeError:
            return
        self._worker.shutdown(wait=True)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        try:
            return self._worker.submit(self._guard, work)
        except RuntimeError:
            raise ConfigError(f"ledger {self.path.name}: it is closed.") from None

    def _guard(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (sqlite3.Error, OSError) as exc:
            msg = f"ledger {self.path.name}: {exc}. Is it a ledger, on a disk with room?"
            raise ConfigError(msg) from exc

    # Everything below runs in the worker thread.

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)  # prompts and answers are the owner's business
            db = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                db.execute(_SCHEMA)
                db.execute(_SECRETS)
                if db.execute("SELECT value FROM secrets WHERE name = 'fence'").fetchone() is None:
                    db.execute(_INSERT_SECRET, ("fence", secrets.token_bytes(32)))
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db

    def _one(self, sql: str, *values: Any) -> Any:
        return self._connection().execute(sql, values).fetchone()

    def _read(self, key: str) -> dict[str, Any] | None:
        row = self._one("SELECT value FROM calls WHERE key = ?", key)
        return None if row is None else dict(json.loads(row[0]))

    def _read_fence_key(self) -> bytes:
        return bytes(self._one("SELECT value FROM secrets WHERE name = 'fence'")[0])

    def _flush(self) -> None:
        with self._lock:
            batch, self._pending = self._pending, []
        if not batch:
            return
        try:
            self._guard(lambda: self._write([row for row, _ in batch]))
        except BaseException as exc:  # handed to whoever awaits each row, whatever it is
            for _, written in batch:
                written.set_exception(exc)
            return
        for _, written in batch:
            written.set_result(None)

    def _write(self, rows: list[tuple[Any, ...]]) -> None:
        db = self._connection()
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany(_INSERT, rows)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # after a full disk, SQLite has rolled back by itself
                db.execute("ROLLBACK")
            raise

    def _close(self) -> None:
        self._flush()
        if self._db is not None:
            self._db.close()
            self._db = None


_open: WeakSet[Ledger] = WeakSet()
_parents: list[sqlite3.Connection | None] = []


@after_fork
def _after_fork() -> None:
    """A forked child has neither the worker thread nor a right to the parent's connection, which must not be closed
    here either: that would take the parent's locks."""
    for ledger in _open:
        _parents.append(ledger._db)
        ledger._begin()


async def _wait(work: Future[T]) -> T:
    """Await a thread's future without being able to cancel it, and without minding if this loop ends
    first."""
    loop = asyncio.get_running_loop()
    here: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not here.done():
            here.set_result(None)

    def tell(_: Future[T]) -> None:
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    work.add_done_callback(tell)
    await here
    return work.result()


def _plain(message: Any) -> Any:
    """What a provider is shown of a message; ids, names of runs and metadata are left out."""
    if isinstance(message, Mapping):
        return {k: v for k, v in message.items() if k != "id"}
    plain = {"type": message.type, "content": message.content}
    for extra in ("tool_calls", "tool_call_id"):
        if value := getattr(message, extra, None):
            plain[extra] = value
    return plain


def _canonical(value: Any) -> str:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise ConfigError(f"ledger: only plain JSON can be recorded ({exc}).") from exc
