"""A ledger that is removed or replaced while it is in use: what was paid for is in its place again."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from moa_graph.costs.ledger import Ledger
from moa_graph.errors import ConfigError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no open file")


async def of(path: Path, *keys: str) -> list[bool]:
    """Whether another process would find these calls, and whether the file is whole."""
    with Ledger(path, run="r") as ledger:
        found = [await ledger.get(key) is not None for key in keys]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return found


async def other_ledger(path: Path) -> None:
    with Ledger(path, run="r") as other:
        await other.put("other", {"text": "x" * 20_000})


def remove(path: Path) -> None:
    path.unlink()


def remove_all(path: Path) -> None:
    for each in path.parent.glob("l.db*"):
        each.unlink()


def move(path: Path) -> None:
    shutil.move(path, path.with_name("moved"))


def replace(path: Path) -> None:
    path.with_name("other.db").replace(path)


@pytest.mark.parametrize("harm", [remove, remove_all, move, replace])
async def test_the_calls_are_in_the_file_again_at_the_next_one(harm: object, tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    await other_ledger(tmp_path / "other.db")
    ledger = Ledger(path, run="r")  # never closed, as if the process were killed
    for n in range(100):
        await ledger.put(f"k{n}", {"text": "x" * 1_000})
    fence = await ledger.fence_key()
    assert callable(harm)
    harm(path)
    await ledger.put("next", {"text": "x"})
    assert await of(path, "k0", "k99", "next", "other") == [True, True, True, harm is replace]
    if harm is not replace:
        with Ledger(path, run="r") as again:
            assert await again.fence_key() == fence
    await ledger.put("last", {"text": "x"})
    assert await of(path, "last") == [True]
    ledger.close()


async def test_the_check_before_a_question_brings_them_back(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    ledger = Ledger(path, run="r")
    await ledger.put("k", {"text": "x"})
    path.unlink()
    await ledger.check()
    assert await of(path, "k") == [True]
    path.unlink()
    path.write_text("no ledger")
    with pytest.raises(ConfigError, match="not a ledger"):
        await ledger.check()
    path.unlink()
    await ledger.check()
    assert await of(path, "k") == [True]
    ledger.close()


async def test_the_end_of_a_run_brings_them_back_unless_the_folder_is_gone(tmp_path: Path) -> None:
    path, gone = tmp_path / "l.db", tmp_path / "gone" / "l.db"
    with Ledger(path, run="r") as ledger, Ledger(gone, run="r") as other:
        await ledger.put("k", {"text": "x"})
        await other.put("k", {"text": "x"})
        path.unlink()
        shutil.rmtree(gone.parent)
    assert await of(path, "k") == [True]
    assert not gone.parent.exists()


async def test_a_new_run_in_the_place_of_a_removed_ledger_harms_neither(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with Ledger(path, run="r") as old:
        for n in range(20):
            await old.put(f"k{n}", {"text": "x" * 5_000})
        path.unlink()
        with Ledger(path, run="r") as new:
            await new.put("new", {"text": "x"})
            assert await old.get("k3") and await new.get("new")
            await old.put("last", {"text": "x"})
            assert await new.get("k3") and await old.get("new")
    assert await of(path, "k19", "last", "new") == [True, True, True]


async def test_a_row_that_is_no_text_in_utf_8_is_not_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with Ledger(path, run="r") as ledger:
        await ledger.put("k", {"text": "x"})
        await ledger.put("bad", {"text": "x"})
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE calls SET model = CAST(x'ff' AS TEXT) WHERE key = 'bad'")
        path.unlink()
    assert await of(path, "k", "bad") == [True, True]


async def test_a_working_folder_that_changes_is_no_other_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Ledger("l.db", run="r") as ledger:
        await ledger.put("k", {"text": "x"})
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        await ledger.put("next", {"text": "x"})
    assert not list((tmp_path / "elsewhere").iterdir())
    assert await of(tmp_path / "l.db", "k", "next") == [True, True]
