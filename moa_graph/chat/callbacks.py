"""The inner run of a ChatMoA: a child of the model's run for tracers, and no subgraph of the graph around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple
from uuid import UUID

from langchain_core.callbacks import (
    AsyncCallbackManager,
    BaseCallbackHandler,
    BaseCallbackManager,
    BaseRunManager,
    CallbackManager,
)
from langchain_core.language_models import LangSmithParams
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers import LangChainTracer
from langchain_core.tracers import context as tracing
from langchain_core.tracers.log_stream import LogStreamCallbackHandler
from langchain_core.utils.uuid import uuid7

from moa_graph.mixture.context import BoundContext
from moa_graph.models.traced_cost import TRACERS

_OBSERVERS = ("langfuse",)
"""Packages whose callback handlers record a tree of runs, as LangChain's tracers do, without being one."""


_HOOKS: Sequence[Any] = getattr(tracing, "_configure_hooks", ())
"""What `register_configure_hook` has registered: first of each, the variable with a handler that LangChain adds to all
runs of a block of code, such as that of `get_usage_metadata_callback`. LangChain has no public name for it."""


class CallbackRun(NamedTuple):
    """The arguments of the inner graph's call, and the variables whose handlers do not see it."""

    input: Any
    config: RunnableConfig
    context: BoundContext
    unseen: list[ContextVar[Any]]


class Parent:
    """A run, or one that is about to begin, as the parent of other runs.

    Args:
        source: Has the callbacks.
        run_id: The id of the run.
        described: Names of metadata that describe the model of the run, and no other run.
    """

    def __init__(
        self,
        source: BaseCallbackManager | BaseRunManager,
        run_id: UUID | None,
        described: Iterable[str] = (),
    ) -> None:
        self._source, self._run_id = source, run_id
        self._described = frozenset([*LangSmithParams.__annotations__, *described])

    def __repr__(self) -> str:
        # LangChain's cache makes its keys from the repr of a call's arguments. This one does not change the answer.
        return "parent"

    def child(self) -> CallbackManager:
        """Return the callbacks of the runs under it, in sync and in async code: tracers only.

        All other callbacks see one chat model. Otherwise they would get, and count, every token twice.
        """
        child = CallbackManager(handlers=[], parent_run_id=self._run_id)
        child.set_handlers([self._for_others(each) for each in self._source.inheritable_handlers if _traces(each)])
        child.add_tags(self._source.inheritable_tags)
        child.add_metadata(self._without_own(self._source.inheritable_metadata))
        return child

    def _for_others(self, handler: BaseCallbackHandler) -> BaseCallbackHandler:
        """Return a tracer that does not write the parameters of this run's model into the runs below it."""
        defaults = getattr(handler, "tracing_metadata", None)
        if not defaults or not isinstance(handler, LangChainTracer):
            return handler
        copied = handler.copy_with_metadata_defaults()
        copied.tracing_metadata = self._without_own(defaults)
        return copied

    def _without_own(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in metadata.items() if name not in self._described}


def _traces(handler: BaseCallbackHandler) -> bool:
    if isinstance(handler, LogStreamCallbackHandler):
        # A tracer that is a stream for callers: `astream_log`, and `astream_events(version="v1")`.
        return False
    return isinstance(handler, TRACERS) or type(handler).__module__.partition(".")[0] in _OBSERVERS


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


def hooks() -> list[ContextVar[Any]]:
    """Return the variables with handlers of the surrounding block of code that see one chat model: no tracers."""
    found = [(hook[0], hook[0].get()) for hook in _HOOKS]
    return [variable for variable, handler in found if handler is not None and not _traces(handler)]


@contextmanager
def alone(unseen: Iterable[ContextVar[Any]]) -> Iterator[None]:
    """Detach the inner graph from the surrounding run: it inherits no checkpoints, streams or message callbacks.

    Args:
        unseen: Variables with handlers that do not see it.
    """
    tokens = [(variable, variable.set(None)) for variable in (var_child_runnable_config, *unseen)]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)


# The caller's own code runs between two parts, so the inner graph is detached for the length of one part only.


def next_part(parts: Iterator[Any], unseen: Iterable[ContextVar[Any]]) -> Any:
    """Return the next part of the inner graph's stream; None at its end."""
    with alone(unseen):
        return next(parts, None)


async def anext_part(parts: AsyncIterator[Any], unseen: Iterable[ContextVar[Any]]) -> Any:
    """Return the next part of an async stream; None at its end."""
    with alone(unseen):
        return await anext(parts, None)
