"""The ledger: after `put` returns, the row is stored completely, however the process ends."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from moa_graph.costs.ledger import Ledger
from moa_graph.errors import ConfigError

CALL: dict[str, Any] = {
    "item": "1",
    "layer": 1,
    "slot": 0,
    "role": "proposer",
    "repeat": 0,
    "model": "openai:gpt-5",
    "params": {"temperature": 0.7},
    "messages": [{"role": "user", "content": "hi"}],
}


async def test_a_recorded_value_is_returned_and_never_replaced(tmp_path: Path) -> None:
    with Ledger(tmp_path / "deep" / "l.db", run="r") as ledger:
        assert await ledger.get("k") is None
        await ledger.put("k", {"text": "é\ud800\x00", "n": 1}, item="1", layer=1, cost=0.5)
        await ledger.put("k", {"text": "second"})
        assert await ledger.get("k") == {"text": "é\ud800\x00", "n": 1}
        assert ledger.count() == 1
    with Ledger(tmp_path / "deep" / "l.db", run="r") as again:
        assert await again.get("k") == {"text": "é\ud800\x00", "n": 1}


def test_every_part_of_a_call_is_in_its_key(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.db", run="r") as ledger, Ledger(tmp_path / "l.db", run="other") as other:
        key = ledger.call_key(**CALL)
        changed = {
            "item": "2", "layer": 2, "slot": 1, "role": "aggregator", "repeat": 1, "model": "openai:gpt-4",
            "params": {"temperature": 0.8}, "messages": [{"role": "user", "content": "ho"}],
        }  # fmt: skip
        keys = {ledger.call_key(**{**CALL, name: value}) for name, value in changed.items()}
        assert len(keys | {key, other.call_key(**CALL)}) == len(changed) + 2
        assert key == ledger.call_key(**dict(reversed(CALL.items())))


def test_ids_of_messages_do_not_count(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        one = ledger.call_key(**{**CALL, "messages": [HumanMessage("hi", id="1")]})
        two = ledger.call_key(**{**CALL, "messages": [HumanMessage("hi", id="2")]})
        assert one == two


async def test_misuse_is_one_typed_error(tmp_path: Path) -> None:
    (tmp_path / "bad.db").write_bytes(b"this is no database, it is a text file that is long enough" * 20)
    with Ledger(tmp_path / "bad.db", run="r") as ledger:
        with pytest.raises(ConfigError, match=r"bad\.db"):
            await ledger.get("k")
        with pytest.raises(ConfigError, match=r"bad\.db"):
            await ledger.put("k", {})
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        with pytest.raises(ConfigError, match="plain JSON"):
            await ledger.put("k", {"x": object()})
        with pytest.raises(ConfigError, match="plain JSON"):
            await ledger.put("k", {"x": float("nan")})
        with pytest.raises(ConfigError, match="no column 'colour'"):
            await ledger.put("k", {}, colour="red")
    with pytest.raises(ConfigError, match="closed"):
        await ledger.get("k")
    ledger.close()


async def test_a_full_disk_is_reported_and_loses_no_other_row(tmp_path: Path) -> None:
    """SQLite then rolls back itself; a second rollback would hide the cause."""
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        await ledger.put("before", {"n": 1}, item="\ud800")
        ledger._worker.wait_for(lambda: ledger._rows.one("PRAGMA max_page_count = 8"))
        with pytest.raises(ConfigError, match=r"l\.db: database or disk is full"):
            await ledger.put("big", {"text": "x" * 100_000})
        ledger._worker.wait_for(lambda: ledger._rows.one("PRAGMA max_page_count = 10000"))
        await ledger.put("after", {"n": 2})
        assert ledger.count() == 2


async def test_a_paid_call_that_cannot_be_recorded_is_used(tmp_path: Path, caplog: Any) -> None:
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        for _ in range(3):
            await ledger.keep("k", {"x": object()})
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "From here on paid calls are not recorded" in caplog.text


async def test_a_cancelled_writer_does_not_lose_the_row(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        tasks = [asyncio.create_task(ledger.put(f"k{i}", {"i": i})) for i in range(50)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    with Ledger(tmp_path / "l.db", run="r") as again:
        assert again.count() == 50


async def test_work_that_arrives_together_wakes_the_loop_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 100 reads and writes would wake it otherwise, which costs more than the read."""
    loop, started, free = asyncio.get_running_loop(), threading.Event(), threading.Event()
    wakes: list[object] = []

    def hold() -> None:
        started.set()
        free.wait()

    def wake(callback: Any, *args: Any) -> asyncio.Handle:
        wakes.append(callback)
        return threadsafe(callback, *args)

    threadsafe = loop.call_soon_threadsafe
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        busy = asyncio.create_task(ledger._worker.run(hold))
        while not started.is_set():
            await asyncio.sleep(0)
        calls = [ledger.get(f"k{i}") for i in range(50)], [ledger.put(f"k{i}", {"i": i}) for i in range(50)]
        tasks = [asyncio.create_task(call) for each in calls for call in each]
        await asyncio.sleep(0)
        monkeypatch.setattr(loop, "call_soon_threadsafe", wake)
        free.set()
        await asyncio.gather(busy, *tasks)
        assert len(wakes) == 3, "one for the work before, one for all reads, one for all rows"
        assert await ledger.get("k49") == {"i": 49}


def test_a_loop_that_stops_before_its_visit_keeps_no_other_loop_waiting(tmp_path: Path) -> None:
    loop = asyncio.new_event_loop()
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        task = loop.create_task(ledger.put("a", {"i": 1}))
        loop.call_soon(loop.stop)  # in the turn in which the row arrives; the visit would begin after it
        loop.run_forever()
        asyncio.run(asyncio.wait_for(ledger.put("b", {"i": 2}), 60))
        assert ledger.count() == 2
        loop.run_until_complete(task)
    loop.close()


async def test_visits_do_not_multiply_while_another_process_holds_the_file(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with Ledger(path, run="r") as ledger:
        await ledger.put("a", {"i": 1})
        visits: list[int] = []
        write = ledger._rows.write

        def counted(rows: Any) -> None:
            visits.append(ledger._worker._thread._work_queue.qsize())
            write(rows)

        ledger._rows.write = counted  # type: ignore[method-assign]
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        tasks = []
        while len(visits) < 5:  # each waits for 50 ms
            tasks.append(asyncio.create_task(ledger.put(f"k{len(tasks)}", {"i": 1})))
            assert await ledger.get("a") == {"i": 1}
        other.execute("ROLLBACK")
        other.close()
        await asyncio.gather(*tasks)
        assert max(visits) <= 1, "more than one visit was waiting"
        assert ledger.count() == len(tasks) + 1


async def test_many_keys_are_read_by_few_statements(tmp_path: Path) -> None:
    """SQLite's module releases the interpreter for each statement, and waits for it again."""
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        await asyncio.gather(*(ledger.put(f"k{i}", {"i": i}) for i in range(250)))
        statements: list[str] = []
        assert ledger._rows.db is not None
        ledger._rows.db.set_trace_callback(statements.append)
        found = await asyncio.gather(*(ledger.get(f"k{i}") for i in range(260)))
        assert found == [*({"i": i} for i in range(250)), *[None] * 10]
        await asyncio.gather(*(ledger.put(f"l{i}", {"i": i}) for i in range(250)))
        assert len([each for each in statements if each.startswith("SELECT")]) <= 5
        assert len([each for each in statements if each.startswith("INSERT")]) <= 6
    with Ledger(tmp_path / "l.db", run="r") as again:
        assert again.count() == 500


def test_many_threads_with_their_own_loops(tmp_path: Path) -> None:
    async def many(ledger: Ledger, n: int) -> None:
        await asyncio.gather(*(ledger.put(f"{n}-{i}", {"i": i}) for i in range(25)))

    with Ledger(tmp_path / "l.db", run="r") as ledger:
        threads = [threading.Thread(target=lambda n=n: asyncio.run(many(ledger, n))) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert ledger.count() == 200


WRITER = """
import asyncio, sys
from moa_graph.costs.ledger import Ledger

async def main():
    ledger = Ledger(sys.argv[1], run="r")
    async def one(i):
        key = f"{sys.argv[2]}-{i}"
        await ledger.put(key, {"key": key, "text": key * 200}, item=key)
        print(key, flush=True)
    for start in range(0, 100000, 8):
        await asyncio.gather(*(one(start + i) for i in range(8)))

asyncio.run(main())
"""


@pytest.mark.parametrize("seed", range(2))
def test_kill_9_loses_no_row_that_was_confirmed_and_leaves_no_half_row(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "l.db"
    rng = random.Random(seed)
    confirmed: list[str] = []
    for kill in range(2):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, path, f"{kill}{w}"], stdout=subprocess.PIPE, text=True)
            for w in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(rng.randint(1, 60))]
            os.kill(writer.pid, signal.SIGKILL)
            rest = writer.communicate()[0]
            confirmed += [line.strip() for line in (*lines, *rest.splitlines(keepends=True)) if line.endswith("\n")]
    db = sqlite3.connect(path)
    rows = dict(db.execute("SELECT key, value FROM calls").fetchall())
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    assert confirmed
    assert not set(confirmed) - set(rows)
    for key, value in rows.items():
        assert json.loads(value) == {"key": key, "text": key * 200}


def test_the_ids_of_messages_are_not_in_the_key(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        plain = [{"role": "user", "content": "hi"}, {"role": "user", "content": "hi", "id": "1"}]
        objects = [HumanMessage("hi", id="1"), HumanMessage("hi", id="2")]
        for one, other in (plain, objects):
            assert ledger.call_key(**{**CALL, "messages": [one]}) == ledger.call_key(**{**CALL, "messages": [other]})
