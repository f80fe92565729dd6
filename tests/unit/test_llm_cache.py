"""LangChain's cache of replies under a mixture: samples of one model stay samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache

from moa_graph import ChatMoA, create_moa
from tests.fakes import Fake, fake

ANSWERS = ["The answer is 1.", "The answer is 2.", "The answer is 2."]


@pytest.fixture(params=["of the process", "of the model"])
def asked(request: pytest.FixtureRequest) -> Iterator[Fake]:
    """A model with a cache, its own or that of the process."""
    if request.param == "of the model":
        yield fake("asked", *ANSWERS).model_copy(update={"cache": InMemoryCache()})
        return
    set_llm_cache(InMemoryCache())
    yield fake("asked", *ANSWERS)
    set_llm_cache(None)


@pytest.mark.parametrize("combine", ["synthesize", {"name": "vote", "batch": 1}])
async def test_every_sample_is_asked_once_and_found_again(asked: Fake, combine: Any) -> None:
    """Samples that are asked one after the other were copies of the first; at the second question, all were."""
    graph = create_moa(proposers=[{"model": asked, "samples": 3}], aggregator=fake("agg"), combine=combine)
    first = await graph.ainvoke({"messages": "hi"})
    again = await graph.ainvoke({"messages": "hi"})
    assert len(asked.sent) == 3
    for state in (first, again):
        assert sorted(draft["text"] for draft in state["drafts"]) == ANSWERS
    assert [draft["text"] for draft in first["drafts"]] == [draft["text"] for draft in again["drafts"]]


@pytest.mark.parametrize("combine", ["synthesize", {"name": "vote", "batch": 1}])
async def test_samples_of_a_mixture_are_asked_once_each_and_found_again(asked: Fake, combine: Any) -> None:
    """The models of a mixture that is a proposer found what they had said for the sample before."""
    last = fake("last", *ANSWERS)
    inner = ChatMoA(proposers=[{"model": asked, "samples": 2}], aggregator=last)
    graph = create_moa(proposers=[{"model": inner, "samples": 3}], aggregator=fake("agg"), combine=combine)
    first = await graph.ainvoke({"messages": "hi"})
    again = await graph.ainvoke({"messages": "hi"})
    assert len(asked.sent) == 6
    assert sorted(draft["text"] for draft in first["drafts"]) == ANSWERS
    if asked.cache is None:  # the mixture's own answers are in the cache of the process as well
        assert [draft["text"] for draft in first["drafts"]] == [draft["text"] for draft in again["drafts"]]


async def test_a_model_that_must_not_be_cached_is_asked_again() -> None:
    set_llm_cache(InMemoryCache())
    try:
        asked = fake("asked", *ANSWERS).model_copy(update={"cache": False})
        graph = create_moa(proposers=[{"model": asked, "samples": 3}], aggregator=fake("agg"))
        for _ in range(2):
            await graph.ainvoke({"messages": "hi"})
        assert len(asked.sent) == 6
    finally:
        set_llm_cache(None)
