"""Provider hosts and API keys: which variable holds the key of which host."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from urllib.parse import urlsplit

from moa_graph.errors import MissingKeyError
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models.providers import find

_ADDRESSES = ("openai_api_base", "together_api_base", "base_url", "api_base", "endpoint_url", "anthropic_api_url")
"""Where LangChain's model classes keep their host."""


_from_file: dict[str, str] = {}
"""Keys that the last look into `.env` found: reading files blocks, which a server's event loop must not."""


def environment(name: str) -> str | None:
    """The variable's value from the environment, or else from the nearest `.env` upward; empty counts as
    unset."""
    value = os.environ.get(name)
    if value:
        return value
    # Imported here: it is needed only where a variable is not set.
    from dotenv import dotenv_values, find_dotenv

    return dotenv_values(find_dotenv(usecwd=True)).get(name) or None


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
    """Checks that every key is there.

    Raises:
        MissingKeyError: naming all missing variables at once, with the models that need them.
    """
    wanted: dict[str, list[str]] = {}
    for spec in specs:
        _look_for_other_keys(spec)
        if (name := key_name(spec)) and spec.label not in wanted.setdefault(name, []):
            wanted[name].append(spec.label)
    values = {name: environment(name) for name in wanted}
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
    return (os.environ.get(name) or _from_file.get(name) or environment(name)) if name else None


def _keys_now(spec: Proposer) -> str:
    """A hash of the keys that a model of `spec` would be made with, so that a key put right is used at once."""
    text = _secret(spec) or ""
    if not (spec.base_url or is_embedded(spec) or key_name(spec)):
        # A package of LangChain's reads its own variables, whichever those are.
        text = "\n".join(f"{k}={v}" for k, v in sorted(os.environ.items()) if k.endswith(("_KEY", "_TOKEN")))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
