"""A chat model whose exceptions contain no secrets.

LangChain's tracers and callbacks receive a model's exception before the caller does, with its whole text: URLs,
headers, keys. The caller is too late to redact it. A delegating chat model therefore wraps the real one. It turns every
fault into a `ProviderError`, which holds one redacted line and the classified fault.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, content
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langgraph.errors import GraphBubbleUp
from pydantic import Field

from moa_graph.models.cancelled import EndsCancelledRuns
from moa_graph.models.faults.faults import NO_REPLY, STREAM_CUT, ProviderError, judged, of_handler, own_cancellation
from moa_graph.models.reply.answer_filter import FILTER, ChunkFilter, filtered
from moa_graph.models.reply.arguments import CheckedArguments
from moa_graph.models.reply.chunks import Joining
from moa_graph.models.reply.reply import is_long
from moa_graph.models.reply.stream import StreamEnd
from moa_graph.models.unobserved import message_of, unobserved

__all__ = ["redacting"]

_NO_SETTINGS = frozenset({"prompt_cache_key"})
"""Arguments of a call that are not settings of the model."""

_SHARED = tuple(BaseChatModel.model_fields)
"""LangChain's own switches (cache, rate limiter, streaming, callbacks, ...), which the delegating model implements."""


def redacting(
    model: BaseChatModel, options: Mapping[str, Any] = MappingProxyType({}), *, fixed: bool = False
) -> BaseChatModel:
    """Return a chat model that answers as `model` does and raises `ProviderError` for every fault.

    Args:
        model: The chat model.
        options: Passed with each call, beside those of the caller.
        fixed: Whether the model's settings never change, so that what traces show of them is computed only once.

    The caller's object is not changed. Traces show its own name, class and settings. A mixture used as a model is
    returned unchanged: its errors are already redacted, and it handles the surrounding run itself.
    """
    if model._llm_type == "moa":
        return model
    _remember_block_types()
    kind = type(model)
    # LangChain checks whether these methods are overridden to find out whether a model streams.
    streams = kind._astream is not BaseChatModel._astream or kind._stream is not BaseChatModel._stream
    fields = {name: getattr(model, name) for name in _SHARED}
    if "streaming" in model.model_fields_set:
        fields["streaming"] = getattr(model, "streaming", None)
    # Without validation: the values come from a model that has validated them.
    return (_RedactingStream if streams else _Redacting).model_construct(
        inner=model, options=dict(options), fixed=fixed, **fields
    )


@cache
def _remember_block_types() -> None:
    """Let LangChain look up the types of data blocks once, and not for every block of every call, for 0.3 ms each."""
    found = getattr(content, "_get_data_content_block_types", None)
    if found is not None:
        vars(content)[found.__name__] = cache(found)


class _Redacting(EndsCancelledRuns):
    """Delegates to `inner`; for models that do not stream."""

    inner: BaseChatModel
    options: builtins.dict[str, Any] = Field(default_factory=builtins.dict)
    streaming: bool | None = None
    fixed: bool = False

    @property
    def _llm_type(self) -> str:
        return self.inner._llm_type

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return dict(self.inner._identifying_params)

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> builtins.dict[str, Any]:
        if self._changed_by(stop, kwargs):
            return self.inner._get_invocation_params(stop=stop, **kwargs)
        return {**self._invocation, **kwargs}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        if self._changed_by(stop, kwargs):
            return self.inner._get_ls_params(stop=stop, **kwargs)
        return dict(self._ls)

    def _changed_by(self, stop: list[str] | None, kwargs: Mapping[str, Any]) -> bool:
        """Return whether a call's arguments change what traces show of the model's settings."""
        return not self.fixed or stop is not None or not kwargs.keys() <= _NO_SETTINGS

    @cached_property
    def _invocation(self) -> builtins.dict[str, Any]:
        return self.inner._get_invocation_params()

    @cached_property
    def _ls(self) -> builtins.dict[str, Any]:
        return dict(self.inner._get_ls_params())

    def _combine_llm_outputs(self, llm_outputs: list[builtins.dict[str, Any] | None]) -> builtins.dict[str, Any]:
        return self.inner._combine_llm_outputs(llm_outputs)

    def to_json(self) -> Any:
        """Return the real model's serialized form, by which traces name it."""
        return self.inner.to_json()

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools as the real model's class does."""
        bound: Any = self.inner.bind_tools(tools, **kwargs)
        if isinstance(bound, RunnableBinding) and isinstance(bound.bound, BaseChatModel):
            return bound.model_copy(update={"bound": redacting(bound.bound, self.options)})
        return redacting(bound, self.options) if isinstance(bound, BaseChatModel) else bound

    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Call the model, without LangChain's callbacks where nothing observes the call."""
        if stop is None and unobserved(self, input, config, kwargs):
            # A caller's model may rely on the manager that LangChain always passes.
            manager = None if self.fixed else AsyncCallbackManagerForLLMRun.get_noop_manager()
            return message_of(await self._agenerate([*input], run_manager=manager, **kwargs))
        return await super().ainvoke(input, config, stop=stop, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            return self.inner._generate(messages, stop, run_manager, **{**self.options, **kwargs})
        except Exception as exc:
            raise _redacted(exc) from None

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            result = await self.inner._agenerate(messages, stop, run_manager, **{**self.options, **kwargs})
            if not result.generations:
                raise ProviderError(NO_REPLY)
            return result if FILTER.get() is None else await _filtered(result)
        except (Exception, asyncio.CancelledError) as exc:
            raise _redacted(exc) from None


class _RedactingStream(_Redacting):
    """Delegates to `inner`; for models that stream."""

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        try:
            chunks: Any = self.inner._astream(messages, stop, run_manager, **{**self.options, **kwargs})
            end, arguments, joining, text = StreamEnd(), CheckedArguments(), Joining(), ChunkFilter()
            try:
                async with aclosing(chunks):
                    async for chunk in chunks:
                        end.add(chunk)
                        await arguments.check(chunk.message)
                        for each in joining.add(chunk):
                            # A text that takes long is filtered in a thread, so that other tasks run meanwhile.
                            yield await asyncio.to_thread(text.add, each) if is_long(each.message) else text.add(each)
            except Exception:
                for each in [*map(text.add, joining.rest()), *text.rest()]:  # what arrived before the fault
                    yield each
                raise
            for each in [*map(text.add, joining.rest()), *text.rest()]:
                yield each
            # LangChain joins the chunks when a callback streams, so a broken stream would look like a complete answer.
            if end.broken:
                raise ProviderError(STREAM_CUT)
        except (Exception, asyncio.CancelledError) as exc:
            raise _redacted(exc) from None


async def _filtered(result: ChatResult) -> ChatResult:
    """Return what `filtered` returns. A long reply is filtered in a thread, so that other tasks run meanwhile."""
    long = any(is_long(each.message) for each in result.generations)
    return await asyncio.to_thread(filtered, result) if long else filtered(result)


def _redacted(exc: BaseException) -> BaseException:
    """Return the exception that callbacks and callers may see."""
    if isinstance(exc, ProviderError | GraphBubbleUp | NotImplementedError) or of_handler(exc):
        return exc
    if isinstance(exc, asyncio.CancelledError) and not own_cancellation():
        return exc
    return ProviderError(judged(exc))
