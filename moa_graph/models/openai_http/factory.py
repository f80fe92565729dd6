"""ChatOpenAI and ChatTogether over the cheap path."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import openai
    from langchain_core.language_models import BaseChatModel

    from moa_graph.models.openai_http.no_thread import Limit

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
    limit: Limit = "max_completion_tokens",
    cheap: bool = True,
    **fields: Any,
) -> BaseChatModel:
    """A chat model for an OpenAI-compatible server, good in any event loop and without retries or time limits.

    Args:
        kind: whose chat model: "openai" is ChatOpenAI, "together" ChatTogether.
        model: the provider's name for the model.
        base_url: up to and with the version, as in ``https://api.openai.com/v1``.
        api_key: sent to that host only.
        organization: OpenAI's header, for OpenAI's host; never read from the environment here.
        project: the same.
        limit: what ChatOpenAI's `max_tokens` is called in a request: OpenAI's own name for it, or everybody else's.
        cheap: False sends everything through the SDK.
        fields: fields of the chat model: temperature, max_tokens, and so on. What it has no field for goes into the
            request's body as it is.
    """
    from moa_graph.models.openai_http.connections import proxy_for

    host = _Host(base_url, api_key, organization, project, proxy_for(base_url), fields)
    clients = host.clients(cheap=cheap and not _SDK_ONLY & fields.keys())
    # The clients hold the key; a chat model without it cannot show it.
    defaults = {"api_key": "none", "max_retries": 0, "stream_usage": True, "stream_chunk_timeout": None}
    settings = {"model": model, "base_url": base_url, **defaults, **clients, **_sorted(_kind(kind), fields)}
    made: BaseChatModel = _direct(kind, limit)(**settings)
    return made


def _direct(kind: str, limit: Limit) -> Any:
    from moa_graph.models.openai_http.no_thread import direct

    return direct(_kind(kind), limit)


def _sorted(kind: type[BaseChatModel], fields: dict[str, Any]) -> dict[str, Any]:
    """`fields`, with those that are none of the class's in its `extra_body`.

    LangChain hands what it does not know to the SDK, which refuses whatever OpenAI itself has not.
    """
    known = {name for field, info in kind.model_fields.items() for name in (field, info.alias)}
    more = {name: value for name, value in fields.items() if name not in known}
    if not more:
        return fields
    own = {name: value for name, value in fields.items() if name in known}
    return {**own, "extra_body": {**(fields.get("extra_body") or {}), **more}}


def _kind(kind: str) -> type[BaseChatModel]:
    # One import each: either package costs a noticeable part of a second.
    if kind == "together":
        from langchain_together import ChatTogether

        return ChatTogether
    from langchain_openai import ChatOpenAI

    return ChatOpenAI


@dataclass(frozen=True)
class _Host:
    """Where requests go, and the clients that send them there."""

    base_url: str
    api_key: str = field(repr=False)
    organization: str | None
    project: str | None
    proxy: str | None
    fields: dict[str, Any]

    def clients(self, *, cheap: bool) -> dict[str, Any]:
        """A chat model's four clients; the SDK's are made when they are first used."""
        sdk: Any = _Later(self._asynchronous)
        found: dict[str, Any] = {"root_async_client": sdk, "async_client": _Later(lambda: sdk.chat.completions)}
        if cheap and not (self.proxy or "").startswith("socks"):
            from moa_graph.models.openai_http.completions import Completions

            found["async_client"] = Completions(self.base_url, headers=self._headers(), sdk=sdk, proxy=self.proxy)
        root: Any = _Later(self._synchronous)
        return {**found, "root_client": root, "client": _Later(lambda: root.chat.completions)}

    def _headers(self) -> dict[str, str]:
        own = {"openai-organization": self.organization, "openai-project": self.project}
        given = {name: value for name, value in own.items() if value is not None}
        return {"authorization": f"Bearer {self.api_key}", **given, **(self.fields.get("default_headers") or {})}

    def _settings(self) -> dict[str, Any]:
        timeout = self.fields.get("timeout", self.fields.get("request_timeout"))
        known = {name: self.fields.get(name) for name in ("default_headers", "default_query")}
        return {"base_url": self.base_url, "api_key": self.api_key, "max_retries": 0, "timeout": timeout, **known}

    def _asynchronous(self) -> openai.AsyncOpenAI:
        import httpx2
        import openai

        from moa_graph.models.openai_http.connections import transport

        # Redirects are not followed: they would carry the conversation to a host that nobody chose.
        http = httpx2.AsyncClient(transport=transport(self.proxy), timeout=None)
        sdk = openai.AsyncOpenAI(http_client=http, **self._settings())
        # The SDK reads these from the environment for whatever host; they belong to OpenAI's.
        sdk.organization, sdk.project = self.organization, self.project
        return sdk

    def _synchronous(self) -> openai.OpenAI:
        import httpx2
        import openai

        http = httpx2.Client(timeout=None)
        sdk = openai.OpenAI(http_client=http, **self._settings())
        weakref.finalize(sdk, http.close)
        sdk.organization, sdk.project = self.organization, self.project
        return sdk


class _Later:
    """An object that is made when something of it is first asked for."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = functools.cache(make)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)
