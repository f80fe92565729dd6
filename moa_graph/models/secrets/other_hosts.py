"""What providers' packages read from the environment by themselves, kept from the hosts that a mixture names.

Some SDKs send a variable's value (`OLLAMA_API_KEY`, Google's credentials, `ANTHROPIC_CUSTOM_HEADERS`) to any host. The
user set it for the provider's own host. A `base_url` names another one, which gets what `api_key_env` allows and no
more.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = ["settings_for_other_host", "without_environment_headers"]


def settings_for_other_host(provider: str, secret: str | None) -> dict[str, Any]:
    """Return settings of the provider's LangChain package for a host that the mixture names.

    Args:
        provider: The provider's canonical name.
        secret: The key that the host gets; None for none.
    """
    if provider == "google_genai":
        # Vertex AI would take the key or the user's cloud credentials from the environment.
        return {"vertexai": False}
    if provider == "ollama":
        # Without this header the client sends OLLAMA_API_KEY. A redirect would carry the conversation elsewhere.
        headers = {"authorization": f"Bearer {secret or 'none'}"}
        return {"client_kwargs": {"headers": headers, "follow_redirects": False}}
    return {}


def without_environment_headers(model: BaseChatModel) -> BaseChatModel:
    """Return the model; ChatAnthropic's client no longer sends the headers of ANTHROPIC_CUSTOM_HEADERS."""
    own: Any = model
    if os.environ.get("ANTHROPIC_CUSTOM_HEADERS") and model._llm_type == "anthropic-chat":
        own._async_client._custom_headers = own._client_params["default_headers"]
    return model
