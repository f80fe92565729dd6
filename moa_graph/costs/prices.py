"""Convert tokens to dollars. An unknown price is None, never 0.

The sources, in this order, are the cost that the provider reported, the mixture's own `prices`, genai-prices, and a
small table for models that it lacks. genai-prices has its list in its package, so it needs no network. It covers cached
tokens, tiers and long-context prices.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
from collections.abc import Mapping
from functools import lru_cache
from inspect import signature
from typing import Any
from urllib.parse import urlsplit

from moa_graph.mixture.price_overrides import Override, Rates, rates
from moa_graph.mixture.proposer import Proposer
from moa_graph.state import Usage, new_usage

__all__ = ["cache_savings", "cost_of", "is_free", "listed", "load", "loaded", "price"]

PAPER: dict[str, tuple[float, float]] = {
    "together:Qwen/Qwen1.5-110B-Chat": (1.80, 1.80),
    "together:Qwen/Qwen1.5-72B-Chat": (0.90, 0.90),
    "together:microsoft/WizardLM-2-8x22B": (1.20, 1.20),
    "together:meta-llama/Llama-3-70b-chat-hf": (0.90, 0.90),
    "together:mistralai/Mixtral-8x22B-Instruct-v0.1": (1.20, 1.20),
    "together:databricks/dbrx-instruct": (1.20, 1.20),
}
"""Dollars per million tokens in and out of the paper's six models, as Together listed them in June 2024, by size. Dense
models of 41 to 80 billion parameters cost 0.90, and those of 80 to 110 billion 1.80. Mixtures of experts with 56 to 176
billion parameters cost 1.20. Most are no longer served. A price in genai-prices comes first: it is 2.40 for
Mixtral-8x22B."""

_FREE = frozenset({"lm_studio", "lmstudio", "local", "ollama"})
"""Providers that run on the user's own machines."""

_GENAI_IDS = {
    "azure_openai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "google_genai": "google",
    "google_vertexai": "google",
    "google_anthropic_vertex": "google",
    "gemini": "google",
    "mistralai": "mistral",
    "xai": "x-ai",
}
"""Provider names of LangChain that differ from those of genai-prices."""


def price(
    spec: Proposer,
    usage: Usage | None,
    *,
    prices: Mapping[str, Override] | None = None,
    reported: float | None = None,
    batch: bool = False,
) -> float | None:
    """Return the dollars of one call. Every cost in this package comes from here.

    Reads the price list at its first use, which takes about a second: see `loaded`.

    Args:
        spec: The model that was called, or will be.
        usage: Its tokens; None when unknown.
        prices: The mixture's own prices, by "provider:name" or by name, in dollars per million tokens.
        reported: The cost in dollars that the provider reported.
        batch: Whether the call goes through a Batch API, which has prices of its own.

    Returns:
        Dollars, or None when the usage or the price is unknown.

    Raises:
        ConfigError: An entry of `prices` is malformed.
    """
    if reported is not None and math.isfinite(reported) and reported >= 0:
        return float(reported)
    if is_free(spec):
        return 0.0
    if usage is None:
        return None
    if own := _override(spec.label, prices or {}):
        return _dollars(own, usage) * (own.batch if batch else 1.0)
    return _list_price(spec, usage, batch=batch) if listed(spec) else None


async def cost_of(
    spec: Proposer,
    usage: Usage | None,
    *,
    prices: Mapping[str, Override] | None = None,
    reported: float | None = None,
    batch: bool = False,
) -> float | None:
    """Return what `price` returns without blocking the event loop: the price list is first read in a thread."""
    if not _loaded and listed(spec):
        await asyncio.to_thread(load)
    return price(spec, usage, prices=prices, reported=reported, batch=batch)


def is_free(spec: Proposer) -> bool:
    """Return whether the model runs on the user's own machines, where no call is billed."""
    return isinstance(spec.model, str) and spec.label.partition(":")[0] in _FREE


def listed(spec: Proposer) -> bool:
    """Return whether a public price list may have a price for the model.

    It may for models at their provider's own host and at other public hosts. The cost of a private server is known
    only to its owner.
    """
    return isinstance(spec.model, str) and not is_free(spec) and (spec.base_url is None or _public(spec.base_url))


def cache_savings(spec: Proposer, usage: Usage | None, *, prices: Mapping[str, Override] | None = None) -> float | None:
    """Return the dollars that cached input tokens saved on one call; None when unknown.

    Negative when writing to the cache cost more than reading from it saved.
    """
    if usage is None:
        return None
    uncached = price(spec, new_usage(usage["input_tokens"], usage["output_tokens"]), prices=prices)
    cached = price(spec, usage, prices=prices)
    return None if uncached is None or cached is None else uncached - cached


@lru_cache(maxsize=256)
def _public(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".local", ".internal", ".lan"))


def _dollars(own: Rates, usage: Usage) -> float:
    total, output, read, written, long = _counts(usage)
    plain = own.input * (total - read - written) + own.output * output
    cached = own.cache_read * read + own.cache_write * (written - long) + own.cache_write_1h * long
    return (plain + cached) / 1e6


def _override(model: str, overrides: Mapping[str, Override]) -> Rates | None:
    for name in (model, model.partition(":")[2]):
        if name and name in overrides:
            return rates(name, overrides[name])
    return None


def _list_price(spec: Proposer, usage: Usage, *, batch: bool) -> float | None:
    provider, _, name = spec.label.partition(":")
    found = _genai(_GENAI_IDS.get(provider, provider), name, spec.base_url, *_counts(usage), batch=batch)
    if found is None and spec.base_url is None and spec.label in PAPER:
        return _dollars(Rates.of(*PAPER[spec.label]), usage)
    return found


def _counts(usage: Usage) -> tuple[int, int, int, int, int]:
    """Return input, output, cache read and cache write tokens, and those written for an hour.

    Cached tokens are part of the input, and those for an hour a part of the written ones.
    """
    read = min(usage["cache_read_tokens"], usage["input_tokens"])
    written = min(usage["cache_write_tokens"], usage["input_tokens"] - read)
    long = min(usage.get("cache_write_1h_tokens", 0), written)
    return usage["input_tokens"], usage["output_tokens"], read, written, long


_loaded = False


def loaded() -> bool:
    """Return whether the price list is in memory, so that `price` does not block."""
    return _loaded


def load() -> None:
    """Read the price list; about a second of CPU, once."""
    global _loaded
    import genai_prices.data_snapshot

    genai_prices.data_snapshot.get_snapshot()
    _loaded = True


@lru_cache(maxsize=4096)
def _genai(
    provider: str,
    name: str,
    url: str | None,
    tokens_in: int,
    tokens_out: int,
    read: int,
    written: int,
    long: int,
    *,
    batch: bool,
) -> float | None:
    """Return the price that genai-prices has for the model at its provider, or at the provider whose URL is given."""
    load()
    import genai_prices

    try:
        usage = genai_prices.Usage(
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            cache_read_tokens=read,
            cache_write_tokens=written,
            cache_write_1h_tokens=long,
        )
        where: dict[str, Any] = {"provider_id": provider} if url is None else {"provider_api_url": url}
        # Earlier versions of genai-prices have no prices of batches.
        if batch and "price_context" in signature(genai_prices.calc_price).parameters:
            where["price_context"] = {"processing": "batch"}
        found = genai_prices.calc_price(usage, name, **where)
    except (LookupError, ValueError):
        return None  # unknown provider, model or date
    return float(found.total_price)
