"""Callers' own LangChain chat models under our settings: sampling, no streaming, no retries of their SDK's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = ["adapted", "call_options", "unstreamed", "without_litellm_retries"]

_LIMITS = ("max_tokens", "num_predict", "max_output_tokens", "max_tokens_to_sample", "max_completion_tokens")
"""What LangChain's model classes call the limit of an answer's tokens."""

_copies: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""SDK clients of callers' own models, each with the copy that is used in its place."""


def adapted(model: BaseChatModel, wanted: dict[str, Any], *, quiet: bool) -> BaseChatModel:
    """Return a copy of `model` with our settings as far as its class has them; the caller's object does not change.

    Args:
        model: The caller's chat model.
        wanted: Settings by our names; None leaves the model's own.
        quiet: The copy never streams.
    """
    fields = type(model).model_fields
    update: dict[str, Any] = {}
    for name, value in wanted.items():
        known = next((each for each in _LIMITS if each in fields), None) if name == "max_tokens" else name
        if value is not None and known in fields:
            update[known] = value
    if quiet:
        update |= unstreamed(model)
    if "max_retries" in fields and getattr(model, "max_retries", 0) != 0:
        update["max_retries"] = 0
    if "stream_chunk_timeout" in fields:
        update["stream_chunk_timeout"] = None  # a task for every chunk; deadlines belong to the call
    update |= _openai_clients(model) if hasattr(model, "root_async_client") else _resource(model)
    return without_litellm_retries(model.model_copy(update=update) if update else model)


def unstreamed(model: BaseChatModel) -> dict[str, Any]:
    """Return the settings with which a copy of `model` never streams.

    `disable_streaming` alone is not enough: with `streaming=True`, LangChain's OpenAI models then ask for a stream that
    they do not read.
    """
    return {"disable_streaming": True, **({"streaming": False} if getattr(model, "streaming", False) else {})}


def without_litellm_retries(model: BaseChatModel) -> BaseChatModel:
    """Return the model; for ChatLiteLLM a copy whose clients never retry: its `max_retries` does not reach them."""
    if not _is_of(model, "langchain_litellm"):
        return model
    options: dict[str, Any] = getattr(model, "model_kwargs", {})
    return model.model_copy(update={"model_kwargs": {**options, "max_retries": 0}})


def call_options(model: BaseChatModel) -> dict[str, Any]:
    """Return the options that each call of a model needs so that its SDK makes one request (Cohere's)."""
    return {"request_options": {"max_retries": 0}} if _is_of(model, "langchain_cohere") else {}


def _is_of(model: BaseChatModel, package: str) -> bool:
    return any(each.__module__.partition(".")[0] == package for each in type(model).__mro__)


def _openai_clients(model: Any) -> dict[str, Any]:
    """Clients of LangChain's OpenAI family that do not retry and work in every event loop.

    LangChain's own HTTP client keeps its connections beyond the event loop that they belong to, so that a model fails
    in the next `asyncio.run`. A client of the caller's own making stays: only the caller knows what it does.
    """
    sdk = model.root_async_client
    if not hasattr(sdk, "with_options"):
        return {}
    if sdk not in _copies:
        options: dict[str, Any] = {"max_retries": 0}
        own = getattr(model, "http_async_client", None) or getattr(model, "openai_proxy", None)
        if not own and (http := _http_client(str(sdk.base_url))) is not None:
            options["http_client"] = http
        _copies[sdk] = sdk.with_options(**options)
    copy = _copies[sdk]
    same = type(getattr(model, "async_client", None)) is type(copy.chat.completions)
    return {"root_async_client": copy, **({"async_client": copy.chat.completions} if same else {})}


def _http_client(base_url: str) -> Any:
    import httpx2

    from moa_graph.models.http.proxies import proxy_for
    from moa_graph.models.http.transport import Transport

    proxy = proxy_for(base_url)
    if (proxy or "").startswith("socks"):
        return None
    # The SDK sets the caller's time limits for every request.
    return httpx2.AsyncClient(transport=Transport(base_url, proxy), timeout=None)


def _resource(model: Any) -> dict[str, Any]:
    """Return the SDK resource in `async_client` without retries, for SDKs made like OpenAI's (Groq's, for example)."""
    resource: Any = getattr(model, "async_client", None)
    sdk: Any = getattr(resource, "_client", None)
    if not hasattr(sdk, "with_options") or not getattr(sdk, "max_retries", 0):
        return {}
    if sdk not in _copies:
        _copies[sdk] = sdk.with_options(max_retries=0)
    return {"async_client": type(resource)(_copies[sdk])}
