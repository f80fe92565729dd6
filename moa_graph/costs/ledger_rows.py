"""Read and write the rows of a ledger's file, in one thread."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moa_graph.costs import ledger_file

__all__ = ["LedgerRows"]

_log = logging.getLogger(__name__)

_WRITE_WAIT, _OPEN_WAIT = 50, 5_000
"""Milliseconds that one attempt to write, or any other statement, may block the worker thread."""


class LedgerRows:
    """The rows of one file. Only the ledger's worker thread calls the methods.

    Args:
        path: The file. It is opened at the first use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db: sqlite3.Connection | None = None
        self.write_failed = False
        self._damaged = set[str]()

    def one(self, sql: str, *values: Any) -> Any:
        """Return the first row of a query, or None."""
        return self._connection().execute(sql, values).fetchone()

    def check_room(self) -> None:
        """Check that a further row can be written.

        Raises:
            ConfigError: The file is not a ledger, or its disk is full.
            sqlite3.Error: The file cannot be written.
        """
        db = self._connection()
        ledger_file.require_room(self.path)
        if self.write_failed:
            # Only a write shows whether there is room again, for this user and in this file.
            ledger_file.try_write(db)
            self.write_failed = False

    def read(self, key: str) -> dict[str, Any] | None:
        """Return a recorded value, or None. A damaged row counts as absent, and a warning is logged once."""
        row = self.one("SELECT CAST(value AS BLOB), digest, item FROM calls WHERE key = ?", key)
        if row is None:
            return None
        try:
            if ledger_file.digest(key, row[0]) != row[1]:
                raise ValueError("its checksum is wrong")
            return dict(json.loads(row[0]))
        except (ValueError, TypeError) as exc:
            if key not in self._damaged:
                self._damaged.add(key)
                place = f"ledger {self.path.name}: the row of item {row[2]!r} with key {key[:12]}..."
                _log.warning("%s cannot be read (%s). The call is made again.", place, exc)
            return None

    def values(self, run: str, role: str) -> list[dict[str, Any]]:
        """Return the readable values of a run's rows of one role, the oldest first."""
        sql = "SELECT key FROM calls WHERE run = ? AND role = ? ORDER BY created"
        keys = [row[0] for row in self._connection().execute(sql, (run, role)).fetchall()]
        return [value for key in keys if (value := self.read(key)) is not None]

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
        db = self._connection()
        db.execute(f"PRAGMA busy_timeout = {_WRITE_WAIT}")
        try:
            db.execute("BEGIN IMMEDIATE")
            for row in rows:
                db.execute(ledger_file.REPLACE if row[0] in self._damaged else ledger_file.INSERT, row)
            db.execute("COMMIT")
            self._damaged.difference_update(row[0] for row in rows)
        except BaseException:
            if db.in_transaction:  # after a full disk, SQLite has rolled back by itself
                db.execute("ROLLBACK")
            raise
        finally:
            db.execute(f"PRAGMA busy_timeout = {_OPEN_WAIT}")

    def close(self) -> None:
        """Close the file."""
        if self.db is not None:
            self.db.close()
            self.db = None

    def _connection(self) -> sqlite3.Connection:
        if self.db is None:
            self.db = ledger_file.connect(self.path, busy_timeout=_OPEN_WAIT)
        return self.db

    def __del__(self) -> None:
        # A ledger may be dropped without `close`; Python 3.13 warns of connections that are still open.
        self.close()
