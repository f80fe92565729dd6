"""Make a LangChain chat model from "provider:model": choose host, key and client.

Models are made when they are first needed and cached per event loop, up to a maximum number. SDK retries are switched
off in every model made here: only `models/call.py` retries.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from moa_graph.errors import ConfigError, MoAError
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models.batching import batched
from moa_graph.models.package_params import check_package_params
from moa_graph.models.providers import OWN_PROTOCOL, PROVIDERS, Provider, canonical, find
from moa_graph.models.secrets.keys import keys_now, secret_of
from moa_graph.models.secrets.other_hosts import confined_to_host, settings_for_other_host
from moa_graph.models.secrets.redaction import one_line, remember_secret

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel, ModelProfile


_models: WeakKeyDictionary[asyncio.AbstractEventLoop, OrderedDict[Any, BaseChatModel]] = WeakKeyDictionary()

_KEPT = 512
"""Models cached per event loop, the most recently used. More than one mixture uses at once; about 4 MB. A server's
clients may send a different temperature with every request, and each value makes another model."""


def _has_costly_client(spec: Proposer) -> bool:
    """Return whether the provider's package makes a client for every model: about 200 ms, on the event loop."""
    return canonical(str(spec.model).partition(":")[0]) in ("google_genai", "ollama")


def require_known(spec: Proposer) -> None:
    """Check that the model's provider can be called.

    Raises:
        ConfigError: The provider is unknown, needs a package that is not installed, or cannot be called at `base_url`.
    """
    if not isinstance(spec.model, str):
        return
    check_package_params(spec)
    name = spec.model.partition(":")[0]
    provider = find(name)
    if provider is not None and provider.protocol == "own":
        if extra := missing_extra(spec):
            raise ConfigError(
                f"model {spec.model!r} needs the package {provider.package}. Run: pip install 'moa_graph[{extra}]'"
            )
        return
    if spec.base_url and name in OWN_PROTOCOL:
        raise ConfigError(
            f"model {spec.model!r}: base_url is for servers that speak OpenAI's protocol, and {name} does not. Remove "
            "base_url and set the host the way the provider's package documents it, or pass a LangChain chat model."
        )
    if spec.base_url or provider or name == "local" or importlib.util.find_spec("langchain"):
        return
    raise _unknown_provider(spec.model)


def _unknown_provider(model: str) -> ConfigError:
    return ConfigError(
        f"model {model!r}: unknown provider {model.partition(':')[0]!r}. Known: {', '.join([*PROVIDERS, 'local'])}; "
        "others when `langchain` and the provider's package are installed; any OpenAI-compatible server with base_url."
    )


def missing_extra(spec: Proposer) -> str | None:
    """Return the extra that installs the provider's package; None if none is needed or the package is installed."""
    provider = find(spec.model.partition(":")[0]) if isinstance(spec.model, str) else None
    return provider.extra if provider is not None and not provider.installed else None


_imported: set[tuple[str, bool]] = set()
"""Names of providers whose packages this process has imported, with and without a `base_url`."""


async def import_packages(specs: Iterable[Proposer]) -> None:
    """Import what the models are made with, in a thread: it takes seconds, at the first run of a process."""
    if new := [spec for spec in specs if isinstance(spec.model, str) and _kind(spec) not in _imported]:
        await asyncio.to_thread(_import, new)


def _import(specs: Iterable[Proposer]) -> None:
    """Import what the models are made with. What is missing or broken is reported when a model is made."""
    for spec in specs:
        name = _kind(spec)[0]
        provider = find(name)
        unlisted = "" if spec.base_url or is_embedded(spec) else f"langchain-{name}"
        own = provider.package if provider else unlisted
        with contextlib.suppress(Exception):  # whatever a broken package raises
            importlib.import_module("moa_graph.models.secrets.redacting")
            if own:
                importlib.import_module("langchain.chat_models")
                importlib.import_module(own.replace("-", "_"))
            else:
                _made(spec, {})  # also makes its class, and no client
        _imported.add(_kind(spec))


def _kind(spec: Proposer) -> tuple[str, bool]:
    return spec.model.partition(":")[0], bool(spec.base_url)


def require_embedded(specs: Iterable[Proposer]) -> None:
    """Check that the parts of the embedded models are installed. It reads the file system.

    Raises:
        ConfigError: A part is missing; the message says what to install.
    """
    from moa_graph.models.local import locate

    for spec in specs:
        locate(str(spec.model).removeprefix("local:"))


def chat_model(
    spec: Proposer, *, temperature: float | None = None, max_tokens: int | None = None, quiet: bool = False
) -> BaseChatModel:
    """Return the chat model of `spec`, cached per running event loop.

    Args:
        spec: The proposer or aggregator.
        temperature: Replaces the spec's temperature.
        max_tokens: Replaces the spec's limit of answer tokens.
        quiet: Whether the model never streams.

    Raises:
        ConfigError: The provider, its package or its settings are wrong.
    """
    sampling = {
        "temperature": spec.temperature if temperature is None else temperature,
        "max_tokens": spec.max_tokens if max_tokens is None else max_tokens,
    }
    # Imported here, because LangChain's model classes are slow to import and a graph is built without them.
    from moa_graph.models.adapted import adapted, call_options, unstreamed
    from moa_graph.models.secrets.redacting import redacting

    kept = _models.setdefault(asyncio.get_running_loop(), OrderedDict())
    if not isinstance(spec.model, str):
        own = adapted(spec.model, {**sampling, **spec.params}, quiet=quiet)
        return redacting(own, call_options(own))
    key = (spec.fingerprint, *sampling.values(), quiet, batched(spec), keys_now(spec))
    if key in kept:
        kept.move_to_end(key)
        return kept[key]
    if _has_costly_client(spec) and (
        quiet or sampling != {"temperature": spec.temperature, "max_tokens": spec.max_tokens}
    ):
        shared: Any = chat_model(spec)
        made = adapted(shared.inner, sampling, quiet=quiet)
    else:
        model = _made(spec, {name: value for name, value in sampling.items() if value is not None})
        made = model.model_copy(update=unstreamed(model)) if quiet else model
    kept[key] = redacting(made, call_options(made), fixed=True)
    if len(kept) > _KEPT:
        kept.popitem(last=False)
    return kept[key]


def profile_of(spec: Proposer) -> ModelProfile | None:
    """Return LangChain's profile of a model; None if it is unknown."""
    if not isinstance(spec.model, str):
        own: ModelProfile | None = spec.model.profile
        return own
    known: ModelProfile = {}
    if not is_embedded(spec) and not spec.base_url:
        try:
            known = {**(_made(spec, {}).profile or {})}
        except MoAError:
            # Some packages cannot make a model without a key. The run reports that.
            known = {}
    if spec.window is not None:
        known["max_input_tokens"] = spec.window
    return known or None


def _made(spec: Proposer, sampling: dict[str, Any]) -> BaseChatModel:
    name, _, model = spec.model.partition(":")
    provider = find(name)
    try:
        if is_embedded(spec):
            from moa_graph.models.local import local_chat_model

            return local_chat_model(model, **sampling, **spec.params)
        if provider is not None and provider.protocol == "own":
            return _by_package(spec, provider, canonical(name), model, sampling)
        if spec.base_url or provider is not None:
            return _openai_compatible(spec, provider, model, sampling)
    except (TypeError, ValueError) as exc:
        # Errors of LangChain's classes about a setting; pydantic's errors are ValueErrors.
        raise _cannot_be_made(spec.label, exc) from None
    return _by_langchain(name, model, {**sampling, **spec.params})


def _cannot_be_made(name: str, exc: Exception) -> ConfigError:
    from moa_graph.models.http.proxies import environment_error

    if str(exc).startswith("Unsupported provider"):  # the words of LangChain's init_chat_model
        return _unknown_provider(name)
    if found := environment_error(exc):
        return found
    return ConfigError(f"model {name} cannot be made: {one_line(str(exc))}. Check its `params`.")


def _openai_compatible(spec: Proposer, provider: Provider | None, name: str, sampling: dict[str, Any]) -> BaseChatModel:
    from moa_graph.models.openai_http import chat_openai

    secret = secret_of(spec)
    remember_secret(secret or "")
    # These two headers are specific to OpenAI, so they go to OpenAI's host only.
    own_host = spec.base_url is None and provider is PROVIDERS["openai"]
    base_url = spec.base_url or (provider.address() if provider else "")
    openais = own_host or _is_openais(base_url)
    # A batch takes chat completions only, and LangChain calls some of OpenAI's models through its Responses API.
    in_batch = {"use_responses_api": False} if batched(spec) else {}
    return chat_openai(
        "together" if provider is PROVIDERS["together"] else "openai",
        model=name,
        provider=canonical(spec.model.partition(":")[0]),
        base_url=base_url,
        # Servers without a key still expect a well-formed header.
        api_key=secret or "none",
        # From the environment only, as the SDK does, and not from `.env`.
        organization=os.environ.get("OPENAI_ORG_ID") if own_host else None,
        project=os.environ.get("OPENAI_PROJECT_ID") if own_host else None,
        limit="max_completion_tokens" if openais else "max_tokens",
        **sampling,
        **{**in_batch, **(spec.params if openais else _verbatim(spec.params, "max_completion_tokens"))},
    )


def _is_openais(base_url: str) -> bool:
    """Return whether the address serves OpenAI's own models, which need OpenAI's parameter names."""
    name = urlsplit(base_url).hostname or ""
    return name == "api.openai.com" or name.endswith(".openai.azure.com")


def _verbatim(params: dict[str, Any], name: str) -> dict[str, Any]:
    """Return `params` so that the parameter `name` is sent under exactly that name."""
    if name not in params:
        return params
    rest = {key: value for key, value in params.items() if key != name}
    return {**rest, "extra_body": {**rest.get("extra_body", {}), name: params[name]}}


def _by_package(spec: Proposer, provider: Provider, name: str, model: str, sampling: dict[str, Any]) -> BaseChatModel:
    """Return a model of a provider with its own protocol, made by its LangChain package."""
    from moa_graph.models.http.proxies import proxy_for

    proxy_for(spec.base_url or provider.address())  # a wrong one is refused by its variable's name
    fields = {provider.limit if key == "max_tokens" else key: value for key, value in sampling.items()}
    secret = secret_of(spec)
    remember_secret(secret or "")
    if provider.key:
        # Always passed: otherwise the package would send the key of the environment to another host.
        fields["api_key"] = secret or "none"
    if not spec.base_url:
        return _by_langchain(provider.integration or name, model, {**fields, **spec.params})
    fields |= {provider.address_field: provider.root(spec.base_url), **settings_for_other_host(name, secret)}
    made = _by_langchain(provider.integration or name, model, {**fields, **spec.params})
    return confined_to_host(made)


def _by_langchain(provider: str, name: str, fields: dict[str, Any]) -> BaseChatModel:
    from langchain.chat_models import init_chat_model

    from moa_graph.models.adapted import without_litellm_retries

    try:
        model: BaseChatModel = init_chat_model(name, model_provider=provider, max_retries=0, **fields)
        # ChatAnthropic makes its client at its first call otherwise, after other models were asked and paid for.
        getattr(model, "_async_client", None)
    except Exception as exc:
        # Every provider's package reports a missing package, a missing key or wrong settings in its own way.
        raise _cannot_be_made(f"{provider}:{name}", exc) from None
    return without_litellm_retries(model)
