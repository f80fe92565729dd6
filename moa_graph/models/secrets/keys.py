"""Provider hosts and API keys: which variable holds the key of which host."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from urllib.parse import urlsplit

from moa_graph.errors import ConfigError, MissingKeyError
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models.providers import PROVIDERS, find
from moa_graph.models.secrets.env_file import from_env_file
from moa_graph.models.secrets.trust import has_passed, require_trusted

_ADDRESSES = ("openai_api_base", "together_api_base", "base_url", "api_base", "endpoint_url", "anthropic_api_url")
"""Attributes in which LangChain's model classes hold their host."""


_from_file: dict[str, str] = {}
"""Keys from `.env`, by variable. Reading a file blocks, so code on an event loop uses these."""

_KNOWN = frozenset(name for provider in PROVIDERS.values() for name in provider.keys)


def environment(name: str, *, named: bool = False) -> str | None:
    """Return an API key from the environment, or else from the nearest `.env` upward; blank counts as unset.

    A `.env` provides keys of known providers and variables that a mixture names. It provides no settings, because the
    folder may have come from another person.

    Args:
        name: The variable.
        named: A mixture that the user chose names the variable.
    """
    if (value := os.environ.get(name)) and value.strip():
        return value
    if name in _KNOWN or (named and not name.upper().startswith("MOA_")):
        return from_env_file(name)
    return None


def host(spec: Proposer) -> str | None:
    """Return the host whose rate limits apply to the model's requests, or None for a model inside this process."""
    if not isinstance(spec.model, str):
        address = next((a for n in _ADDRESSES if isinstance(a := getattr(spec.model, n, None), str) and a), "")
        return urlsplit(address).netloc or type(spec.model).__qualname__
    if spec.base_url:
        return urlsplit(spec.base_url).netloc
    name = spec.model.partition(":")[0]
    provider = find(name)
    return urlsplit(provider.address()).netloc if provider else None if name == "local" else name


def address(spec: Proposer) -> str | None:
    """Return what identifies the server that answers: `host`, or the whole address where the user replaced it."""
    provider = find(spec.model.partition(":")[0]) if isinstance(spec.model, str) and not spec.base_url else None
    replaced = provider.address() if provider else ""
    return host(spec) if provider is None or replaced == provider.base_url else replaced


def key_name(spec: Proposer) -> str | None:
    """Return the variable that holds the key of the model's host, or None when no key is known to be needed."""
    if not isinstance(spec.model, str):
        return None
    if spec.base_url:
        return spec.api_key_env
    provider = find(spec.model.partition(":")[0])
    if provider is None:
        return None
    return next((name for name in provider.keys if os.environ.get(name) or name in _from_file), provider.key)


def require_keys(specs: Iterable[Proposer], *, way_out: str = "choose another preset: `local` needs no key") -> None:
    """Check that every key is set, is valid in a header, and may be sent to the host that its mixture file names.

    Args:
        specs: The models.
        way_out: What the user can do instead of setting a missing key.

    Raises:
        MissingKeyError: Variables are missing. The message names all of them, with the models that need them.
        ConfigError: A key is not valid in a header, or the mixture file may not send it.
    """
    specs = list(specs)
    require_trusted(specs)
    wanted: dict[str, list[str]] = {}
    for spec in specs:
        _look_for_other_keys(spec)
        if (name := key_name(spec)) and spec.label not in wanted.setdefault(name, []):
            wanted[name].append(spec.label)
    values = {name: sendable(name, environment(name, named=True)) for name in wanted}
    # `_openai_compatible` runs on an event loop and must not read files.
    _from_file.update({name: value for name, value in values.items() if value and not os.environ.get(name)})
    missing = {name: models for name, models in wanted.items() if not values[name]}
    if missing:
        text = "; ".join(f"{name} (for {', '.join(models)})" for name, models in missing.items())
        raise MissingKeyError(
            f"missing in the environment and in .env: {text}. Set it, or {way_out}.",
            names=list(missing),
        )


def _look_for_other_keys(spec: Proposer) -> None:
    """Read a provider's alternative key variables from `.env`, for `key_name`."""
    provider = find(spec.model.partition(":")[0]) if isinstance(spec.model, str) and not spec.base_url else None
    for name in provider.other_keys if provider else ():
        if not os.environ.get(name) and (value := environment(name)):
            _from_file[name] = value


def secret_of(spec: Proposer) -> str | None:
    """Return the current key of the model's host, or None when no key is known to be needed."""
    name = key_name(spec)
    if name is None:
        return None
    if not has_passed(spec):
        # Only for callers that make a model without `create_moa` and `require_keys`.
        require_trusted([spec])
    return sendable(name, os.environ.get(name) or _from_file.get(name) or environment(name, named=True))


def sendable(name: str, value: str | None) -> str | None:
    """Return the value of a key.

    Raises:
        ConfigError: The value is not valid in a header. The message has the variable's name and not the value.
    """
    quoted = value and value[0] == value[-1] and value[0] in "'\""  # `docker run --env-file` keeps quotes
    if value and (quoted or not (value.isascii() and value.isprintable() and value == value.strip())):
        what = "a line break" if "\n" in value or "\r" in value else "spaces, control or non-ASCII characters"
        what = "quotes around it" if quoted else what
        raise ConfigError(f"{name}: the key contains {what} and cannot be sent. Set the variable to the key alone.")
    return value


def keys_now(spec: Proposer) -> str:
    """Return a hash of the keys that a new model of `spec` would use, so that a corrected key takes effect at once."""
    text = secret_of(spec) or ""
    if not (spec.base_url or is_embedded(spec) or key_name(spec)):
        # The provider's LangChain package reads variables of its own choice.
        text = "\n".join(f"{k}={v}" for k, v in sorted(os.environ.items()) if k.endswith(("_KEY", "_TOKEN")))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
