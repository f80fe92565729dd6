"""Tokens and dollars as a provider states them, as figures that can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

from moa_graph.state import Usage, new_usage

__all__ = ["stated_cost", "usage_from", "usage_metadata"]

_INPUT: Final = ("input_tokens", "prompt_tokens")
_OUTPUT: Final = ("output_tokens", "completion_tokens")


def _count(value: object) -> int | None:
    """Return a token count as a non-negative integer below 2**53, or None. Fractions are rounded."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(value) if 0 <= value < 2**53 else None


def usage_from(given: object) -> Usage | None:
    """Return a usage in any of the usual shapes as counts that can be trusted, or None."""
    if not isinstance(given, Mapping):
        return None
    sent = next((count for name in _INPUT if (count := _count(given.get(name))) is not None), None)
    received = next((count for name in _OUTPUT if (count := _count(given.get(name))) is not None), None)
    if sent is None or received is None:
        return None
    cached = min(_detail(given, "cache_read", "cached_tokens"), sent)
    written = max(_detail(given, "cache_creation", "cache_write_tokens"), _detail(given, "ephemeral_5m_input_tokens"))
    return new_usage(
        sent,
        received,
        reasoning_tokens=min(_detail(given, "reasoning", "reasoning_tokens"), received),
        cache_read_tokens=cached,
        cache_write_tokens=min(written, sent - cached),
    )


def _detail(usage: Mapping[str, Any], *names: str) -> int:
    """Return a count from the details of a usage, where a service tier's name may precede the count's name."""
    for key in ("input_token_details", "output_token_details", "prompt_tokens_details", "completion_tokens_details"):
        details = usage.get(key)
        for name, value in details.items() if isinstance(details, Mapping) else ():
            if isinstance(name, str) and name.endswith(names) and (count := _count(value)):
                return count
    return 0


def usage_metadata(usage: Usage | None) -> UsageMetadata | None:
    """Return a usage in LangChain's form."""
    if usage is None:
        return None
    return UsageMetadata(
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        total_tokens=usage["input_tokens"] + usage["output_tokens"],
        input_token_details=InputTokenDetails(
            cache_read=usage["cache_read_tokens"], cache_creation=usage["cache_write_tokens"]
        ),
        output_token_details=OutputTokenDetails(reasoning=usage["reasoning_tokens"]),
    )


def stated_cost(metadata: Mapping[str, Any]) -> float | None:
    """Return the dollars that the provider says the call cost (as OpenRouter does), or None."""
    places = (metadata, metadata.get("token_usage"), metadata.get("usage"))
    for place in places:
        cost = place.get("cost") if isinstance(place, Mapping) else None
        if isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost < 1e9 and math.isfinite(cost):
            return float(cost)
    return None
