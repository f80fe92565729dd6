"""Calls that no callback observes, made without LangChain's callbacks.

For every call LangChain starts a callback manager, merges its metadata, and runs tasks that report to handlers. That is
about a tenth of the CPU of a question, even without a handler. With a handler (tracing, `astream_events`, a caller's
own callbacks) LangChain makes the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.globals import get_debug, get_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult
from langchain_core.runnables import RunnableConfig
from langgraph.constants import TAG_NOSTREAM

__all__ = ["MESSAGES_MODE", "message_of", "unobserved"]

MESSAGES_MODE: Final = "langgraph.pregel._messages"
"""The module of the handlers behind `stream_mode="messages"`, which ignore the calls that are tagged `nostream`.

LangGraph has no public name for them. If the module moves, calls are observed, which costs time and nothing else.
"""
_LANGCHAINS_OWN: Final = frozenset({"stream", "ls_structured_output_format", "structured_output_format"})
"""Arguments of a call that LangChain itself carries out."""


def unobserved(model: BaseChatModel, messages: Any, config: RunnableConfig | None, options: Mapping[str, Any]) -> bool:
    """Return whether a call has no observer, and needs nothing else that LangChain does around a call.

    Args:
        model: The chat model.
        messages: The input of the call.
        config: The config of the call. Only one that LangGraph made for a node is known to have all observers.
        options: The keyword arguments of the call.
    """
    manager = (config or {}).get("callbacks")
    if not isinstance(manager, BaseCallbackManager) or not all(_ignores(each, config) for each in manager.handlers):
        return False
    if model.callbacks or model.verbose or model.cache or model.rate_limiter or model.output_version == "v1":
        return False
    if get_debug() or get_llm_cache() is not None or not options.keys().isdisjoint(_LANGCHAINS_OWN):
        return False
    return _plain(messages) and not model._should_stream(async_api=True, run_manager=None, **options)


def message_of(result: ChatResult) -> AIMessage:
    """Return the first reply of a result, with the metadata that LangChain gives it.

    LangChain also gives it the id of the call's run. This path has no such run. The graph's state gives the answer an
    id.
    """
    first = result.generations[0]
    message = cast(AIMessage, first.message)
    shared = result.llm_output or {} if len(result.generations) == 1 else {}
    message.response_metadata = {**shared, **(first.generation_info or {}), **message.response_metadata}
    return message


def _ignores(handler: object, config: RunnableConfig | None) -> bool:
    """Return whether a handler ignores the call."""
    return type(handler).__module__ == MESSAGES_MODE and TAG_NOSTREAM in ((config or {}).get("tags") or ())


def _plain(messages: Any) -> bool:
    """Return whether the messages are texts only. LangChain converts blocks between formats."""
    return isinstance(messages, Sequence) and all(
        isinstance(each, BaseMessage) and isinstance(each.content, str) for each in messages
    )
