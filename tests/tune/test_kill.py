"""A run that is killed several times: nothing recorded is lost or paid again, and the cap holds."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from moa_graph.errors import ConfigError
from moa_graph.models.local import locate
from tests.faults import LONG
from tests.provider import Provider, Request
from tests.provider.profile import parse
from tests.provider.replies import reply
from tests.tune.test_command import say, write_pool, write_prompts
from tests.tune.test_embedded import capitals

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PROMPTS, SAMPLES = 24, 2
KILLS = 5 if LONG else 2


def calls(ledger: Path) -> dict[str, float | None]:
    """The recorded calls with their costs, by key."""
    if not ledger.exists():
        return {}
    with closing(sqlite3.connect(ledger)) as db:
        if not db.execute("SELECT name FROM sqlite_master WHERE name = 'calls'").fetchone():
            return {}
        return dict(db.execute("SELECT key, cost FROM calls WHERE role NOT IN ('open', 'lost')").fetchall())


def recorded(ledger: Path) -> dict[str, float]:
    """When each call was recorded, by key."""
    if not calls(ledger):
        return {}
    with closing(sqlite3.connect(ledger)) as db:
        return dict(db.execute("SELECT key, created FROM calls").fetchall())


def command(tmp_path: Path, provider: Provider, *more: object) -> list[str]:
    rows = [{"id": f"q{n}", "prompt": f"{n}?", "criteria": "It is right."} for n in range(PROMPTS)]
    path = write_prompts(tmp_path / "mine.jsonl", rows)
    names = ["openai:30ms-one-tok=8", "openai:30ms-two-tok=8", say("30ms")]
    pool = write_pool(tmp_path / "pool.yaml", provider, *names)
    judge = f"openai:30ms-say={quote('[[7]]', safe='')}"
    prices = f"{judge.partition(':')[2]}: [10.0, 10.0]"
    pool.write_text(pool.read_text().replace("prices:\n", f"prices:\n  {prices}\n"))
    return [sys.executable, "-m", "moa_graph", "tune", str(path), "--pool", str(pool), "-k", str(SAMPLES), "--judge",
            judge, "--judge-url", provider.url, "--concurrency", "3", "--ledger", str(tmp_path / "drafts.db"),
            "--out", str(tmp_path / "run"), *map(str, more)]  # fmt: skip


def bill(request: Request) -> float:
    """Dollars of a request by the provider's own count of tokens, at 10 dollars a million, however it ended."""
    usage = reply(parse(request.model), request.json, orjson.dumps(request.messages), frozenset()).usage
    assert usage is not None
    return float(10e-6 * usage["total_tokens"])


def run(args: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(args, capture_output=True, text=True, timeout=600, env=environment())


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}


def kill_at(args: list[str], ledger: Path, more: int) -> bool:
    """Start the command and kill it once it has recorded so many further calls; False when it ended before."""
    wanted = len(calls(ledger)) + more
    process = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    deadline = time.monotonic() + 300
    try:
        while len(calls(ledger)) < wanted:
            assert time.monotonic() < deadline
            if process.poll() is not None:
                return False
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    return True


def test_kills_lose_nothing(tmp_path: Path, provider: Provider) -> None:
    """Every recorded call survives, none is sent again, and the result is that of a run without kills."""
    args, ledger = command(tmp_path, provider), tmp_path / "drafts.db"
    for _ in range(KILLS):
        before = calls(ledger)
        assert kill_at(args, ledger, 40)
        assert before.items() <= calls(ledger).items()
    kept, sent = calls(ledger), provider.stats()["requests"]
    done = run(args)
    assert done.returncode == 0, done.stderr
    whole = calls(ledger)
    assert kept.items() <= whole.items()
    assert provider.stats()["requests"] - sent == len(whole) - len(kept)
    first = (tmp_path / "run/tune.json").read_text()
    sent = provider.stats()["requests"]
    assert run(args).returncode == 0
    assert provider.stats()["requests"] == sent
    again = (tmp_path / "run/tune.json").read_text()
    assert [line for line in first.splitlines() if 'dollars"' not in line] == [
        line for line in again.splitlines() if 'dollars"' not in line
    ]


@pytest.mark.parametrize(
    ("sent", "ignored", "code", "last"),
    [
        (signal.SIGINT, False, 130, "interrupted"),
        (signal.SIGTERM, False, 143, "terminated"),
        # A shell without job control lets background jobs ignore SIGINT.
        (signal.SIGTERM, True, 143, "terminated"),
    ],
)
def test_a_stopped_run_says_how_it_goes_on(
    tmp_path: Path, provider: Provider, sent: signal.Signals, ignored: bool, code: int, last: str
) -> None:
    args, ledger = command(tmp_path, provider), tmp_path / "drafts.db"
    ignore = (lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignored else None
    process = subprocess.Popen(args, stderr=subprocess.PIPE, text=True, env=environment(), preexec_fn=ignore)
    provider.wait(lambda stats: stats["answered"] > 20, 60)
    process.send_signal(sent)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert said.splitlines()[-2:] == [
        f"paid calls are in {ledger}; the same command goes on from there",
        f"moa tune: {last}",
    ]
    kept, requests = calls(ledger), provider.stats()["requests"]
    assert kept
    assert run(args).returncode == 0
    assert kept.items() <= calls(ledger).items()
    assert provider.stats()["requests"] - requests == len(calls(ledger)) - len(kept)


def test_the_cap_holds_over_kills(tmp_path: Path, provider: Provider) -> None:
    """Calls that were under way at a kill may be billed, so they count: all requests together stay near the cap."""
    cap = 0.3
    args, ledger = command(tmp_path, provider, "--max-cost", cap), tmp_path / "drafts.db"
    for _ in range(KILLS):
        if not kill_at(args, ledger, 12):
            break
    last: Any = run(args)
    assert last.returncode == 0, last.stderr
    assert "the cap on cost" in last.stderr
    costs = [cost for cost in calls(ledger).values() if cost is not None]
    with closing(sqlite3.connect(ledger)) as db:
        rows = db.execute("SELECT role, count(*), total(cost) FROM calls WHERE role IN ('open', 'lost') GROUP BY role")
        found = {role: (many, cost) for role, many, cost in rows.fetchall()}
    noted, lost = found["open"], found["lost"]
    # Every request was noted before it was sent, and those that a kill broke off count as the most expensive ones do.
    assert len(costs) < provider.stats()["requests"] <= noted[0]
    assert lost[1] > 0
    counted, digit = sum(costs) + lost[1], 1e-9  # sums of dollars may differ in their last digit
    assert cap / 3 < sum(costs) < counted <= cap + digit
    # By the provider's account, too: every request that arrived is billed, those that a kill broke off included.
    billed = sum(bill(request) for request in provider.requests())
    assert sum(costs) - digit < billed <= counted + digit


def test_the_providers_bill_is_the_ledgers(tmp_path: Path, provider: Provider) -> None:
    """Without a kill, the ledger's calls and dollars are the provider's requests and tokens."""
    args, ledger = command(tmp_path, provider, "--max-cost", 5), tmp_path / "drafts.db"
    done = run(args)
    assert done.returncode == 0, done.stderr
    costs = calls(ledger)
    assert len(costs) == provider.stats()["answered"] == provider.stats()["requests"]
    assert sum(cost or 0 for cost in costs.values()) == pytest.approx(sum(map(bill, provider.requests())))


def test_kills_lose_nothing_of_the_embedded_model(tmp_path: Path) -> None:
    """No recorded draft is lost or made again: its row has the time of its first recording."""
    try:
        locate("smollm2")
    except ConfigError as missing:
        pytest.skip(str(missing))
    given = [*capitals(tmp_path), "-k", "2", "--free-only", "--concurrency", "1", "--out", str(tmp_path / "run")]
    args, ledger = (
        [sys.executable, "-m", "moa_graph", *given, "--ledger", str(tmp_path / "drafts.db")],
        (tmp_path / "drafts.db"),
    )
    for _ in range(KILLS):
        before = recorded(ledger)
        assert kill_at(args, ledger, 2)
        assert before.items() <= recorded(ledger).items()
    kept = recorded(ledger)
    done = run(args)
    assert done.returncode == 0, done.stderr
    assert kept.items() <= recorded(ledger).items()
    assert len(recorded(ledger)) == 4 * 2 * 2
    assert json.loads((tmp_path / "run/tune.json").read_text())["n"] == 4
