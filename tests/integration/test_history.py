"""The bytes that a checkpointed thread writes, by how its history is stored."""

from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from moa_graph import create_moa
from tests.fakes import fake

CONFIG: Any = {"configurable": {"thread_id": "1"}}
TEXT = "word " * 2000


@pytest.mark.parametrize(("history", "least", "most"), [("whole", 5.0, 30.0), ("delta", 0.9, 1.4)])
async def test_the_bytes_that_a_thread_of_twenty_turns_writes(
    history: Any, least: float, most: float, tmp_path: Path
) -> None:
    written = 0
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "thread.db")) as saver:
        moa = create_moa(proposers=[fake("p", TEXT)], aggregator=fake("a", TEXT), checkpointer=saver, history=history)
        for turn in range(20):
            await moa.ainvoke({"messages": f"{turn} {TEXT}"}, CONFIG, durability="exit")
        for table, size in (("checkpoints", "length(checkpoint) + length(metadata)"), ("writes", "length(value)")):
            async with saver.conn.execute(f"select coalesce(sum({size}), 0) from {table}") as found:
                written += (await found.fetchone())[0]
    # A turn's new texts: the question, a draft and the answer.
    assert least < written / (20 * 3 * len(TEXT)) < most
