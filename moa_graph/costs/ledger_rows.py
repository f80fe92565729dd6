"""Read and write the rows of a ledger's file, in one thread.

One statement reads or writes many rows. SQLite's module releases the interpreter for each step of each statement, and a
thread that wants it back from a busy event loop waits for up to five milliseconds.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from moa_graph.costs import ledger_file
from moa_graph.costs.ledger_place import OpenFiles, copy_rows
from moa_graph.errors import ConfigError

__all__ = ["LedgerRows", "is_busy"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

_WRITE_WAIT, _OPEN_WAIT = 50, 5_000
"""Milliseconds that one attempt to write, or any other statement, may block the worker thread."""


class LedgerRows:
    """The rows of one file. Only the ledger's worker thread calls the methods.

    Args:
        path: The file, as an absolute path. It is opened at the first use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db: sqlite3.Connection | None = None
        self._files: OpenFiles | None = None
        self.write_failed = False
        self._damaged = set[str]()

    def one(self, sql: str, *values: Any) -> Any:
        """Return the first row of a query, or None."""
        return self._waiting(lambda db: db.execute(sql, values).fetchone())

    def all(self, sql: str, *values: Any) -> list[Any]:
        """Return the rows of a query."""
        return self._waiting(lambda db: db.execute(sql, values).fetchall())

    def check_room(self) -> None:
        """Check that a further row can be written.

        Raises:
            ConfigError: The file is not a ledger, or its disk is full.
            sqlite3.Error: The file cannot be written.
        """
        self.keep()
        ledger_file.require_room(self.path)
        if self.write_failed:
            # Only a write shows whether there is room again, for this user and in this file.
            self._waiting(ledger_file.try_write)
            self.write_failed = False

    def read(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the recorded values of some keys, by key.

        A damaged row counts as absent, and a warning is logged once.
        """
        found: list[Any] = []
        for part in _parts(keys):
            found += self._rows_of(part)
        values = {key: self._value(key, *rest) for key, *rest in found}
        return {key: value for key, value in values.items() if value is not None}

    def _rows_of(self, keys: Sequence[str]) -> list[Any]:
        return self._waiting(lambda db: db.execute(ledger_file.select(len(keys)), keys).fetchall())

    def _value(self, key: str, text: bytes, digest: bytes, item: bytes | None) -> dict[str, Any] | None:
        try:
            if ledger_file.digest(key, text).encode() != digest:
                raise ValueError("its checksum is wrong")
            return dict(json.loads(text))
        except (ValueError, TypeError, RecursionError) as exc:
            if key not in self._damaged:
                self._damaged.add(key)
                name = (item or b"").decode("utf-8", "replace")
                place = f"ledger {self.path.name}: the row of item {name!r} with key {key[:12]}..."
                _log.warning("%s cannot be read (%s). The call is made again.", place, exc)
            return None

    def values(self, run: str, role: str) -> list[dict[str, Any]]:
        """Return the readable values of a run's rows of one role, the oldest first."""
        sql = "SELECT key FROM calls WHERE run = ? AND role = ? ORDER BY created"
        keys = self._waiting(lambda db: [row[0] for row in db.execute(sql, (run, role)).fetchall()])
        found = self.read(keys)
        return [found[key] for key in keys if key in found]

    def count(self, run: str) -> int:
        """Return the number of a run's rows."""
        return int(self.one("SELECT count(*) FROM calls WHERE run = ?", run)[0])

    def fence_key(self) -> bytes:
        """Return the file's key for fence codes."""
        return bytes(self.one("SELECT value FROM secrets WHERE name = 'fence'")[0])

    def write(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows in one transaction. The first value of a key stays, unless its row is damaged.

        Raises:
            ConfigError: The file is not a ledger.
            sqlite3.Error: The rows cannot be written; another process may hold the file.
        """
        db = self.keep()
        replaced = [row for row in rows if row[0] in self._damaged]
        parts = [*_parts([row for row in rows if row[0] not in self._damaged]), *_parts(replaced)]
        several = len(parts) > 1  # a single statement is a transaction of its own
        try:
            if several:
                db.execute("BEGIN IMMEDIATE")
            for part in parts:
                replace = part[0][0] in self._damaged
                db.execute(ledger_file.insert(len(part), replace=replace), [value for row in part for value in row])
            if several:
                db.execute("COMMIT")
            self._damaged.difference_update(row[0] for row in rows)
        except BaseException:
            if db.in_transaction:  # after a full disk, SQLite has rolled back by itself
                db.execute("ROLLBACK")
            raise

    def keep(self) -> sqlite3.Connection:
        """Return the connection. If the file was removed or replaced, the recorded calls are first copied to its place.

        The calls in the file that is open are gone when the process ends.

        Raises:
            ConfigError: The file was replaced by something else than a ledger.
            sqlite3.Error: The calls cannot be copied.
        """
        old, files = self._connection(), self._files
        if files is None or files.in_place():
            return old
        files.leave_place()
        self.db = None
        try:
            copy_rows(old, self._connection())
        except BaseException:
            self.close()
            self.db, self._files = old, files
            raise
        old.close()
        _log.warning("ledger %s: removed or replaced while in use. Its calls are in it again.", self.path.name)
        return self._connection()

    def finish(self) -> None:
        """Close the file at the end of a run, in its place unless its folder was removed as well."""
        try:
            if self.db is not None and self.path.parent.exists():
                self.keep()
        except (ConfigError, sqlite3.Error, OSError) as exc:
            _log.warning("ledger %s: removed or replaced while in use, and its calls are lost: %s", self.path.name, exc)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self.db is not None:
            self.db.close()
            self.db = None

    def _connection(self) -> sqlite3.Connection:
        if self.db is None:
            self.db = ledger_file.connect(self.path, busy_timeout=_OPEN_WAIT)
            self.db.execute("SELECT name FROM secrets").fetchone()  # SQLite opens the files beside it at the first read
            self._files = OpenFiles(self.path)
            self.db.execute(f"PRAGMA busy_timeout = {_WRITE_WAIT}")
        return self.db

    def _waiting(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of `work`. While another process holds the file, wait for it longer than a write does."""
        db = self._connection()
        try:
            return work(db)
        except sqlite3.OperationalError as exc:
            if not is_busy(exc):
                raise
        db.execute(f"PRAGMA busy_timeout = {_OPEN_WAIT}")
        try:
            return work(db)
        finally:
            db.execute(f"PRAGMA busy_timeout = {_WRITE_WAIT}")

    def __del__(self) -> None:
        # A ledger may be dropped without `close`; Python 3.13 warns of connections that are still open.
        self.close()


def is_busy(exc: BaseException) -> bool:
    """Return whether another process holds the file."""
    # Errors of Python's own module, such as a text that is not UTF-8, have no code of SQLite's.
    code = getattr(exc, "sqlite_errorcode", 0)
    return isinstance(exc, sqlite3.OperationalError) and code & 0xFF == sqlite3.SQLITE_BUSY


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split items into what one statement takes."""
    return (items[start : start + ledger_file.AT_ONCE] for start in range(0, len(items), ledger_file.AT_ONCE))
