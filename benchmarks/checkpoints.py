"""The cost of a SQLite checkpointer: bytes written compared with useful bytes, CPU compared with none."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import Row, row
from benchmarks.systems import Task, moa_graph

SIZE = 2000
"""Words in a draft: about 12 kB."""
QUESTIONS = 4


async def checkpoints(base: str) -> list[Row]:
    """1 to 6 layers of drafts under `durability="exit"`, the worst of them for each figure."""
    written, cpu = [], []
    for rounds in (1, 3, 6):
        ours = await _cost(base, rounds, saver=True)
        none = await _cost(base, rounds, saver=False)
        payload = ours["payload"]
        written.append(ours["written"] / payload)
        cpu.append(statistics.median(a / b for a, b in zip(ours["cpu"], none["cpu"], strict=True)))
    return [
        row("checkpoint_bytes", "SQLite, 12 kB drafts: bytes written of drafts and answer", [max(written)], "x", 1.1),
        row("checkpoint_cpu", "  CPU", [max(cpu)], "x none", 2.0),
    ]


async def _cost(base: str, rounds: int, *, saver: bool) -> dict[str, Any]:
    names = [f"p{i}-tok={SIZE}" for i in range(4)]
    given = Task(base, names, f"agg-tok={SIZE}", rounds)
    if not saver:
        cpu, payload = await _asked(moa_graph(given), saver=False)
        return {"cpu": cpu, "payload": payload}
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoints.db"
        async with AsyncSqliteSaver.from_conn_string(str(path)) as kept:
            cpu, payload = await _asked(moa_graph(given, checkpointer=kept), saver=True)
            written = await _written(kept)
    return {"cpu": cpu, "payload": payload, "written": written}


async def _asked(graph: Any, *, saver: bool) -> tuple[list[float], float]:
    """CPU seconds of each question, and the bytes of one question's drafts and answer."""
    cpu = []
    for number in range(QUESTIONS + 1):
        given: dict[str, Any] = {"config": {"configurable": {"thread_id": str(number)}}, "durability": "exit"}
        began = time.process_time()
        asked = {"messages": [{"role": "user", "content": "What is worth keeping?"}]}
        out = await graph.ainvoke(asked, **(given if saver else {}))
        cpu.append(time.process_time() - began)
    texts = [draft["text"] for draft in out["drafts"]] + [str(out["messages"][-1].content)]
    return cpu[1:], float(sum(len(text.encode()) for text in texts))


async def _written(kept: Any) -> float:
    """Bytes of the last thread's checkpoints and writes."""
    thread = str(QUESTIONS)
    total = 0.0
    for table, columns in (("checkpoints", "length(checkpoint) + length(metadata)"), ("writes", "length(value)")):
        query = f"select coalesce(sum({columns}), 0) from {table} where thread_id = ?"
        async with kept.conn.execute(query, (thread,)) as found:
            total += (await found.fetchone())[0]
    return total
