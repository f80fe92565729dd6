"""Run a ledger's work in one thread, so that SQLite never blocks an event loop.

Work that arrives in one turn of an event loop, or while the thread is busy, waits for the thread's next visit. A visit
does all of it, commits all rows together, and wakes each event loop once. A question has about 14 reads and writes, and
waking a thread and a loop costs more than one of them. A thread that begins in the middle of a turn would also take
turns with the loop's own thread in the interpreter.
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

from moa_graph.costs.ledger_rows import LedgerRows, is_busy
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
        self._expected_by: asyncio.AbstractEventLoop | None = None
        self._is_queued = False
        self._is_closed = False
        self._work: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._reads: list[tuple[str, asyncio.Future[Any]]] = []
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

    async def read(self, key: str) -> dict[str, Any] | None:
        """Return the recorded value of a key, or None.

        Args:
            key: The key.

        Raises:
            ConfigError: The file cannot be used, or the ledger is closed.
        """
        waiting: asyncio.Future[dict[str, Any] | None] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._expect()
            self._reads.append((key, waiting))
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
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        with contextlib.suppress(RuntimeError):  # the interpreter ends, which has ended the thread
            self._thread.submit(self._close)
        self._thread.shutdown(wait=True)

    def _expect(self) -> None:
        """Start a visit after this turn of the event loop, unless one is expected. The caller holds the lock."""
        if self._is_closed:
            raise self._closed()
        # A loop that has stopped since starts no visit.
        if self._expected_by is None or not self._expected_by.is_running():
            self._expected_by = asyncio.get_running_loop()
            self._expected_by.call_soon(self._start_visit)

    def _start_visit(self) -> None:
        with self._lock:
            if self._is_queued:
                return
            self._is_queued = True
        with contextlib.suppress(RuntimeError):  # it was closed since, which has done the work
            self._thread.submit(self._visit)

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
            self._expected_by, self._is_queued = None, False
            work, self._work = self._work, []
            reads, self._reads = self._reads, []
        _settle([self._done(each, waiting) for each, waiting in work] + self._read_rows(reads))
        self._write_rows()

    def _read_rows(self, reads: list[tuple[str, asyncio.Future[Any]]]) -> list[_Settled]:
        try:
            found = self._rows.read([key for key, _ in reads])
        except Exception as exc:
            return [self._failed(waiting, exc) for _, waiting in reads]
        return [_Settled(waiting, found.get(key)) for key, waiting in reads]

    def _done(self, work: Callable[[], Any], waiting: asyncio.Future[Any]) -> _Settled:
        try:
            return _Settled(waiting, work())
        except Exception as exc:
            return self._failed(waiting, exc)

    def _failed(self, waiting: asyncio.Future[Any], exc: Exception) -> _Settled:
        of_the_file = isinstance(exc, (sqlite3.Error, OSError))
        return _Settled(waiting, error=self._failure(exc) if of_the_file else exc)

    def _write_rows(self) -> None:
        with self._lock:
            batch, self._unwritten = self._unwritten, []
        if not batch:
            return
        try:
            self._rows.write([row for row, _ in batch])
        except Exception as exc:
            if is_busy(exc) and self._may_wait():
                with self._lock:
                    self._unwritten = [*batch, *self._unwritten]
                self._start_visit()
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
        while self._work or self._reads or self._unwritten:
            self._visit()
        self._rows.finish()


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
