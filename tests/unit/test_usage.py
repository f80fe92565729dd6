"""Usage: its five counts, their sum, rows of older ledgers, and the price of cached tokens."""

from __future__ import annotations

from moa_graph.costs.prices import price
from moa_graph.mixture.proposer import Proposer
from moa_graph.state import as_usage, new_usage, total_usage


def test_sums_add_every_count_and_pass_over_unknown_usages():
    one = new_usage(10, 5, reasoning_tokens=2, cache_read_tokens=8, cache_write_tokens=1)
    assert total_usage([one, None, one]) == new_usage(
        20, 10, reasoning_tokens=4, cache_read_tokens=16, cache_write_tokens=2
    )
    assert total_usage([]) == new_usage()


def test_a_sum_of_huge_counts_stays_below_two_to_the_53():
    assert total_usage([new_usage(2**53 - 1, 1)] * 3) == new_usage(2**53 - 1, 3)


def test_rows_written_before_there_were_cached_tokens_are_read():
    assert as_usage({"input_tokens": 3, "output_tokens": 4, "reasoning_tokens": 1}) == new_usage(
        3, 4, reasoning_tokens=1
    )


def test_cached_tokens_are_priced_as_such():
    full, cached = new_usage(10_000, 100), new_usage(10_000, 100, cache_read_tokens=9_000)
    dear, cheap = price(Proposer(model="openai:gpt-4o"), full), price(Proposer(model="openai:gpt-4o"), cached)
    assert dear is not None and cheap is not None
    assert dear == 0.026 and round(cheap, 6) == 0.01475


def test_more_cached_tokens_than_input_do_not_void_the_price():
    assert (
        price(Proposer(model="openai:gpt-4o"), new_usage(10, 0, cache_read_tokens=50, cache_write_tokens=50))
        is not None
    )
