"""The known providers: one key is enough, presets name models with a price, keys go to their own provider."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from moa_graph import ConfigError, Mixture, Proposer
from moa_graph.costs.prices import price
from moa_graph.mixture.files import preset_names
from moa_graph.models import default_mixture as module
from moa_graph.models.default_mixture import default_mixture
from moa_graph.models.providers import PROVIDERS, Provider, find
from moa_graph.models.registry import chat_model, require_known
from moa_graph.models.secrets.keys import host, key_name
from moa_graph.state import Usage

USAGE = Usage(input_tokens=1000, output_tokens=1000, reasoning_tokens=0, cache_read_tokens=0, cache_write_tokens=0)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No keys, no `.env`, and every provider's package installed."""
    monkeypatch.chdir(tmp_path)
    for name in ["MOA_PRESET", *module._UNUSED, *(key for provider in PROVIDERS.values() for key in provider.keys)]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Provider, "installed", property(lambda provider: True))
    return monkeypatch


@pytest.mark.parametrize("key", [key for provider in PROVIDERS.values() for key in provider.keys])
def test_one_key_is_enough_for_a_preset_of_that_provider(key: str, bare: pytest.MonkeyPatch) -> None:
    bare.setenv(key, "secret-1234")
    name, why = default_mixture()
    assert why == f"{key} is set"
    for spec in Mixture.load(name).specs:
        assert key_name(spec) == key


def test_a_key_that_cannot_be_used_is_named_with_the_way_out(bare: pytest.MonkeyPatch) -> None:
    bare.setattr(Provider, "installed", property(lambda provider: not provider.package))
    bare.setenv("ANTHROPIC_API_KEY", "secret-1234")
    name, why = default_mixture()
    assert name == "local" and "pip install 'moa_graph[anthropic]'" in str(why)
    bare.setenv("GROQ_API_KEY", "secret-1234")
    name, why = default_mixture()
    assert name == "groq" and "ANTHROPIC_API_KEY is set too" in str(why)


def test_a_key_of_a_provider_without_a_preset_is_named(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("COHERE_API_KEY", "secret-1234")
    name, why = default_mixture()
    assert name == "local" and "COHERE_API_KEY is set, but no preset uses it" in str(why)


@pytest.mark.parametrize("name", [name for name in preset_names() if not name.startswith("together-")])
def test_presets_are_dated_and_their_models_have_a_list_price(name: str) -> None:
    mixture = Mixture.load(name)
    assert mixture.date and mixture.source and mixture.description
    for spec in mixture.specs:
        assert price(spec, USAGE) is not None, spec.label


def test_every_provider_with_a_key_has_a_preset() -> None:
    for name, provider in PROVIDERS.items():
        assert provider.title and (not provider.key or provider.preset in preset_names()), name


def test_other_spellings_mean_the_same_provider() -> None:
    assert find("google") is find("gemini") is PROVIDERS["google_genai"]
    assert find("mistral") is PROVIDERS["mistralai"]
    assert host(Proposer(model="google:x")) == "generativelanguage.googleapis.com"


@pytest.mark.parametrize("model", ["bedrock_converse:x", "cohere:x", "litellm:x"])
def test_an_address_beside_a_foreign_protocol_is_refused(model: str) -> None:
    with pytest.raises(ConfigError, match="does not"):
        require_known(Proposer(model=model, base_url="http://localhost:1/v1"))


@pytest.mark.parametrize("model", ["openrouter:x", "groq:x", "lmstudio:x", "vllm:x"])
def test_an_address_beside_openais_protocol_is_taken(model: str) -> None:
    require_known(Proposer(model=model, base_url="http://localhost:1/v1"))


def test_a_missing_package_is_named_before_any_request(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.util.find_spec

    def without(name: str, *args: Any) -> Any:
        return None if name == "langchain_anthropic" else known(name, *args)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(ConfigError, match=r"pip install 'moa_graph\[anthropic\]'"):
        require_known(Proposer(model="anthropic:x"))


async def test_a_provider_that_langchain_does_not_know_is_named_with_the_known_ones() -> None:
    pytest.importorskip("langchain")
    with pytest.raises(ConfigError, match=r"model 'gpt4:openai': unknown provider 'gpt4'\. Known: openai, .*base_url"):
        chat_model(Proposer(model="gpt4:openai"))


@pytest.mark.parametrize("value", ["http://127.0.0.1:9", "http://127.0.0.1:9/openai/v1", "127.0.0.1:9/"])
def test_a_providers_own_address_variable_is_used(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_BASE", value)
    assert PROVIDERS["groq"].address() == "http://127.0.0.1:9/openai/v1"


@pytest.mark.parametrize("given", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"])
def test_an_address_with_a_version_path_is_right_for_a_client_that_adds_it(given: str) -> None:
    for name in ("ollama", "anthropic"):
        assert PROVIDERS[name].root(given) == "http://h:1"
    assert PROVIDERS["google_genai"].root("http://h:1/v1beta") == "http://h:1"
    assert PROVIDERS["openai"].root(given) == PROVIDERS["mistralai"].root(given) == given
    assert PROVIDERS["ollama"].root("http://h:1/own/path") == "http://h:1/own/path"


@pytest.mark.parametrize("name", ["openai", "together", "xai"])
def test_the_address_variable_of_a_providers_sdk_is_heeded_from_the_environment_only(
    name: str, bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    provider = PROVIDERS[name]
    (tmp_path / ".env").write_text(f"{provider.address_variable}=http://attacker.example\n{provider.key}=k")
    bare.delenv(str(provider.address_variable), raising=False)
    assert host(Proposer(model=f"{name}:x")) == urlsplit(provider.base_url).netloc
    bare.setenv(str(provider.address_variable), "http://127.0.0.1:9/v1")
    assert host(Proposer(model=f"{name}:x")) == "127.0.0.1:9"


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_table_in_the_documentation_has_every_provider(name: str) -> None:
    provider = PROVIDERS[name]
    page = (Path(__file__).parents[2] / "docs" / "mixtures.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}:` |")]
    extra = f"`moa_graph[{provider.extra}]`" if provider.extra else ""
    for words in (provider.title, *provider.keys, provider.address_variable or "", extra, provider.preset or name):
        assert words in row, words
