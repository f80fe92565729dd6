"""From "provider:model" to a LangChain chat model: which host, which key, which client.

A provider name stands for one fixed host and one key variable; a key never goes anywhere else. Models are
made when they are first needed and kept as long as their event loop lives, up to a number.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from moa_graph.errors import ConfigError
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models.keys import PROVIDERS, _keys_now, _secret
from moa_graph.models.redaction import one_line, remember_secret

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


_models: WeakKeyDictionary[asyncio.AbstractEventLoop, OrderedDict[Any, BaseChatModel]] = WeakKeyDictionary()

_KEPT = 512
"""Models kept per event loop, those used last: more than a mixture can have in use at once, and about 4 MB. A server's
clients may send a temperature of their own with every request, and each makes another model."""


_calm: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""SDK clients of callers' own models, each with its twin that makes no retries."""


def require_known(spec: Proposer) -> None:
    """Checks that the model's provider is one we can reach.

    Raises:
        ConfigError: an unknown provider, and no `langchain` that might know it.
    """
    if not isinstance(spec.model, str) or spec.base_url:
        return
    provider = spec.model.partition(":")[0]
    if provider in PROVIDERS or provider == "local" or importlib.util.find_spec("langchain"):
        return
    raise ConfigError(
        f"model {spec.model!r}: unknown provider {provider!r}. Known: {', '.join([*PROVIDERS, 'local'])}; "
        "others when `langchain` and the provider's package are installed; any OpenAI-compatible server with base_url."
    )


def require_embedded(specs: Iterable[Proposer]) -> None:
    """Checks that the embedded models' parts are installed; looks at the file system.

    Raises:
        ConfigError: a part is missing; the message says what to install.
    """
    from moa_graph.models.local import locate

    for spec in specs:
        locate(str(spec.model).removeprefix("local:"))


def takes_images(model: object) -> bool:
    """Whether an image may be sent to the model: unless its LangChain profile denies it."""
    return (getattr(model, "profile", None) or {}).get("image_inputs") is not False


def chat_model(
    spec: Proposer, *, temperature: float | None = None, max_tokens: int | None = None, quiet: bool = False
) -> BaseChatModel:
    """The chat model of `spec`, made once per running event loop, and anew when many others were used since.

    `temperature` and `max_tokens` go over what the spec says. `quiet` models never stream.

    Raises:
        ConfigError: the provider, its package or its settings are wrong.
    """
    sampling = {
        "temperature": spec.temperature if temperature is None else temperature,
        "max_tokens": spec.max_tokens if max_tokens is None else max_tokens,
    }
    # Imported here, with LangChain's model classes: a graph is made without them.
    from moa_graph.models.redacting import guarded

    mine = _models.setdefault(asyncio.get_running_loop(), OrderedDict())
    if not isinstance(spec.model, str):
        return guarded(_adapted(spec.model, {**sampling, **spec.params}, quiet=quiet))
    key = (spec.fingerprint, *sampling.values(), quiet, _keys_now(spec))
    if key in mine:
        mine.move_to_end(key)
        return mine[key]
    model = _made(spec, {name: value for name, value in sampling.items() if value is not None})
    mine[key] = guarded(model.model_copy(update={"disable_streaming": True}) if quiet else model)
    if len(mine) > _KEPT:
        mine.popitem(last=False)
    return mine[key]


def _adapted(model: BaseChatModel, wanted: dict[str, Any], *, quiet: bool) -> BaseChatModel:
    """A caller's own model under our settings, as far as its class has them; the caller's object stays as
    it is."""
    fields = type(model).model_fields
    update: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None and name in fields}
    if quiet:
        update["disable_streaming"] = True
    if "max_retries" in fields and getattr(model, "max_retries", 0) != 0:
        update |= {"max_retries": 0, **_patient_no_more(model)}
    return model.model_copy(update=update) if update else model


def _patient_no_more(model: BaseChatModel) -> dict[str, Any]:
    """LangChain's OpenAI family makes its clients with the model: their twins without retries, same connections."""
    sdk: Any = getattr(model, "root_async_client", None)
    if not hasattr(sdk, "with_options"):
        return {}
    if sdk not in _calm:
        _calm[sdk] = sdk.with_options(max_retries=0)
    calm = _calm[sdk]
    # A client of the caller's own making stays: only the caller knows what it does.
    same = type(getattr(model, "async_client", None)) is type(calm.chat.completions)
    return {"root_async_client": calm, **({"async_client": calm.chat.completions} if same else {})}


def _made(spec: Proposer, sampling: dict[str, Any]) -> BaseChatModel:
    provider, _, name = spec.model.partition(":")
    try:
        if is_embedded(spec):
            from moa_graph.models.local import local_chat_model

            return local_chat_model(name, **sampling, **spec.params)
        if spec.base_url or provider in PROVIDERS:
            return _openai_compatible(spec, provider, name, sampling)
    except (TypeError, ValueError) as exc:
        # What LangChain's classes say of a setting: pydantic's errors are ValueErrors.
        raise _cannot_be_made(spec.label, exc) from None
    return _by_langchain(provider, name, {**sampling, **spec.params})


def _cannot_be_made(name: str, exc: Exception) -> ConfigError:
    return ConfigError(f"model {name} cannot be made: {one_line(str(exc))}. Look at its `params`.")


def _openai_compatible(spec: Proposer, provider: str, name: str, sampling: dict[str, Any]) -> BaseChatModel:
    from moa_graph.models.openai_http import chat_openai

    known = None if spec.base_url else PROVIDERS[provider]
    secret = _secret(spec)
    remember_secret(secret or "")
    # These two headers are OpenAI's and go to OpenAI's host alone.
    mine = provider == "openai" and known is not None
    foreign = spec.base_url is not None and not _is_openais(spec.base_url)
    return chat_openai(
        "together" if provider == "together" else "openai",
        model=name,
        base_url=spec.base_url or PROVIDERS[provider].base_url,
        # Servers without a key still want a header that is well formed.
        api_key=secret or "none",
        # From the environment alone, as the SDK has it: see `_from_file`.
        organization=os.environ.get("OPENAI_ORG_ID") if mine else None,
        project=os.environ.get("OPENAI_PROJECT_ID") if mine else None,
        limit="max_tokens" if foreign else "max_completion_tokens",
        **sampling,
        **(_verbatim(spec.params, "max_completion_tokens") if foreign else spec.params),
    )


def _is_openais(base_url: str) -> bool:
    """Whether OpenAI's own models are behind the address, which want OpenAI's own names."""
    name = urlsplit(base_url).hostname or ""
    return name == "api.openai.com" or name.endswith(".openai.azure.com")


def _verbatim(params: dict[str, Any], name: str) -> dict[str, Any]:
    """`params` with one of them sent under the very name it has there."""
    if name not in params:
        return params
    rest = {key: value for key, value in params.items() if key != name}
    return {**rest, "extra_body": {**rest.get("extra_body", {}), name: params[name]}}


def _by_langchain(provider: str, name: str, fields: dict[str, Any]) -> BaseChatModel:
    from langchain.chat_models import init_chat_model

    try:
        model: BaseChatModel = init_chat_model(name, model_provider=provider, max_retries=0, **fields)
    except Exception as exc:
        # Every provider's package fails in its own way here, and before any request: absent, no key, wrong
        # settings.
        raise _cannot_be_made(f"{provider}:{name}", exc) from None
    return model
