"""Provider hosts and API keys: which variable holds the key of which host."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from urllib.parse import urlsplit

from moa_graph.errors import ConfigError, MissingKeyError
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models.env_file import from_env_file
from moa_graph.models.providers import PROVIDERS, find
from moa_graph.models.trust import has_passed, require_trusted

_ADDRESSES = ("openai_api_base", "together_api_base", "base_url", "api_base", "endpoint_url", "anthropic_api_url")
"""Where LangChain's model classes keep their host."""


_from_file: dict[str, str] = {}
"""Keys that the last look into `.env` found: reading files blocks, which a server's event loop must not."""

_KNOWN = frozenset(name for provider in PROVIDERS.values() for name in provider.keys)


def environment(name: str, *, named: bool = False) -> str | None:
    """Return an API key from the environment, or else from the nearest `.env` upward; empty counts as unset.

    A `.env` provides keys of known providers and variables that a mixture names, and no settings: it may come with a
    folder of somebody else's.

    Args:
        name: The variable.
        named: A mixture that the user chose names the variable.
    """
    if value := os.environ.get(name):
        return value
    if name in _KNOWN or (named and not name.upper().startswith("MOA_")):
        return from_env_file(name)
    return None


def host(spec: Proposer) -> str | None:
    """Whose limits the model's requests count against; `None` for a model inside this process."""
    if not isinstance(spec.model, str):
        address = next((a for n in _ADDRESSES if isinstance(a := getattr(spec.model, n, None), str) and a), "")
        return urlsplit(address).netloc or type(spec.model).__qualname__
    if spec.base_url:
        return urlsplit(spec.base_url).netloc
    name = spec.model.partition(":")[0]
    provider = find(name)
    return urlsplit(provider.address()).netloc if provider else None if name == "local" else name


def key_name(spec: Proposer) -> str | None:
    """The variable that holds the key of the model's host; `None` when it needs none that we know of."""
    if not isinstance(spec.model, str):
        return None
    if spec.base_url:
        return spec.api_key_env
    provider = find(spec.model.partition(":")[0])
    if provider is None:
        return None
    return next((name for name in provider.keys if os.environ.get(name) or name in _from_file), provider.key)


def require_keys(specs: Iterable[Proposer]) -> None:
    """Check that every key is there, can be sent, and may be sent where its mixture file says.

    Raises:
        MissingKeyError: Names all missing variables at once, with the models that need them.
        ConfigError: A key cannot stand in a header, or a mixture file may not send it.
    """
    specs = list(specs)
    require_trusted(specs)
    wanted: dict[str, list[str]] = {}
    for spec in specs:
        _look_for_other_keys(spec)
        if (name := key_name(spec)) and spec.label not in wanted.setdefault(name, []):
            wanted[name].append(spec.label)
    values = {name: _sendable(name, environment(name, named=True)) for name in wanted}
    # For `_openai_compatible`, which runs on an event loop and there must not look for files.
    _from_file.update({name: value for name, value in values.items() if value and not os.environ.get(name)})
    missing = {name: models for name, models in wanted.items() if not values[name]}
    if missing:
        text = "; ".join(f"{name} (for {', '.join(models)})" for name, models in missing.items())
        raise MissingKeyError(
            f"missing in the environment and in .env: {text}. Set it, or choose another preset: `local` needs no key.",
            names=list(missing),
        )


def _look_for_other_keys(spec: Proposer) -> None:
    """Let `key_name` know of keys in `.env` under a provider's less usual variables."""
    provider = find(spec.model.partition(":")[0]) if isinstance(spec.model, str) and not spec.base_url else None
    for name in provider.other_keys if provider else ():
        if not os.environ.get(name) and (value := environment(name)):
            _from_file[name] = value


def _secret(spec: Proposer) -> str | None:
    """The key of the model's host as it stands now; `None` when it needs none that we know of."""
    name = key_name(spec)
    if name is None:
        return None
    if not has_passed(spec):
        # Reached only when a caller makes a model without `create_moa` and `require_keys`.
        require_trusted([spec])
    return _sendable(name, os.environ.get(name) or _from_file.get(name) or environment(name, named=True))


def _sendable(name: str, value: str | None) -> str | None:
    """Return the value of a key.

    Raises:
        ConfigError: The value cannot stand in a header. The message has the variable's name and not the value.
    """
    if value and not (value.isascii() and value.isprintable() and value == value.strip()):
        what = "a line break" if "\n" in value or "\r" in value else "spaces, control or non-ASCII characters"
        raise ConfigError(f"{name}: the key contains {what} and cannot be sent. Set the variable to the key alone.")
    return value


def _keys_now(spec: Proposer) -> str:
    """A hash of the keys that a model of `spec` would be made with, so that a key put right is used at once."""
    text = _secret(spec) or ""
    if not (spec.base_url or is_embedded(spec) or key_name(spec)):
        # A package of LangChain's reads its own variables, whichever those are.
        text = "\n".join(f"{k}={v}" for k, v in sorted(os.environ.items()) if k.endswith(("_KEY", "_TOKEN")))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
