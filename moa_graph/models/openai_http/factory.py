"""ChatOpenAI and ChatTogether over the cheap path."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from moa_graph.models.proxies import proxy_for

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_SDK_ONLY = frozenset({"default_query", "timeout", "request_timeout"})
"""Settings of the chat model that only the SDK carries out."""


def chat_openai(
    kind: Literal["openai", "together"] = "openai",
    *,
    model: str,
    base_url: str,
    api_key: str,
    organization: str | None = None,
    project: str | None = None,
    limit: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens",
    cheap: bool = True,
    **fields: Any,
) -> BaseChatModel:
    """Return a chat model for an OpenAI-compatible server. It works in any event loop, without retries or time limits.

    Args:
        kind: "openai" for ChatOpenAI, "together" for ChatTogether.
        model: the provider's name for the model.
        base_url: up to and including the version, as in ``https://api.openai.com/v1``.
        api_key: sent to that host only.
        organization: OpenAI's header, for OpenAI's host; never read from the environment here.
        project: the same.
        limit: the server's name for `max_tokens`. ChatOpenAI always writes OpenAI's own, which others ignore.
        cheap: False sends everything through the SDK.
        fields: fields of the chat model: temperature, max_tokens, and so on. What it has no field for goes into the
            request's body as it is.
    """
    from moa_graph.models.openai_http.tool_extras import keeping_extras

    cls = keeping_extras(_class(kind))
    known = {name for own, info in cls.model_fields.items() for name in (own, info.alias)}
    if limit == "max_tokens" and kind == "openai":
        known.discard("max_tokens")
    # LangChain hands what it does not know to the SDK, which refuses whatever OpenAI itself does not have.
    if more := {name: fields.pop(name) for name in list(fields) if name not in known}:
        fields["extra_body"] = {**(fields.get("extra_body") or {}), **more}
    own = {"openai-organization": organization, "openai-project": project}
    headers = {name: value for name, value in own.items() if value} | (fields.get("default_headers") or {})
    clients = _clients(base_url, api_key, headers, fields, cheap=cheap and not _SDK_ONLY & fields.keys())
    # The clients hold the key; a chat model without it cannot show it.
    defaults = {"api_key": "none", "max_retries": 0, "stream_usage": True, "stream_chunk_timeout": None}
    made: BaseChatModel = cls(model=model, base_url=base_url, **{**defaults, **clients, **fields})
    return made


def _class(kind: str) -> Any:
    # One import each: either package costs a noticeable part of a second.
    if kind == "together":
        from langchain_together import ChatTogether

        return ChatTogether
    from langchain_openai import ChatOpenAI

    return ChatOpenAI


def _clients(
    base_url: str, api_key: str, headers: dict[str, str], fields: dict[str, Any], *, cheap: bool
) -> dict[str, Any]:
    """Return a chat model's four clients. The SDK's are made when they are first used."""
    proxy = proxy_for(base_url)
    settings: dict[str, Any] = {"base_url": base_url, "api_key": api_key, "max_retries": 0, "default_headers": headers}
    settings["timeout"] = fields.get("timeout", fields.get("request_timeout"))
    settings["default_query"] = fields.get("default_query")

    # Redirects are not followed: they would carry the conversation to a host that nobody chose.
    def asynchronous() -> Any:
        import httpx2
        import openai

        from moa_graph.models.transport import Transport

        # aiohttp has no SOCKS: there the SDK's own transport does, which works in one event loop only.
        transport = httpx2.AsyncHTTPTransport(proxy=proxy) if socks else Transport(base_url, proxy)
        http = httpx2.AsyncClient(transport=transport, timeout=None)
        return _neutral(openai.AsyncOpenAI(http_client=http, **settings))

    def synchronous() -> Any:
        import httpx2
        import openai

        http = httpx2.Client(timeout=None)
        sdk = _neutral(openai.OpenAI(http_client=http, **settings))
        weakref.finalize(sdk, http.close)
        return sdk

    socks = (proxy or "").startswith("socks")
    sdk: Any = _Later(asynchronous)
    root: Any = _Later(synchronous)
    completions: Any = _Later(lambda: sdk.chat.completions)
    if cheap and not socks:
        from moa_graph.models.openai_http.completions import Completions
        from moa_graph.models.transport import Transport

        sent = {"authorization": f"Bearer {api_key}", **headers}
        completions = Completions(base_url, sent, Transport(base_url, proxy), sdk)
    sync = _Later(lambda: root.chat.completions)
    return {"root_async_client": sdk, "async_client": completions, "root_client": root, "client": sync}


def _neutral(sdk: Any) -> Any:
    """Without the organization and project that the SDK reads from the environment for any host."""
    sdk.organization = sdk.project = None
    return sdk


class _Later:
    """An object that is made when one of its attributes is first used."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = functools.cache(make)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)
