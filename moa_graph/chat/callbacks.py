"""The inner run of a ChatMoA: a child of the model's run for tracers, and no subgraph of the graph around it."""

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
    """The arguments of the inner graph's call."""

    input: Any
    config: RunnableConfig
    context: BoundContext


class Parent:
    """A run, or one that is about to begin, as the parent of other runs.

    Args:
        source: Has the callbacks.
        run_id: The id of the run.
    """

    def __init__(self, source: BaseCallbackManager | BaseRunManager, run_id: UUID | None) -> None:
        self._source, self._run_id = source, run_id

    def __repr__(self) -> str:
        # LangChain's cache makes its keys from the repr of a call's arguments. This one does not change the answer.
        return "parent"

    def child(self) -> CallbackManager:
        """Return the callbacks of the runs under it, in sync and in async code: tracers only.

        All other callbacks see one chat model. Otherwise they would get, and count, every token twice.
        """
        child = CallbackManager(handlers=[], parent_run_id=self._run_id)
        child.set_handlers([each for each in self._source.inheritable_handlers if isinstance(each, BaseTracer)])
        child.add_tags(self._source.inheritable_tags)
        child.add_metadata(self._source.inheritable_metadata)
        return child


def own_run(
    config: RunnableConfig | None, kind: type[CallbackManager] | type[AsyncCallbackManager]
) -> tuple[RunnableConfig, Parent]:
    """Return the config with a run id, and with one callback manager for the run and the runs under it.

    Args:
        config: The caller's config.
        kind: The class of the callback manager.
    """
    mine = ensure_config(config)
    run_id = mine.get("run_id") or uuid7()
    manager = kind.configure(
        mine.get("callbacks"), inheritable_tags=mine.get("tags"), inheritable_metadata=mine.get("metadata")
    )
    mine["run_id"], mine["callbacks"] = run_id, manager
    return mine, Parent(manager, run_id)


def around() -> Parent:
    """Return the surrounding run, for methods that do not pass on theirs (`stream_events`)."""
    manager = CallbackManager.configure(ensure_config().get("callbacks"))
    return Parent(manager, manager.parent_run_id)


@contextmanager
def alone() -> Iterator[None]:
    """Detach the inner graph from the surrounding run: it inherits no checkpoints, streams or message callbacks."""
    token = var_child_runnable_config.set(None)
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)


# The caller's own code runs between two parts, so the inner graph is detached for the length of one part only.


def next_part(parts: Iterator[Any]) -> Any:
    """Return the next part of the inner graph's stream; None at its end."""
    with alone():
        return next(parts, None)


async def anext_part(parts: AsyncIterator[Any]) -> Any:
    """Return the next part of an async stream; None at its end."""
    with alone():
        return await anext(parts, None)
