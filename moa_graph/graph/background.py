"""The background event loop, on which sync callers' work runs as the same coroutines that async callers await."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Coroutine, Generator, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import closing
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from moa_graph.costs.forks import after_fork
from moa_graph.errors import MoAError

T = TypeVar("T")

_lock = threading.Lock()
_reading = threading.Lock()
"""Is held while a thread reads the interrupt, because garbage is not collected meanwhile."""
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None
"""The thread that the loop runs in."""

_POLL_SECONDS = 0.1
_interrupted: dict[str, int] = {}
"""Runs that were cancelled by an interrupt, with the identity of that interrupt while the main thread handles it."""
_left: ContextVar[threading.Event | None] = ContextVar("moa_graph_left", default=None)
"""Is set when the caller has left the sync stream that the current node runs for."""


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that sync callers' work runs on. The first call starts it in a daemon thread."""
    global _loop, _thread
    with _lock:
        if _loop is None or _loop.is_closed():
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_loop.run_forever, name="moa_graph", daemon=True)
            _thread.start()
        return _loop


@after_fork
def _after_fork() -> None:
    """Forget the loop in a forked child: its thread exists in the parent only."""
    global _lock, _loop, _reading
    _lock, _loop, _reading = threading.Lock(), None, threading.Lock()


def until_left(parts: Iterator[T]) -> Generator[T]:
    """Yield the parts of a graph's sync stream. End its running nodes when the caller leaves it early.

    LangGraph waits for the running nodes when its sync stream is closed, so those nodes watch for that.

    Args:
        parts: The stream, a generator.
    """
    left = threading.Event()
    with closing(cast("Generator[T]", parts)):
        try:
            while True:
                # The caller's own code runs between two parts, so the variable is set for the length of one part only.
                token = _left.set(left)
                try:
                    part = next(parts)
                except StopIteration:
                    return
                finally:
                    _left.reset(token)
                yield part
        finally:
            left.set()


def run_sync(work: Coroutine[Any, Any, T], *, run: str = "") -> T:
    """Run a coroutine on the background loop and return its result. Context variables go along.

    An interrupt of the caller cancels the work, so that its requests are closed; so does a caller that leaves the
    run's stream. LangGraph runs the nodes of a step in threads of its own while the caller's thread waits for them, so
    those nodes watch for both.

    Args:
        work: The coroutine.
        run: The id of the run that the work belongs to.

    Raises:
        MoAError: The caller is the background loop's own thread, which would wait for itself.
    """
    loop = background_loop()
    # Not by the running loop: with gevent, that of one greenlet is the running loop of all.
    if threading.current_thread() is _thread:
        work.close()
        raise MoAError(
            "a sync call inside an async call of the same graph would wait for itself. Use the async method there."
        )
    in_node = threading.current_thread() is not threading.main_thread()
    before = _interrupt() if in_node else None
    if before is not None and _interrupted.get(run) == id(before):
        # The node waited for a free thread while its run was interrupted. Its request must not begin.
        work.close()
        raise CancelledError
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        if in_node:
            _cancel_when_interrupted(future, run, before, _left.get())
        return future.result()
    except CancelledError:
        raise
    except BaseException:
        # An interrupt of the waiting thread, such as Ctrl-C, must end the request as well.
        future.cancel()
        raise


def _cancel_when_interrupted(
    future: Future[Any], run: str, before: BaseException | None, left: threading.Event | None
) -> None:
    """Wait for the work of a node; cancel it when the main thread is interrupted, or the caller leaves the stream."""
    if before is None:
        _interrupted.clear()
    seen = None
    while not future.done():
        wait([future], timeout=_POLL_SECONDS)
        now = _interrupt()
        # The same interrupt twice in a row: the main thread waits for its nodes while it handles the interrupt.
        if now is not None and now is not before and now is seen:
            _interrupted[run] = id(now)
            future.cancel()
        elif left is not None and left.is_set():
            future.cancel()
        seen = now


def _interrupt() -> BaseException | None:
    """Return the interrupt that the main thread is handling, if any."""
    # CPython 3.11 holds a lock of its own while it builds the result. A collection of garbage would run other code
    # then, and a thread that starts meanwhile would wait for that lock for ever (python/cpython#106883).
    with _reading:
        collects = gc.isenabled()
        gc.disable()
        try:
            exceptions = sys._current_exceptions()
        finally:
            if collects:
                gc.enable()
    # A pair with class and traceback before Python 3.12.
    current: Any = exceptions.get(threading.main_thread().ident or 0)
    found = current[1] if isinstance(current, tuple) else current
    return found if isinstance(found, KeyboardInterrupt | SystemExit) else None
