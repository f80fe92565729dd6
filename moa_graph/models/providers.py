"""The known providers: their hosts, key variables, protocols, prices and presets."""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import KW_ONLY, dataclass
from typing import Literal
from urllib.parse import urlsplit

from moa_graph.errors import ConfigError
from moa_graph.mixture.addresses import is_address

__all__ = ["OWN_PROTOCOL", "PROVIDERS", "Provider", "canonical", "find"]


@dataclass(frozen=True, slots=True)
class Provider:
    """A known provider.

    Attributes:
        base_url: The address of the API, including its version.
        key: The environment variable that holds the API key; None for a server that needs no key.
        title: The display name.
        other_keys: Further variables that are accepted for the key.
        protocol: "openai" if moa_graph's own client can call it; "own" if a LangChain package is needed.
        integration: LangChain's name of the provider, where it differs.
        package: The LangChain package on PyPI; empty if none is needed.
        extra: The extra of moa_graph that installs `package`.
        address_field: The package's parameter for the host.
        address_variable: An environment variable of the provider's own client that replaces `base_url`.
        limit: The request parameter that limits the answer's tokens.
        prices: The provider's identifier in genai-prices, where it differs.
        preset: The preset to use when only this provider's key is set; None if it depends on the installed models.
        models: For a provider with a protocol of its own, the path of its list of models after `base_url`.
        key_header: For such a provider, the header of that list that holds the key.
    """

    base_url: str
    key: str | None = None
    _: KW_ONLY
    title: str = ""
    other_keys: tuple[str, ...] = ()
    protocol: Literal["openai", "own"] = "openai"
    integration: str = ""
    package: str = ""
    extra: str = ""
    address_field: str = "base_url"
    address_variable: str | None = None
    limit: str = "max_tokens"
    prices: str = ""
    preset: str | None = None
    models: str = "/models"
    key_header: str = "authorization"

    @property
    def keys(self) -> tuple[str, ...]:
        """All variables that may hold the key, the usual one first."""
        return (self.key, *self.other_keys) if self.key else ()

    @property
    def installed(self) -> bool:
        """Whether the packages that call it are installed."""
        needed = ("langchain", self.package.replace("-", "_")) if self.package else ()
        return all(map(importlib.util.find_spec, needed))

    def address(self) -> str:
        """Return the current base URL. `address_variable` in the process environment takes precedence.

        A `.env` file is not read, because the address decides where a key is sent.

        Raises:
            ConfigError: `address_variable` is not an address that every client reads in the same way.
        """
        given = os.environ.get(self.address_variable, "").strip() if self.address_variable else ""
        if not given:
            return self.base_url
        given = given if "://" in given else f"http://{given}"
        if not is_address(given, credentials=self.protocol == "own"):
            raise ConfigError(
                f"{self.address_variable}: expected an address of the form http(s)://host:port/path in ASCII, without "
                "user name, query and fragment. Correct it, or unset it."
            )
        if self.protocol == "openai" and urlsplit(given).path in ("", "/"):
            return given.rstrip("/") + urlsplit(self.base_url).path
        return given.rstrip("/")

    def root(self, base_url: str) -> str:
        """Return an address as the provider's own client wants it: without the version path that the client adds."""
        if self.protocol == "openai" or urlsplit(self.base_url).path:
            return base_url
        return _VERSION.sub("", base_url)


_VERSION = re.compile(r"/(v1(beta)?/?)?$")

PROVIDERS: dict[str, Provider] = {
    "openai": Provider(
        title="OpenAI",
        base_url="https://api.openai.com/v1",
        key="OPENAI_API_KEY",
        address_variable="OPENAI_BASE_URL",
        limit="max_completion_tokens",
        preset="openai",
    ),
    "together": Provider(
        title="Together AI",
        base_url="https://api.together.xyz/v1",
        key="TOGETHER_API_KEY",
        address_variable="TOGETHER_BASE_URL",
        preset="together",
    ),
    "openrouter": Provider(
        title="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        key="OPENROUTER_API_KEY",
        address_variable="OPENROUTER_API_BASE",
        preset="openrouter",
    ),
    "anthropic": Provider(
        title="Anthropic",
        base_url="https://api.anthropic.com",
        key="ANTHROPIC_API_KEY",
        protocol="own",
        package="langchain-anthropic",
        extra="anthropic",
        address_variable="ANTHROPIC_BASE_URL",
        models="/v1/models",
        key_header="x-api-key",
        preset="anthropic",
    ),
    "google_genai": Provider(
        title="Google",
        base_url="https://generativelanguage.googleapis.com",
        key="GOOGLE_API_KEY",
        other_keys=("GEMINI_API_KEY",),
        protocol="own",
        package="langchain-google-genai",
        extra="google",
        address_variable="GOOGLE_GEMINI_BASE_URL",
        models="/v1beta/models",
        key_header="x-goog-api-key",
        prices="google",
        preset="google",
    ),
    "mistralai": Provider(
        title="Mistral",
        base_url="https://api.mistral.ai/v1",
        key="MISTRAL_API_KEY",
        protocol="own",
        package="langchain-mistralai",
        extra="mistral",
        address_variable="MISTRAL_BASE_URL",
        prices="mistral",
        preset="mistral",
    ),
    "groq": Provider(
        title="Groq",
        base_url="https://api.groq.com/openai/v1",
        key="GROQ_API_KEY",
        address_variable="GROQ_API_BASE",
        preset="groq",
    ),
    "deepseek": Provider(
        title="DeepSeek",
        base_url="https://api.deepseek.com/v1",
        key="DEEPSEEK_API_KEY",
        address_variable="DEEPSEEK_API_BASE",
        preset="deepseek",
    ),
    "xai": Provider(
        title="xAI",
        base_url="https://api.x.ai/v1",
        key="XAI_API_KEY",
        address_variable="XAI_API_BASE",
        prices="x-ai",
        preset="xai",
    ),
    "fireworks": Provider(
        title="Fireworks AI",
        base_url="https://api.fireworks.ai/inference/v1",
        key="FIREWORKS_API_KEY",
        address_variable="FIREWORKS_API_BASE",
        preset="fireworks",
    ),
    "ollama": Provider(
        title="Ollama",
        base_url="http://localhost:11434",
        protocol="own",
        package="langchain-ollama",
        extra="ollama",
        address_variable="OLLAMA_HOST",
        limit="num_predict",
        models="/api/tags",
    ),
    "lmstudio": Provider(
        title="LM Studio",
        base_url="http://localhost:1234/v1",
        address_variable="LMSTUDIO_BASE_URL",
    ),
}

_ALIASES = {"google": "google_genai", "gemini": "google_genai", "mistral": "mistralai", "lm_studio": "lmstudio"}
"""Alternative spellings."""

OWN_PROTOCOL = frozenset(
    {"anthropic_bedrock", "azure_ai", "azure_openai", "bedrock", "bedrock_converse", "cohere"}
    | {"google_anthropic_vertex", "google_vertexai", "huggingface", "ibm", "litellm"}
)
"""LangChain providers outside the table above that do not speak OpenAI's protocol, so `base_url` cannot reach them."""


def canonical(name: str) -> str:
    """Return the name under which a provider is known, for any of its spellings."""
    return _ALIASES.get(name, name)


def find(name: str) -> Provider | None:
    """Return the provider of that name or spelling; None if it is unknown."""
    return PROVIDERS.get(canonical(name))
