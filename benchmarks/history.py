"""What a long conversation costs: CPU by the history's bytes, and the bytes that a checkpointed thread writes."""

import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from benchmarks.report import Row, row
from moa_graph import create_moa

MESSAGE = "What we talked about, in words of many kinds. " * 50
"""About 2 kB."""
TURNS = (200, 400, 800, 1600)
THREAD = 200
"""Turns of the checkpointed thread."""


class Brief(BaseChatModel):
    """Answers at once."""

    model: str = "brief"
    text: str = "Yes."

    @property
    def _llm_type(self) -> str:
        return "brief"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError("the graph calls models asynchronously")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.text))])


async def history(base: str) -> list[Row]:
    """The slope of a question's CPU over the history's bytes against that of one JSON encoding; bytes written."""
    graph = create_moa(proposers=[Brief()], aggregator=Brief())
    await graph.ainvoke({"messages": "What the first call imports does not count."})
    ours, encoding = [], []
    for turns in TURNS:
        said = [HumanMessage(MESSAGE), AIMessage(MESSAGE)] * (turns // 2)
        # As a thread's checkpoint holds them: objects with ids.
        asked = [each.model_copy(update={"id": str(n)}) for n, each in enumerate([*said, HumanMessage("And now?")])]
        plain = [{"role": each.type, "content": each.content} for each in asked]
        size = len(json.dumps(plain).encode())
        cpu, encoded = [], []
        for _ in range(5):
            began = time.process_time()
            await graph.ainvoke({"messages": asked})
            cpu.append(time.process_time() - began)
            began = time.process_time()
            json.dumps(plain).encode()
            encoded.append(time.process_time() - began)
        ours.append((size, min(cpu)))
        encoding.append((size, min(encoded)))
    ratio = _slope(ours) / _slope(encoding)
    # Linear: the last doubling costs no more than twice the one before it, with a third of room for the clock.
    steps = [after[1] - before[1] for before, after in itertools.pairwise(ours)]
    return [
        row("history_slope", "CPU by the history's bytes, of one JSON encoding's", [ratio], "x", 3.0),
        row("history_growth", "  growth of the last doubling by that before", [steps[-1] / steps[-2]], "x", 2.67),
        row(
            "history_delta", f"bytes that {THREAD} turns of a thread write, deltas", [await _thread("delta")], "x", 1.2
        ),
        row("history_whole", "  whole messages, LangGraph's default", [await _thread("whole")], "x"),
    ]


def _slope(points: list[tuple[int, float]]) -> float:
    """Least squares, seconds a byte."""
    return float(statistics.linear_regression(*zip(*points, strict=True)).slope)


async def _thread(history: Any) -> float:
    """Bytes in the checkpointer, of the bytes of each turn's question, drafts, answer and record as JSON."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    new = 0
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncSqliteSaver.from_conn_string(str(Path(folder) / "thread.db")) as saver:
            models = [Brief(model=name, text=MESSAGE) for name in ("one", "two", "last")]
            graph = create_moa(proposers=models[:2], aggregator=models[2], checkpointer=saver, history=history)
            for turn in range(THREAD):
                config: Any = {"configurable": {"thread_id": "1"}}
                asked = f"{turn}: {MESSAGE}"
                out = await graph.ainvoke({"messages": asked}, config, durability="exit")
                new += len(json.dumps([asked, out["drafts"], out["messages"][-1].content, out["record"]]))
            written = 0
            for table, size in (("checkpoints", "length(checkpoint) + length(metadata)"), ("writes", "length(value)")):
                async with saver.conn.execute(f"select coalesce(sum({size}), 0) from {table}") as found:
                    written += int((await found.fetchone())[0])  # type: ignore[index]  # sum gives a row
    return written / new
