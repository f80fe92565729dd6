"""The page's last event says what the whole cost beside the aggregator alone, and what caches saved."""

from tests.provider import Provider
from tests.serve.test_again import ASK, post
from tests.serving import Served, mixture


def test_the_receipt_has_the_aggregator_alone_and_the_savings(provider: Provider) -> None:
    prices = {"one-say=a": [10, 10], "agg-say=b": {"input": 10, "output": 10, "cache_read": 1}}
    with Served({"m": mixture(provider, "one-say=a", aggregator="agg-say=b", prices=prices)}) as served:
        _, events = post(served, {"mixture": "m", "messages": ASK})
    last = events[-1]
    assert last["moa"] == "answer" and set(last["receipt"]) == {"alone", "caches_saved"}
    assert 0 < last["receipt"]["alone"] < last["record"]["cost"] and last["receipt"]["caches_saved"] == 0


def test_a_receipt_without_a_price_is_unknown(provider: Provider) -> None:
    with Served({"m": mixture(provider, "one-say=a", aggregator="agg-say=b")}) as served:
        _, events = post(served, {"mixture": "m", "messages": ASK})
    assert events[-1]["receipt"] == {"alone": None, "caches_saved": None}


def test_a_run_that_fails_has_none(provider: Provider) -> None:
    with Served({"m": mixture(provider, "one-say=a", aggregator="agg-err500")}) as served:
        _, events = post(served, {"mixture": "m", "messages": ASK})
    assert events[-1]["moa"] == "failed" and "receipt" not in events[-1]
