"""What providers' packages do by themselves, kept from the hosts that a mixture names.

Some SDKs send a variable's value (`OLLAMA_API_KEY`, Google's credentials, `ANTHROPIC_CUSTOM_HEADERS`) or the `default`
login of a `.netrc` to any host. The user set it for other hosts. A `base_url` names a host that gets what `api_key_env`
allows and no more. SDKs also follow redirects, which would carry the conversation, and at times the key, to a host that
nobody named.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from langchain_core.language_models import BaseChatModel

__all__ = ["confined_to_host", "settings_for_other_host"]


def settings_for_other_host(provider: str, secret: str | None) -> dict[str, Any]:
    """Return settings of the provider's LangChain package for a host that the mixture names.

    Args:
        provider: The provider's canonical name.
        secret: The key that the host gets; None for none.
    """
    if provider == "google_genai":
        # Vertex AI would take the key or the user's cloud credentials from the environment. The client uses aiohttp, or
        # httpx where that is absent, and leaves out what the one in use does not know.
        redirects = {"allow_redirects": False, "follow_redirects": False}
        return {"vertexai": False, "client_args": {**redirects, "middlewares": (_WithoutLogin(),)}}
    if provider == "ollama":
        # Without this header the client sends OLLAMA_API_KEY. A redirect would carry the conversation elsewhere.
        headers = {"authorization": f"Bearer {secret or 'none'}"}
        return {"client_kwargs": {"headers": headers, "follow_redirects": False}}
    return {}


def confined_to_host(model: BaseChatModel) -> BaseChatModel:
    """Return the model; ChatAnthropic's client sends no headers of ANTHROPIC_CUSTOM_HEADERS and follows no redirect."""
    if model._llm_type == "anthropic-chat":
        own: Any = model
        own._async_client._prepare_options = _unredirected
        if os.environ.get("ANTHROPIC_CUSTOM_HEADERS"):
            own._async_client._custom_headers = own._client_params["default_headers"]
    return model


async def _unredirected(options: Any) -> Any:
    options.follow_redirects = False
    return options


class _WithoutLogin:
    """Sends a request of aiohttp without the login that it took from a `.netrc`: Google's key has another header."""

    async def __call__(self, request: Any, send: Callable[[Any], Awaitable[Any]]) -> Any:
        request.headers.pop("authorization", None)
        return await send(request)

    def __repr__(self) -> str:
        # LangChain's cache compares the texts of models.
        return "without login"
