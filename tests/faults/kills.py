"""kill -9 at random moments, and resume: no recorded call is lost or paid again."""

import asyncio
import json
import multiprocessing
import random
import sqlite3
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moa_graph import create_moa
from tests.faults.killed import CONFIG, mixture, saver_of, work
from tests.provider import Provider

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.faults.killed"])
MOST = 40
"""A run that is killed this often in a row would not be getting on."""


@dataclass
class Kills:
    """The result of the kills of one or more runs."""

    kills: int = 0
    runs: int = 0
    finished: int = 0
    drafts_lost: int = 0
    recorded_paid_twice: int = 0
    in_flight_paid_twice: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, other: "Kills") -> None:
        for name in ("kills", "runs", "finished", "drafts_lost", "recorded_paid_twice", "in_flight_paid_twice"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.notes += other.notes


def one_run(store: str, where: str, provider: Provider, seed: int, kills: int) -> Kills:
    """Run one question on a fresh store, kill it `kills` times, resume it each time, and check the result."""
    dice = random.Random(f"{store}{seed}")
    provider.reset()
    result = Kills(runs=1)
    recorded: dict[str, Any] = {}
    paid: Counter[str] = Counter()
    for _ in range(MOST):
        ended = _start(store, where, provider, not recorded_anything(store, where), dice, result.kills < kills)
        sent = Counter(request.model for request in provider.requests())
        result.recorded_paid_twice += sum(sent[model] > paid[model] for model in paid)
        now = asyncio.run(_recorded(store, where))
        result.drafts_lost += sum(now.get(model) != value for model, value in recorded.items())
        recorded, paid = now, Counter({model: sent[model] for model in now})
        if ended:
            break
        result.kills += 1
    result.in_flight_paid_twice = sum(count - 1 for count in sent.values() if count > 1)
    wrong = None if store.startswith("ledger") and len(now) == 9 else asyncio.run(_unfinished(store, where, provider))
    result.finished = int(wrong is None)
    if wrong:
        result.notes.append(f"{store} {seed}: {wrong}")
    return result


def _wait_for(provider: Provider, answers: int, process: Any) -> None:
    """Until the provider has given that many answers more, or the process has ended: so kills fall on all of a run,
    however fast the machine is."""
    wanted = provider.stats()["answered"] + answers
    while provider.stats()["answered"] < wanted and process.is_alive():
        time.sleep(0.001)


def _start(store: str, where: str, provider: Provider, begin: bool, dice: random.Random, kill: bool) -> bool:
    """Start the process, and kill it at a random moment if requested. Return whether it ended by itself and well."""
    hear, say = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=work, args=(store, where, provider.url, begin, say))
    process.start()
    say.close()
    try:
        hear.recv()
        if kill:
            _wait_for(provider, dice.randint(0, 4), process)
            process.join(dice.uniform(0.0, 0.02))
            process.kill()
    except EOFError:
        pass  # it ended before it was ready; its exit code shows why
    process.join(60)
    time.sleep(0.02)  # requests under way reach the provider's log
    code = process.exitcode
    process.close()
    if code not in (0, -9):
        raise AssertionError(f"the run ended with exit code {code}")
    return code == 0


def recorded_anything(store: str, where: str) -> bool:
    return bool(asyncio.run(_tuple(store, where))) if not store.startswith("ledger") else False


async def _tuple(store: str, where: str) -> Any:
    async with saver_of(store, where) as saver:
        return await saver.aget_tuple(CONFIG)


async def _recorded(store: str, where: str) -> dict[str, Any]:
    """What the store holds by now, as model name -> text: drafts of finished steps, and of the step under way."""
    if store.startswith("ledger"):
        return _rows(where)
    found = await _tuple(store, where)
    if not found:
        return {}
    drafts = list(found.checkpoint["channel_values"].get("drafts") or [])
    for _, channel, value in found.pending_writes or []:
        if channel == "drafts" and isinstance(value, list):
            drafts += value
    answer = found.checkpoint["channel_values"].get("record")
    done = {"l3s0-61ms-tok=12": answer["aggregator"]} if answer else {}
    return {**{d["model"].removeprefix("openai:"): d["text"] for d in drafts}, **done}


def _rows(where: str) -> dict[str, Any]:
    if not Path(where).exists():
        return {}
    db = sqlite3.connect(where)
    try:
        rows = db.execute("SELECT model, value FROM calls").fetchall()
    except sqlite3.OperationalError:
        return {}  # killed before the table was made
    finally:
        db.close()
    return {model.removeprefix("openai:"): json.loads(value)["text"] for model, value in rows}


async def _unfinished(store: str, where: str, provider: Provider) -> str | None:
    """What is wrong with the end of the run, or None: eight good drafts, one answer, and no call is left to make."""
    if store.startswith("ledger"):
        return f"{len(_rows(where))} of 9 calls are recorded"
    async with saver_of(store, where) as saver:
        graph = create_moa(mixture(store, provider.url), checkpointer=saver)
        before = provider.stats()["requests"]
        await graph.ainvoke(None, CONFIG)
        values = (await graph.aget_state(CONFIG)).values
    if provider.stats()["requests"] != before:
        return "a finished thread made a call"
    good = [d for d in values["drafts"] if d["status"] == "ok"]
    if len(good) != 8 or not values.get("record") or not values["messages"][-1].content:
        return f"{len(good)} of 8 drafts, record {bool(values.get('record'))}"
    return None if len(values["messages"]) == 2 else f"{len(values['messages'])} messages"


def many(stores: dict[str, str | None], *, runs: int, kills: int) -> dict[str, Kills]:
    """`runs` runs on each store (its connection string, or None for a fresh file each) with `kills` kills each."""
    results = {}
    with Provider() as provider, tempfile.TemporaryDirectory() as folder:
        for store, where in stores.items():
            results[store] = Kills()
            for seed in range(runs):
                place = where or str(Path(folder) / f"{store.replace(', ', '-')}{seed}.db")
                if where:
                    _fresh_database(where, seed)
                    place = where.replace("/postgres?", f"/run{seed}?")
                results[store].add(one_run(store, place, provider, seed, kills))
    return results


def _fresh_database(where: str, seed: int) -> None:
    import psycopg

    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE run{seed}")
