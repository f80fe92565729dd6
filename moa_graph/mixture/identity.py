"""What a caller's own chat model is, as plain data: class, host, and every setting that may change an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from moa_graph.errors import ConfigError

_SAME_ANSWER = frozenset(
    {"callbacks", "callback_manager", "cache", "verbose", "tags", "metadata", "name", "rate_limiter", "profile"}
    | {"custom_get_token_ids", "max_retries", "timeout", "request_timeout", "default_request_timeout"}
    | {"disable_streaming", "streaming", "stream_usage", "stream_chunk_timeout", "http_socket_options"}
)
"""Fields of LangChain's model classes that do not change what a model answers."""


def identity(model: Any, *, strict: bool = True) -> dict[str, Any]:
    """Return what distinguishes a chat model from others. Keys, clients and other objects are left out.

    Args:
        model: The chat model.
        strict: Refuse settings that cannot be distinguished; otherwise they are named by their class.

    Raises:
        ConfigError: A setting is an iterator or a closure: what it holds decides the answers and cannot be read.
    """
    settings: dict[str, Any] = {}
    # Defaults belong to the class; what a model changes in itself while it works is not a setting.
    for name in sorted(model.model_fields_set):
        value = getattr(model, name, None)
        if name not in _SAME_ANSWER and value is not None:
            try:
                settings[name] = _plain(value, f"{type(model).__name__}.{name}")
            except ConfigError:
                if strict:
                    raise
                settings[name] = f"<{type(value).__qualname__}>"
    settings["identifying"] = _shallow(model._identifying_params)
    settings["ls"] = _shallow(model._get_ls_params())
    return {"class": f"{type(model).__module__}.{type(model).__qualname__}", **settings}


def _plain(value: Any, place: str) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each, f"{place}.{key}") for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        parts = [_plain(each, place) for each in value]
        return sorted(parts, key=repr) if isinstance(value, set | frozenset) else parts
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if hasattr(value, "get_secret_value"):
        return "<secret>"  # another key is the same model
    if isinstance(value, Iterator) or getattr(value, "__closure__", None):
        raise ConfigError(
            f"{place}: a ledger cannot tell this {type(value).__name__} from another one, and might return an answer "
            'of another model. Give the model as "provider:model", or leave the ledger out.'
        )
    if isinstance(value, type) or hasattr(value, "__qualname__"):
        return f"<{value.__module__}.{value.__qualname__}>"
    if (address := _address(value)) is not None:
        return address
    if (fields := getattr(type(value), "model_fields", None)) is not None:
        # A message's id and metadata are not sent.
        sent = [name for name in fields if name not in ("id", "response_metadata", "usage_metadata")]
        return {"class": type(value).__qualname__, **{name: _plain(getattr(value, name), place) for name in sent}}
    # Objects of helpers are known by their class: what they hold changes while the model works.
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


def _address(value: Any) -> str | None:
    """Return the host of an SDK's client; None when the object is not a client."""
    name = type(value).__qualname__
    if not (name.endswith(("Client", "OpenAI", "Completions", "Anthropic", "Transport", "Later")) or "client" in name):
        return None
    owner = getattr(value, "_client", value)
    return f"<{name} {getattr(owner, 'base_url', '')}>"


def _shallow(value: Any) -> Any:
    """Return identifying parameters reduced to JSON values."""
    try:
        return json.loads(json.dumps(value, default=lambda each: type(each).__qualname__))
    except (TypeError, ValueError, RecursionError):
        return type(value).__qualname__
