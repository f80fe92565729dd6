"""The process that is killed: one question on a thread of a checkpointer, or with a ledger alone.

It is forked from a server that has imported this module, so that a kill interrupts a run and not the imports.
"""

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import langchain_openai  # noqa: F401  # imported before the fork, as all that follows
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from moa_graph import create_moa
from moa_graph.costs.ledger import Ledger

QUESTION = {"messages": [{"role": "user", "content": "Why is the sky blue?"}]}
CONFIG: Any = {"configurable": {"thread_id": "t"}}


def mixture(store: str, url: str) -> dict[str, Any]:
    """Nine calls, each with a different model name; they take 10 to 70 ms.

    Two rounds of four and an aggregator, or four proposers, four reviewers and an aggregator.
    """

    def spec(layer: int, slot: int) -> dict[str, Any]:
        return {"model": f"openai:l{layer}s{slot}-{10 + (17 * layer + 23 * slot) % 60}ms-tok=12", "base_url": url}

    first, second = ([spec(layer, slot) for slot in range(4)] for layer in (1, 2))
    common = {"aggregator": spec(3, 0), "deadline": 30.0}
    if "critique" in store:
        return {**common, "proposers": first, "combine": {"name": "critique", "reviewers": second}}
    return {**common, "rounds": [first, second]}


@asynccontextmanager
async def saver_of(store: str, where: str) -> AsyncIterator[Any]:
    """The checkpointer of that kind."""
    if store == "postgres":
        async with AsyncPostgresSaver.from_conn_string(where) as saver:
            await saver.setup()
            yield saver
    else:
        async with AsyncSqliteSaver.from_conn_string(where) as saver:
            yield saver


def work(store: str, where: str, url: str, begin: bool, ready: Any) -> None:
    """Start or resume the run; report it through `ready` immediately before."""
    warnings.simplefilter("ignore")  # a killed process may leave files open
    asked = QUESTION if begin or store.startswith("ledger") else None
    if store == "sqlite, sync":
        with SqliteSaver.from_conn_string(where) as saver:
            graph = create_moa(mixture(store, url), checkpointer=saver)
            ready.send(1)
            graph.invoke(asked, CONFIG, durability="sync")
    else:
        asyncio.run(_work(store, where, url, asked, ready))


async def _work(store: str, where: str, url: str, asked: Any, ready: Any) -> None:
    if store.startswith("ledger"):
        with Ledger(where, run="r") as ledger:
            graph = create_moa(mixture(store, url), ledger=ledger)
            ready.send(1)
            await graph.ainvoke(asked)
        return
    async with saver_of(store, where) as saver:
        graph = create_moa(mixture(store, url), checkpointer=saver)
        ready.send(1)
        await graph.ainvoke(asked, CONFIG, durability="sync")
