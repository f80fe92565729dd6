"""ChatOpenAI and ChatTogether over the cheap path."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from moa_graph.models.http.proxies import proxy_for

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_SDK_ONLY = frozenset({"default_query", "timeout", "request_timeout"})
"""Settings of the chat model that only the SDK carries out."""


def chat_openai(
    kind: Literal["openai", "together"] = "openai",
    *,
    model: str,
    provider: str | None = None,
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
        provider: its name in traces; None: LangChain's own for the class.
        base_url: up to and including the version, as in ``https://api.openai.com/v1``.
        api_key: sent to that host only.
        organization: OpenAI's header, for OpenAI's host; never read from the environment here.
        project: the same.
        limit: the server's name for `max_tokens`. ChatOpenAI always writes OpenAI's own, which others ignore.
        cheap: False sends everything through the SDK.
        fields: fields of the chat model: temperature, max_tokens, and so on. What it has no field for goes into the
            request's body as it is.
    """
    from moa_graph.models.reply.openai_models import repairing

    # Only the one that is needed: either package takes a noticeable part of a second to import.
    package, name = {"openai": ("langchain_openai", "ChatOpenAI"), "together": ("langchain_together", "ChatTogether")}[
        kind
    ]
    cls = repairing(getattr(importlib.import_module(package), name), provider)
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


def _clients(
    base_url: str, api_key: str, headers: dict[str, str], fields: dict[str, Any], *, cheap: bool
) -> dict[str, Any]:
    """Return a chat model's clients. The SDK's is made at its first use. Synchronous calls have no client."""
    from moa_graph.models.http.transport import Transport

    proxy = proxy_for(base_url)
    socks = (proxy or "").startswith("socks")
    timeout: Any = fields.get("timeout", fields.get("request_timeout"))

    # Redirects are not followed: they would carry the conversation to a host that nobody chose.
    def client() -> Any:
        import httpx2
        import openai

        # aiohttp has no SOCKS: there the SDK's own transport does, which works in one event loop only.
        transport = httpx2.AsyncHTTPTransport(proxy=proxy) if socks else Transport(base_url, proxy)
        http = httpx2.AsyncClient(transport=transport, timeout=None)
        sdk = openai.AsyncOpenAI(
            base_url=base_url, api_key=api_key, max_retries=0, timeout=timeout, http_client=http,
            default_headers=headers, default_query=fields.get("default_query"),
        )  # fmt: skip
        # The SDK reads these from the environment for any host.
        sdk.organization = sdk.project = None
        sdk._custom_headers = headers
        return sdk

    sdk: Any = _Later(client)
    completions: Any = _Later(lambda: sdk.chat.completions)
    no_sync = _Later(_no_sync)
    if cheap and not socks:
        from moa_graph.models.openai_http.completions import Completions

        sent = {"authorization": f"Bearer {api_key}", **headers}
        completions = Completions(base_url, sent, Transport(base_url, proxy), sdk)
    return {"root_async_client": sdk, "async_client": completions, "root_client": no_sync, "client": no_sync}


class _Later:
    """An object that is made when one of its attributes is first used."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = functools.cache(make)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)


def _no_sync() -> Any:
    raise TypeError("this chat model has no synchronous calls: use ainvoke or astream")
