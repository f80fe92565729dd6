"""Kill -9 in mid-run, again and again: is anything lost, or paid for again after it was recorded?"""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path
from typing import Any

from benchmarks.scale.command import missing, mixture, questions, run, start, written
from tests.provider import Provider, Request

Call = tuple[str, str]
"""A question's id and the model that was asked: with two layers, one call."""


def measure(folder: Path, count: int, kills: int, *, concurrency: int = 16, seed: int = 20261122) -> dict[str, Any]:
    """Runs the batch whole, and again with `kills` kills spread over it by calls made; compares."""
    source = questions(folder / "killed.jsonl", count)
    whole, out = folder / "whole.out.jsonl", folder / "killed.out.jsonl"
    with Provider() as provider:
        options = ("--file", written(folder, mixture(provider.url, traits="10ms-echo")), "-c", concurrency, "-q")
        assert run(source, whole, *options) == 0, whole.with_suffix(".log").read_text()[-2000:]
        provider.reset()
        dice = random.Random(seed)
        points = sorted(dice.randrange(5 * count // 50, 5 * count * 19 // 20) for _ in range(kills))
        done, paid_before = 0, []
        for point in points:
            process = start(source, out, *options)
            while process.poll() is None and provider.stats()["answered"] < point:
                time.sleep(0.002)
            if process.poll() is None:
                process.kill()
                done += 1
            process.wait()
            provider.wait(lambda stats: not stats["in_flight"])
            paid_before.append((recorded(out), len(provider.requests())))
        code = run(source, out, *options)
        requests = provider.requests()
    twice = {call for known, since in paid_before for call in map(call_of, requests[since:]) if call in known}
    return {
        "prompts": count,
        "kills": done,
        "lost": missing(out, count),
        "exit_code": code,
        "recorded_paid_twice": len(twice),
        "in_flight_paid_twice": len(requests) - 5 * count - len(twice),
        "byte_equal": out.exists() and out.read_bytes() == whole.read_bytes(),
    }


def call_of(request: Request) -> Call:
    """Which call a request was: the question says its number."""
    return request.messages[-1]["content"].split(":")[0].removeprefix("question "), request.model


def recorded(out: Path) -> set[Call]:
    """The calls that the ledger holds."""
    ledger = out.with_name(out.name + ".ledger")
    if not ledger.exists():
        return set()
    db = sqlite3.connect(ledger)
    try:
        found = db.execute("SELECT item, model FROM calls WHERE role != 'item'").fetchall()
    except sqlite3.OperationalError:
        return set()  # killed before the table was there
    finally:
        db.close()
    return {(item, model.removeprefix("openai:")) for item, model in found}
