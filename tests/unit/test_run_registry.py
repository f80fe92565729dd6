"""State of runs in this process: it is deleted at their end, and an earlier invocation leaves none."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from moa_graph import create_moa
from moa_graph.graph import runs
from moa_graph.models import registry
from tests.fakes import fake
from tests.live import live_runs

QUESTION: dict[str, Any] = {"messages": "q"}


async def paused(thread: str) -> tuple[Any, Any]:
    """A graph that waits for a person before its answer, and its config."""
    graph = create_moa(
        proposers=[fake("a")], aggregator=fake("z"), checkpointer=InMemorySaver(), interrupt_before=["aggregate"]
    )
    config = {"configurable": {"thread_id": thread}}
    await graph.ainvoke(QUESTION, config)
    return graph, config


async def test_a_run_is_forgotten_after_its_end() -> None:
    before = live_runs()
    graph, config = await paused("1")
    assert live_runs() == before + 1
    result = await graph.ainvoke(None, config)
    assert result["messages"][-1].content == "I am z." and live_runs() == before


async def test_a_run_that_stopped_between_two_nodes_is_forgotten_later(monkeypatch: pytest.MonkeyPatch) -> None:
    before = live_runs()
    await paused("2")
    assert live_runs() == before + 1
    graph = create_moa(proposers=[fake("a")], aggregator=fake("z"))
    await graph.ainvoke(QUESTION)
    assert live_runs() == before + 1
    monkeypatch.setattr(runs, "_IDLE_SECONDS", 0.0)
    await asyncio.sleep(0.01)
    await graph.ainvoke(QUESTION)
    assert live_runs() == 0


async def test_a_resumed_run_rebuilds_its_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys in the environment, or the event loop, may have changed since."""
    graph, config = await paused("3")
    made = list[str]()
    real = registry.chat_model

    def chat_model(spec: Any, **options: Any) -> Any:
        made.append(spec.label)
        return real(spec, **options)

    monkeypatch.setattr(registry, "chat_model", chat_model)
    await graph.ainvoke(None, config)
    assert made == ["Fake:z"]


def copied(saver: InMemorySaver, source: str, target: str) -> RunnableConfig:
    """Copy a thread as the Agent Server's `threads.copy` does, with its checkpoints' ids; return the copy's config."""
    saver.storage[target] = deepcopy(saver.storage[source])
    for kept in (saver.blobs, saver.writes):
        found: Any = kept
        found.update({(target, *key[1:]): deepcopy(found[key]) for key in list(found) if key[0] == source})
    return {"configurable": {"thread_id": target}}


async def paused_at_layer_2(copies: int) -> tuple[Any, list[RunnableConfig]]:
    """A graph that pauses after each round, and the configs of a thread that waits before layer 2 and of its copies."""
    saver = InMemorySaver()
    proposers = [fake("a"), fake("b", delay=0.02), fake("c", delay=5.0)]
    graph = create_moa(
        proposers=proposers, aggregator=fake("z"), layers=4, quorum=2, min_drafts=2, checkpointer=saver
    )  # fmt: skip
    first: RunnableConfig = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke(QUESTION, first, interrupt_after=["gather"])
    return graph, [first, *(copied(saver, "1", str(2 + n)) for n in range(copies))]


def statuses(result: dict[str, Any]) -> list[str]:
    return [draft["status"] for draft in result["drafts"]]


async def test_copies_of_a_paused_thread_are_resumed_at_once() -> None:
    """They have one run id and the same checkpoint ids, and the quorum of each counts its own drafts only."""
    graph, configs = await paused_at_layer_2(2)
    results = await asyncio.gather(*(graph.ainvoke(None, config) for config in configs))
    assert [statuses(result) for result in results] == [["ok", "ok", "late"] * 3] * 3
    assert live_runs() == 0


async def test_a_copy_is_resumed_after_the_thread_has_ended_the_same_round() -> None:
    graph, [first, copy] = await paused_at_layer_2(1)
    await graph.ainvoke(None, first, interrupt_after=["gather"])
    assert statuses(await graph.ainvoke(None, copy)) == ["ok", "ok", "late"] * 3
    assert statuses(await graph.ainvoke(None, first)) == ["ok", "ok", "late"] * 3
    assert live_runs() == 0
