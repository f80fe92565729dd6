"""Runs with a ledger: a paid answer is used even if it cannot be recorded."""

import asyncio
import datetime
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from moa_graph import AggregationError, ConfigError, create_moa
from moa_graph.costs import ledger_worker
from moa_graph.costs.ledger import Ledger
from tests.faults.foreign import Own
from tests.provider import Provider

QUESTION = {"messages": [{"role": "user", "content": "Why is the sky blue?"}]}


class Dating(Own):
    """Puts a value that is not JSON into its message, as some providers' packages do."""

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.seen.append(messages)
        odd = {"at": datetime.datetime(2026, 11, 23), "logprob": float("-inf"), "raw": object(), 3: (1, 2)}
        return ChatResult(generations=[ChatGeneration(message=AIMessage("fine", response_metadata=odd))])


def spec(provider: Provider, model: str) -> dict[str, Any]:
    return {"model": f"openai:{model}", "base_url": provider.url}


async def test_a_message_that_is_not_json_is_recorded_as_json(provider: Provider, tmp_path: Path) -> None:
    mine = Dating()
    fields = {"proposers": [mine, spec(provider, "tok=4-a")], "aggregator": spec(provider, "tok=4-agg")}
    for _ in range(2):
        with Ledger(tmp_path / "l.db", run="r") as kept:
            result = await create_moa(fields, ledger=kept).ainvoke(QUESTION)
            assert [draft["status"] for draft in result["drafts"]] == ["ok", "ok"]
            assert kept.count() == 3
    assert len(mine.seen) == 1 and provider.stats()["requests"] == 2


async def test_a_recorded_reply_has_the_status_that_it_came_with(provider: Provider, tmp_path: Path) -> None:
    specs = [spec(provider, name) for name in ("refuse", "filter", "length-tok=4", "tok=4-a")]
    runs = []
    for _ in range(2):
        with Ledger(tmp_path / "l.db", run="r") as kept:
            graph = create_moa(proposers=specs, aggregator=spec(provider, "tok=4-agg"), ledger=kept)
            runs.append((await graph.ainvoke(QUESTION))["drafts"])
    assert provider.stats()["requests"] == 5
    assert runs[0][0]["status"] == "refused" and runs[0] == runs[1]


async def test_a_ledger_that_cannot_be_written_loses_no_paid_draft(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger_worker, "_PATIENCE", 0.05)
    with Ledger(tmp_path / "l.db", run="r") as first:
        await first.check()
    other = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        specs = [spec(provider, "tok=4-a"), spec(provider, "tok=4-b")]
        with Ledger(tmp_path / "l.db", run="r") as kept:
            graph = create_moa(proposers=specs, aggregator=spec(provider, "tok=4-agg"), ledger=kept)
            result = await graph.ainvoke(QUESTION)
    finally:
        other.close()
    assert result["messages"][-1].content.startswith("[tok=4-agg]") and not result["record"]["unused"]
    (told,) = [record.getMessage() for record in caplog.records if record.name == "moa_graph.costs.ledger"]
    assert told.startswith("ledger l.db: database is locked.") and told.endswith("paid calls are not recorded.")


async def test_a_file_that_is_not_a_ledger_is_refused_before_any_request(provider: Provider, tmp_path: Path) -> None:
    (tmp_path / "bad.db").write_bytes(b"this is no database, it is a text file that is long enough" * 20)
    with Ledger(tmp_path / "bad.db", run="r") as bad:
        graph = create_moa(proposers=[spec(provider, "a")], aggregator=spec(provider, "agg"), ledger=bad)
        with pytest.raises(ConfigError, match=r"bad\.db"):
            await graph.ainvoke(QUESTION)
    assert provider.stats()["requests"] == 0


async def test_a_ledger_that_fails_during_a_run_pays_no_call_twice(provider: Provider, tmp_path: Path) -> None:
    """A call that cannot be looked up in the ledger is not made: its draft fails, and the others are kept."""
    with Ledger(tmp_path / "l.db", run="r") as kept:
        graph = create_moa(
            proposers=[spec(provider, "300ms-tok=4-a")], aggregator=spec(provider, "tok=4-agg"), ledger=kept
        )
        run = asyncio.ensure_future(graph.ainvoke(QUESTION))
        await asyncio.to_thread(provider.wait, lambda stats: stats["in_flight"] == 1)
        kept.close()
        with pytest.raises(AggregationError, match=r"ledger l\.db: it is closed") as caught:
            await run
    assert [draft["status"] for draft in caught.value.drafts] == ["ok"]
    assert provider.stats()["requests"] == 1
