"""Graph nodes and routes. A node's sync side runs the same coroutine as its async side, on one background loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future, wait
from typing import Any, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.runtime import get_runtime

from moa_graph.costs.forks import after_fork
from moa_graph.errors import MoAError

T = TypeVar("T")
Work = Callable[[Any, RunnableConfig], Awaitable[dict[str, Any]]]

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None

_POLL_SECONDS = 0.1
_interrupted: dict[str, int] = {}
"""Runs that were cancelled by an interrupt, with the identity of that interrupt while the main thread handles it."""


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that sync callers' work runs on. The first call starts it in a daemon thread."""
    global _loop
    with _lock:
        if _loop is None or _loop.is_closed():
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="moa_graph", daemon=True).start()
        return _loop


@after_fork
def _after_fork() -> None:
    """Forget the loop in a forked child: its thread exists in the parent only."""
    global _lock, _loop
    _lock, _loop = threading.Lock(), None


def run_sync(work: Coroutine[Any, Any, T], *, run: str = "") -> T:
    """Run a coroutine on the background loop and return its result. Context variables go along.

    An interrupt of the caller cancels the work, so that its requests are closed. LangGraph runs the nodes of a step in
    threads of its own while the interrupted thread waits for them, so those nodes watch for the interrupt.

    Args:
        work: The coroutine.
        run: The id of the run that the work belongs to.

    Raises:
        MoAError: The caller is the background loop's own thread, which would wait for itself.
    """
    loop = background_loop()
    try:
        running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if running is loop:
        work.close()
        raise MoAError("a sync call from inside an async one would wait for itself: use the async method here.")
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        if threading.current_thread() is not threading.main_thread():
            _cancel_when_interrupted(future, run)
        return future.result()
    except CancelledError:
        raise
    except BaseException:
        # Ctrl-C in the waiting thread: the request must not go on behind the caller's back.
        future.cancel()
        raise


def _cancel_when_interrupted(future: Future[Any], run: str) -> None:
    """Wait for the work of a node; cancel it when the main thread is interrupted while it waits for the run."""
    before = _interrupt()
    if before is None:
        _interrupted.clear()
    elif _interrupted.get(run) == id(before):
        # A node that waited for a free thread, of a run that was interrupted meanwhile.
        future.cancel()
    seen = None
    while not future.done():
        wait([future], timeout=_POLL_SECONDS)
        now = _interrupt()
        # Seen twice: the main thread does not just handle it, but waits, which is for its nodes.
        if now is not None and now is not before and now is seen:
            _interrupted[run] = id(now)
            future.cancel()
        seen = now


def _interrupt() -> BaseException | None:
    """Return the interrupt that the main thread is handling, if any."""
    # A pair with class and traceback before Python 3.12.
    current: Any = sys._current_exceptions().get(threading.main_thread().ident or 0)
    found = current[1] if isinstance(current, tuple) else current
    return found if isinstance(found, KeyboardInterrupt | SystemExit) else None


class Node(Runnable[Any, dict[str, Any]]):
    """A graph node made from one coroutine function, without a span of its own beside the graph's."""

    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self._work = work

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        return run_sync(self.ainvoke(input, config, **kwargs), run=_run_of(input))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        try:
            return await self._work(input, config or {})
        except MoAError as error:
            # Some servers pass on only the class of an error; this event carries its text.
            get_runtime().stream_writer({"moa": "failed", "error": type(error).__name__, "message": str(error)})
            raise


def _run_of(state: Any) -> str:
    """Return the id of the run that a node's input belongs to; empty before `begin` has made one."""
    info = state.get("run") if isinstance(state, Mapping) else None
    return str(info["id"]) if info else ""


class Route(Runnable[Any, list[str]]):
    """The condition of an edge made from one quick function, without a span, and without a thread in async runs."""

    def __init__(self, name: str, choose: Callable[[Any], list[str]]) -> None:
        self.name = name
        self._choose = choose

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> list[str]:
        return self._choose(input)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> list[str]:
        return self._choose(input)
