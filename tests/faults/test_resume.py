"""Checkpointers: recorded drafts are not requested again, and a thread belongs to its mixture."""

import os
import subprocess
import sys
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from moa_graph import BudgetError, ConfigError, NotEnoughDraftsError, create_moa
from tests.faults import kills, postgres
from tests.provider import Provider

CONFIG: Any = {"configurable": {"thread_id": "t"}}
QUESTION = {"messages": [{"role": "user", "content": "Why is the sky blue?"}]}


def moa(provider: Provider, *proposers: str, **fields: Any) -> Any:
    specs = [{"model": f"openai:{model}", "base_url": provider.url} for model in proposers]
    aggregator = {"model": "openai:tok=4-agg", "base_url": provider.url}
    return create_moa(proposers=specs, aggregator=aggregator, **fields)


@pytest.mark.parametrize("store", ["sqlite", "sqlite, sync", "ledger", "ledger, critique"])
@pytest.mark.timeout(300)
def test_after_kill_9_no_recorded_call_is_lost_or_paid_again(store: str) -> None:
    result = kills.many({store: None}, runs=1, kills=4)[store]
    assert result.kills >= 2 and result.finished == 1, result
    assert (result.drafts_lost, result.recorded_paid_twice) == (0, 0), result


@pytest.mark.timeout(300)
@pytest.mark.skipif(bool(postgres.missing()), reason=str(postgres.missing()))
def test_kill_9_with_postgresql() -> None:
    with postgres.cluster() as where:
        result = kills.many({"postgres": where}, runs=1, kills=4)["postgres"]
    assert result.kills >= 2 and result.finished == 1, result
    assert (result.drafts_lost, result.recorded_paid_twice) == (0, 0), result


async def test_a_finished_thread_makes_no_call(provider: Provider) -> None:
    graph = moa(provider, "tok=4-a", checkpointer=InMemorySaver())
    await graph.ainvoke(QUESTION, CONFIG)
    before = provider.stats()["requests"]
    result = await graph.ainvoke(None, CONFIG)
    assert provider.stats()["requests"] == before == 2
    assert result["record"]


async def test_a_thread_of_another_mixture_is_refused(provider: Provider) -> None:
    saver = InMemorySaver()
    first = moa(provider, "tok=4-a", "tok=4-b", checkpointer=saver)
    await first.ainvoke(QUESTION, CONFIG, interrupt_after=["gather"])
    other = moa(provider, "tok=4-a", "tok=4-c", checkpointer=saver)
    before = provider.stats()["requests"]
    with pytest.raises(ConfigError, match="another mixture"):
        await other.ainvoke(None, CONFIG)
    assert provider.stats()["requests"] == before
    assert (await first.ainvoke(None, CONFIG))["record"]["calls"] == 3


async def test_drafts_survive_an_error_and_are_used_when_resumed(provider: Provider) -> None:
    graph = moa(provider, "tok=4-a", "tok=4-b", layers=3, checkpointer=InMemorySaver())
    with pytest.raises(BudgetError):
        await graph.ainvoke(QUESTION, CONFIG, context={"max_calls": 4})
    assert provider.stats()["requests"] == 2
    result = await graph.ainvoke(None, CONFIG, context={"max_calls": 5})
    assert provider.stats()["requests"] == 5
    assert len(result["drafts"]) == 4


async def test_a_failed_layer_can_be_edited_and_resumed(provider: Provider) -> None:
    graph = moa(provider, "tok=4-a", "empty-b", min_drafts=2, checkpointer=InMemorySaver())
    with pytest.raises(NotEnoughDraftsError):
        await graph.ainvoke(QUESTION, CONFIG)
    values = (await graph.aget_state(CONFIG)).values
    assert [d["status"] for d in values["drafts"]] == ["ok", "empty"]
    result = await graph.ainvoke(None, CONFIG, context={"min_drafts": 1})
    assert result["messages"][-1].content and provider.stats()["requests"] == 3


STRICT = """
import asyncio, logging, sys, warnings
warnings.simplefilter("error", append=True)
logging.basicConfig(level=logging.WARNING)
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from moa_graph import create_moa

async def main():
    async with AsyncSqliteSaver.from_conn_string(sys.argv[2]) as saver:
        spec = lambda name: {"model": f"openai:{name}", "base_url": sys.argv[1]}
        graph = create_moa(proposers=[spec("tok=4-a"), spec("empty")], aggregator=spec("agg"), checkpointer=saver)
        config = {"configurable": {"thread_id": "t"}}
        await graph.ainvoke({"messages": "hi"}, config, interrupt_after=["gather"])
        await graph.ainvoke(None, config)
        values = (await graph.aget_state(config)).values
        assert values["record"]["calls"] == 3 and type(values["drafts"][0]) is dict
    print("done")

asyncio.run(main())
"""


def test_strict_msgpack_without_a_warning(provider: Provider, tmp_path: Any) -> None:
    command = [sys.executable, "-c", STRICT, provider.url, tmp_path / "s.db"]
    env = {**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, check=False)
    assert (done.stdout.strip(), done.stderr) == ("done", "")
