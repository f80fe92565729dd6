"""The hash of a mixture: what it covers, and what it leaves out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from moa_graph.mixture.proposer import Proposer
from moa_graph.mixture.validation import Checked

__all__ = ["hash_of"]

_HASHED = frozenset(
    ("rounds", "proposers", "aggregator", "fallbacks", "layers", "prompt", "system", "shuffle", "draft_tokens")
)
"""The fields that decide the answers."""

_LIMITS = frozenset({"max_concurrent", "one_request"})
"""Fields of a proposer that decide how requests are sent and not what is sent."""


def hash_of(mixture: Checked, specs: Sequence[Proposer], optional: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits over all that decides a mixture's answers.

    Args:
        mixture: The mixture.
        specs: Every model of it.
        optional: Further fields that decide the answers, with the value at which each is left out.
    """
    parts = _HASHED | {name for name, default in optional.items() if getattr(mixture, name) != default}
    data: list[Any] = [_without_limits(mixture.model_dump(mode="json", include=set(parts)))]
    # In the data, a chat model object is only its class and its model's name.
    data += [spec.identity(strict=False) for spec in specs if not isinstance(spec.model, str)]
    text = json.dumps(data if len(data) > 1 else data[0], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_limits(value: Any) -> Any:
    """Return a mixture's data without the proposers' `_LIMITS`."""
    if isinstance(value, dict):
        return {key: _without_limits(each) for key, each in value.items() if key not in _LIMITS}
    return [_without_limits(each) for each in value] if isinstance(value, list) else value
