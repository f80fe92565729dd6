"""The run beneath a ChatMoA: whose child it is for tracers, and that it is nobody's subgraph."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackManager, BaseRunManager, CallbackManager
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers import BaseTracer
from langchain_core.utils.uuid import uuid7

from moa_graph.mixture.context import BoundContext


class CallbackRun(NamedTuple):
    """What the inner graph is called with."""

    input: Any
    config: RunnableConfig
    context: BoundContext


class Parent:
    """A run, or one that is about to begin, as the parent of others; `source` has the callbacks."""

    def __init__(self, source: BaseCallbackManager | BaseRunManager, run_id: UUID | None) -> None:
        self._source, self._run_id = source, run_id

    def __repr__(self) -> str:
        # LangChain's cache makes its key of a call's arguments by their repr; this one is not a part of the question.
        return "parent"

    def child(self) -> CallbackManager:
        """The callbacks of what runs under it, in sync and in async code: tracers, which show runs as a tree.

        All others see one chat model: they would get every token twice and count every token twice.
        """
        child = CallbackManager(handlers=[], parent_run_id=self._run_id)
        child.set_handlers([each for each in self._source.inheritable_handlers if isinstance(each, BaseTracer)])
        child.add_tags(self._source.inheritable_tags)
        child.add_metadata(self._source.inheritable_metadata)
        return child


def own_run(
    config: RunnableConfig | None, kind: type[CallbackManager] | type[AsyncCallbackManager]
) -> tuple[RunnableConfig, Parent]:
    """`config` with the run's id and with callbacks that are one and the same for the run and for what is under it."""
    mine = ensure_config(config)
    run_id = mine.get("run_id") or uuid7()
    manager = kind.configure(
        mine.get("callbacks"), inheritable_tags=mine.get("tags"), inheritable_metadata=mine.get("metadata")
    )
    mine["run_id"], mine["callbacks"] = run_id, manager
    return mine, Parent(manager, run_id)


def around() -> Parent:
    """Whatever run is around us, for entries that do not say whose run they work for (`stream_events`)."""
    manager = CallbackManager.configure(ensure_config().get("callbacks"))
    return Parent(manager, manager.parent_run_id)


@contextmanager
def alone() -> Iterator[None]:
    """The inner graph as a graph of its own: what a node around us hands down (its checkpoints, its streams, the
    callbacks that show messages) is not for it."""
    token = var_child_runnable_config.set(None)
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)


# Between two pieces the caller's own code runs, so that the inner graph is alone for the length of one piece only.


def next_part(parts: Iterator[Any]) -> Any:
    """The next piece of the inner graph's stream; `None` when it is over."""
    with alone():
        return next(parts, None)


async def anext_part(parts: AsyncIterator[Any]) -> Any:
    """`next_part` of an async stream."""
    with alone():
        return await anext(parts, None)
