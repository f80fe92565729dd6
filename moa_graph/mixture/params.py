"""What `params` may hold: request parameters, never who is asked, where, or through what."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from moa_graph.errors import ConfigError
from moa_graph.state.value_text import given

_DESTINATION = re.compile(
    r"(?:.*_)?(?:api_?key|organization|url|uri|api_base|endpoint|prox(?:y|ies)|hosts?|client|transport|mounts|token)",
    re.IGNORECASE,
)
"""Names under which LangChain and the SDKs keep keys, addresses and ways to them."""

_FIXED = frozenset({"messages", "input", "model", "model_name", "stream"})
"""Parts of the request that the mixture itself decides."""

_HEADERS = frozenset({"default_headers", "extra_headers", "additional_headers", "headers"})
_CONTAINERS = frozenset({"model_kwargs", "extra_body"})
_FORBIDDEN_HEADERS = frozenset(
    {"host", "authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
    | {"content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"}
)


def check_params(params: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """Check that `params` are plain request parameters.

    Args:
        params: What a proposer's `params` hold.
        fields: The names of the proposer's own fields.

    Raises:
        ConfigError: A name is a field of its own, an address or a key, or a value is not plain JSON.
    """
    if not _is_plain(params):
        raise ConfigError(
            f"proposer.params: {_culprit(params)} cannot be sent. Write text, finite numbers, true, false, null, lists "
            "and mappings only."
        )
    for name in params:
        if name in fields:
            raise ConfigError(f"proposer.params: {name!r} is a field of its own. Write it beside `params`.")
    _check_names(params)


def _culprit(params: Mapping[str, Any]) -> str:
    """Return the names of the parameters that are not plain JSON."""
    return ", ".join(name for name, value in params.items() if not _is_plain(value))


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _check_names(params: Mapping[str, Any], place: str = "proposer.params") -> None:
    for name, value in params.items():
        _check_name(name, place)
        if name in _FIXED:
            raise ConfigError(f"{place}: {name!r} is set by the mixture and cannot be a parameter. Remove it.")
        if _DESTINATION.fullmatch(name):
            raise ConfigError(
                f"{place}: {name!r} is not a request parameter. The host is `base_url`; a key is read from "
                "the environment, a server's own key from the variable that `api_key_env` names."
            )
        if name in _HEADERS:
            _check_headers(value, f"{place}.{name}")
        elif name in _CONTAINERS and isinstance(value, Mapping):
            _check_names(value, f"{place}.{name}")


def _check_name(name: object, place: str) -> None:
    if not isinstance(name, str):
        raise ConfigError(f"{place}: the name {given(name)} must be text. Put it in quotes.")


def _check_headers(headers: Any, place: str) -> None:
    if not isinstance(headers, Mapping):
        raise ConfigError(f"{place}: expected a mapping of header names to values.")
    for name, value in headers.items():
        _check_name(name, place)
        if name.strip().lower() in _FORBIDDEN_HEADERS:
            raise ConfigError(f"{place}: the header {name!r} is set by the client and cannot be given. Remove it.")
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or re.search(r"[\x00-\x1f\x7f]", str(value)):
            raise ConfigError(f"{place}: {name!r} is not a valid header.")
