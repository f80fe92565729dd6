"""A ledger that is removed or replaced while it is in use: notice it, and bring the recorded calls back.

SQLite goes on writing to the file that it has open. All calls of the run would be gone when the process ends.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from moa_graph.costs import ledger_file

__all__ = ["OpenFiles", "copy_rows"]

_MAIN, _BESIDE = "", ("-wal", "-shm")
"""Endings of an open ledger's files: its own name, and SQLite's files beside it."""


class OpenFiles:
    """The files of a ledger that this process has opened.

    Args:
        path: The ledger.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = {ending: found for ending in (_MAIN, *_BESIDE) if (found := self._found(ending))}

    def in_place(self) -> bool:
        """Return whether the ledger's path still leads to the file that was opened."""
        try:
            return self._is_same(_MAIN)
        except OSError:
            return True  # the folder cannot be read now; the open file can be written

    def leave_place(self) -> None:
        """Remove the files beside a ledger that was removed or replaced. SQLite would take them for the next one's."""
        for ending in _BESIDE:
            if self._is_same(ending):
                self._at(ending).unlink(missing_ok=True)

    def _is_same(self, ending: str) -> bool:
        now, opened = self._found(ending), self._opened.get(ending)
        return now is not None and opened is not None and os.path.samestat(now, opened)

    def _found(self, ending: str) -> os.stat_result | None:
        try:
            return self._at(ending).stat()
        except FileNotFoundError:
            return None

    def _at(self, ending: str) -> Path:
        return self._path.with_name(self._path.name + ending)


def copy_rows(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Copy the calls of a ledger to another one, which keeps its own. One without calls gets the secrets as well.

    Args:
        source: The ledger that was removed or replaced. It is read for the last time.
        target: The ledger in its place.

    Raises:
        sqlite3.Error: They cannot be copied. Nothing was.
    """
    source.text_factory = lambda data: data.decode("utf-8", "replace")  # a damaged row may be in any encoding
    target.execute("BEGIN IMMEDIATE")
    try:
        if target.execute("SELECT 1 FROM calls LIMIT 1").fetchone() is None:
            # The calls were sent with its fence codes.
            for row in source.execute("SELECT name, value FROM secrets"):
                target.execute("INSERT OR REPLACE INTO secrets (name, value) VALUES (?, ?)", row)
        for row in source.execute(f"SELECT {ledger_file.ORDER} FROM calls"):
            target.execute(ledger_file.insert(1), row)
        target.execute("COMMIT")
    except BaseException:
        if target.in_transaction:
            target.execute("ROLLBACK")
        raise
