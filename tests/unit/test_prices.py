"""Prices: exact where known, None where not, never a made-up zero."""

from __future__ import annotations

import subprocess
import sys

import pytest

from moa_graph.costs.prices import PAPER, cost, price_source
from moa_graph.errors import ConfigError
from moa_graph.state import Usage, new_usage


def usage(tokens_in: int = 1_000_000, tokens_out: int = 1_000_000) -> Usage:
    return new_usage(tokens_in, tokens_out)


def test_a_listed_model_has_its_price() -> None:
    assert cost("openai:gpt-4o", usage()) == pytest.approx(12.5)
    assert cost("openai:gpt-4o", usage(0, 0)) == 0.0


@pytest.mark.parametrize("model", ["openai:no-such-model", "no-such-provider:gpt-4o", "gpt-4o", "", ":", "openai:"])
def test_an_unknown_price_is_unknown(model: str) -> None:
    assert cost(model, usage()) is None


def test_unknown_usage_is_unknown_cost() -> None:
    assert cost("openai:gpt-4o", None) is None


@pytest.mark.parametrize("model", sorted(PAPER))
def test_every_model_of_the_paper_has_a_price(model: str) -> None:
    assert (cost(model, usage()) or 0.0) > 0.0


def test_the_mixtures_own_price_wins_by_full_name_and_by_name() -> None:
    assert cost("openai:gpt-4o", usage(), overrides={"gpt-4o": (1, 2)}) == pytest.approx(3.0)
    prices = {"openai:gpt-4o": {"input": 0.5, "output": 0.5, "date": "2026-11-22"}, "gpt-4o": (9.0, 9.0)}
    assert cost("openai:gpt-4o", usage(), overrides=prices) == pytest.approx(1.0)


def test_what_the_provider_reported_wins_over_all() -> None:
    assert cost("openai:gpt-4o", usage(), overrides={"gpt-4o": (1, 2)}, provider_cost=0.25) == 0.25
    assert cost("openai:gpt-4o", usage(), provider_cost=float("nan")) == pytest.approx(12.5)


def test_local_models_are_known_to_be_free_and_private_hosts_are_not_listed() -> None:
    assert cost("local:smollm2", None) == 0.0
    assert cost("openai:gpt-4o", usage(), listed=False) is None
    assert cost("openai:gpt-4o", usage(), listed=False, overrides={"gpt-4o": (1, 1)}) == pytest.approx(2.0)


@pytest.mark.parametrize("price", [(1,), (1, 2, 3), (True, 1), (-1, 1), ("1", "2"), {"input": 1}, (float("nan"), 1)])
def test_a_price_that_is_none_is_refused(price: object) -> None:
    with pytest.raises(ConfigError, match="gpt-4o"):
        cost("openai:gpt-4o", usage(), overrides={"gpt-4o": price})  # type: ignore[dict-item]


def test_the_table_is_dated_and_loaded_lazily() -> None:
    assert "2024-06" in price_source()
    code = "import sys, moa_graph.costs.prices as p; p.price_source(); print('genai_prices' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
