"""State of runs in this process: it is deleted at their end, and an earlier invocation leaves none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from moa_graph import create_moa
from moa_graph.graph import runs
from moa_graph.graph.runs import live_runs
from moa_graph.models import registry
from tests.fakes import fake

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
