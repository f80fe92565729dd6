"""Tokens to dollars. An unknown price is unknown (`None`), never 0.

In order: what the provider itself reported, the mixture's own `prices`, genai-prices (bundled with that
package, no network), a small dated table for models that it lacks. A bare table of prices ages:
`price_source` says how old it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version

from moa_graph.mixture.price_overrides import Override, rates
from moa_graph.state import Usage

__all__ = ["cost", "load", "loaded", "price_source"]

PAPER_DATE = "2024-06"
PAPER: dict[str, tuple[float, float]] = {
    "together:Qwen/Qwen1.5-110B-Chat": (1.80, 1.80),
    "together:Qwen/Qwen1.5-72B-Chat": (0.90, 0.90),
    "together:microsoft/WizardLM-2-8x22B": (1.20, 1.20),
    "together:meta-llama/Llama-3-70b-chat-hf": (0.90, 0.90),
    "together:mistralai/Mixtral-8x22B-Instruct-v0.1": (1.20, 1.20),
    "together:databricks/dbrx-instruct": (1.20, 1.20),
}
"""Dollars per million tokens in and out of the paper's six models, as Together listed them by size when the
paper came out: dense models of 41 to 80 billion parameters 0.90, of 80 to 110 1.80; mixtures of experts of 56
to 176 in all 1.20. Most are no longer served; where genai-prices knows a model, its price wins (for
Mixtral-8x22B it says 2.40)."""

_FREE = frozenset({"local", "ollama"})
"""Providers that run on the user's own machine."""

_GENAI_IDS = {
    "azure_openai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "google_genai": "google",
    "google_vertexai": "google",
    "google_anthropic_vertex": "google",
    "mistralai": "mistral",
    "xai": "x-ai",
}
"""LangChain's provider names where genai-prices has another."""


def cost(
    model: str,
    usage: Usage | None,
    *,
    overrides: Mapping[str, Override] | None = None,
    provider_cost: float | None = None,
    listed: bool = True,
) -> float | None:
    """Dollars for `usage` of `model` ("provider:name"), or None when the price or the usage is unknown.

    `overrides` are the mixture's prices, by "provider:name" or name. `listed=False` is for a host of the
    caller's own: public price lists do not speak of it.
    """
    if provider_cost is not None and math.isfinite(provider_cost) and provider_cost >= 0:
        return float(provider_cost)
    if model.partition(":")[0] in _FREE and listed:
        return 0.0
    if usage is None:
        return None
    own = _override(model, overrides or {})
    if own is not None:
        return _dollars(own, usage)
    return _list_price(model, usage) if listed else None


def price_source() -> str:
    """Where prices come from and how old they are, in one line."""
    return f"genai-prices {version('genai-prices')} (offline); the paper's models: Together, {PAPER_DATE}"


def _dollars(rates: tuple[float, float], usage: Usage) -> float:
    return (rates[0] * usage["input_tokens"] + rates[1] * usage["output_tokens"]) / 1e6


def _override(model: str, overrides: Mapping[str, Override]) -> tuple[float, float] | None:
    for name in (model, model.partition(":")[2]):
        if name and name in overrides:
            return rates(name, overrides[name])
    return None


def _list_price(model: str, usage: Usage) -> float | None:
    provider, _, name = model.partition(":")
    if not name:
        return None
    found = _genai(_GENAI_IDS.get(provider, provider), name, *_counts(usage))
    if found is None and model in PAPER:
        return _dollars(PAPER[model], usage)
    return found


def _counts(usage: Usage) -> tuple[int, int, int, int]:
    """Input, output, cache read and cache write tokens; cached tokens are part of the input."""
    read = min(usage["cache_read_tokens"], usage["input_tokens"])
    return (
        usage["input_tokens"],
        usage["output_tokens"],
        read,
        min(usage["cache_write_tokens"], usage["input_tokens"] - read),
    )


_loaded = False


def loaded() -> bool:
    """Whether the price list is in memory, so that `cost` neither blocks nor takes long."""
    return _loaded


def load() -> None:
    """Read the price list; about a second of CPU, once."""
    global _loaded
    import genai_prices.data_snapshot

    genai_prices.data_snapshot.get_snapshot()
    _loaded = True


@lru_cache(maxsize=4096)
def _genai(provider: str, name: str, tokens_in: int, tokens_out: int, read: int, written: int) -> float | None:
    """genai-prices' answer, or None."""
    load()
    import genai_prices

    try:
        usage = genai_prices.Usage(
            input_tokens=tokens_in, output_tokens=tokens_out, cache_read_tokens=read, cache_write_tokens=written
        )
        price = genai_prices.calc_price(usage, name, provider_id=provider)
    except (LookupError, ValueError):
        return None  # a provider, a model or a date it does not know
    return float(price.total_price)
