"""Run a ledger's work in one thread, so that SQLite never blocks an event loop.

Work that arrives while the thread is busy waits for its next visit. A visit does all of it, commits all rows
together, and wakes each event loop once. A question has about 14 reads and writes, and waking a thread and a loop costs
more than one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from moa_graph.costs.ledger_rows import LedgerRows
from moa_graph.errors import ConfigError

__all__ = ["LedgerWorker"]

T = TypeVar("T")

_PATIENCE = 60.0
"""Seconds to wait for another process's write. Reads continue meanwhile; a run waits no longer than its deadline."""


class _Settled(NamedTuple):
    """A result for a waiting task."""

    waiting: asyncio.Future[Any]
    value: Any = None
    error: Exception | None = None


class LedgerWorker:
    """The only thread that uses a ledger's rows.

    Args:
        rows: The rows of the file.
    """

    def __init__(self, rows: LedgerRows) -> None:
        self._rows = rows
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="moa-ledger")
        self._lock = threading.Lock()
        self._expected = False
        self._work: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._unwritten: list[tuple[tuple[Any, ...], asyncio.Future[Any]]] = []
        self._blocked_since: float | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Return the result of `work`. It continues when the awaiting task is cancelled.

        Args:
            work: What to run in the thread.

        Raises:
            ConfigError: The file cannot be used, or the ledger is closed.
        """
        waiting: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._expect()
            self._work.append((work, waiting))
        return await waiting

    async def write(self, row: tuple[Any, ...]) -> None:
        """Write a row, and return when it is on disk. The write continues when the awaiting task is cancelled.

        Args:
            row: The values of its columns.

        Raises:
            ConfigError: The row cannot be written, or the ledger is closed.
        """
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._expect()
            self._unwritten.append((row, waiting))
        await waiting

    def wait_for(self, work: Callable[[], T]) -> T:
        """Return the result of `work` without an event loop.

        Args:
            work: What to run in the thread.

        Raises:
            ConfigError: The file cannot be used, or the ledger is closed.
        """
        try:
            done = self._thread.submit(work)
        except RuntimeError:
            raise self._closed() from None
        try:
            return done.result()
        except (sqlite3.Error, OSError) as exc:
            raise self._failure(exc) from exc

    def close(self) -> None:
        """Write all rows and close the file. A second call does nothing."""
        try:
            self._thread.submit(self._close)
        except RuntimeError:
            return
        self._thread.shutdown(wait=True)

    def _expect(self) -> None:
        """Start a visit, unless one that has not begun is expected. The caller holds the lock."""
        if self._expected:
            return
        try:
            self._thread.submit(self._visit)
        except RuntimeError:
            raise self._closed() from None
        self._expected = True

    def _closed(self) -> ConfigError:
        return ConfigError(f"ledger {self._rows.path.name}: it is closed.")

    def _failure(self, exc: Exception) -> ConfigError:
        if isinstance(exc, ConfigError):
            return exc
        reason = getattr(exc, "strerror", None) or exc
        error = ConfigError(f"ledger {self._rows.path.name}: {reason}. Is it a ledger, on a disk with free space?")
        error.__cause__ = exc
        return error

    # Everything below runs in the thread.

    def _visit(self) -> None:
        with self._lock:
            self._expected = False
            work, self._work = self._work, []
        _settle([self._done(each, waiting) for each, waiting in work])
        self._write_rows()

    def _done(self, work: Callable[[], Any], waiting: asyncio.Future[Any]) -> _Settled:
        try:
            return _Settled(waiting, work())
        except (sqlite3.Error, OSError) as exc:
            return _Settled(waiting, error=self._failure(exc))
        except Exception as exc:
            return _Settled(waiting, error=exc)

    def _write_rows(self) -> None:
        with self._lock:
            batch, self._unwritten = self._unwritten, []
        if not batch:
            return
        try:
            self._rows.write([row for row, _ in batch])
        except Exception as exc:
            if _busy(exc) and self._may_wait():
                with self._lock:
                    self._unwritten = [*batch, *self._unwritten]
                    with contextlib.suppress(ConfigError):  # the ledger is being closed, which writes what is left
                        self._expect()
                return
            self._rows.write_failed = True
            _settle([_Settled(waiting, error=self._failure(exc)) for _, waiting in batch])
        else:
            self._blocked_since = None
            _settle([_Settled(waiting) for _, waiting in batch])

    def _may_wait(self) -> bool:
        """Return whether to continue waiting for another process's write. Reads run between two attempts."""
        now = time.monotonic()
        self._blocked_since = self._blocked_since or now
        if now - self._blocked_since < _PATIENCE:
            return True
        self._blocked_since = None
        return False

    def _close(self) -> None:
        while self._unwritten:
            self._write_rows()
        self._rows.close()


def _busy(exc: Exception) -> bool:
    return isinstance(exc, sqlite3.OperationalError) and exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _settle(results: list[_Settled]) -> None:
    """Hand results to the tasks that wait for them, each in its event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Settled]] = {}
    for result in results:
        loops.setdefault(result.waiting.get_loop(), []).append(result)
    for loop, its in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing waits any more
            loop.call_soon_threadsafe(_settle_here, its)


def _settle_here(results: list[_Settled]) -> None:
    for waiting, value, error in results:
        if waiting.done():
            continue  # cancelled
        if error is None:
            waiting.set_result(value)
        else:
            waiting.set_exception(error)
