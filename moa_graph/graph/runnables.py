"""Sync works as async does: a graph node whose sync side runs the same coroutine on one background loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.runtime import get_runtime

from moa_graph.costs.forks import after_fork
from moa_graph.errors import MoAError

T = TypeVar("T")
Work = Callable[[Any, RunnableConfig], Awaitable[dict[str, Any]]]

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def background_loop() -> asyncio.AbstractEventLoop:
    """The one loop that sync callers' work runs on, started with the first of them, in a daemon thread."""
    global _loop
    with _lock:
        if _loop is None or _loop.is_closed():
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="moa_graph", daemon=True).start()
        return _loop


@after_fork
def _after_fork() -> None:
    """The loop's thread is not in a forked child, where its callers would wait for ever: they get a new one."""
    global _lock, _loop
    _lock, _loop = threading.Lock(), None


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, run on the background loop; context variables go along.

    Raises:
        MoAError: called from the background loop's own thread, where waiting would never end.
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
        return future.result()
    except CancelledError:
        raise
    except BaseException:
        # Ctrl-C in the waiting thread: the request must not go on behind the caller's back.
        future.cancel()
        raise


class Node(Runnable[Any, dict[str, Any]]):
    """A graph node from one coroutine function; both sides, and no span of its own beside the graph's."""

    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self._work = work

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        return run_sync(self.ainvoke(input, config, **kwargs))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        try:
            return await self._work(input, config or {})
        except MoAError as error:
            # Servers pass on an error's name at most; this event carries what it says.
            get_runtime().stream_writer({"moa": "failed", "error": type(error).__name__, "message": str(error)})
            raise


class Route(Runnable[Any, list[str]]):
    """An edge's choice from one quick function: no span, and no thread for it when the graph runs async."""

    def __init__(self, name: str, choose: Callable[[Any], list[str]]) -> None:
        self.name = name
        self._choose = choose

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> list[str]:
        return self._choose(input)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> list[str]:
        return self._choose(input)
