"""Prices: exact if known, None if unknown, never an invented zero."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from moa_graph.costs.prices import PAPER, cache_savings, listed, price
from moa_graph.errors import ConfigError
from moa_graph.mixture.proposer import Proposer
from moa_graph.state import Usage, new_usage


def usage(tokens_in: int = 1_000_000, tokens_out: int = 1_000_000) -> Usage:
    return new_usage(tokens_in, tokens_out)


def cost(model: str, used: Usage | None, *, base_url: str | None = None, **options: Any) -> float | None:
    return price(Proposer(model=model, base_url=base_url), used, **options)


def test_a_listed_model_has_its_price() -> None:
    assert cost("openai:gpt-4o", usage()) == pytest.approx(12.5)
    assert cost("openai:gpt-4o", usage(0, 0)) == 0.0


@pytest.mark.parametrize("model", ["openai:no-such-model", "no-such-provider:gpt-4o"])
def test_an_unknown_price_is_unknown(model: str) -> None:
    assert cost(model, usage()) is None


def test_unknown_usage_is_unknown_cost() -> None:
    assert cost("openai:gpt-4o", None) is None


@pytest.mark.parametrize("model", sorted(PAPER))
def test_every_model_of_the_paper_has_a_price(model: str) -> None:
    assert (cost(model, usage()) or 0.0) > 0.0


def test_the_mixtures_own_price_is_found_by_full_name_and_by_name() -> None:
    assert cost("openai:gpt-4o", usage(), prices={"gpt-4o": (1, 2)}) == pytest.approx(3.0)
    prices = {"openai:gpt-4o": {"input": 0.5, "output": 0.5, "date": "2026-11-22"}, "gpt-4o": (9.0, 9.0)}
    assert cost("openai:gpt-4o", usage(), prices=prices) == pytest.approx(1.0)


def test_the_mixtures_own_price_of_cached_tokens() -> None:
    prices = {"gpt-4o": {"input": 10, "output": 20, "cache_read": 1, "cache_write": 12.5}}
    cached = new_usage(1_000_000, 0, cache_read_tokens=500_000, cache_write_tokens=100_000)
    assert cost("openai:gpt-4o", cached, prices=prices) == pytest.approx(4 + 0.5 + 1.25)
    assert cost("openai:gpt-4o", cached, prices={"gpt-4o": (10, 20)}) == pytest.approx(10)
    hour = new_usage(1_000_000, 0, cache_write_tokens=300_000, cache_write_1h_tokens=100_000)
    assert cost("openai:gpt-4o", hour, prices=prices) == pytest.approx(7 + 0.3 * 12.5)
    dearer = {"gpt-4o": {**prices["gpt-4o"], "cache_write_1h": 20}}
    assert cost("openai:gpt-4o", hour, prices=dearer) == pytest.approx(7 + 0.2 * 12.5 + 2)


def test_the_providers_stated_cost_comes_first() -> None:
    assert cost("openai:gpt-4o", usage(), prices={"gpt-4o": (1, 2)}, reported=0.25) == 0.25
    assert cost("openai:gpt-4o", usage(), reported=float("nan")) == pytest.approx(12.5)


def test_local_models_are_known_to_be_free() -> None:
    assert cost("local:smollm2", None) == 0.0
    assert cost("ollama:llama3", usage(), base_url="http://127.0.0.1:11434") == 0.0


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "http://10.0.0.7/v1", "http://gateway/v1", "http://a.lan/v1"])
def test_a_private_host_has_no_list_price(url: str) -> None:
    assert not listed(Proposer(model="openai:gpt-4o", base_url=url))
    assert cost("openai:gpt-4o", usage(), base_url=url) is None
    assert cost("openai:gpt-4o", usage(), base_url=url, prices={"gpt-4o": (1, 1)}) == pytest.approx(2.0)


def test_a_public_host_has_the_price_of_the_provider_whose_host_it_is() -> None:
    assert cost("openai:gpt-4o", usage(), base_url="https://api.openai.com/v1") == pytest.approx(12.5)
    assert cost("openai:gpt-4o", usage(), base_url="https://llm.example.com/v1") is None
    groq = cost("openai:llama-3.3-70b-versatile", usage(), base_url="https://api.groq.com/openai/v1")
    assert groq == cost("groq:llama-3.3-70b-versatile", usage()) and groq


def test_a_long_prompt_has_its_own_price() -> None:
    short = cost("google_genai:gemini-2.5-pro", usage(100_000, 0))
    long = cost("google_genai:gemini-2.5-pro", usage(300_000, 0))
    assert short and long and long > 3.5 * short


def test_what_caches_saved_is_the_difference_to_uncached_input() -> None:
    spec = Proposer(model="openai:gpt-4o")
    cached = new_usage(10_000, 100, cache_read_tokens=9_000)
    assert cache_savings(spec, cached) == pytest.approx(0.01125)
    assert cache_savings(spec, new_usage(10_000, 100)) == 0.0
    hour = new_usage(10_000, 100, cache_write_tokens=9_000, cache_write_1h_tokens=9_000)
    anthropic = Proposer(model="anthropic:claude-sonnet-4-5")
    assert cache_savings(anthropic, hour) == pytest.approx(-9_000 * 3 / 1e6)
    assert cache_savings(spec, None) is None and cache_savings(Proposer(model="openai:none"), cached) is None


@pytest.mark.parametrize(
    "wrong", [(1,), (1, 2, 3), (True, 1), (-1, 1), ("1", "2"), "12", {"input": 1}, (float("nan"), 1)]
)
def test_a_malformed_price_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="gpt-4o"):
        cost("openai:gpt-4o", usage(), prices={"gpt-4o": wrong})


def test_the_price_list_is_loaded_lazily() -> None:
    code = "import sys, moa_graph.costs.prices; print('genai_prices' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


@pytest.mark.parametrize("reported", [-1.0, float("nan"), float("inf")])
def test_an_invalid_stated_cost_is_ignored(reported: float) -> None:
    assert cost("openai:gpt-4o", usage(), reported=reported) == pytest.approx(12.5)
    assert cost("openai:no-such-model", usage(), reported=reported) is None
