"""A ledger never returns another call's answer, and no call is made that it cannot record."""

import asyncio
import hashlib
import json
import logging
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

from moa_graph import ConfigError, Ledger, Mixture, MoAError, Proposer, create_moa
from moa_graph.cli import main
from moa_graph.costs import ledger_file, ledger_worker
from moa_graph.models.secrets.keys import address
from tests.clocks import steady_time
from tests.provider import Provider

ASK = {"messages": "same question"}


def spec(provider: Provider, name: str, **fields: Any) -> dict[str, Any]:
    return {"model": f"openai:{name}", "base_url": provider.url, **fields}


def mixture(provider: Provider, **fields: Any) -> Mixture:
    proposers = [spec(provider, "tok=4-a"), spec(provider, "tok=4-b")]
    return Mixture(**{"proposers": proposers, "aggregator": spec(provider, "tok=4-agg"), "max_attempts": 1, **fields})


def requests(provider: Provider) -> int:
    count: int = provider.stats()["requests"]
    return count


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "temperature": ({"temperature": 0}, {"temperature": 1.5}),
    "max_tokens": ({"max_tokens": 3}, {"max_tokens": 300}),
    "seed": ({"seed": 1}, {"seed": 2}),
    "top_p": ({}, {"top_p": 0.1}),
    "reasoning_effort": ({"reasoning_effort": "low"}, {"reasoning_effort": "high"}),
    "model_kwargs": ({}, {"model_kwargs": {"user": "x"}}),
    "extra_body": ({}, {"extra_body": {"guided_json": {}}}),
    "stop": ({}, {"stop": ["x"]}),
    "logit_bias": ({}, {"logit_bias": {"1": 2}}),
    "default_headers": ({}, {"default_headers": {"x-version": "2"}}),
}


@pytest.mark.parametrize("name", [*CHANGES, "base_url", "nothing", "key"])
async def test_a_chat_model_objects_settings_are_in_the_key(provider: Provider, tmp_path: Path, name: str) -> None:
    one, two = CHANGES.get(name, ({}, {}))
    other = provider.url.replace("127.0.0.1", "localhost") if name == "base_url" else provider.url
    keys = ("first-key", "second-key" if name == "key" else "first-key")
    asked, hashes = [], []
    for fields, url, key in ((one, provider.url, keys[0]), (two, other, keys[1])):
        # A client of this event loop: LangChain shares its own between loops.
        client = httpx.AsyncClient()
        given: dict[str, Any] = {"base_url": url, "api_key": key, "http_async_client": client, **fields}
        model = ChatOpenAI(model="tok=4-x", **given)
        whole = Mixture(proposers=[model], aggregator=model)
        with Ledger(tmp_path / "l.db", run="r") as ledger:
            before = requests(provider)
            await create_moa(whole, ledger=ledger).ainvoke(ASK)
            asked.append(requests(provider) - before)
            hashes.append(whole.hash)
        await client.aclose()
    same = name in ("nothing", "key")
    assert asked == [2, 0 if same else 2] and (hashes[0] == hashes[1]) is same


async def test_an_object_that_cannot_be_told_from_another_is_refused_before_any_request(
    provider: Provider, tmp_path: Path
) -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("a")]))
    graph = create_moa(
        proposers=[model, spec(provider, "tok=4-a")],
        aggregator=spec(provider, "tok=4-agg"),
        ledger=Ledger(tmp_path / "l.db", run="r"),
    )
    with pytest.raises(ConfigError, match=r"GenericFakeChatModel\.messages"):
        await graph.ainvoke(ASK)
    assert requests(provider) == 0


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (HumanMessage("q", name="ann"), HumanMessage("q", name="bob")),
        (HumanMessage("q"), HumanMessage("q", name="bob")),
        (SystemMessage("q"), SystemMessage("q", additional_kwargs={"__openai_role__": "developer"})),
        (ChatMessage(role="critic", content="q"), ChatMessage(role="poet", content="q")),
        (AIMessage("q", name="ann"), AIMessage("q")),
        (AIMessage("q"), AIMessage("q", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}})),
        ({"role": "system", "content": "q"}, {"role": "developer", "content": "q"}),
    ],
)
def test_names_and_roles_of_messages_are_in_the_key(tmp_path: Path, one: Any, two: Any) -> None:
    ledger = Ledger(tmp_path / "l.db", run="r")
    place: dict[str, Any] = {"item": "", "layer": 1, "slot": 0, "role": "proposer", "repeat": 0, "model": "m"}
    keys = {ledger.call_key(**place, params={}, messages=[message]) for message in (one, two)}
    assert len(keys) == 2


DAMAGE = {
    "broken JSON": "update calls set value = '{broken'",
    "an object without fields": "update calls set value = '{}'",
    "a list": "update calls set value = '[]'",
    "one letter": "update calls set value = replace(value, 'tok', 'tak')",
    "one number": "update calls set value = replace(value, '4', '5')",
    "no text": "update calls set value = x'ff00fe'",
    "another row's value": "update calls set value = (select value from calls order by key desc limit 1)",
    "another checksum": "update calls set digest = 'x'",
}


@pytest.mark.parametrize("how", DAMAGE)
async def test_a_damaged_row_is_told_and_the_call_is_made_again(
    provider: Provider, tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    async def run() -> tuple[int, str]:
        before = requests(provider)
        with Ledger(tmp_path / "l.db", run="r") as ledger:
            out = await create_moa(mixture(provider), ledger=ledger).ainvoke(ASK, context={"item": "question-7"})
        return requests(provider) - before, str(out["messages"][-1].text)

    first = await run()
    with sqlite3.connect(tmp_path / "l.db") as db:
        db.execute(DAMAGE[how] + " where role = 'proposer'")
    db.close()
    with caplog.at_level(logging.WARNING):
        second = await run()
    assert first[1] == second[1] and first[0] == 3 and second[0] in (1, 2)
    told = [record.message for record in caplog.records if "question-7" in record.message]
    assert len(told) == second[0] and "made again" in told[0]
    assert await run() == (0, first[1]), "the new answer replaced the damaged one"


async def test_random_damage_is_a_typed_error_or_a_right_answer(provider: Provider, tmp_path: Path) -> None:
    rng, path = random.Random(7), tmp_path / "l.db"
    with Ledger(path, run="r") as ledger:
        right = (await create_moa(mixture(provider), ledger=ledger).ainvoke(ASK))["messages"][-1].text
    whole = path.read_bytes()
    for _ in range(25):
        data = bytearray(whole)
        for _ in range(20):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            with Ledger(path, run="r") as ledger:
                out = await create_moa(mixture(provider), ledger=ledger).ainvoke(ASK)
        except MoAError:
            continue
        assert out["messages"][-1].text == right


def foreign(path: Path, sql: str, *, version: int = 0, application: int = 0) -> None:
    db = sqlite3.connect(path)
    db.executescript(f"{sql}; PRAGMA user_version = {version}; PRAGMA application_id = {application}")
    db.close()


def changed(path: Path, calls: str, further: str = "") -> None:
    """Write a ledger with the columns of one, in which a program runs when it is read or written."""
    fence = "INSERT INTO secrets VALUES ('fence', zeroblob(32))"
    sql = "; ".join((calls, ledger_file._TABLES[1], fence, further))
    foreign(path, sql, version=ledger_file.VERSION, application=OURS)


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT"
TRIGGER = f"CREATE TRIGGER t BEFORE INSERT ON calls BEGIN DELETE FROM calls WHERE key IN ({ENDLESS} i FROM n); END"
VIEW = f"CREATE VIEW calls AS {ENDLESS} {', '.join(f'i AS {name}' for name in ledger_file.ORDER.split(', '))} FROM n"
CHECKED = ledger_file._TABLES[0].replace("model TEXT", "model TEXT CHECK (randomblob(900000000) > '')")

CALLS = "CREATE TABLE calls (key TEXT PRIMARY KEY, run TEXT NOT NULL, value TEXT NOT NULL, created REAL NOT NULL)"
OURS = ledger_file.APPLICATION
FILES: dict[str, Callable[[Path], object]] = {
    "somebody else's database": lambda path: foreign(path, "CREATE TABLE bookmarks (a)"),
    "a view": lambda path: foreign(path, "CREATE VIEW calls AS SELECT 1 AS key, '{}' AS value"),
    "an old ledger": lambda path: foreign(path, CALLS),
    "another version's ledger": lambda path: foreign(path, CALLS, version=99, application=OURS),
    "an earlier version's ledger": lambda path: foreign(path, CALLS, version=1, application=OURS),
    "a changed ledger": lambda path: foreign(path, CALLS, version=ledger_file.VERSION, application=OURS),
    "a ledger that is a view": lambda path: changed(path, VIEW),
    "a ledger with a trigger": lambda path: changed(path, ledger_file._TABLES[0], TRIGGER),
    "a ledger with a condition": lambda path: changed(path, CHECKED),
    "a text": lambda path: path.write_text("not a database, but long enough to be one" * 9),
    "a short text": lambda path: path.write_text("x"),
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "a device": lambda path: path.symlink_to("/dev/null"),
    "a link to nothing": lambda path: path.symlink_to("nowhere.db"),
}


@pytest.mark.parametrize("what", FILES)
async def test_a_file_that_is_no_ledger_is_refused_before_any_request_and_not_touched(
    provider: Provider, tmp_path: Path, what: str
) -> None:
    path = tmp_path / "l.db"
    FILES[what](path)
    regular = path.is_file()
    before = hashlib.sha256(path.read_bytes()).digest() if regular else None
    with Ledger(path, run="r") as ledger, pytest.raises(ConfigError, match=r"l\.db"):
        await create_moa(mixture(provider), ledger=ledger).ainvoke(ASK)
    assert requests(provider) == 0
    assert before is None or hashlib.sha256(path.read_bytes()).digest() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["l.db"]


async def test_a_later_version_refuses_this_versions_rows(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        await create_moa(mixture(provider), ledger=ledger).ainvoke(ASK)
    monkeypatch.setattr(ledger_file, "VERSION", ledger_file.VERSION + 1)
    with Ledger(tmp_path / "l.db", run="r") as ledger, pytest.raises(ConfigError, match=r"of version \d+; this"):
        await ledger.check()


@steady_time
async def test_a_run_waits_for_a_locked_ledger_no_longer_than_its_deadline(provider: Provider, tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        await ledger.check()
    other = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    start = time.monotonic()
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        graph = create_moa(mixture(provider, deadline=1.0, run_deadline=3.0), ledger=ledger)
        try:
            await graph.ainvoke(ASK)
        except MoAError as exc:
            assert "deadline" in str(exc).lower() or "time" in str(exc)
        assert time.monotonic() - start < 4.5
        other.execute("ROLLBACK")
        other.close()
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        assert ledger.count() >= 2, "what was paid for is recorded when the lock is gone"


async def test_reads_go_on_while_a_write_waits(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        await ledger.put("k", {"n": 1})
        other = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(ledger.put("later", {"n": 2}))
        await asyncio.sleep(0.2)
        assert await ledger.get("k") == {"n": 1}
        assert not writing.done(), "a read behind the write would have waited for its end"
        other.execute("ROLLBACK")
        other.close()
        await asyncio.wait_for(writing, 60)


async def test_closing_a_locked_ledger_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_worker, "_PATIENCE", 0.5)
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        await ledger.check()
        other = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(ledger.put("k", {}))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(ledger.close)
    with pytest.raises(ConfigError, match="locked"):
        await writing
    other.close()


class Usage(NamedTuple):
    total: int
    used: int
    free: int


async def test_on_a_full_disk_nothing_is_paid_for(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - 1_000, 1_000))
    with Ledger(tmp_path / "l.db", run="r") as ledger, pytest.raises(ConfigError, match="disk is full"):
        await create_moa(mixture(provider), ledger=ledger).ainvoke(ASK)
    assert requests(provider) == 0


async def test_after_a_write_that_failed_nothing_more_is_paid_for_until_writing_works(
    provider: Provider, tmp_path: Path
) -> None:
    """A quota, a file system that became read-only: free bytes do not show it."""
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        await ledger.check()
        ledger._worker.wait_for(lambda: ledger._rows.one("PRAGMA max_page_count = 6"))
        graph = create_moa(mixture(provider), ledger=ledger)
        await graph.ainvoke({"messages": "long " * 10_000})
        before = requests(provider)
        ledger._worker.wait_for(lambda: ledger._rows.one("PRAGMA max_page_count = 1"))
        with pytest.raises(ConfigError, match="full"):
            await ledger.put("big", {"text": "x" * 100_000})
        with pytest.raises(ConfigError, match="full"):
            await graph.ainvoke(ASK)
        assert requests(provider) == before
        ledger._worker.wait_for(lambda: ledger._rows.one("PRAGMA max_page_count = 100000"))
        await graph.ainvoke(ASK)
        assert requests(provider) == before + 3


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount a small file system")
def test_moa_batch_on_a_disk_that_fills_up_ends_with_3_and_keeps_all_that_it_pays_for(
    provider: Provider, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2500k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        lines = "".join(json.dumps(f"question {i} " + "x" * 2_000) + "\n" for i in range(400))
        (tmp_path / "in.jsonl").write_text(lines)
        whole = {"proposers": [spec(provider, "tok=400-a")], "aggregator": spec(provider, "tok=400-agg")}
        (tmp_path / "m.yaml").write_text(json.dumps(whole))
        command = [sys.executable, "-m", "moa_graph", "batch", "in.jsonl", "disk/out.jsonl", "--file", "m.yaml", "-q"]
        for _ in range(3):
            done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=tmp_path, check=False)
            assert done.returncode == 3 and "full" in done.stderr, done.stderr[-500:]
            with sqlite3.connect(disk / "out.jsonl.ledger") as db:
                kept = db.execute("SELECT count(*) FROM calls WHERE role != 'item'").fetchone()[0]
            db.close()
            assert requests(provider) == kept > 0, "every call that was paid for is kept"
    finally:
        subprocess.run(["umount", disk], check=True)


async def test_the_path_of_a_gateway_in_the_environment_is_in_the_key(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")

    async def run(base_url: str) -> int:
        monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        before = requests(provider)
        with Ledger(tmp_path / "l.db", run="r") as ledger:
            graph = create_moa(proposers=["openai:tok=4"], aggregator="openai:tok=4", layers=1, ledger=ledger)
            await graph.ainvoke(ASK, context={"item": "1"})
        return requests(provider) - before

    other = provider.url.replace("127.0.0.1", "localhost")
    assert [await run(provider.url), await run(f"{provider.url}/"), await run(other)] == [1, 0, 1]
    assert address(Proposer("openai:x")) == other
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/account/openai")
    assert address(Proposer("openai:x")) == "https://gateway.example/account/openai"
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert address(Proposer("openai:x")) == "api.openai.com", "keys of earlier ledgers stay valid"


@pytest.mark.parametrize("how", ["later", "deep"])
async def test_a_whole_row_that_is_not_a_message_is_told_and_the_call_is_made_again(
    provider: Provider, tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    async def run() -> str:
        with Ledger(tmp_path / "l.db", run="r") as ledger:
            out = await create_moa(mixture(provider), ledger=ledger).ainvoke(ASK, context={"item": "question-7"})
        return str(out["messages"][-1].text)

    first = await run()
    with sqlite3.connect(tmp_path / "l.db") as db:
        for key, value in db.execute("select key, value from calls").fetchall():
            text = json.dumps({**json.loads(value), "message": {"type": "of-a-later-version", "data": {}}})
            text = "[" * 100_000 if how == "deep" else text
            digest = ledger_file.digest(key, text.encode())
            db.execute("update calls set value = ?, digest = ? where key = ?", (text, digest, key))
    db.close()
    with caplog.at_level(logging.WARNING):
        assert await run() == first
    assert sum("question-7" in each.message and "made again" in each.message for each in caplog.records) >= 3


@pytest.mark.parametrize(
    "damage",
    ["cost = 'x'", "cost = 9e999", "cost = -5", "created = 'x'", "created = 1e300", "model = x'ff'", "run = x'ff'"],
)
async def test_the_costs_of_a_damaged_row_are_unknown(
    provider: Provider, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        await create_moa(mixture(provider), ledger=ledger).ainvoke(ASK, context={"item": "1"})
    with sqlite3.connect(tmp_path / "l.db") as db:
        db.execute(f"update calls set {damage}")
    db.close()
    for args in (["cost", str(tmp_path / "l.db")], ["cost", str(tmp_path / "l.db"), "--json"]):
        assert main(args) == 0
    said = capsys.readouterr()
    assert "total: 3 calls, cost unknown" in said.out and "$" not in said.out and not said.err
