"""A chat model whose faults hold no secrets, wherever they are told.

LangChain's tracers and callbacks see a model's exception before its caller does, with its whole text: URLs,
headers, keys. So the scrubbing happens inside the model: a guarded model raises `ProviderError` with the
fault already judged.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator
from contextlib import aclosing
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langgraph.errors import GraphBubbleUp

from moa_graph.models.faults import ProviderError, judged, own_cancellation

__all__ = ["guarded"]

_lock = Lock()
_classes: WeakKeyDictionary[type[BaseChatModel], type[BaseChatModel]] = WeakKeyDictionary()


def guarded(model: BaseChatModel) -> BaseChatModel:
    """A copy of `model` that raises `ProviderError` for every fault; all else is as it was, its name and
    class too."""
    kind = type(model)
    copy = model.model_copy()
    # The subclass adds methods only, so the object's layout is the same; validating all fields anew could
    # fail, since a caller's model may hold clients that its own validators would replace.
    object.__setattr__(copy, "__class__", _guarded_class(kind))
    return copy


def _guarded_class(kind: type[BaseChatModel]) -> type[BaseChatModel]:
    with _lock:
        if kind not in _classes:
            _classes[kind] = _subclass(kind)
        return _classes[kind]


def _subclass(kind: type[BaseChatModel]) -> type[BaseChatModel]:
    async def _agenerate(
        self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        try:
            return await kind._agenerate(self, messages, stop, run_manager, **kwargs)
        except (Exception, asyncio.CancelledError) as exc:
            raise _shown(exc) from None

    async def _astream(
        self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        try:
            chunks: Any = kind._astream(self, messages, stop, run_manager, **kwargs)
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk
        except (Exception, asyncio.CancelledError) as exc:
            raise _shown(exc) from None

    body: dict[str, Any] = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    body["_agenerate"] = _agenerate
    # LangChain asks whether these are overridden to know whether a model streams.
    if kind._astream is not BaseChatModel._astream or kind._stream is not BaseChatModel._stream:
        body["_astream"] = _astream
    made: type[BaseChatModel] = types.new_class(kind.__name__, (kind,), exec_body=lambda space: space.update(body))
    return made


def _shown(exc: BaseException) -> BaseException:
    """The exception that callbacks and callers may see."""
    if isinstance(exc, ProviderError | GraphBubbleUp | NotImplementedError):
        return exc
    if isinstance(exc, asyncio.CancelledError) and not own_cancellation():
        return exc
    return ProviderError(judged(exc))
