"""Calls that nothing observes skip LangChain's callbacks. Runs with the loopback provider, over the cheap path.

The tests prove that the answer is the same on both ways, and that whatever observes calls still sees each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core import globals as switches
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, get_usage_metadata_callback
from langchain_core.language_models import BaseChatModel

from moa_graph import Proposer, create_moa
from tests.provider import Provider

CALLS = 5
"""Calls of a question: four proposers and the aggregator."""


@pytest.fixture
def of_langchain(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the models that LangChain's own `agenerate` or `astream` has called."""
    found: list[str] = []
    agenerate = BaseChatModel.agenerate

    async def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        found.append(self._get_ls_params()["ls_model_name"])
        return await agenerate(self, *args, **kwargs)

    monkeypatch.setattr(BaseChatModel, "agenerate", noted)
    yield found


class Watch(AsyncCallbackHandler):
    """Counts the calls that begin and end."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.ended = 0

    async def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.started.append(kwargs["metadata"])

    async def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.ended += 1


def graph(provider: Provider) -> Any:
    def spec(name: str) -> Proposer:
        return Proposer(model=f"openai:{name}", base_url=provider.url)

    return create_moa(proposers=[spec(f"p{i}-tok=5") for i in range(CALLS - 1)], aggregator=spec("agg-tok=5"))


def told(state: dict[str, Any]) -> Any:
    """Return what a run has produced, without ids and times."""
    answer = state["messages"][-1].model_dump(exclude={"id"})
    answer["response_metadata"].pop("id", None)
    drafts = [{k: v for k, v in each.items() if "seconds" not in k} for each in state["drafts"]]
    return answer, sorted(drafts, key=lambda each: each["slot"]), state["record"]["usage"], state["record"]["calls"]


async def test_an_unobserved_run_has_the_same_answer(provider: Provider, of_langchain: list[str]) -> None:
    made = graph(provider)
    alone = await made.ainvoke({"messages": "hi"})
    assert of_langchain == []
    watch = Watch()
    watched = await made.ainvoke({"messages": "hi"}, {"callbacks": [watch]})
    assert len(of_langchain) == CALLS
    assert (len(watch.started), watch.ended) == (CALLS, CALLS)
    assert {each["moa_slot"] for each in watch.started if "moa_slot" in each} == set(range(CALLS - 1))
    assert told(alone) == told(watched)
    ids = [state["messages"][-1].id for state in (alone, watched)]
    assert all(ids) and ids[0] != ids[1]


async def test_what_counts_tokens_by_a_context_sees_every_call(provider: Provider) -> None:
    with get_usage_metadata_callback() as counted:
        state = await graph(provider).ainvoke({"messages": "hi"})
    written = sum(each["output_tokens"] for each in counted.usage_metadata.values())
    assert written == state["record"]["usage"]["output_tokens"] > 0


@pytest.mark.parametrize("switch", ["debug", "verbose", "cache"])
async def test_langchains_switches_take_langchains_way(
    switch: str, provider: Provider, of_langchain: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    set_to: dict[str, Any] = {
        "debug": (switches.set_debug, True, False),
        "verbose": (switches.set_verbose, True, False),
        "cache": (switches.set_llm_cache, InMemoryCache(), None),
    }
    change, value, before = set_to[switch]
    change(value)
    try:
        await graph(provider).ainvoke({"messages": "hi"})
    finally:
        change(before)
    assert len(of_langchain) == CALLS
